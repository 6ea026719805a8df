"""Datagrams by hand: one socket for a client, a peer among peers, or a loop of one's own.

``datagrams("udp://127.0.0.1:9000")`` talks to one peer; ``datagrams(local="udp://:9000")`` hears everybody.
The same code on every engine, under the deadline in force. Each datagram arrives whole, or as an error.
"""

from __future__ import annotations

import shutil
import socket
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from portico.address import Address
from portico.deadline import check
from portico.engines import door
from portico.errors import (
    ConfigError,
    DatagramTooLong,
    LocalProtocolError,
    StreamBusy,
    StreamClosed,
)
from portico.limits import Limits
from portico.sockets import groups, names
from portico.sockets.datagram_address import Where, check_complete, datagram_address
from portico.sockets.datagram_notes import ask_for_notes
from portico.sockets.datagram_port import Datagram, Port, failed
from portico.sockets.groups import Interface
from portico.sockets.options import Options
from portico.sockets.transport import READ, Bytes, socket_file

__all__ = ["Datagrams"]


class Datagrams:
    """A datagram socket; also a context manager that closes it. Made by ``datagrams``.

    ``peer``: whom ``send`` sends to, or ``None``. One thread at a time may receive, any number send. Every
    operation may raise ``Timeout``, ``StreamClosed``, ``Cancelled``, and ``ConnectError`` when an earlier
    datagram was answered with *nobody is there* (ICMP).
    """

    __slots__ = (
        "__weakref__",
        "_doing",
        "_families",
        "_folder",
        "_known",
        "_port",
        "_reading",
        "_target",
        "_whole",
        "peer",
    )

    def __init__(
        self,
        port: Port,
        peer: Address | None = None,
        target: Any = None,
        *,
        whole: bool = True,
        folder: str | None = None,
    ) -> None:
        self.peer = peer
        self._port = port
        self._target = target  # where send() sends to; None: the system knows
        self._whole = whole
        self._reading = threading.Lock()
        self._doing = f"receiving at {port.address}"
        self._known: tuple[Any, Any, Address] | None = None
        self._families = _families(port.sock)
        self._folder = folder

    @classmethod
    def from_socket(cls, sock: socket.socket, *, limits: Limits | None = None) -> Datagrams:
        """Over a bound or connected datagram socket, which it owns from now on.

        Raises ``ConfigError`` for a socket of another kind.
        """
        if sock.type != socket.SOCK_DGRAM or sock.family not in _SCHEMES:
            raise ConfigError("from_socket(): expected a datagram socket, UDP or Unix")
        scheme = _SCHEMES[sock.family]
        ask_for_notes(sock, everywhere=_is_everywhere(sock.getsockname()))
        port = Port(sock, Address.of_socket(scheme, sock.getsockname()), limits or Limits())
        try:
            port.expected = sock.getpeername()
        except OSError:
            return cls(port)
        return cls(port, Address.of_socket(scheme, port.expected))

    # -- facts

    @property
    def local(self) -> Address:
        """This socket's own address, with its real port."""
        return self._port.address

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._port.closed

    @property
    def options(self) -> Options:
        """The socket options by name."""
        return Options(self._port.sock)

    @property
    def lost(self) -> int:
        """Datagrams that found the receive buffer full, as far as the kernel has told (Linux)."""
        return self._port.lost

    def fileno(self) -> int:
        """The descriptor, or -1 after ``close``."""
        return self._port.fileno()

    def __repr__(self) -> str:
        towards = "" if self.peer is None else f" → {self.peer}"
        return f"<Datagrams {self.local}{towards}, {'closed' if self.closed else 'open'}>"

    # -- receiving

    def receive(self) -> Datagram:
        """The next datagram. Raises ``DatagramTooLong`` (with what came of it) beyond the limit."""
        self._start_receiving()
        try:
            while True:
                check(self._doing)
                datagram = self._take()
                if datagram is not None:
                    self._port.breathe()
                    return datagram
                door.wait(self._port, READ, self._doing)
                if self.closed:
                    raise StreamClosed(f"the datagram socket at {self.local} was closed while {self._doing}")
        finally:
            self._stop_receiving()

    def try_receive(self) -> Datagram | None:
        """As ``receive``, but never waits: ``None`` when nothing is there now."""
        self._start_receiving()
        try:
            check(self._doing)
            return self._take()
        finally:
            self._stop_receiving()

    def __iter__(self) -> Iterator[Datagram]:
        """What comes, until the socket is closed."""
        while True:
            try:
                datagram = self.receive()
            except StreamClosed:
                return
            yield datagram

    def _start_receiving(self) -> None:
        self._check_open(self._doing)
        if not self._reading.acquire(blocking=False):
            raise StreamBusy(f"somebody else is {self._doing}")
        try:
            self._port.hold()
        except BaseException:
            self._reading.release()
            raise

    def _stop_receiving(self) -> None:
        self._port.release()
        self._reading.release()

    def _take(self) -> Datagram | None:
        try:
            datagram = self._port.receive()
        except OSError as error:
            raise failed(error, self._doing, self.peer) from error
        if datagram is not None and datagram.truncated and self._whole:
            most, size = self._port.limits.datagram, datagram.size
            raise DatagramTooLong(
                f"{datagram.peer} sent a datagram of {size} bytes; {most} are taken", datagram.data, size
            )
        return datagram

    # -- sending

    def send(self, data: Bytes) -> None:
        """Send one datagram to the peer; an empty one is one.

        Raises ``LocalProtocolError`` when it is longer than the system sends (UDP: 65507 bytes over IPv4),
        or without a peer.
        """
        self._check_open("sending")
        if self.peer is None:
            raise LocalProtocolError(f"{self!r} has no peer; use send_to()")
        self._port.send(data, self._target, self.peer)

    def send_to(self, data: Bytes, address: Where) -> None:
        """Send one datagram to an address. Raises as ``send`` does; ``ResolveError``, ``AddressError``."""
        self._check_open("sending")
        name, whom = self._place(address)
        self._port.send(data, name, whom)

    def _place(self, address: Where) -> tuple[Any, Address]:
        known = self._known
        if known is not None and known[0] == address:
            return known[1:]
        where = datagram_address(address)
        if where.transport != self.local.transport:
            raise ConfigError(f"{self!r} cannot send to {where}")
        if where.transport == "unixgram":
            return socket_file(where), where
        name = self._resolved(where)
        if where.is_ip:  # what a name means may change
            self._known = address, name, where
        return name, where

    def _resolved(self, where: Address) -> Any:
        """A host and port as this socket takes it: a dual-stack one writes IPv4 as IPv6 does."""
        check_complete(where)
        only = self._families[0] if len(self._families) == 1 else None
        found = names.resolve(where.host, where.port or 0, family=only)[0]
        if found.family == socket.AF_INET and self._families[0] == socket.AF_INET6:
            return f"::ffff:{found.sockaddr[0]}", found.sockaddr[1], 0, 0
        return found.sockaddr

    # -- groups and the end

    def join(self, group: str, *, interface: Interface = None) -> None:
        """Receive what is sent to a multicast group. Raises ``ConfigError``."""
        self._check_open("joining a group")
        groups.join(self._port.sock, group, interface)

    def leave(self, group: str, *, interface: Interface = None) -> None:
        """Leave a group that was joined. Raises ``ConfigError``."""
        self._check_open("leaving a group")
        groups.leave(self._port.sock, group, interface)

    def close(self) -> None:
        """Close, from any thread, and twice; who waits in ``receive`` gets ``StreamClosed``."""
        self._port.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _check_open(self, doing: str) -> None:
        if self.closed:
            raise StreamClosed(f"{doing}: the datagram socket at {self.local} is closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_folder") and not self.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()


_SCHEMES = {socket.AF_INET: "udp", socket.AF_INET6: "udp", socket.AF_UNIX: "unixgram"}


def _families(sock: socket.socket) -> tuple[socket.AddressFamily, ...]:
    """The IP families that a socket can send to."""
    if sock.family != socket.AF_INET6:
        return (socket.AddressFamily(sock.family),)
    only_six = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return (socket.AF_INET6,) if only_six else (socket.AF_INET6, socket.AF_INET)


def _is_everywhere(name: Any) -> bool:
    return isinstance(name, tuple) and (name[0] in ("0.0.0.0", "::") or groups.is_group(name[0]))
