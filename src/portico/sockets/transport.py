"""What a stream runs over: one end of a byte stream that never blocks.

A transport only ever tries. ``None`` (reading) and ``0`` (writing) mean *would block*: whoever wants to
go on waits at the engine's door for what ``interest()`` names, then tries again. This is the whole
difference between TCP, Unix sockets, pipes, memory and TLS; all that is comfortable (buffers, lines,
deadlines, waiting) is written once, in ``Stream``.

Errors of the operating system become ``portico.errors`` here, where they enter, in ``lost()``.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from portico.address import Address
from portico.compiled import mypyc_attr
from portico.errors import ConnectionLost, PorticoError

__all__ = [
    "READ",
    "WRITE",
    "Bytes",
    "SocketTransport",
    "Transport",
    "Waitable",
    "Waiter",
    "adopt",
    "lost",
    "socket_file",
]

READ = 1
"""Wanted or ready: reading. The value of ``POLLIN``."""
WRITE = 4
"""Wanted or ready: writing. The value of ``POLLOUT``."""

Bytes = bytes | bytearray | memoryview

_ENDED: int = getattr(select, "POLLRDHUP", 0)
"""What ``poll`` calls the end of the peer's direction, also behind unread bytes; 0: it does not know."""
_LINGER_ABORT = struct.pack("ii", 1, 0)
_GATHER = 65536
_IOV_MAX = min(os.sysconf("SC_IOV_MAX") if hasattr(os, "sysconf") else 16, 1024)


class Waiter(Protocol):
    """Somebody who waits and can be woken, from any thread, early and twice."""

    def wake(self) -> None: ...


@mypyc_attr(allow_interpreted_subclasses=True)
class Waitable:
    """Something whose readiness can be waited for: a transport, or a listener.

    ``closed`` is set and ``waiters`` are woken before it is given back, and, where there is no descriptor
    that the kernel could watch (``fileno() == -1``), ``waiters`` are woken whenever ``ready()`` may have
    changed. ``watchers`` are woken as ``waiters`` are, and wait for nothing else: loops that watch the
    descriptor between two waits.
    """

    __slots__ = ("closed", "drained", "waiters", "watchers")

    def __init__(self) -> None:
        self.waiters: set[Waiter] = set()
        self.watchers: set[Waiter] | None = None  # most have none
        self.closed = False
        self.drained = False  # the last read took all there was, and no hub has seen more since

    def fileno(self) -> int:
        """The descriptor to watch, or -1."""
        return -1

    def ready(self, events: int) -> int:
        """Which of ``events`` would not block now. Asked only where ``fileno()`` is -1."""
        raise NotImplementedError(f"{type(self).__name__} has neither descriptor nor ready()")

    def interest(self, events: int) -> int:
        """What to watch the descriptor for, so that ``events`` can go on (TLS may differ)."""
        return events

    def wake(self) -> None:
        """Wake whoever waits for this."""
        for waiter in self.waiters.copy():  # in one step, whatever other threads do with it
            waiter.wake()
        if self.watchers:
            for waiter in self.watchers.copy():
                waiter.wake()


@mypyc_attr(allow_interpreted_subclasses=True)
class Transport(Waitable):
    """One end of a byte stream that never blocks. Subclasses: sockets, pipes, memory, TLS.

    ``peer`` and ``local`` are the addresses of the ends, ``tls`` the facts of a secure channel.
    """

    __slots__ = ("handshaking", "local", "peer", "short_read_drains", "tls")

    short_read_drains: bool
    """Whether a read that returned less than asked for proves that nothing more is there now."""
    handshaking: bool
    """Whether ``handshake()`` has to be driven before bytes can flow."""

    def __init__(self, peer: Address | None = None, local: Address | None = None) -> None:
        super().__init__()
        self.peer = peer
        self.local = local
        self.tls: Any = None
        self.handshaking = False
        self.short_read_drains = False

    def handshake(self) -> int:
        """Go on with the handshake. 0: done; else what to wait for (``READ``, ``WRITE``)."""
        return 0

    def recv(self, size: int) -> bytes | None:
        """Up to ``size`` bytes; ``b""`` at the end of the stream; ``None``: would block."""
        raise NotImplementedError

    def recv_into(self, buffer: memoryview) -> int | None:
        """As ``recv``, into a writable buffer; the number of bytes."""
        data = self.recv(len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: Bytes) -> int:
        """How many bytes of ``data`` were taken; 0: would block."""
        raise NotImplementedError

    def send_parts(self, parts: Sequence[Bytes]) -> int:
        """As ``send``, gathered from several buffers."""
        # No more than is likely to fit: joining all of a long list at each call would be quadratic.
        some, size = [], 0
        for part in parts:
            some.append(memoryview(part).cast("B")[: _GATHER - size])
            size += len(some[-1])
            if size >= _GATHER:
                break
        return self.send(b"".join(some))

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """Zero-copy from a regular file: bytes sent, 0 for would block, -1 when the file has ended
        early, ``None`` when this transport cannot (then read and ``send``)."""
        return None

    def silent(self) -> bool:
        """Whether a read would block, where that can be told more cheaply than by reading; else ``False``.

        For one at a time, as reading is.
        """
        return False

    def peer_ended(self) -> bool:
        """Whether the peer has ended its direction, or all of it, though what it sent may still be unread.

        Waits for nothing. ``False`` also where that cannot be told without reading.
        """
        return False

    def flush(self) -> bool:
        """Hand on what ``send`` took but still holds back; ``True`` when nothing is left."""
        return True

    def shutdown_write(self) -> bool:
        """End our direction of the stream. ``False``: would block, call again when writable."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back. What the kernel already took is still delivered."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once and let the peer see a reset where the transport has one."""
        self.close()


def lost(error: OSError, doing: str, peer: Address | None) -> PorticoError:
    """The Portico error for an OS error on an established stream."""
    whom = "the peer" if peer is None else str(peer)
    if error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN, errno.ESHUTDOWN):
        return ConnectionLost(f"{whom} closed the connection while {doing}")
    reason = error.strerror or str(error)
    return ConnectionLost(f"the connection to {whom} failed while {doing}: {reason}")


def adopt(number: int) -> socket.socket:
    """A socket of our own over an inherited descriptor, which stays as it is. Raises ``OSError``."""
    own = os.dup(number)
    try:
        return socket.socket(fileno=own)
    except BaseException:
        os.close(own)
        raise


class SocketTransport(Transport):
    """A connected stream socket, TCP or Unix, made non-blocking. Owns the socket."""

    __slots__ = ("_fd", "_look", "sock")

    def __init__(
        self, sock: socket.socket, peer: Address | None = None, local: Address | None = None
    ) -> None:
        super().__init__(peer, local)
        sock.setblocking(False)
        self.sock = sock
        self._fd = sock.fileno()
        self._look: select.poll | None = None
        self.short_read_drains = sock.family != socket.AF_UNIX

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes | None:
        try:
            return self.sock.recv(size)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise lost(error, "reading", self.peer) from error

    def recv_into(self, buffer: memoryview) -> int | None:
        try:
            return self.sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise lost(error, "reading", self.peer) from error

    def send(self, data: Bytes) -> int:
        try:
            return self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise lost(error, "writing", self.peer) from error

    def send_parts(self, parts: Sequence[Bytes]) -> int:
        try:
            return self.sock.sendmsg(parts[:_IOV_MAX])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise lost(error, "writing", self.peer) from error

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        try:
            return os.sendfile(self._fd, descriptor, offset, count) or -1
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                return None
            raise lost(error, "writing a file", self.peer) from error

    def silent(self) -> bool:
        look = self._look
        if look is None:
            look = self._look = select.poll()
            look.register(self._fd, READ)
        return not look.poll(0)

    def peer_ended(self) -> bool:
        if self._fd < 0:
            return False
        if _ENDED:
            poll = select.poll()
            poll.register(self._fd, _ENDED)
            return bool(poll.poll(0))
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def shutdown_write(self) -> bool:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the peer is gone already: nothing left to end
                raise lost(error, "ending the stream", self.peer) from error
        return True

    def close(self) -> None:
        self._fd = -1
        self.sock.close()

    def abort(self) -> None:
        if self.sock.family != socket.AF_UNIX and self._fd >= 0:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ABORT)
            except OSError:
                pass  # already gone: closing is all that is left
        self.close()


def socket_file(address: Address) -> str:
    """A Unix address as the kernel wants it: ``@name`` is the abstract namespace, with a NUL."""
    return "\0" + address.path[1:] if address.path.startswith("@") else address.path
