"""``portico serve`` as a process, for tests."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from tests.peers import need

__all__ = ["Serving", "curl", "mistake", "serving"]

PORTICO = [sys.executable, "-m", "portico", "serve"]
ENOUGH = 30.0


class Serving:
    """A running ``portico serve``; ``lines`` is what it printed, ``stderr`` is known after ``stop``."""

    def __init__(self, process: subprocess.Popen[str], errors: object, addresses: int) -> None:
        self.process = process
        self._errors = errors
        assert process.stdout is not None
        self.lines = [process.stdout.readline() for _ in range(addresses)]
        self.stderr = ""
        if not self.lines[-1]:
            process.wait(ENOUGH)
            raise AssertionError(f"it did not start: {self.lines} {self._read_errors()}")

    @property
    def url(self) -> str:
        """The first address, for curl."""
        found = re.search(r"serving (https?://\S+:\d+)", self.lines[0])
        assert found, self.lines
        return found[1]

    @property
    def port(self) -> int:
        found = re.search(r":(\d+)(\s|$)", self.lines[0])
        assert found, self.lines
        return int(found[1])

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(ENOUGH)
        self.stderr = self._read_errors()
        return code

    @property
    def words(self) -> list[str]:
        """Its stderr in lines, without what it waited for: a connection that curl left a moment ago."""
        return [line for line in self.stderr.splitlines() if "portico.drain: stopping" not in line]

    @property
    def so_far(self) -> str:
        """Its stderr while it runs; without moving the place where it writes, which we share."""
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode()  # type: ignore[attr-defined]

    def _read_errors(self) -> str:
        self._errors.seek(0)  # type: ignore[attr-defined]
        return self._errors.read().decode()  # type: ignore[attr-defined,no-any-return]


@contextmanager
def serving(
    folder: Path,
    *args: str,
    at: str | None = "http://127.0.0.1:0",
    addresses: int = 1,
    command: list[str] | None = None,
    **env: str,
) -> Iterator[Serving]:
    """Start it in ``folder`` and wait for its addresses; killed at the end, should it still run."""
    line = [*(command or PORTICO), *args, *([] if at is None else ["--at", at])]
    with (
        TemporaryFile() as errors,
        subprocess.Popen(
            line, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **env}
        ) as process,
    ):
        try:
            yield Serving(process, errors, addresses)
        finally:
            process.kill()


def mistake(folder: Path, *args: str, **env: str) -> str:
    """Start it in vain: exit code 2 and one line on stderr, which is returned."""
    done = subprocess.run(
        [*PORTICO, *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        env={**os.environ, **env},
    )
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("portico: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def curl(*args: str) -> str:
    command = [need("curl"), "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ENOUGH)
    assert done.returncode == 0, (args, done.returncode, done.stderr)
    return done.stdout
