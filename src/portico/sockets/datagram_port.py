"""A datagram, and the socket that it came through.

A ``Port`` only tries, as a transport does. It is shared: by a listener and the datagrams that are being
handled, by the threads that use a ``Datagrams``; the last one out closes the socket, so that a reply never
goes through a descriptor that is another's by now.
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
from math import inf
from time import monotonic
from typing import Any

from portico.address import Address
from portico.deadline import check, expired, expiry, timeout
from portico.engines import door
from portico.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    LocalProtocolError,
    PorticoError,
    StreamClosed,
    Timeout,
)
from portico.limits import Limits
from portico.sockets.datagram_notes import Ancillary, Where, destination, read_notes, room_for_notes, source
from portico.sockets.options import Credentials
from portico.sockets.socket_files import Made, unlink_same
from portico.sockets.transport import WRITE, Bytes, Waitable

__all__ = ["Datagram", "Port", "failed"]

_TRUNCATED = int(socket.MSG_TRUNC)  # a plain number: an enumeration's & takes five times as long
_REAL_SIZE = _TRUNCATED if sys.platform == "linux" else 0
"""Linux then tells how long a datagram was of which only the beginning fits."""
_FULL = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS)

_PLACES = 64
"""Addresses of this machine that a port remembers: a peer on it may use all of 127.0.0.0/8."""
_STREAK = 64  # datagrams received or sent without a wait, after which others go first
_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02


class Datagram:
    """One datagram as it came. ``data`` may be empty: an empty datagram is one.

    ``peer`` is who sent it, ``truncated`` whether ``data`` is only its beginning, ``size`` its whole length
    (where the system tells it: Linux). ``credentials``: process, user and group of the sender, of a Unix
    socket on Linux, as the kernel knows them; else ``None``.
    """

    __slots__ = ("_name", "_port", "_where", "credentials", "data", "peer", "size", "truncated")

    def __init__(self, port: Port, data: bytes, size: int, truncated: bool, name: Any) -> None:
        self._port = port
        self._name = name
        self._where: Where | None = None
        self.data = data
        self.size = size
        self.truncated = truncated
        self.peer = Address.of_socket(port.address.scheme, name or "")
        self.credentials: Credentials | None = None

    @property
    def local(self) -> Address:
        """Where it was sent to: on a socket bound to every interface, the address in the datagram."""
        return self._port.address if self._where is None else self._port.destination(self._where)

    def reply(self, data: Bytes) -> None:
        """Send a datagram back, from the address that this one came to. At any time, any number.

        Raises ``LocalProtocolError`` (too long, or a sender without an address), ``ConnectError`` (the
        sender has gone), ``StreamClosed``, ``Timeout`` (also when there is no room for
        ``Limits.datagram_stall`` seconds).
        """
        if not self._name:
            raise LocalProtocolError("the sender of this datagram has no address, so that nobody can reply")
        back = () if self._where is None else source(self._where)
        name = self._name if self._port.expected is None else None  # None: the connected peer
        self._port.send(data, name, self.peer, back, self._port.limits.datagram_stall)

    def __repr__(self) -> str:
        cut = f" of {self.size}" if self.truncated else ""
        return f"<Datagram from {self.peer}, {len(self.data)}{cut} B>"


class Port(Waitable):
    """A datagram socket, made non-blocking, that counts who needs it. ``made``: its file, to be removed.

    One thread at a time may be in ``receive``.
    """

    __slots__ = (
        "_made",
        "_parts",
        "_places",
        "_room",
        "_streak",
        "_users",
        "_view",
        "address",
        "expected",
        "guard",
        "limits",
        "lost",
        "sock",
    )

    def __init__(
        self, sock: socket.socket, address: Address, limits: Limits, made: Made | None = None
    ) -> None:
        super().__init__()
        sock.setblocking(False)
        self.sock = sock
        self.address = address
        self.limits = limits
        self.lost = 0
        """Datagrams that the kernel had no room for, as far as it has told (Linux)."""
        self.expected: Any = None
        """Where datagrams must come from: before a socket was connected, others may have sent some."""
        self._streak = 0
        self._made = made
        self.guard = threading.Lock()
        self._users = 1
        self._view = memoryview(bytearray(limits.datagram))
        self._parts = [self._view]
        self._room = room_for_notes(sock)
        self._places: dict[Where, Address] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """For a process to which the socket is handed over."""
        return Port, (self.sock, self.address, self.limits, self._made)

    def fileno(self) -> int:
        return self.sock.fileno()

    def hold(self) -> None:
        """Keep the socket open until ``release()``. Raises ``StreamClosed`` when it is not open any more."""
        with self.guard:
            if not self._users:
                raise StreamClosed(f"the datagram socket at {self.address} is closed")
            self._users += 1

    def release(self) -> None:
        """The last one out closes the socket."""
        with self.guard:
            self._users -= 1
            last = not self._users
        if last:
            self.sock.close()

    def disown(self) -> None:
        """Leave the socket's file to whoever made it."""
        self._made = None

    def close(self) -> None:
        """No more from its owner: wake whoever waits, remove the file. Safe to call twice."""
        with self.guard:
            if self.closed:
                return
            self.closed = True
        self.wake()
        if self._made is not None:
            unlink_same(*self._made)
        self.release()

    def receive(self) -> Datagram | None:
        """The next datagram, or ``None``: would block. Raises ``OSError``; an ICMP error is one."""
        while True:
            try:
                size, ancillary, flags, name = self.sock.recvmsg_into(self._parts, self._room, _REAL_SIZE)
            except (BlockingIOError, InterruptedError):
                return None
            if self.expected is None or name == self.expected:
                break
        data = bytes(self._view[:size])
        datagram = Datagram(self, data, size, flags & _TRUNCATED != 0, name)
        if ancillary:
            datagram._where, datagram.credentials, lost = read_notes(ancillary)
            if lost is not None:
                self.lost = lost
        return datagram

    def destination(self, where: Where) -> Address:
        """The address that the kernel noted beside a datagram, with this socket's port."""
        found = self._places.get(where)
        if found is None:
            found = destination(self.address.port, where)
            if len(self._places) < _PLACES:
                self._places[where] = found
        return found

    def try_send(self, data: Bytes, name: Any, back: Ancillary = ()) -> bool:
        """Send one to ``name`` (``None``: the connected peer). ``False``: no room. Raises ``OSError``."""
        try:
            if back:
                self.sock.sendmsg((data,), back, 0, name)
            elif name is None:
                self.sock.send(data)
            else:
                self.sock.sendto(data, name)
        except OSError as error:
            if error.errno in _FULL:
                return False
            raise
        return True

    def send(
        self, data: Bytes, name: Any, whom: Address | None, back: Ancillary = (), most: float | None = None
    ) -> None:
        """As ``try_send``, waiting for room: at most ``most`` seconds, and within the deadline in force."""
        until = expiry()
        if until != inf and until <= monotonic():
            raise expired(f"sending to {whom}")
        self.hold()
        try:
            if self.try_send(data, name, back):
                self.breathe()
            else:
                self._send_when_free(data, name, back, f"sending to {whom}", most)
        except Timeout as late:
            raise Timeout(f"sending to {whom}", seconds=late.seconds) from None
        except OSError as error:
            if isinstance(error, PorticoError):
                raise
            raise failed(error, f"sending to {whom}", whom) from error
        finally:
            self.release()

    def breathe(self) -> None:
        """Something was done without a wait: let others go first, once in a while."""
        self._streak += 1
        if self._streak >= _STREAK:
            self._streak = 0
            door.breathe()

    def _send_when_free(
        self, data: Bytes, name: Any, back: Ancillary, doing: str, most: float | None
    ) -> None:
        """Nothing tells when a Unix receiver has room, unless the socket is connected to it (unix(7)); and
        a listener's descriptor is watched by its engine. So only a connected socket is waited for."""
        pause = _SHORTEST_PAUSE
        with timeout(most):
            while not self.try_send(data, name, back):
                check(doing)
                # A reply may outlive the listener, which closes first when a server drains.
                if self.closed and (name is None or most is None):
                    raise StreamClosed(f"the datagram socket at {self.address} was closed while {doing}")
                if name is None:
                    door.wait(self, WRITE, doing)
                else:
                    door.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)


def failed(error: OSError, doing: str, whom: Address | None) -> PorticoError:
    """The Portico error for an OS error on a datagram socket."""
    reason = error.strerror or str(error)
    match error.errno:
        case errno.ECONNREFUSED | errno.ENOENT | errno.ECONNRESET:
            return ConnectError(f"{doing}: nobody receives at {whom}", [(str(whom), reason)])
        case errno.EMSGSIZE:
            return LocalProtocolError(f"{doing}: the datagram is longer than the system sends there")
        case errno.EDESTADDRREQ | errno.ENOTCONN:
            return LocalProtocolError(f"{doing}: this socket has no peer; use send_to()")
        case errno.EBADF:
            return StreamClosed(f"{doing}: the socket is closed")
        case errno.EACCES if whom is not None and whom.scheme == "udp":
            return ConfigError(f"{doing}: not permitted; a broadcast address needs broadcast=True")
        case errno.EPROTOTYPE:
            return ConnectError(
                f"{doing}: a stream socket is there, not a datagram one", [(str(whom), reason)]
            )
        case errno.ENETUNREACH | errno.EHOSTUNREACH | errno.EADDRNOTAVAIL | errno.EACCES | errno.EPERM:
            return ConnectError(f"{doing}: {reason}", [(str(whom), reason)])
    return ConnectionLost(f"{doing}: {reason}")
