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

import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from portico.address import Address
from portico.deadline import check
from portico.engines import door
from portico.errors import ConfigError, LocalProtocolError, TLSError
from portico.sockets.options import Credentials, Options
from portico.sockets.reading import Reading
from portico.sockets.transport import READ, WRITE, Bytes, SocketTransport, Transport
from portico.sockets.writing import Writing

__all__ = ["Stream", "wait_any"]


class TLSSettings(Protocol):
    """What ``start_tls`` takes: ``ClientTLS`` or ``ServerTLS``."""

    def wrap(self, lower: Transport, server_name: str | None = None) -> Transport: ...


class Stream(Reading, Writing):
    """A connected byte stream; also a context manager that closes it.

    ``peer`` and ``local`` are addresses, ``tls`` the facts of a secure channel (or ``None``). Every
    operation may raise ``Timeout``, ``ConnectionLost``, ``StreamClosed``, ``StreamBusy``, ``Cancelled``.
    """

    __slots__ = ("__weakref__",)

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
            self._finishing = True  # nobody will close what is not ours
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

    def forget(self) -> None:
        """Close this process's descriptor, of which the peer learns nothing: in a child, for a stream that
        its parent goes on using."""
        self._finishing = True
        self._closed = self._transport.closed = True
        sock = self._socket()
        if sock is not None:
            sock.close()

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

    def _handshake(self) -> None:
        while want := self._transport.handshake():
            self._check("making TLS with")
            self._await(want, "making TLS with")


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
