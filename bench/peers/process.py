"""A server as a process: started on its core, checked, warmed up, and ended."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from bench.common import Missing, Wrong, pinned, stop
from bench.peers.checks import Check

__all__ = ["Command", "Peer", "Running", "python", "script"]

HERE = Path(__file__).resolve().parent
START_SECONDS = 15.0
WARM_UP = 200
WARM_UP_SECONDS = 1.0
# Not the port 0 that was asked for, and not a number of which half has been written.
ANNOUNCED = re.compile(rb"(?:https?|tcp|tls)://127\.0\.0\.1:([1-9]\d*)\D")
# A setting of the user's shell must not change what is measured.
FOREIGN = ("GRANIAN_", "GUNICORN_", "UVICORN_", "PORTICO_", "GEVENT_", "WEB_CONCURRENCY", "PYTHONUNBUFFERED")

Command = Callable[[int, Path], list[str]]


@dataclass(frozen=True)
class Peer:
    """A server to measure. ``command(port, folder)`` is what to run; it may build in ``folder``.

    ``module`` has to be importable, ``also`` as well. With ``announces`` the server takes a port of its
    own and prints its URL. ``tls``: it is spoken to through TLS that this context makes.
    ``path``: where its modules are looked for first.
    """

    name: str
    language: str
    command: Command
    check: Check
    module: str | None = None
    also: tuple[str, ...] = ()
    announces: bool = False
    tls: ssl.SSLContext | None = None
    path: Path | None = None

    @property
    def package(self) -> str:
        """What a module of it is called, or nothing."""
        return self.module.partition(".")[0] if self.module else ""

    @property
    def version(self) -> str:
        try:
            return metadata.version(self.package) if self.module else ""
        except metadata.PackageNotFoundError:
            return ""

    @contextmanager
    def running(self, folder: Path, core: int, warm_up: int = WARM_UP) -> Iterator[Running]:
        """The server, ready and warm, on this core; ended on leaving. Raises ``Missing``, which says why.

        ``warm_up`` is the number of checks that it has passed.
        """
        for module in (self.module, *self.also):
            if module and not _importable(module):
                raise Missing(f"not installed (no module {module})")
        if self.path is not None and not self.path.is_dir():
            raise Missing("not built (make fast)")
        port = 0 if self.announces else _free_port()
        command = self.command(port, folder)
        with tempfile.TemporaryFile(dir=folder) as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                env=_environment(self.path), start_new_session=True,
                preexec_fn=pinned(core),  # noqa: PLW1509 (this program has no threads)
            )  # fmt: skip
            try:
                yield _wait_ready(self, process, log.fileno(), port, warm_up)
            finally:
                stop(process)


@dataclass(frozen=True)
class Running:
    """A started server."""

    peer: Peer
    process: subprocess.Popen[bytes]
    port: int

    def connect(self) -> socket.socket:
        """A new connection, through the handshake where there is one. Raises ``OSError``."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        if self.peer.tls is None:
            return s
        try:
            return self.peer.tls.wrap_socket(s, server_hostname="localhost")
        except BaseException:
            s.close()
            raise

    def ask(self, times: int = 1) -> None:
        """So many checks over one connection, or as many as fit into the time of a warm-up."""
        end = time.monotonic() + WARM_UP_SECONDS
        with self.connect() as s:
            for _ in range(times):
                self.peer.check(s)
                if time.monotonic() > end:
                    break

    def check(self) -> None:
        """Ask once more. Raises ``Wrong`` when the server has ended or does not answer as it should."""
        if self.process.poll() is not None:
            raise Wrong(f"ended with status {self.process.returncode}")
        try:
            self.ask()
        except (OSError, ValueError) as error:
            raise Wrong(f"answers wrongly: {error}") from None


def python(module: str, *arguments: str) -> Command:
    """``python -m module``; ``{port}`` in an argument becomes the port, ``{folder}`` the folder."""
    return lambda port, folder: [sys.executable, "-m", module, *_filled(arguments, port, folder)]


def script(name: str, *arguments: str) -> Command:
    """``python scripts/NAME.py PORT …``, filled in as for ``python``."""
    path = str(HERE / "scripts" / f"{name}.py")
    return lambda port, folder: [sys.executable, path, str(port), *_filled(arguments, port, folder)]


def _filled(arguments: tuple[str, ...], port: int, folder: Path) -> list[str]:
    return [each.replace("{port}", str(port)).replace("{folder}", str(folder)) for each in arguments]


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


def _environment(first: Path | None) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    # Absolute, because servers run in another folder.
    inherited = [os.path.abspath(part) for part in env.get("PYTHONPATH", "").split(os.pathsep) if part]
    # Unbuffered, so that a URL printed without a flush is seen at once.
    path = [*([str(first)] if first else []), str(HERE / "apps"), *inherited]
    return env | {"PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def _wait_ready(peer: Peer, process: subprocess.Popen[bytes], log: int, port: int, warm_up: int) -> Running:
    until = time.monotonic() + START_SECONDS
    why = "prints no URL"
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Missing(f"ended with status {process.returncode}: {_last_words(log)}")
        port = port or _announced_port(log)
        if port:
            try:
                running = Running(peer, process, port)
                running.ask(warm_up)
                return running
            except ConnectionRefusedError:
                why = "does not listen"
            except (OSError, ValueError) as error:
                raise Wrong(f"answers wrongly: {error}") from None
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
