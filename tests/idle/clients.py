"""Many connections from this process to a server in another one."""

from __future__ import annotations

import json
import resource
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.engines.serving import SECONDS, client_tls, get, issue

__all__ = ["ASKING", "Clients", "Dripping", "Remote", "descriptors_for"]

ASKING = {
    "http": (get(), b"HTTP/1.1 200 OK\r\n", b"\r\n\r\nhello"),
    "talk": (b"how are you\n", b"how are you\n", b"how are you\n"),
}
"""By kind of server: a question, and how its answer begins and ends."""
DRIPS = {"http": get("/" + "x" * 4000), "talk": b"x" * 4000}
PAUSE = 0.0005
"""Seconds between two bytes of all dripping clients together: a thousand send one every half second."""


class Remote:
    """The server: its port, and what it says of itself."""

    def __init__(self, engine: str, kind: str, tls: bool, folder: Path) -> None:
        self.kind = kind
        self.context = client_tls().context if tls else None
        command = [sys.executable, "-m", "tests.idle.server", engine, kind]
        if tls:
            certificate = folder / "certificate.pem"
            certificate.write_bytes(issue())
            command.append(str(certificate))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        self._port = int(self._read())

    def facts(self) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return dict(json.loads(self._read()))

    def connect(self) -> socket.socket:
        bare = socket.create_connection(("127.0.0.1", self._port), SECONDS)
        return bare if self.context is None else self.context.wrap_socket(bare, server_hostname="localhost")

    def ask(self, sock: socket.socket) -> None:
        """One question and its whole answer."""
        question, begin, end = ASKING[self.kind]
        sock.sendall(question)
        got = b""
        while not got.endswith(end):
            data = sock.recv(4096)
            assert data, f"closed instead of an answer, after {got!r}"
            got += data
        assert got.startswith(begin)

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server has ended"
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(SECONDS) == 0


class Clients:
    """Connections, each used once and then left alone."""

    def __init__(self, remote: Remote, many: int) -> None:
        self.remote = remote
        self.socks: list[socket.socket] = []
        with ExitStack() as stack:
            stack.callback(self.close)
            for _ in range(many):
                self.socks.append(remote.connect())
                remote.ask(self.socks[-1])
            stack.pop_all()

    def ended(self) -> int:
        """How many the server has closed, or sent something nobody asked for."""
        poller = select.poll()
        for sock in self.socks:
            poller.register(sock, select.POLLIN)
        return len(poller.poll(0))

    def ask_all(self) -> None:
        for sock in self.socks:
            self.remote.ask(sock)

    def close(self) -> None:
        for sock in self.socks:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Dripping:
    """Clients of which each sends a byte now and then, of something that is never complete."""

    def __init__(self, remote: Remote, many: int) -> None:
        self._socks = [remote.connect() for _ in range(many)]
        self._drips = DRIPS[remote.kind]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip)
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        for sock in self._socks:
            sock.close()

    def _drip(self) -> None:
        for byte in _rounds(self._drips):
            for sock in self._socks:
                if self._stop.wait(PAUSE):
                    return
                sock.sendall(byte)
                self.sent += 1


def _rounds(data: bytes) -> Iterator[bytes]:
    for number in range(len(data)):
        yield data[number : number + 1]


@contextmanager
def descriptors_for(connections: int) -> Iterator[None]:
    """As many as are needed in this process; as before afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 500
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"ulimit -Hn is {hard}, but {wanted} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
