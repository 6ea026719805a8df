"""A stream as a standard ``io`` object, for everything that wants a file.

The layers are those of ``io`` itself: a raw file over the stream, one of ``BufferedReader``,
``BufferedWriter`` or ``BufferedRWPair`` over it, a ``TextIOWrapper`` on top in text modes. The one thing
added is an end without a hang: the layers of ``io`` hold a lock while they read or write, and ``close()``
wants that lock, so a reader in another thread would block it for ever (the fault of
``socket.makefile``). Therefore ``close()`` first calls out whoever is inside.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import IO, TYPE_CHECKING, Any

from portico.deadline import timeout
from portico.engines import door
from portico.errors import ConfigError, StreamClosed, Timeout
from portico.sockets.transport import Waiter

if TYPE_CHECKING:
    from portico.sockets.stream import Stream

__all__ = ["StreamFile", "open_file"]


def open_file(
    stream: Stream,
    mode: str = "r+b",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    buffering: int = -1,
    close_stream: bool = False,
    flush_seconds: float = 10.0,
) -> IO[Any]:
    """A file over ``stream``; what ``Stream.as_file`` returns.

    ``mode``: ``rb``, ``wb``, ``r+b`` (or ``rwb``), and the same without ``b`` for text (UTF-8 unless
    ``encoding`` says otherwise). ``buffering``: as in ``open()``; 0 gives the raw file. Remember to
    ``flush()`` before waiting for an answer.

    Closing flushes, for at most ``flush_seconds``; then it raises ``Timeout``, after everything has been
    released. Readers in other threads get ``StreamClosed``. The stream stays open unless ``close_stream``;
    bytes that a binary file had read ahead go back to it (a text file's are decoded, and lost). Errors of the
    stream come through as they are; after a ``Timeout`` inside a buffered read, ``io`` forgets what that call
    had read, so use the stream's own methods to try again. Raises ``ConfigError`` for a mode or
    combination that makes no sense.
    """
    reads, writes, binary = _modes(mode)
    if binary and not (encoding is errors is newline is None):
        raise ConfigError(f"as_file({mode!r}): a binary file takes no encoding, errors or newline")
    if buffering == 0 and not binary:
        raise ConfigError(f"as_file({mode!r}, buffering=0): a text file has to be buffered")
    raw = StreamFile(stream, reads, writes, close_stream, flush_seconds)
    if buffering == 0:
        return raw  # type: ignore[return-value]  # io.RawIOBase is a file in all but typeshed's tree
    file = _buffered(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
    if binary:
        return file  # type: ignore[return-value]  # as above
    return _Text(
        file,  # type: ignore[arg-type]  # as above
        encoding or "utf-8",
        errors,
        newline,
        line_buffering=buffering == 1,
    )


def _modes(mode: str) -> tuple[bool, bool, bool]:
    letters = set(mode)
    sensible = len(letters) == len(mode) and letters <= set("rwbt+") and not {"b", "t"} <= letters
    if not sensible or not letters & {"r", "w"}:
        raise ConfigError(f"as_file({mode!r}): expected r, w, rw or r+, with b for bytes")
    both = "+" in letters
    return both or "r" in letters, both or "w" in letters, "b" in letters


def _buffered(raw: StreamFile, size: int) -> _Reader | _Writer | _Pair:
    if not raw.writable():
        return _Reader(raw, size)
    return _Pair(raw, size) if raw.readable() else _Writer(raw, size)


class StreamFile(io.RawIOBase):
    """The raw file: each read and write is one of the stream's.

    ``leave()`` calls out, from any thread, those who are inside, so that ``close()`` need not wait.
    """

    def __init__(
        self, stream: Stream, reads: bool, writes: bool, close_stream: bool, flush_seconds: float
    ) -> None:
        self.stream = stream
        self.name = str(stream.peer or "stream")
        self.mode = {(True, True): "rb+", (True, False): "rb"}.get((reads, writes), "wb")
        self._reads, self._writes = reads, writes
        self._close_stream, self._flush_seconds = close_stream, flush_seconds
        self._until = inf
        self._failed = False
        self._readers: set[tuple[timeout, Waiter]] = set()
        self._writers: set[tuple[timeout, Waiter]] = set()

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def fileno(self) -> int:
        """The stream's descriptor. Raises ``io.UnsupportedOperation`` where there is none."""
        number = self.stream.fileno()
        if number < 0:
            raise io.UnsupportedOperation(f"{self.name}: no descriptor")
        return number

    def readinto(self, buffer: Any) -> int:
        self._need(self._reads, "reading")
        with self._inside(self._readers, None):
            if self._until < inf:
                raise self._gone()
            try:
                return self.stream.read_into(memoryview(buffer))
            except Timeout:
                if self._until < inf:
                    raise self._gone() from None
                raise

    def write(self, data: Any) -> int:
        self._need(self._writes, "writing")
        size = memoryview(data).nbytes
        # Each layer of io flushes once more while it closes; the first failure is the one to report.
        if self._failed:
            return size
        left = None if self._until == inf else max(0.0, self._until - monotonic())
        with self._inside(self._writers, left):
            try:
                self.stream.write(data)
            except BaseException:
                self._failed = self._until < inf
                raise
        return size

    def leave(self) -> None:
        """Nobody may stay inside: readers leave now, writers when the time for flushing is over."""
        if self._until < inf:
            return
        self._until = monotonic() + self._flush_seconds
        for scope, waiter in tuple(self._readers):
            scope.reschedule(0)
            waiter.wake()
        for scope, waiter in tuple(self._writers):
            scope.reschedule(self._flush_seconds)
            waiter.wake()

    def give_back(self, ahead: bytes) -> None:
        """Bytes that were read ahead belong to the stream again."""
        if ahead and not self.stream.closed and not self._close_stream:
            self.stream.unread(ahead)

    def close(self) -> None:
        if not self.closed:
            self.leave()
            super().close()
            if self._close_stream:
                self.stream.close()

    @contextmanager
    def _inside(self, side: set[tuple[timeout, Waiter]], seconds: float | None) -> Iterator[None]:
        with timeout(seconds) as scope:
            # Known before ``_until`` is asked, and wakes are sticky: leave() misses nobody.
            me = (scope, door.waiter())
            side.add(me)
            try:
                yield
            finally:
                side.discard(me)

    def _need(self, able: bool, doing: str) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not able:
            raise io.UnsupportedOperation(f"{self.name}: opened with mode {self.mode!r}, not for {doing}")

    def _gone(self) -> StreamClosed:
        return StreamClosed(f"the file over {self.name} was closed while it was being read")


def _ahead(file: _Reader | _Pair) -> bytes:
    try:
        return file.peek()
    except StreamClosed:  # nothing was buffered, so peek() asked the raw file, which has been left
        return b""


class _Reader(io.BufferedReader):
    raw: StreamFile

    def close(self) -> None:
        if not self.closed:
            self.raw.leave()
            try:
                self.raw.give_back(_ahead(self))
            finally:
                super().close()


class _Writer(io.BufferedWriter):
    raw: StreamFile

    def close(self) -> None:
        if not self.closed:
            self.raw.leave()
        super().close()


class _Pair(io.BufferedRWPair):
    def __init__(self, raw: StreamFile, size: int) -> None:
        super().__init__(raw, raw, size)
        self.raw = raw

    def fileno(self) -> int:
        return self.raw.fileno()

    def close(self) -> None:
        if not self.closed:
            self.raw.leave()
            try:
                self.raw.give_back(_ahead(self))
            finally:
                super().close()


class _Text(io.TextIOWrapper):
    def close(self) -> None:
        if not self.closed:
            self.buffer.raw.leave()  # type: ignore[attr-defined]  # one of the three above
        super().close()
