"""Who is measured. A peer is one entry of ``PEERS``: a name, what it needs, and how it is started.

Each serves the application of ``apps/app_module.py`` with one worker that runs Python one at a time.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from bench.common import Missing, compile_c, pinned, stop
from bench.load import KINDS, fixed

__all__ = ["PEERS", "Peer", "Running", "portico"]

HERE = Path(__file__).resolve().parent
START_SECONDS = 15.0
WARM_UP = 200
WARM_UP_SECONDS = 2.0
# Not the port 0 that was asked for, and not a number of which half has been written.
ANNOUNCED = re.compile(rb"http://127\.0\.0\.1:([1-9]\d*)\D")
# A setting of the user's shell must not change what is measured.
FOREIGN = ("GRANIAN_", "GUNICORN_", "UVICORN_", "PORTICO_", "WEB_CONCURRENCY", "PYTHONUNBUFFERED")


@dataclass(frozen=True)
class Peer:
    """A server to measure. ``command(port, folder)`` is what to run; it may build in ``folder``.

    ``module`` has to be importable, ``also`` as well. With ``announces`` the server takes a port of its
    own and prints its URL.
    """

    name: str
    language: str
    command: Callable[[int, Path], list[str]]
    module: str | None = None
    also: tuple[str, ...] = ()
    announces: bool = False

    @property
    def version(self) -> str:
        try:
            return metadata.version(self.module.partition(".")[0]) if self.module else ""
        except metadata.PackageNotFoundError:
            return ""

    @contextmanager
    def running(self, folder: Path, core: int) -> Iterator[Running]:
        """The server, ready and warm, on this core; ended on leaving. Raises ``Missing``, which says why."""
        for module in (self.module, *self.also):
            if module and not _importable(module):
                raise Missing(f"not installed (no module {module})")
        port = 0 if self.announces else _free_port()
        command = self.command(port, folder)
        with tempfile.TemporaryFile(dir=folder) as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                env=_environment(), start_new_session=True,
                preexec_fn=pinned(core),  # noqa: PLW1509 (this program has no threads)
            )  # fmt: skip
            try:
                yield _wait_ready(process, log.fileno(), port)
            finally:
                stop(process)


@dataclass(frozen=True)
class Running:
    """A started server."""

    process: subprocess.Popen[bytes]
    port: int

    def check(self) -> None:
        """Ask once more. Raises ``Missing`` when the server has ended or does not answer as it should."""
        if self.process.poll() is not None:
            raise Missing(f"ended with status {self.process.returncode}")
        try:
            _ask(self.port, 1)
        except (OSError, ValueError) as error:
            raise Missing(f"answers wrongly: {error}") from None


def _importable(module: str) -> bool:
    try:
        return util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # Absolute, because servers run in another folder.
    inherited = [os.path.abspath(part) for part in env.get("PYTHONPATH", "").split(os.pathsep) if part]
    # Unbuffered, so that a URL printed without a flush is seen at once.
    return env | {"PYTHONPATH": os.pathsep.join([str(HERE / "apps"), *inherited]), "PYTHONUNBUFFERED": "1"}


def _wait_ready(process: subprocess.Popen[bytes], log: int, port: int) -> Running:
    until = time.monotonic() + START_SECONDS
    why = "prints no URL"
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Missing(f"ended with status {process.returncode}: {_last_words(log)}")
        port = port or _announced_port(log)
        if port:
            try:
                _ask(port, WARM_UP)
                return Running(process, port)
            except ConnectionRefusedError:
                why = "does not listen"
            except (OSError, ValueError) as error:
                raise Missing(f"answers wrongly: {error}") from None
        time.sleep(0.05)
    raise Missing(f"{why} within {START_SECONDS:.0f} s: {_last_words(log)}")


def _announced_port(log: int) -> int:
    found = ANNOUNCED.search(os.pread(log, 65536, 0))
    return int(found[1]) if found else 0


def _last_words(log: int) -> str:
    size = os.fstat(log).st_size
    lines = os.pread(log, 4096, max(0, size - 4096)).decode(errors="replace").splitlines()
    spoken = [line.strip() for line in lines if line.strip()]
    return spoken[-1][:160] if spoken else "it said nothing"


def _ask(port: int, times: int) -> None:
    """So many requests of each kind over one connection; each answer must be the application's own."""
    end = time.monotonic() + WARM_UP_SECONDS
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        for number in range(times):
            if number and time.monotonic() > end:
                break
            for request in KINDS.values():
                s.sendall(fixed(request))
                _check_answer(s)


def _check_answer(s: socket.socket) -> None:
    received = b""
    while not received.endswith(b"\r\n\r\nHello, world!"):
        data = s.recv(65536)
        received += data
        if not data or len(received) > 65536:
            break
    if not re.fullmatch(rb"HTTP/1\.1 200 [^\r]*\r\n.*\r\n\r\nHello, world!", received, re.DOTALL):
        raise ValueError(f"{received[:60]!r}")


def _python(module: str, *arguments: str) -> Callable[[int, Path], list[str]]:
    """``python -m module``; ``{port}`` in an argument becomes the port."""
    return lambda port, folder: [
        sys.executable, "-m", module, *(a.replace("{port}", str(port)) for a in arguments)
    ]  # fmt: skip


def _script(name: str) -> Callable[[int, Path], list[str]]:
    return lambda port, folder: [sys.executable, str(HERE / name), str(port)]


def portico(engine: str | None = None) -> Peer:
    """Portico's own command, on its default engine or another."""
    options = ["--engine", engine] if engine else []
    command = _python("portico", "serve", "wsgi:app_module:app", "--at", "http://127.0.0.1:0", *options)
    name = f"portico {engine}" if engine else "portico"
    return Peer(name, "Python", command, "portico.__main__", announces=True)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        # The limit, and what every other rate is a share of.
        Peer("c-loop", "C", lambda port, folder: [str(compile_c("epoll_loop", folder)), str(port)]),
        portico(),
        Peer("fastwsgi", "C", _script("start_fastwsgi.py"), "fastwsgi"),
        Peer("bjoern", "C", _script("start_bjoern.py"), "bjoern"),
        Peer(
            "granian", "Rust",
            _python(
                "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1",
                "--http", "1", "--no-ws", "--log-level", "warning",
                "--host", "127.0.0.1", "--port", "{port}", "app_module:app",
            ),
            "granian",
        ),
        # Its ASGI twin: uvicorn has no WSGI of its own.
        Peer(
            "uvicorn", "Python",
            _python(
                "uvicorn", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off",
                "--no-access-log", "--log-level", "warning",
                "--host", "127.0.0.1", "--port", "{port}", "app_module:asgi",
            ),
            "uvicorn", ("uvloop", "httptools"),
        ),
        Peer(
            "waitress", "Python",
            _python("waitress", "--listen=127.0.0.1:{port}", "--threads=4", "app_module:app"),
            "waitress",
        ),
        # Keep-alive beyond any round: gunicorn's two seconds would cut connections within one.
        Peer(
            "gunicorn", "Python",
            _python(
                "gunicorn", "-k", "gthread", "--workers", "1", "--threads", "8", "--keep-alive", "75",
                "--no-control-socket", "--log-level", "warning", "-b", "127.0.0.1:{port}", "app_module:app",
            ),
            "gunicorn",
        ),
    )
}  # fmt: skip
