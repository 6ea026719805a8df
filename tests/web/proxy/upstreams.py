"""Upstreams for the proxy's tests: servers that say what they are told to, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

PATIENCE = 20.0


@dataclass
class Scripted:
    """Accepts connections, and lets ``answer(connection)`` talk on each, in a thread of its own.

    ``heads``: those of the requests that were read with ``request``; ``connections`` counts.
    """

    answer: Callable[[Upside], object]
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._talks: list[tuple[threading.Thread, socket.socket]] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)
        for thread, sock in self._talks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # gone already
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            sock.settimeout(PATIENCE)
            thread = threading.Thread(target=self._talk, args=(sock,), daemon=True)
            self._talks.append((thread, sock))
            thread.start()

    def _talk(self, sock: socket.socket) -> None:
        with sock:
            try:
                self.answer(Upside(self, sock, self.connections))
            except (OSError, EOFError):
                pass  # the proxy has gone, or the test is over


class Upside:
    """One connection, from the upstream's side. ``number``: the how manieth it is."""

    def __init__(self, upstream: Scripted, sock: socket.socket, number: int) -> None:
        self.upstream = upstream
        self.sock = sock
        self.number = number
        self.buffer = b""

    def request(self) -> bytes:
        """The head of the next request. Raises ``EOFError`` when there is none."""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, mark, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.upstream.heads.append(head + mark)
        return head + mark

    def body(self) -> bytes:
        """The body of the request whose head came last."""
        head = self.upstream.heads[-1].lower()
        if b"transfer-encoding: chunked" in head:
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            self.until(b"\r\n")
        else:
            length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
            body = self.exactly(int(length or b"0"))
        self.upstream.bodies.append(body)
        return body

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.more()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def more(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self.buffer += data

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close so that the other side sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


def whole(body: bytes = b"ok", status: str = "200 OK", *headers: str) -> bytes:
    """An answer of known length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def keeping(answer: Callable[[Upside], bytes] | bytes = b"") -> Callable[[Upside], None]:
    """Answers every request of a connection, bodies read."""

    def talk(up: Upside) -> None:
        while True:
            up.request()
            up.body()
            up.say(answer if isinstance(answer, bytes) else answer(up))

    return talk


@contextmanager
def once(raw: bytes, *, reset: bool = False) -> Iterator[Scripted]:
    """An upstream that sends ``raw`` to whoever asks, and closes."""

    def talk(up: Upside) -> None:
        up.request()
        up.body()
        up.say(raw)
        if reset:
            up.reset()

    with Scripted(talk) as upstream:
        yield upstream
