"""One byte stream for every engine and every transport.

``Stream`` adds to a transport (TCP, Unix socket, pipe, memory, TLS) what blocking code wants: a buffer,
lines, exact reads, whole writes, deadlines, half-close. It tries the transport first and waits at the
engine's door only when told *would block*, so the same code runs on every engine.

Its rules: one reader and one writer at a time (a second of either gets ``StreamBusy``); the deadline in
force is checked by each operation, also by one that would succeed at once; bytes that were read before a
``Timeout`` stay in the buffer; a write cut by one says how much went out, and later writes fail;
``close()`` from any thread ends every operation with ``StreamClosed``.
"""

from __future__ import annotations

import io
import os
import socket
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

from portico.address import Address
from portico.deadline import check, expired, expiry
from portico.engines import door
from portico.errors import (
    ConfigError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    LocalProtocolError,
    PorticoError,
    StreamBusy,
    StreamClosed,
    Timeout,
    TLSError,
)
from portico.limits import Limits
from portico.sockets.options import Credentials, Options
from portico.sockets.transport import READ, WRITE, Bytes, SocketTransport, Transport

__all__ = ["Stream", "wait_any"]

CHUNK = 65536
MOST = 1 << 20  # of one read: the kernel never holds much more, and the memory is reserved beforehand
_FATAL = (ConnectionLost, TLSError)
_LINE = Limits().line
_ALL = Limits().read_all


class TLSSettings(Protocol):
    """What ``start_tls`` takes: ``ClientTLS`` or ``ServerTLS``."""

    def wrap(self, lower: Transport, server_name: str | None = None) -> Transport: ...


class Stream:
    """A connected byte stream; also a context manager that closes it.

    ``peer`` and ``local`` are addresses, ``tls`` the facts of a secure channel (or ``None``). Every
    operation may raise ``Timeout``, ``ConnectionLost``, ``StreamClosed``, ``StreamBusy``, ``Cancelled``.
    """

    __slots__ = (
        "__weakref__",
        "_aborted",
        "_broken",
        "_buffer",
        "_closed",
        "_ended",
        "_failed",
        "_finishing",
        "_name",
        "_reading",
        "_transport",
        "_write_ended",
        "_writing",
    )

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._finishing = threading.Lock()
        self._ended = False
        self._failed: tuple[type[PorticoError], str] | None = None  # an exception would keep its frames alive
        self._write_ended = False
        self._broken = ""
        self._closed = False
        self._aborted = False
        self._name = ""

    @classmethod
    def from_socket(cls, sock: socket.socket) -> Stream:
        """A stream over a connected stream socket, which it owns from now on.

        Raises ``ConfigError`` for a socket of another kind.
        """
        if sock.type != socket.SOCK_STREAM:
            raise ConfigError(f"from_socket(): expected a stream socket, not {sock.type.name}")
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ConfigError("from_socket(): this socket listens; pass what its accept() returns")
        scheme = "unix" if sock.family == socket.AF_UNIX else "tcp"
        try:
            peer: Address | None = Address.of_socket(scheme, sock.getpeername())
        except OSError:
            peer = None
        return cls(SocketTransport(sock, peer, Address.of_socket(scheme, sock.getsockname())))

    # -- facts

    @property
    def peer(self) -> Address | None:
        """The other end's address."""
        return self._transport.peer

    @property
    def local(self) -> Address | None:
        """This end's address."""
        return self._transport.local

    @property
    def tls(self) -> Any:
        """The ``TLSInfo`` of the secure channel, or ``None``."""
        return self._transport.tls

    @property
    def transport(self) -> Transport:
        """What the stream runs over, for protocol code that parks connections."""
        return self._transport

    @property
    def closed(self) -> bool:
        """Whether ``close`` or ``abort`` was called on this side."""
        return self._closed

    @property
    def buffered(self) -> int:
        """Bytes that were received and not yet read."""
        return len(self._buffer)

    @property
    def options(self) -> Options:
        """The socket options by name. Raises ``ConfigError`` where there is no socket."""
        sock = self._socket()
        if sock is None:
            raise ConfigError(f"{self!r} has no socket, and so no socket options")
        return Options(sock)

    @property
    def peer_credentials(self) -> Credentials:
        """The process, user and group at the other end of a Unix socket, as the kernel knows them.

        Raises ``ConfigError`` for other streams, and where the system does not tell (it does on Linux).
        """
        return self.options.peer_credentials

    def fileno(self) -> int:
        """The descriptor, or -1 when there is none."""
        return self._transport.fileno()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"broken: {self._broken}" if self._broken else "open"
        if state == "open" and (self._ended or self._failed):
            state = "connection lost" if self._failed else "peer ended"
        if state == "open" and self._write_ended:
            state = "our end shut"
        secure = f" {self.tls.version}" if self.tls is not None else ""
        held = f", {len(self._buffer)} B buffered" if self._buffer else ""
        return f"<Stream {self.local} ⇄ {self.peer}{secure}, {state}{held}>"

    # -- reading

    def read(self, size: int = CHUNK) -> bytes:
        """Between 1 and ``size`` bytes, as soon as there are any; ``b""`` at the end of the stream."""
        self._start(self._reading, "reading")
        try:
            if self._buffer or size <= 0:
                self._check("reading from")
                return self._take(size)
            return self._receive(min(size, MOST))
        finally:
            self._stop(self._reading)

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
        self._start(self._reading, "reading")
        try:
            if not self._buffer and not self._ended and not self._failed:
                try:
                    self._buffer += self._try_receive(CHUNK) or b""
                except _FATAL:
                    pass  # the next read raises it again
            return bool(self._buffer) or self._ended or self._failed is not None
        finally:
            self._stop(self._reading)

    # -- writing

    def write(self, data: Bytes) -> None:
        """Write all of ``data``. A ``Timeout`` carries ``sent``; after one, writes fail."""
        self._start(self._writing, "writing")
        try:
            self._check_writable()
            self._writing_check(0)
            size = len(data) if not isinstance(data, memoryview) else data.nbytes
            sent = self._transport.send(data) if size else 0
            if sent < size or not self._transport.flush():
                self._send_rest(memoryview(data).cast("B"), sent)
        finally:
            self._stop(self._writing)

    def write_many(self, parts: Sequence[Bytes]) -> None:
        """Write all buffers, in order, gathered into as few calls as the system allows."""
        rest = [memoryview(part).cast("B") for part in parts if len(part)]
        self._start(self._writing, "writing")
        try:
            self._check_writable()
            first, total = 0, 0
            while first < len(rest):
                self._writing_check(total)
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

    # -- the stream as a whole

    def start_tls(self, tls: TLSSettings, server_name: str | None = None) -> None:
        """Go on over TLS, with a handshake now.

        ``tls`` is ``ClientTLS`` or ``ServerTLS``. Raises ``TLSError``; also when plaintext has already
        been received, for an attacker could have put it there to be taken for the secure channel's.
        """
        with self._both("making TLS"):
            if self._buffer:
                raise TLSError(
                    f"start_tls: {len(self._buffer)} bytes of plaintext from {self._whom()} are already "
                    "buffered; they would be taken for the secure channel's"
                )
            self._transport = tls.wrap(self._transport, server_name)
            if self._closed:  # while the transport below was still ours: its close() knew only that one
                self._transport.closed = True
            self._handshake()

    def handshake(self) -> None:
        """Finish the transport's handshake, where it has one (TLS). Raises ``TLSError``."""
        with self._both("making TLS"):
            if self._transport.handshaking:
                self._handshake()

    def as_file(self, mode: str = "r+b", **options: Any) -> Any:
        """A standard ``io`` object over the stream: see ``portico.sockets.file.open_file``."""
        from portico.sockets.file import open_file

        return open_file(self, mode, **options)

    def unread(self, data: Bytes) -> None:
        """Put bytes back, to be read next."""
        self._start(self._reading, "reading")
        try:
            self._buffer[:0] = data
        finally:
            self._stop(self._reading)

    def detach(self) -> socket.socket:
        """Give up the socket, non-blocking, to the caller; the stream is closed, the socket is not.

        Raises ``LocalProtocolError`` under TLS, while received bytes are buffered, or without a socket.
        """
        with self._both("detaching"):
            sock = self._socket()
            if sock is None:
                raise LocalProtocolError(f"detach(): {self!r} has no socket")
            if self.tls is not None or self._buffer:
                what = "TLS is on" if self.tls is not None else f"{len(self._buffer)} bytes are buffered"
                raise LocalProtocolError(f"detach(): the bare socket would lose data: {what}")
            self._finishing.acquire(blocking=False)  # for good: nobody will close what is not ours
            self._closed = self._transport.closed = True
            return sock

    def close(self) -> None:
        """Close, at once and from any thread; what is being waited for ends with ``StreamClosed``.

        Bytes already written are still delivered. Safe to call twice.
        """
        if not self._closed:
            self._closed = self._transport.closed = True
            self._transport.wake()
            self._finish()

    def abort(self) -> None:
        """Close and let the peer see a reset instead of an orderly end."""
        self._aborted = True
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    # -- inside

    def _whom(self) -> str:
        if not self._name:
            self._name = "the peer" if self.peer is None else str(self.peer)
        return self._name

    def _socket(self) -> socket.socket | None:
        transport: Any = self._transport
        while not isinstance(transport, SocketTransport):
            transport = getattr(transport, "lower", None)
            if transport is None:
                return None
        return transport.sock

    @contextmanager
    def _both(self, doing: str) -> Iterator[None]:
        """Both directions, for what must have the stream to itself."""
        self._start(self._reading, doing)
        try:
            self._start(self._writing, doing)
            try:
                yield
            finally:
                self._stop(self._writing)
        finally:
            self._stop(self._reading)

    def _start(self, side: threading.Lock, doing: str) -> None:
        if not side.acquire(blocking=False):
            if self._closed:
                raise StreamClosed(f"{doing}: the stream to {self._whom()} is closed")
            raise StreamBusy(f"somebody else is {doing} on the stream to {self._whom()}")
        if self._closed:
            self._stop(side)
            raise StreamClosed(f"{doing}: the stream to {self._whom()} is closed")

    def _stop(self, side: threading.Lock) -> None:
        side.release()
        if self._closed:
            self._finish()

    def _finish(self) -> None:
        """Give the transport back when nobody is inside; else the last one out does it."""
        if not self._reading.acquire(blocking=False):
            return
        if not self._writing.acquire(blocking=False):
            self._reading.release()
            # The writer may have left between the two lines above without finding the reader's side free.
            if self._writing.acquire(blocking=False):
                self._writing.release()
                self._finish()
            return
        # Both sides stay taken for good: no operation can begin any more.
        if self._finishing.acquire(blocking=False):
            if self._aborted:
                self._transport.abort()
            else:
                self._transport.close()

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

    def _try_receive(self, size: int) -> bytes | None:
        if self._ended:
            return b""
        self._check_unfailed()
        try:
            data = self._transport.recv(size)
        except _FATAL as error:
            self._failed = type(error), str(error)
            raise
        if data == b"":
            self._ended = True
        return data

    def _check_unfailed(self) -> None:
        """The kernel tells once that a connection was lost, and then pretends an orderly end."""
        if self._failed is not None:
            kind, message = self._failed
            raise kind(message)

    def _check(self, doing: str) -> None:
        until = expiry()
        if until != inf and until <= monotonic():
            raise expired(f"{doing} {self._whom()}")

    def _receive(self, size: int) -> bytes:
        while True:
            self._check("reading from")
            data = self._try_receive(size)
            if data is not None:
                return data
            self._await(READ, "reading from")

    def _receive_into(self, view: memoryview) -> int:
        while not self._ended:
            self._check("reading from")
            self._check_unfailed()
            try:
                size = self._transport.recv_into(view)
            except _FATAL as error:
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

    def _await(self, events: int, doing: str) -> None:
        door.wait(self._transport, events, f"{doing} {self._whom()}")
        if self._closed:
            raise StreamClosed(f"the stream to {self._whom()} was closed while {doing} it")

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
            self._writing_check(before + sent)
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
            self._writing_check(sent)
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

    def _handshake(self) -> None:
        while want := self._transport.handshake():
            self._check("making TLS with")
            self._await(want, "making TLS with")


def _descriptor(file: BinaryIO) -> int:
    """The descriptor whose bytes are the file's own, or -1: a decompressing file has one too."""
    raw = getattr(file, "raw", file)
    if not isinstance(raw, io.FileIO):
        return -1
    if file.writable():
        file.flush()
    return raw.fileno()


def wait_any(
    reading: Sequence[Stream], writing: Sequence[Stream] = (), doing: str = "waiting for streams"
) -> tuple[list[Stream], list[Stream]]:
    """Wait until one of the streams may be read, or written, without waiting: those that may.

    A stream that has ended or was closed counts as ready. Raises ``Timeout``, ``Cancelled``.
    """
    while True:
        check(doing)
        can_read = [stream for stream in reading if stream._closed or stream.readable]
        can_write = [stream for stream in writing if stream._closed]
        if can_read or can_write:
            return can_read, can_write
        wanted = [(stream.transport, READ) for stream in reading]
        wanted += [(stream.transport, WRITE) for stream in writing]
        ready = door.wait_any(wanted, doing)
        able = zip(writing, ready[len(reading) :], strict=True)
        can_write = [stream for stream, got in able if got & WRITE]
        can_read = [stream for stream in reading if stream._closed or stream.readable]
        if can_read or can_write:
            return can_read, can_write
