"""The reading side of a stream: a buffer, lines, exact reads."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from portico.deadline import expired, expiry, in_force
from portico.errors import EndOfStream, LimitExceeded
from portico.limits import Limits
from portico.sockets.sides import BREATH, CHUNK, FATAL, Sides
from portico.sockets.transport import READ

__all__ = ["MOST", "Reading"]

MOST = 1 << 20  # of one read: the kernel never holds much more, and the memory is reserved beforehand
_LINE = Limits().line
_ALL = Limits().read_all


class Reading(Sides):
    """What a stream is read with. One reader at a time."""

    __slots__ = ()

    def read(self, size: int = CHUNK) -> bytes:
        """Between 1 and ``size`` bytes, as soon as there are any; ``b""`` at the end of the stream."""
        self._turns += 1  # as _start does, written out: this is the most frequent operation of all
        if self._turns > BREATH:
            self._breathe()
        if not self._reading.acquire(False):
            raise self._taken("reading")
        try:
            if self._closed:
                raise self._taken("reading")
            if self._buffer or size <= 0:
                self._check("reading from")
                return self._take(size)
            return self._receive(min(MOST, size))
        finally:
            self._reading.release()
            if self._closed:
                self._finish()

    def read_exactly(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises ``EndOfStream`` (with ``partial``) when they end early."""
        self._start(self._reading, "reading")
        try:
            self._check("reading from")
            if not self._buffer and 0 < size <= MOST:
                data = self._receive(max(CHUNK, size))
                if len(data) == size:  # the common case: nothing to gather, nothing to copy
                    return data
                self._buffer += data
            while len(self._buffer) < size:
                if not self._fill(max(CHUNK, min(size - len(self._buffer), MOST))):
                    raise self._short(f"{size} bytes")
            return self._take(size)
        finally:
            self._stop(self._reading)

    def read_until(self, separator: bytes, limit: int = _LINE) -> bytes:
        """Everything up to and including ``separator``, at most ``limit`` bytes.

        Raises ``LimitExceeded`` (what came stays readable) and ``EndOfStream`` (with ``partial``).
        """
        if not separator:
            raise ValueError("read_until(): the separator is empty")
        self._start(self._reading, "reading")
        try:
            self._check("reading from")
            return self._take(self._find(separator, limit))
        finally:
            self._stop(self._reading)

    def read_line(self, limit: int = _LINE, *, keep_end: bool = False) -> bytes:
        r"""The next line without its ``\n`` or ``\r\n`` (kept with ``keep_end``).

        The last line may lack its end. Raises ``EndOfStream`` when no byte is left, ``LimitExceeded``.
        """
        line = self._line(limit)
        if line is None:
            raise EndOfStream(f"{self._whom()} ended the stream before a line")
        if keep_end or not line.endswith(b"\n"):
            return line
        return line[:-2] if line.endswith(b"\r\n") else line[:-1]

    def __iter__(self) -> Iterator[bytes]:
        r"""Lines, with their ends as they came, until the stream ends."""
        while (line := self._line(_LINE)) is not None:
            yield line

    def read_into(self, buffer: bytearray | memoryview) -> int:
        """Fill (part of) a writable buffer: between 1 and its length; 0 at the end of the stream."""
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise TypeError("read_into(): the buffer is read-only")
        self._start(self._reading, "reading")
        try:
            self._check("reading from")
            if self._buffer:
                data = self._take(len(view))
                view[: len(data)] = data
                return len(data)
            return self._receive_into(view) if len(view) else 0
        finally:
            self._stop(self._reading)

    def read_all(self, limit: int = _ALL) -> bytes:
        """Everything until the stream ends. Raises ``LimitExceeded`` when it is more than ``limit``."""
        self._start(self._reading, "reading")
        try:
            more = True
            while more:
                if len(self._buffer) > limit:
                    raise LimitExceeded(f"{self._whom()} sent more than {limit} bytes", "read_all", 413)
                more = self._fill(CHUNK)
            return self._take(len(self._buffer))
        finally:
            self._stop(self._reading)

    def peek(self, size: int = 1) -> bytes:
        """Up to ``size`` bytes without taking them; waits until there are so many, or the end."""
        self._start(self._reading, "reading")
        try:
            self._check("reading from")
            while len(self._buffer) < size and self._fill(CHUNK):
                pass
            return bytes(self._buffer[: max(size, 0)])
        finally:
            self._stop(self._reading)

    def try_read(self, size: int = CHUNK) -> bytes | None:
        """As ``read``, but never waits: ``None`` when nothing is there now."""
        self._start(self._reading, "reading")
        try:
            self._check("reading from")
            if self._buffer or size <= 0:
                return self._take(size)
            return self._try_receive(min(size, MOST))
        finally:
            self._stop(self._reading)

    @property
    def readable(self) -> bool:
        """Whether a read would return at once (with bytes, the end, or the news of a lost connection)."""
        self._turns += 1  # as _start does, written out: a client asks before each request
        if self._turns > BREATH:
            self._breathe()
        if not self._reading.acquire(False):
            raise self._taken("reading")
        try:
            if self._closed:
                raise self._taken("reading")
            if not self._buffer and not self._ended and not self._failed:
                if self._transport.silent():
                    self._transport.drained = True
                    return False
                try:
                    self._buffer += self._try_receive(CHUNK) or b""
                except FATAL:
                    pass  # the next read raises it again
            return bool(self._buffer) or self._ended or self._failed is not None
        finally:
            self._reading.release()
            if self._closed:
                self._finish()

    # -- inside

    def _take(self, size: int) -> bytes:
        if size < 0:
            raise ValueError(f"cannot read {size} bytes")
        buffer = self._buffer
        if size >= len(buffer):
            data = bytes(buffer)
            buffer.clear()
        elif size < 4096:  # copying twice is faster than making a view
            data = bytes(buffer[:size])
            del buffer[:size]
        else:
            with memoryview(buffer) as view:
                data = bytes(view[:size])
            del buffer[:size]
        return data

    def _receive(self, size: int) -> bytes:
        """Up to ``size`` bytes from the transport, waiting for the first."""
        transport = self._transport
        while True:
            if in_force() is not None and expiry() <= monotonic():
                raise expired(f"reading from {self._whom()}")
            if transport.drained:
                # Most likely nothing has come since: waiting first saves a call that would find nothing.
                transport.drained = False
                self._await(READ, "reading from")
            if self._ended or self._failed is not None:
                return self._past_end()
            try:
                data = transport.recv(size)
            except FATAL as error:
                self._failed = type(error), str(error)
                raise
            if data is None:
                self._await(READ, "reading from")
                continue
            if not data:
                self._ended = True
            elif len(data) < size:
                transport.drained = transport.short_read_drains
            return data

    def _past_end(self) -> bytes:
        self._check_unfailed()
        return b""

    def _try_receive(self, size: int) -> bytes | None:
        transport = self._transport
        transport.drained = False
        if self._ended:
            return b""
        self._check_unfailed()
        try:
            data = transport.recv(size)
        except FATAL as error:
            self._failed = type(error), str(error)
            raise
        if data is None:
            transport.drained = True
        elif not data:
            self._ended = True
        return data

    def _check_unfailed(self) -> None:
        """The kernel tells once that a connection was lost, and then pretends an orderly end."""
        if self._failed is not None:
            kind, message = self._failed
            raise kind(message)

    def _receive_into(self, view: memoryview) -> int:
        self._transport.drained = False
        while not self._ended:
            self._check("reading from")
            self._check_unfailed()
            try:
                size = self._transport.recv_into(view)
            except FATAL as error:
                self._failed = type(error), str(error)
                raise
            if size:
                return size
            if size == 0:
                self._ended = True
            else:
                self._await(READ, "reading from")
        return 0

    def _fill(self, size: int) -> bool:
        self._go_on("reading")
        data = self._receive(size)
        self._buffer += data
        return bool(data)

    def _find(self, separator: bytes, limit: int) -> int:
        """Where the separator ends. What has been searched is not searched again."""
        seen, buffer = 0, self._buffer
        while True:
            at = buffer.find(separator, seen)
            if at >= 0 and at + len(separator) <= limit:
                return at + len(separator)
            if at >= 0 or len(buffer) >= limit:
                raise LimitExceeded(f"{self._whom()}: no {separator!r} within {limit} bytes", "line")
            seen = max(0, len(buffer) - len(separator) + 1)
            if not self._fill(CHUNK):
                raise self._short(repr(separator))

    def _line(self, limit: int) -> bytes | None:
        try:
            return self.read_until(b"\n", limit)
        except EndOfStream as end:
            return end.partial or None

    def _short(self, wanted: str) -> EndOfStream:
        partial = self._take(len(self._buffer))
        return EndOfStream(f"{self._whom()} ended the stream after {len(partial)} bytes of {wanted}", partial)
