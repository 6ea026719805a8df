"""Listening for datagrams: to an engine each one is a connection that has come whole.

Engines know listeners, transports and connections. So ``accept()`` takes one datagram and gives a transport
that holds it, without a descriptor: there is nothing to wait for. Whatever runs connections then runs the
handlers of datagrams, and nothing in an engine had to be made for it.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any

from portico.address import Address
from portico.engines.contract import Listening, Number
from portico.errors import BindError
from portico.limits import Limits
from portico.sockets import groups
from portico.sockets.datagram_mirror import Mirror
from portico.sockets.datagram_notes import ask_for_notes
from portico.sockets.datagram_port import Datagram, Port
from portico.sockets.listen import bind_all, bind_error, named
from portico.sockets.options import Options
from portico.sockets.socket_files import bind_file
from portico.sockets.transport import Transport

__all__ = ["Arrival", "DatagramListener", "adopted", "listen_datagrams", "udp_socket"]

log = logging.getLogger("portico.server")

Prepare = Callable[[socket.socket], None]

BATCH = 64
"""Datagrams dropped in a row before others get their turn."""
OVERHEAD = 4096
"""What is kept beside a datagram that waits for its handler, roughly, in bytes."""
LOG_PAUSE = 5.0  # seconds between two lines about the same trouble
_ADVICE = {
    "no room": "they come faster than they are handled; see Limits.datagram_memory",
    "no thread": "every thread is busy and the queue is full; see Limits.queue",
    "too long": "longer than Limits.datagram",
    "itself": "their sender is said to be this server itself, which would answer itself for ever",
    "kernel": "its receive buffer was full; see the socket option receive_buffer",
}
# Left behind by what was sent earlier (ICMP): the next datagram may be well.
_OF_AN_EARLIER_ONE = frozenset(
    getattr(errno, name)
    for name in "ECONNREFUSED ECONNRESET EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN EMSGSIZE EPROTO".split()
    if hasattr(errno, name)
)


class Arrival(Transport):
    """One datagram on its way to its handler. ``close()`` makes room for another."""

    __slots__ = ("_listener", "datagram")

    def __init__(self, listener: DatagramListener, datagram: Datagram) -> None:
        super().__init__(datagram.peer, listener.address)
        self.datagram = datagram
        self._listener = listener

    def ready(self, events: int) -> int:
        return events

    def drop(self, reason: str) -> None:
        """It cannot be handled: count it, and say so in the log."""
        self._listener.drop(reason)
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._listener.handled(self.datagram)

    def __repr__(self) -> str:
        return f"<Arrival {self.datagram!r}{' closed' if self.closed else ''}>"


class DatagramListener(Listening):
    """A bound datagram socket, UDP or Unix. ``drops``: how many were dropped, by reason."""

    __slots__ = (
        "_held",
        "_limits",
        "_logged",
        "_lost",
        "_mirror",
        "_most",
        "_seen",
        "_tell",
        "_unsaid",
        "drops",
        "port",
    )

    def __init__(self, port: Port, limits: Limits) -> None:
        super().__init__()
        self.port = port
        self.address = port.address
        self.drops: Counter[str] = Counter()
        self._limits = limits
        self._most = limits.datagram_memory
        self._held = 0
        self._seen = 0  # what the kernel has told here to have lost
        self._lost: Number = _Own()  # and anywhere
        self._tell: Callable[[int], object] | None = None
        self._mirror = Mirror(port.sock)
        self._unsaid: Counter[str] = Counter()
        self._logged: dict[str, float] = {}

    def fileno(self) -> int:
        return -1 if self.closed else self.port.fileno()

    @property
    def dropped(self) -> int:
        """How many datagrams came, or were lost in the kernel, and were never handled."""
        return self.drops.total()

    @property
    def options(self) -> Options:
        """The socket options by name."""
        return Options(self.port.sock)

    def accept(self) -> Transport | None:
        for _ in range(BATCH):
            try:
                datagram = self.port.receive()
            except OSError as error:
                if error.errno in _OF_AN_EARLIER_ONE:
                    continue
                raise
            if datagram is None:
                return None
            if self.port.lost != self._seen:
                self._notice_lost()
            if datagram.peer.port == self._mirror.port and self._mirror.shows(datagram.peer):
                self.drop("itself")
            elif self._held < self._most:
                return self._taken(datagram)
            else:
                self.drop("no room")
        return None

    def _taken(self, datagram: Datagram) -> Arrival:
        self.port.hold()
        with self.port.guard:
            self._held += len(datagram.data) + OVERHEAD
        return Arrival(self, datagram)

    def handled(self, datagram: Datagram) -> None:
        """A datagram taken earlier needs nothing any more."""
        with self.port.guard:
            self._held -= len(datagram.data) + OVERHEAD
        self.port.release()

    def _notice_lost(self) -> None:
        """The kernel counts in 32 bits, and tells with the next datagram that it had room for."""
        self._seen = self.port.lost
        more = (self._seen - self._lost.value) & 0xFFFFFFFF
        if 0 < more < 1 << 31:  # else another process, which has seen a later one, was faster
            self._lost.value = self._seen
            self.drop("kernel", more)

    def count_lost_in(self, lost: Number) -> None:
        self._lost = lost

    def on_drop(self, tell: Callable[[int], object]) -> None:
        self._tell = tell

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was dropped; say so once in a while, not each time."""
        now = monotonic()
        if self._tell is not None:
            self._tell(count)
        with self.port.guard:
            self.drops[reason] += count
            self._unsaid[reason] += count
            if now - self._logged.get(reason, -LOG_PAUSE) < LOG_PAUSE:
                return
            self._logged[reason] = now
            count = self._unsaid.pop(reason)
        self._say(reason, count)

    def _say(self, reason: str, count: int) -> None:
        many = "" if count == 1 else "s"
        log.warning("%d datagram%s dropped at %s: %s", count, many, self.address, _ADVICE[reason])

    def again(self) -> Listening:
        """With a queue of its own only at a single address: of what is sent to a group or a broadcast
        address each socket bound to it gets a copy, and the same handler would run several times."""
        host = self.address.host
        if self.address.transport != "udp" or not host or groups.is_group(host):
            return self
        sock = self.port.sock
        _share_port(sock)
        other = udp_socket(sock.family, sock.getsockname(), self.address, _share_port)
        return DatagramListener(Port(other, self.address, self._limits), self._limits)

    def disown(self) -> Listening:
        self.port.disown()
        return self

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.wake()
        self.port.close()
        for reason, count in self._unsaid.items():
            self._say(reason, count)

    def __repr__(self) -> str:
        return f"<DatagramListener {self.address}{' closed' if self.closed else ''}>"


def listen_datagrams(address: Address, limits: Limits) -> list[DatagramListener]:
    """Listeners for an address (``udp unixgram``). A multicast group is joined.

    Raises ``BindError``, ``ConfigError``.
    """
    if address.transport == "unixgram":
        return [DatagramListener(_unix_port(address, limits), limits)]
    sockets = bind_all(address, lambda family, name: udp_socket(family, name, address))
    return [DatagramListener(Port(sock, named(address, sock), limits), limits) for sock in sockets]


def adopted(sock: socket.socket, limits: Limits) -> DatagramListener:
    """A listener over a bound socket, which it owns from now on."""
    ask_for_notes(sock, everywhere=sock.family != socket.AF_UNIX)
    scheme = "unixgram" if sock.family == socket.AF_UNIX else "udp"
    return DatagramListener(Port(sock, Address.of_socket(scheme, sock.getsockname()), limits), limits)


class _Own:
    """A number of this process's own."""

    value = 0


def _nothing(sock: socket.socket) -> None:
    pass


def _share_port(sock: socket.socket) -> None:
    """From now on, with other sockets of this user that say the same."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def udp_socket(
    family: int, name: tuple[Any, ...], address: Address, prepare: Prepare = _nothing
) -> socket.socket:
    """A UDP socket bound to ``name``, in the group that ``address`` is; ``prepare(sock)`` before that.

    Raises ``OSError``, ``ConfigError``.

    Without ``SO_REUSEADDR``, but for a group: on UDP it would let another program take the port over.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if name[0] == "::" else 1)
        group = groups.is_group(address.host)
        prepare(sock)
        ask_for_notes(sock, everywhere=group or name[0] in ("", "::", "0.0.0.0"))
        groups.only_joined(sock)
        if group:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(groups.within(address.interface, name))
            groups.join(sock, address.host, address.interface)
        else:
            if address.interface is not None:
                Options(sock).device = address.interface
            sock.bind(name)
    except BaseException:
        sock.close()
        raise
    return sock


def _unix_port(address: Address, limits: Limits) -> Port:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        ask_for_notes(sock, everywhere=False)
        return Port(sock, address, limits, bind_file(sock, address))
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError) and not isinstance(error, BindError):
            raise bind_error(error, address) from error
        raise
