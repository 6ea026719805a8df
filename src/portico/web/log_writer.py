"""Lines that somebody else writes: nobody who has a line to log ever waits for a disk or a terminal."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections import deque
from collections.abc import Iterable
from math import inf
from time import monotonic
from weakref import WeakSet

from portico.deadline import timeout
from portico.errors import Cancelled, ConfigError, PorticoError, Timeout
from portico.figures import SOURCES, Figure
from portico.sync import Event, Guard, Task, sleep, spawn_thread

__all__ = ["LineWriter"]

log = logging.getLogger("portico.logs")

_GATHER = 0.02
"""Seconds for which lines are gathered: a thread that is woken for each would cost more than the line."""
_BATCH = 1 << 16
_WHOLE = 4096  # POSIX: so many bytes go into a pipe in one piece, whoever else writes there
_LOG_PAUSE = 5.0
_PATIENCE = 2.0
"""Seconds at the end for what is held."""
_MODE = 0o640


class LineWriter:
    """Appends lines to the file ``path``, or to standard error (``-``), by a thread of its own.

    ``put`` never waits: at most ``size`` lines are held, what is more is ``dropped`` and counted. A file that
    was moved or removed is opened anew before the next lines are written, so that logs can be rotated without
    telling anybody. Several processes may write to one file: lines stay whole. What is held when the program
    ends is written then. Raises ``ConfigError`` when the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str] = "-", size: int = 10_000) -> None:
        if size < 1:
            raise ConfigError(f"a log needs room for lines: queue={size!r}")
        self.path = os.fspath(path)
        self.dropped = 0
        self._size = size
        self._descriptor = -1
        self._closed = self._ending = self._stuck = False
        self._last_log = -inf
        self._task: Task[None] | None = None
        self._unsaid = 0
        self.forget()
        if self.path != "-":
            try:
                self._descriptor = self._open()
            except OSError as error:
                raise ConfigError(f"the log {self.path} cannot be written: {error.strerror}") from error
        self._at_exit = _AtExit(self)
        _writers.add(self)
        SOURCES.add(self)

    def put(self, line: str) -> None:
        """Let a line be written. From any thread."""
        if len(self._lines) >= self._size:
            self.dropped += 1
            self._unsaid += 1
            return
        self._lines.append(line)
        if not self._rung:
            self._ring()

    def flush(self) -> None:
        """Write all lines that are held, now and here."""
        with self._writing:
            while self._lines:
                self._write_some()

    def finish(self) -> None:
        """Let what is held be written, and wait for that, but not for ever: whoever reads it may be stuck."""
        task, self._task = self._task, None
        if task is None:
            return
        self._ending = True
        self._bell.set()
        try:
            with timeout(_PATIENCE, shield=True):
                task.join()
        except Timeout:
            self._stuck = True
        self._ending = False

    def close(self) -> None:
        """Write what is held, and give the file back. Lines that come later are dropped."""
        if self._closed:
            return
        self._closed = True
        SOURCES.discard(self)
        self.finish()
        self._size = 0
        if self._descriptor >= 0 and not self._stuck:
            os.close(self._descriptor)
            self._descriptor = -1

    def forget(self) -> None:
        """In a forked process: what is held is the parent's to write, and so is its thread."""
        self._lines: deque[str] = deque()
        self._bell = Event()
        self._rung = False
        self._starting = Guard()
        self._writing = Guard()
        self._task = None

    def figures(self) -> Iterable[Figure]:
        """What the writer can tell of itself, see ``portico.figures``."""
        yield Figure("portico_log_lines_dropped_total", self.dropped)

    def __repr__(self) -> str:
        return f"<LineWriter {self.path}, {len(self._lines)} held, {self.dropped} dropped>"

    # -- inside

    def _ring(self) -> None:
        self._rung = True
        with self._starting:
            if self._task is None and not self._closed:
                self._task = spawn_thread(self._run, name="log writer")
        self._bell.set()

    def _run(self) -> None:
        # The deadline of whoever had the first line is not this thread's.
        with timeout(None, shield=True):
            while not self._ending:
                try:
                    self._bell.wait()
                    if not self._ending:
                        sleep(_GATHER)
                except (Cancelled, PorticoError):
                    break
                self._bell.clear()
                self._rung = False  # before the lines are taken: whoever comes later rings again
                self.flush()
            self.flush()  # told to end before it began, perhaps

    def _write_some(self) -> None:
        """As many lines as fit into a batch. What cannot be written is dropped, for who could be told?"""
        lines: list[str] = []
        size = 0
        most = _BATCH if self._descriptor >= 0 else _WHOLE
        while self._lines and size < most:
            line = self._lines.popleft() + "\n"
            size += len(line)
            if size > most and lines:
                self._lines.appendleft(line[:-1])
                break
            lines.append(line)
        try:
            self._renew()
            _write_all(
                self._descriptor if self._descriptor >= 0 else 2, "".join(lines).encode("utf-8", "replace")
            )
        except (OSError, ValueError) as error:
            self.dropped += len(lines)
            self._unsaid += len(lines)
            self._complain(str(error))
        if self._unsaid:
            self._complain("more came than could be written")

    def _complain(self, why: str) -> None:
        now = monotonic()
        if now - self._last_log >= _LOG_PAUSE:
            self._last_log = now
            unsaid, self._unsaid = self._unsaid, 0
            log.warning("%d lines of the log %s were dropped: %s", unsaid, self.path, why)

    def _renew(self) -> None:
        """Open the file anew, where the name means another by now."""
        if self._descriptor < 0:
            return
        mine = os.fstat(self._descriptor)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino):
            fresh = self._open()
            os.close(self._descriptor)
            self._descriptor = fresh

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(self.path, flags, _MODE)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise IsADirectoryError(None, "it is a folder")
        return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class _AtExit(logging.Handler):
    """``logging.shutdown`` is what processes of every kind call at their end."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """It gets no records: it is among the handlers to be flushed only."""

    def flush(self) -> None:
        if not sys.is_finalizing():
            self._writer.finish()


_writers: WeakSet[LineWriter] = WeakSet()


def _forget_all() -> None:
    for writer in _writers:
        writer.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
