"""A stream, and a datagram, with the manners of ``socket.socket``, for code that was written for that.

What waits, waits at the engine's door, so such code runs on every engine, over TLS and in memory. Errors
are the ``OSError`` classes that it expects. Not there: what belongs to sockets that listen or connect.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, BinaryIO, Self

from portico.address import Address
from portico.deadline import timeout
from portico.errors import ConfigError, LocalProtocolError, PorticoError, StreamClosed, Timeout, Truncated
from portico.sockets.datagram_port import Datagram
from portico.sockets.stream import Stream
from portico.sync import Event

__all__ = ["DatagramSocket", "StreamSocket", "name_of"]

_PATHS = ("unix", "unixgram")
_NUMBERS: dict[Any, int] = {
    BrokenPipeError: errno.EPIPE,
    ConnectionResetError: errno.ECONNRESET,
    OSError: errno.EINVAL,
}
_FAMILIES = {"unix": socket.AF_UNIX, "unixgram": socket.AF_UNIX, "memory": socket.AF_UNIX}


def name_of(address: Address | None) -> tuple[Any, ...]:
    """A peer as handlers print and index it: ``(host, port)``, with flow and scope for IPv6; in place of the
    host the whole address where there is none, as on Unix sockets and in memory."""
    if address is None:
        return "", 0
    if address.port is None:
        return str(address), 0
    if address.family != 6:
        return address.host, address.port
    host, _, zone = address.host.partition("%")
    return host, address.port, 0, int(zone) if zone.isdecimal() else 0


class _Named:
    """What both kinds say about themselves."""

    type: socket.SocketKind
    proto = 0

    def __init__(self, local: Address | None, peer: Address | None) -> None:
        self._local, self._peer = local, peer
        self.family = socket.AF_INET
        if local is not None:
            v6 = socket.AF_INET6 if local.family == 6 else socket.AF_INET
            self.family = _FAMILIES.get(local.scheme, v6)

    def getsockname(self) -> Any:
        """As the system says it: a path for a Unix socket."""
        return _system_name(self._local)

    def getpeername(self) -> Any:
        """As ``getsockname``, of the other end."""
        return _system_name(self._peer)


def _system_name(address: Address | None) -> Any:
    return address.path if address is not None and address.transport in _PATHS else name_of(address)


class StreamSocket(_Named):
    """A connected stream as a socket. It owns the stream: ``close()`` closes it, once the files that
    ``makefile()`` made are closed as well. ``closed`` is an event that is set then.
    """

    type = socket.SOCK_STREAM

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.local, stream.peer)
        self.stream = stream
        self.closed = Event()
        self._seconds: float | None = None
        self._io_refs = 0  # as socket.socket counts its files: makefile() below is its own
        self._closed = False

    # -- reading

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Up to ``size`` bytes, ``b""`` at the end. ``MSG_PEEK`` and ``MSG_WAITALL`` are known."""
        if flags & ~(socket.MSG_PEEK | socket.MSG_WAITALL):
            raise OSError(errno.EOPNOTSUPP, f"recv(): the flags {flags} are not known here")
        with self._doing(ConnectionResetError):
            if not size:
                return b""
            self._ready()
            data = self._all(size) if flags & socket.MSG_WAITALL else self._some(size)
            if flags & socket.MSG_PEEK and data:
                self.stream.unread(data)
            return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """As ``recv``, into a buffer; the number of bytes."""
        view = memoryview(buffer).cast("B")
        view = view[: size or len(view)]
        if flags:
            data = self.recv(len(view), flags)
            view[: len(data)] = data
            return len(data)
        with self._doing(ConnectionResetError):
            if not len(view):
                return 0
            self._ready()
            try:
                return self.stream.read_into(view)
            except Truncated:
                return 0  # see _some

    def recvfrom(self, size: int, flags: int = 0) -> tuple[bytes, Any]:
        """As ``recv``; a stream names no sender."""
        return self.recv(size, flags), None

    def _some(self, size: int) -> bytes:
        # The standard library's TLS sockets take a missing close_notify for the end, unless told not to, and
        # its own http.client never sends one: handlers written for them expect no error there.
        try:
            return self.stream.read(size)
        except Truncated:
            return b""

    def _all(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self._some(size - len(data))):
            data += more
        return data

    def _ready(self) -> None:
        """Where nobody wants to wait: raise unless there is something to read."""
        if self._seconds == 0 and not self.stream.readable:
            raise BlockingIOError(errno.EAGAIN, "nothing to read now")

    # -- writing

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of ``data``, or without a wait (``settimeout(0)``) what fits; the number of bytes."""
        with self._doing(BrokenPipeError):
            if self._seconds != 0:
                self.stream.write(data)
                return memoryview(data).nbytes
            sent = self.stream.try_write(data)
        if not sent and memoryview(data).nbytes:
            raise BlockingIOError(errno.EAGAIN, "nothing can be sent now")
        return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of ``data``."""
        with self._doing(BrokenPipeError):
            self.stream.write(data)

    def sendmsg(self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), *rest: Any) -> int:
        """Send what is in several buffers, as ``send`` does. Raises ``OSError`` for ancillary data."""
        if any(ancillary):
            raise OSError(errno.EOPNOTSUPP, "sendmsg(): ancillary data cannot be sent here")
        return self.send(b"".join(buffers), *rest[:1])

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:
        """Send an open file from ``offset``; the number of bytes. Zero copy where that is possible."""
        with self._doing(BrokenPipeError):
            sent = self.stream.send_file(file, offset, count)
        file.seek(offset + sent)
        return sent

    # -- files over it: those of socket.socket itself, which need no more than is here

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        """As ``socket.socket.makefile``."""
        make: Any = socket.socket.makefile
        return make(self, mode, buffering, encoding=encoding, errors=errors, newline=newline)

    def _decref_socketios(self) -> None:
        self._io_refs -= 1
        if self._closed:
            self.close()

    # -- settings

    def settimeout(self, seconds: float | None) -> None:
        """Seconds for each operation; ``None``: as long as it takes; 0: none waits."""
        if seconds is not None and seconds < 0:
            raise ValueError("Timeout value out of range")
        self._seconds = seconds

    def gettimeout(self) -> float | None:
        return self._seconds

    def setblocking(self, blocking: bool) -> None:
        self.settimeout(None if blocking else 0.0)

    def getblocking(self) -> bool:
        return self._seconds != 0

    timeout = property(gettimeout)

    def setsockopt(self, level: int, name: int, value: Any, length: int = 0) -> None:
        """On the real socket; without one (memory) there is nothing to set."""
        try:
            options = self.stream.options
        except ConfigError:
            return
        with self._doing(OSError):
            options.set(level, name, value)

    def getsockopt(self, level: int, name: int, size: int = 0) -> Any:
        """From the real socket. Raises ``OSError`` without one."""
        with self._doing(OSError):
            return self.stream.options.get(level, name, size)

    # -- TLS, as ssl.SSLSocket has it

    def version(self) -> str | None:
        """``TLSv1.3`` and the like; ``None`` without TLS."""
        return None if self.stream.tls is None else str(self.stream.tls.version)

    def fileno(self) -> int:
        """The descriptor, -1 without one; under TLS what is read there is not what was sent."""
        return -1 if self._closed else self.stream.fileno()

    # -- its end

    def shutdown(self, how: int) -> None:
        """End our direction; what the peer sends may still be read, also after ``SHUT_RDWR``."""
        with self._doing(BrokenPipeError):
            if how != socket.SHUT_RD:
                self.stream.shutdown_write()

    def close(self) -> None:
        """Close, once no file of ``makefile()`` is open any more."""
        self._closed = True
        if self._io_refs <= 0:
            self.stream.close()
            self.closed.set()

    @property
    def cut(self) -> bool:
        """Whether the end of the server closed the stream, and not whoever has this socket."""
        return self.stream.closed and not self._closed

    def detach(self) -> int:
        """Give the descriptor to the caller. Raises ``OSError`` under TLS, or with bytes that were read."""
        try:
            sock = self.stream.detach()
        except LocalProtocolError as error:
            raise OSError(errno.EOPNOTSUPP, str(error)) from error
        self._closed = True
        self.closed.set()
        return sock.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # Whoever waits for the end must not wait for somebody who has forgotten to close.
        self.stream.close()
        self.closed.set()

    def __repr__(self) -> str:
        return f"<StreamSocket {self.stream!r}>"

    @contextmanager
    def _doing(self, gone: Callable[[int, str], OSError]) -> Iterator[None]:
        """Within the socket's own time-out, and with the errors of sockets."""
        try:
            with timeout(self._seconds or None):
                yield
        except (Timeout, BlockingIOError):
            raise  # the first is a TimeoutError, as socket.timeout is
        except StreamClosed as error:
            raise OSError(errno.EBADF, str(error)) from error
        except PorticoError as error:
            raise gone(_NUMBERS[gone], str(error)) from error


class DatagramSocket(_Named):
    """What a datagram came through, as a socket: one that can send back, and elsewhere by ``other``."""

    type = socket.SOCK_DGRAM

    def __init__(self, datagram: Datagram, other: socket.socket | None = None) -> None:
        super().__init__(datagram.local, None)
        self._datagram = datagram
        self._other = other

    def sendto(self, data: Any, *where: Any) -> int:
        """``sendto(data[, flags], address)``; the sender's is ``client_address``. Raises ``OSError``."""
        if where[-1] != name_of(self._datagram.peer):
            if self._other is None:
                raise OSError(
                    errno.EOPNOTSUPP, f"only the sender can be sent to from here, not {where[-1]!r}"
                )
            return self._other.sendto(data, *where)
        try:
            self._datagram.reply(data)
        except PorticoError as error:
            if isinstance(error, OSError):
                raise
            raise OSError(errno.EMSGSIZE, str(error)) from error
        return memoryview(data).nbytes

    def close(self) -> None:
        """Nothing: the socket is the listener's."""
