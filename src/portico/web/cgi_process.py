"""A running CGI program: its three pipes as streams, and its end.

The program leads a session of its own, so that one signal reaches whatever it started. It is reaped last
of all: until then its number, which is also its group's, cannot be given to another process.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from portico.deadline import timeout
from portico.engines import door
from portico.errors import Timeout
from portico.sockets.pipe import exit_stream, pipe_stream
from portico.sockets.stream import Stream, wait_any

__all__ = ["ErrorLog", "Process", "start"]

log = logging.getLogger("portico.cgi")

KILL_AFTER = 2.0
"""Seconds between SIGTERM, which lets a program tidy up, and SIGKILL."""
_POLL = 0.02  # where the system cannot watch a process


class Process:
    """A program that was started. A context manager: leaving it ends the program, whatever its state.

    ``input`` is ``None`` for a program without a body. ``exit`` ends when the program does; ``None``
    where the system cannot tell (then ask ``exited``).
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        streams: tuple[Stream | None, Stream, Stream],
        ending: Stream | None,
    ) -> None:
        self._popen = popen
        self.pid = popen.pid
        self.input, self.output, self.errors = streams
        self.exit = ending

    @property
    def exited(self) -> bool:
        """Whether the program has ended. What it started may live on."""
        if self._popen.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # somebody else reaped it (SIGCHLD is ignored)

    def wait(self, seconds: float) -> bool:
        """Wait for the program's end, whatever deadline is in force; whether it came."""
        try:
            with timeout(seconds, shield=True):
                while not self.exited:
                    if self.exit is None:
                        door.sleep(_POLL)
                    else:
                        wait_any([self.exit], doing="waiting for a program to end")
        except Timeout:
            pass  # the answer is below
        return self.exited

    def reap(self) -> int:
        """The exit status of a program that has ended, minus the signal if one ended it."""
        return self._popen.wait()

    def kill(self) -> None:
        """End the program and what it started: politely, then, after ``KILL_AFTER``, by force.

        Does nothing once it is reaped. What moved to a session of its own is out of reach.
        """
        if self._popen.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                self.wait(KILL_AFTER)
            finally:  # who waits may be called off
                self._signal(signal.SIGKILL)
                self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.exited:
                self.reap()
            else:
                self.kill()
        finally:
            for stream in (self.input, self.output, self.errors, self.exit):
                if stream is not None:
                    stream.close()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left; some systems refuse when only the unreaped leader is


def start(command: Sequence[str], environ: dict[bytes, bytes], folder: Path, *, feed: bool) -> Process:
    """Start a program in ``folder``. Raises ``OSError`` when that cannot be done.

    ``feed``: it gets a pipe as standard input, else an empty one.
    """
    with ExitStack() as ours, ExitStack() as theirs:
        output = _pipe(ours, theirs, ours_writes=False)
        errors = _pipe(ours, theirs, ours_writes=False)
        source = _pipe(ours, theirs, ours_writes=True) if feed else None
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if source is None else source[1],
            stdout=output[1],
            stderr=errors[1],
            env=environ,
            cwd=folder,
            start_new_session=True,
        )
        ending = _watch(popen)
        ours.pop_all()
    name = Path(command[-1]).name
    streams = (
        None if source is None else pipe_stream(None, source[0], f"the input of {name}"),
        pipe_stream(output[0], None, f"the output of {name}"),
        pipe_stream(errors[0], None, f"the error output of {name}"),
    )
    return Process(popen, streams, ending)


def _watch(popen: subprocess.Popen[bytes]) -> Stream | None:
    """``exit_stream``; a program that cannot be watched (no descriptor is free) is ended at once."""
    try:
        return exit_stream(popen.pid)
    except OSError:
        os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
        raise


def _pipe(ours: ExitStack, theirs: ExitStack, *, ours_writes: bool) -> tuple[int, int]:
    """A pipe as (our end, the program's end). Other programs inherit neither."""
    reading, writing = os.pipe()
    mine, other = (writing, reading) if ours_writes else (reading, writing)
    ours.callback(os.close, mine)
    theirs.callback(os.close, other)
    return mine, other


class ErrorLog:
    """What a program writes to its standard error, in the log: by line, shortened, and never a flood."""

    LINE = 1000
    """Bytes of a line that are logged."""
    LINES = 200
    """Lines of a run that are logged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._part = b""
        self._logged = 0

    def feed(self, data: bytes) -> None:
        """Take what came; whole lines are logged."""
        if self._logged > self.LINES:
            return
        *whole, part = (self._part + data).split(b"\n")
        for line in whole:
            self._log(line)
        self._part = part[: self.LINE + 1]

    def end(self) -> None:
        """No more will come: what lacks its line end is logged too."""
        if self._part:
            self._log(self._part)
        self._part = b""

    def _log(self, line: bytes) -> None:
        if self._logged < self.LINES:
            cut = " [cut]" if len(line) > self.LINE else ""
            log.warning("%s: %s%s", self.name, printable(line[: self.LINE]), cut)
        elif self._logged == self.LINES:
            log.warning("%s: more than %d lines of errors; the rest is dropped", self.name, self.LINES)
        self._logged += 1


def printable(line: bytes) -> str:
    """Text for one line of a log: what could forge a line or drive a terminal is escaped."""
    text = line.rstrip(b"\r").decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
