"""``portico connect`` and ``portico listen`` as processes, for tests."""

from __future__ import annotations

import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ["ENOUGH", "PORTICO", "Talking", "accepting", "connected", "received", "talk", "talking", "until"]

PORTICO = [sys.executable, "-m", "portico"]
ENOUGH = 30.0


class Talking:
    """A running command. ``stderr`` grows by what ``until`` reads, and is complete after ``end``."""

    def __init__(self, *args: str, **popen: object) -> None:
        environ = {**os.environ, **popen.pop("env", {})}  # type: ignore[dict-item]
        self.process = subprocess.Popen(
            [*PORTICO, *args],
            env=environ,
            bufsize=0,
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen},  # type: ignore[call-overload]
        )
        self.stderr = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Read stderr until it matches."""
        while not (found := re.search(pattern, self.stderr)):
            data = self._more(self.process.stderr)
            assert data, f"{pattern!r} never came: {self.stderr}"
            self.stderr += data.decode()
        return found

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.until(r"listening on \w+://[^\n]*:(\d+)\n")[1])

    def write(self, data: bytes) -> None:
        self.process.stdin.write(data)

    def read(self, size: int) -> bytes:
        """So many bytes of stdout, or what there is before its end."""
        data = b""
        while len(data) < size and (more := self._more(self.process.stdout, size - len(data))):
            data += more
        return data

    def _more(self, file: object, size: int = 65536) -> bytes:
        ready, _, _ = select.select([file], [], [], ENOUGH)
        assert ready, f"nothing came; stderr so far: {self.stderr}"
        return os.read(file.fileno(), size)  # type: ignore[attr-defined]

    def end(self, code: int | None = 0, data: bytes | None = None) -> bytes:
        """End its stdin (after ``data``) and wait for it: the rest of stdout. ``code``: as it should be."""
        out, err = self.process.communicate(data, timeout=ENOUGH)
        self.stderr += (err or b"").decode()
        assert code is None or self.process.returncode == code, (self.process.returncode, self.stderr)
        return out or b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait(ENOUGH)
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            if file is not None:
                try:
                    file.close()
                except BrokenPipeError:
                    pass  # it ended before it was told


def talking(*args: str, **popen: object) -> Talking:
    """Start it; a context manager that kills what still runs."""
    return Talking(*args, **popen)


def talk(*args: str, data: bytes = b"", code: int = 0, **popen: object) -> tuple[bytes, str]:
    """Run it with ``data`` on stdin: stdout and stderr."""
    with talking(*args, **popen) as running:
        out = running.end(code, data)
        return out, running.stderr


@contextmanager
def accepting(family: int = socket.AF_INET) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket of the standard library, and its ``host:port``."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        listener.listen()
        listener.settimeout(ENOUGH)
        host, port = listener.getsockname()[:2]
        yield listener, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A plain connection to a port of this machine."""
    with socket.create_connection(("127.0.0.1", port), ENOUGH) as sock:
        yield sock


def received(sock: socket.socket) -> bytes:
    """Everything until the end."""
    data = b""
    while more := sock.recv(65536):
        data += more
    return data


def until(condition: object, what: str) -> None:
    """Wait for something that no event tells."""
    end = time.monotonic() + ENOUGH
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, f"it never happened: {what}"
        time.sleep(0.01)
