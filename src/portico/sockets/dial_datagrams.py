"""Opening datagram sockets: from one or two addresses to a ``Datagrams``."""

from __future__ import annotations

import errno
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from portico.address import Address
from portico.errors import ConfigError, ConnectError, Timeout
from portico.limits import Limits
from portico.sockets import groups, names
from portico.sockets.datagram import Datagrams
from portico.sockets.datagram_address import Where, check_complete, datagram_address
from portico.sockets.datagram_listener import udp_socket
from portico.sockets.datagram_notes import ask_for_notes
from portico.sockets.datagram_port import Port, failed
from portico.sockets.groups import Interface
from portico.sockets.listen import bind_all, named
from portico.sockets.options import Options
from portico.sockets.socket_files import Made, bind_file, unlink_same
from portico.sockets.transport import adopt, socket_file

__all__ = ["datagrams"]


def datagrams(
    address: Where | None = None,
    *,
    local: Where | None = None,
    broadcast: bool = False,
    hops: int | None = None,
    loop: bool | None = None,
    interface: Interface = None,
    truncated: bool = False,
    options: Mapping[Any, Any] | None = None,
    resolve: names.Resolver | None = None,
    limits: Limits | None = None,
) -> Datagrams:
    """Open a datagram socket; ``with`` closes it.

    ``address``: the peer (``udp``, ``unixgram``, or ``fd`` for an inherited socket). From a single peer only
    its own datagrams are received; what a group or a broadcast address is asked, anybody may answer.
    ``local``: the own address, to be heard at; without one the system picks it. A group as ``local`` is
    joined. ``broadcast``: may send to broadcast addresses. ``hops``, ``loop``, ``interface``: for what is
    sent to groups (``interface`` also where to hear them): how many routers it may pass, whether this
    machine gets it too, through which interface. ``truncated``: give what is longer than
    ``limits.datagram`` as its beginning, instead of an error. ``options``: socket options by name.

    Raises ``AddressError``, ``ResolveError``, ``BindError``, ``ConnectError``, ``ConfigError``, ``Timeout``.
    """
    peer = None if address is None else datagram_address(address)
    own = None if local is None else _heard_through(datagram_address(local), interface)
    through = interface if interface is not None or peer is None else peer.interface
    opening = _Opening(
        peer, own, broadcast, hops, loop, through, not truncated, options or {}, limits or Limits()
    )
    match _kind(peer, own):
        case "fd":
            return opening.adopted()
        case "unixgram":
            return opening.unix()
    return opening.bound() if peer is None else opening.towards(peer, resolve)


def _heard_through(own: Address, interface: Interface) -> Address:
    """A group, with the interface that was given beside it."""
    if interface is None or own.interface is not None or not groups.is_group(own.host):
        return own
    return replace(own, options=(("interface", str(interface)),))


def _kind(peer: Address | None, own: Address | None) -> str:
    kinds = {each.transport for each in (peer, own) if each is not None}
    if not kinds:
        raise ConfigError("datagrams(): name a peer, such as udp://127.0.0.1:9000, or local=")
    if len(kinds) > 1 or (kinds == {"fd"} and peer is not None and own is not None):
        raise ConfigError(f"datagrams({str(peer)!r}, local={str(own)!r}): these two do not go together")
    return kinds.pop()


@dataclass(frozen=True, slots=True)
class _Opening:
    """What was asked for."""

    peer: Address | None
    own: Address | None
    broadcast: bool
    hops: int | None
    loop: bool | None
    interface: Interface
    whole: bool
    options: Mapping[Any, Any]
    limits: Limits

    # -- UDP

    def bound(self) -> Datagrams:
        """Heard at the first place of an address, without a peer."""
        own = self.own
        assert own is not None
        sock, *others = bind_all(own, lambda family, name: udp_socket(family, name, own, self._prepare))
        for each in others:
            each.close()
        return Datagrams(Port(sock, named(own, sock), self.limits), whole=self.whole)

    def towards(self, peer: Address, resolver: names.Resolver | None) -> Datagrams:
        """Towards the first of a host's addresses that there is a way to."""
        check_complete(peer)
        failures = []
        for found in names.resolve(peer.host, peer.port or 0, resolver=resolver):
            try:
                return self._towards(found, peer)
            except Timeout:
                raise
            except OSError as error:  # no way there, or no address of our own in this family
                if error.errno == errno.EACCES:
                    raise failed(error, f"sending to {peer}", peer) from error
                failures.append((str(Address.of_socket("udp", found.sockaddr)), error.strerror or str(error)))
        each = "; ".join(f"{place}: {reason}" for place, reason in failures)
        raise ConnectError(f"cannot send to {peer}: {each}", failures)

    def _towards(self, found: names.Found, peer: Address) -> Datagrams:
        own = self.own or Address("udp", port=0)
        place = names.resolve(own.host, own.port or 0, family=found.family, passive=True)[0]
        sock = udp_socket(found.family, place.sockaddr, own, self._prepare)
        # Of a connected socket the kernel keeps others out: right for one peer, wrong where many answer.
        single = not self.broadcast and not groups.is_group(found.ip)
        try:
            if single:
                sock.connect(found.sockaddr)
            port = Port(sock, Address.of_socket("udp", sock.getsockname()), self.limits)
            port.expected = sock.getpeername() if single else None
        except BaseException:
            sock.close()
            raise
        return Datagrams(port, peer, None if single else found.sockaddr, whole=self.whole)

    def _prepare(self, sock: socket.socket) -> None:
        options, peer = Options(sock), self.peer
        options.apply(self.options)
        if self.broadcast:
            options.broadcast = True
        if peer is not None and peer.interface is not None and not groups.is_group(peer.host):
            options.device = peer.interface
        groups.prepare_sending(sock, self.hops, self.loop, self.interface)

    # -- Unix sockets

    def unix(self) -> Datagrams:
        """With an address of its own, so that a peer can reply."""
        if self.broadcast or (self.hops, self.loop, self.interface) != (None, None, None):
            raise ConfigError("broadcast=, hops=, loop= and interface= are for UDP")
        sock, folder, made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), None, None
        try:
            ask_for_notes(sock, everywhere=False)
            Options(sock).apply(self.options)
            own = self.own
            if own is None and not _AUTOBIND:
                folder = tempfile.mkdtemp(prefix="portico-")
                own = Address("unixgram", path=f"{folder}/socket")
            made = _bind_unix(sock, own)
            if self.peer is not None:
                _connect_unix(sock, self.peer)
            port = Port(sock, own or Address.of_socket("unixgram", sock.getsockname()), self.limits, made)
            port.expected = None if self.peer is None else sock.getpeername()
        except BaseException:
            _undo(sock, made, folder)
            raise
        return Datagrams(port, self.peer, whole=self.whole, folder=folder)

    # -- inherited

    def adopted(self) -> Datagrams:
        """Over a copy of an inherited descriptor."""
        where = self.peer or self.own
        assert where is not None
        try:
            sock = adopt(where.fd or 0)
        except OSError as error:
            raise ConnectError(f"cannot use {where}: no socket was passed under this number") from error
        try:
            Options(sock).apply(self.options)
            return Datagrams.from_socket(sock, limits=self.limits)
        except BaseException:
            sock.close()
            raise


_AUTOBIND = sys.platform == "linux"
"""Whether the system names a Unix socket by itself, without a file (unix(7))."""


def _bind_unix(sock: socket.socket, own: Address | None) -> Made | None:
    if own is not None:
        return bind_file(sock, own)
    sock.bind("")
    return None


def _connect_unix(sock: socket.socket, peer: Address) -> None:
    try:
        sock.connect(socket_file(peer))
    except OSError as error:
        raise failed(error, f"connecting to {peer}", peer) from error


def _undo(sock: socket.socket, made: Made | None, folder: str | None) -> None:
    if made is not None:
        unlink_same(*made)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    sock.close()
