"""The writing side of a stream: whole writes, gathered ones, files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import BinaryIO

from portico.deadline import expired, expiry, in_force
from portico.engines import door
from portico.errors import ConnectionLost, LocalProtocolError, Timeout
from portico.sockets.sides import BREATH, CHUNK, Sides
from portico.sockets.transport import WRITE, Bytes, SocketTransport

__all__ = ["Writing"]


class Writing(Sides):
    """What a stream is written with. One writer at a time."""

    __slots__ = ()

    def write(self, data: Bytes) -> None:
        """Write all of ``data``. A ``Timeout`` carries ``sent``; after one, writes fail."""
        self._turns += 1  # as _start does, written out: a most frequent operation
        if self._turns > BREATH:
            self._breathe()
        if not self._writing.acquire(False):
            raise self._taken("writing")
        try:
            if self._closed:
                raise self._taken("writing")
            if self._write_ended or self._broken:
                self._check_writable()
            if in_force() is not None and expiry() <= monotonic():
                raise expired(f"writing to {self._whom()}", 0)
            size = data.nbytes if isinstance(data, memoryview) else len(data)
            transport = self._transport
            sent = transport.send(data) if size else 0
            # A socket holds nothing back.
            if sent < size or (type(transport) is not SocketTransport and not transport.flush()):
                self._send_rest(memoryview(data).cast("B"), sent)
        finally:
            self._writing.release()
            if self._closed:
                self._finish()

    def write_many(self, parts: Sequence[Bytes]) -> None:
        """Write all buffers, in order, gathered into as few calls as the system allows."""
        rest = [memoryview(part).cast("B") for part in parts if len(part)]
        self._start(self._writing, "writing")
        try:
            self._check_writable()
            first, total = 0, 0
            while first < len(rest):
                self._go_on_writing(total)
                sent = self._transport.send_parts(rest[first : first + 1024])
                total += sent
                if not sent:
                    self._await_write(total)
                while first < len(rest) and sent >= len(rest[first]):
                    sent -= len(rest[first])
                    first += 1
                if sent:
                    rest[first] = rest[first][sent:]
            self._flush(total)
        finally:
            self._stop(self._writing)

    def try_write(self, data: Bytes) -> int:
        """Write what fits now and never wait: the number of bytes taken, 0 when none.

        TLS may hold some of them back until the next write; ``write(b"")`` waits until they have gone out.
        """
        self._start(self._writing, "writing")
        try:
            self._check_writable()
            self._writing_check(0)
            sent = self._transport.send(data) if len(data) else 0
            self._transport.flush()
            return sent
        finally:
            self._stop(self._writing)

    def send_file(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:
        """Send ``count`` bytes (``None``: to its end) of an open file from ``offset``.

        Without TLS a regular file goes by ``sendfile``, with no copy. The number of bytes sent is
        returned; raises ``LocalProtocolError`` when the file ends before ``count``, ``ValueError``
        for a negative number.
        """
        if offset < 0 or (count is not None and count < 0):
            raise ValueError(f"send_file: offset {offset}, count {count}: expected zero or more")
        self._start(self._writing, "writing")
        try:
            self._check_writable()
            self._writing_check(0)
            sent = self._send_file(file, offset, count)
            self._flush(sent)
            return sent
        finally:
            self._stop(self._writing)

    def shutdown_write(self) -> None:
        """End our direction; the peer sees the end of the stream, and we may go on reading."""
        self._start(self._writing, "writing")
        try:
            self._writing_check(0)
            if not self._write_ended:
                self._flush(0)
                while not self._transport.shutdown_write():
                    self._await_write(0)
                self._write_ended = True
        finally:
            self._stop(self._writing)

    # -- inside

    def _check_writable(self) -> None:
        if self._write_ended or self._broken:
            why = self._broken or "our direction was ended by shutdown_write()"
            raise ConnectionLost(f"cannot write to {self._whom()}: {why}")

    def _writing_check(self, sent: int) -> None:
        until = expiry()
        if until != inf and until <= monotonic():
            if sent:  # before its first byte a write has done no harm
                self._broken = self._cut(sent)
            raise expired(f"writing to {self._whom()}", sent)

    def _go_on_writing(self, sent: int) -> None:
        self._writing_check(sent)
        try:
            self._go_on("writing")
        except BaseException:  # closed, cancelled, interrupted
            self._broken = self._cut(sent)
            raise

    def _await_write(self, sent: int) -> None:
        try:
            self._await(WRITE, "writing to")
        except Timeout as late:
            self._broken = self._cut(sent)
            raise Timeout(late.doing, seconds=late.seconds, sent=sent) from None
        except BaseException:  # cancelled, interrupted
            self._broken = self._cut(sent)
            raise

    def _cut(self, sent: int) -> str:
        """A write that stops in the middle leaves a stream that nobody can go on writing to."""
        return f"an earlier write was cut after {sent} bytes"

    def _send_rest(self, view: memoryview, sent: int, before: int = 0) -> None:
        while sent < len(view):
            self._go_on_writing(before + sent)
            taken = self._transport.send(view[sent:])
            sent += taken
            if not taken:
                self._await_write(before + sent)
        self._flush(before + sent)

    def _flush(self, sent: int) -> None:
        while not self._transport.flush():
            self._writing_check(sent)
            self._await_write(sent)

    def _send_file(self, file: BinaryIO, offset: int, count: int | None) -> int:
        sent, descriptor = 0, _descriptor(file)
        while count is None or sent < count:
            self._go_on_writing(sent)
            most = 1 << 30 if count is None else count - sent
            taken = None
            if descriptor >= 0:
                taken = self._transport.send_file(descriptor, offset + sent, most)
            if taken is None:
                taken = self._copy_file(file, descriptor, offset + sent, min(most, CHUNK), sent)
            if taken < 0:
                if count is None:
                    break
                raise LocalProtocolError(f"send_file: the file ended {count - sent} bytes before its count")
            if taken == 0:
                self._await_write(sent)
            sent += taken
        return sent

    def _copy_file(self, file: BinaryIO, descriptor: int, offset: int, size: int, before: int) -> int:
        if descriptor >= 0:
            data = door.run_blocking(os.pread, descriptor, size, offset)
        else:
            file.seek(offset)
            data = file.read(size)
        if not data:
            return -1
        view = memoryview(data)
        taken = self._transport.send(view)
        if taken < len(view):
            self._send_rest(view, taken, before)
        return len(view)


def _descriptor(file: BinaryIO) -> int:
    """The descriptor whose bytes are the file's own, or -1: a decompressing file has one too."""
    raw = getattr(file, "raw", file)
    if not isinstance(raw, io.FileIO):
        return -1
    if file.writable():
        file.flush()
    return raw.fileno()
