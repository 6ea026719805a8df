"""A server that misbehaves by script: plain sockets and threads, so that nothing of Portico is on its side.

A script is a list of steps for one connection: bytes are sent, functions are called with the ``Peer``. The
last script of a server serves all later connections too. In bytes, ``{here}`` and ``{other}`` stand for the
origins of this server and of the bystander, who notes whatever reaches it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Self

Step = bytes | Callable[["Peer"], None]
Script = Sequence[Step]


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: Hostile, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.early = b""

    def send(self, data: bytes) -> None:
        for name, value in self.server.names.items():
            data = data.replace(b"{" + name + b"}", value)
        self.sock.sendall(data)

    def read_head(self) -> bytes:
        """A request's head, which is noted; ``b""`` when the client has gone."""
        while b"\r\n\r\n" not in self.early:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self.early += data
        head, _, self.early = self.early.partition(b"\r\n\r\n")
        self.server.requests.append(head)
        return head

    def read_all(self) -> bytes:
        """A request with its body."""
        head = self.read_head()
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == _LENGTH), 0)
        while len(self.early) < length:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self.early += data
        self.early = self.early[length:]
        return head

    def drain(self) -> None:
        """End our direction, and take what comes until the client is gone."""
        self.sock.shutdown(socket.SHUT_WR)
        while self.sock.recv(65536):
            pass

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


_LENGTH = b"content-length:"


class Hostile:
    """Serves ``scripts``, the first one to the first connection. ``requests``: the heads that came."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.scripts = scripts
        self.tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        self.port: int = self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{self.port}"
        self.names = {b"here": self.url.encode(), b"port": str(self.port).encode()}
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            self._open.append(sock)
            self._start(self._serve, sock, script)

    def _serve(self, sock: socket.socket, script: Script) -> None:
        with sock, contextlib.suppress(OSError):
            served = sock if self.tls is None else self.tls.wrap_socket(sock, server_side=True)
            self._open.append(served)
            peer = Peer(self, served)
            with served:
                for step in script:
                    if isinstance(step, bytes):
                        peer.send(step)
                    else:
                        step(peer)
                if served.fileno() >= 0:
                    peer.drain()


# -- steps


def read(peer: Peer) -> None:
    """Take a request's head."""
    peer.read_head()


def read_all(peer: Peer) -> None:
    """Take a request with its body."""
    peer.read_all()


def read_chunks(peer: Peer) -> None:
    """Take a request with a chunked body."""
    peer.read_head()
    while not peer.early.endswith(b"0\r\n\r\n"):
        peer.early += peer.sock.recv(65536)
    peer.early = b""


def reset(peer: Peer) -> None:
    """Abort the connection."""
    peer.reset()


def cut(peer: Peer) -> None:
    """Close at once; over TLS, without its closing alert."""
    peer.sock.close()


def farewell(peer: Peer) -> None:
    """End TLS as it should be."""
    assert isinstance(peer.sock, ssl.SSLSocket)
    peer.sock.unwrap().close()


def hold(peer: Peer) -> None:
    """Say nothing more, and keep the connection open."""
    peer.server.stopped.wait()


def pause(seconds: float) -> Step:
    """Wait a moment."""
    return lambda peer: void(peer.server.stopped.wait(seconds))


def void(_: object) -> None:
    """No result."""


def drip(data: bytes, seconds: float = 0.01) -> Step:
    """One byte at a time, over and over."""

    def step(peer: Peer) -> None:
        while True:
            for at in range(len(data)):
                peer.sock.sendall(data[at : at + 1])
                if peer.server.stopped.wait(seconds):
                    return

    return step


def flood(data: bytes) -> Step:
    """The same without end."""

    def step(peer: Peer) -> None:
        block = data * max(1, 65536 // len(data))
        while not peer.server.stopped.is_set():
            peer.sock.sendall(block)

    return step


def every(answer: bytes | Callable[[bytes], bytes]) -> Step:
    """The same answer to each request, for as long as the client asks."""

    def step(peer: Peer) -> None:
        while head := peer.read_all():
            peer.send(answer if isinstance(answer, bytes) else answer(head))

    return step


def answer(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer with a length."""
    lines = [b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def redirect(to: bytes, status: bytes = b"302 Found", *fields: bytes) -> bytes:
    """A redirect without a body."""
    return answer(b"", b"Location: " + to, *fields, status=status)


def by_path(**answers: bytes) -> Script:
    """Answers by the first segment of the path; ``end`` says where it should end."""

    def choose(head: bytes) -> bytes:
        path = head.split(b" ", 2)[1].strip(b"/").split(b"/")[0].split(b"?")[0].decode()
        return answers.get(path or "start", answer(b"end"))

    return [every(choose)]
