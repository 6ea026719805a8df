"""Multicast: groups, the interfaces they are heard on, and how far what is sent to them goes.

IPv4 and IPv6 name the same things differently (RFC 3678, RFC 3493, 5.2); a dual-stack socket may be in
groups of both.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, TypeVar

from portico.address import canonical_host, is_literal
from portico.errors import AddressError, ConfigError

__all__ = [
    "Interface",
    "interface_number",
    "is_group",
    "join",
    "leave",
    "only_joined",
    "prepare_sending",
    "within",
]

T = TypeVar("T")

Interface = str | int | None
"""An interface's name, its number, or ``None``: whichever the system picks."""

_IPV4_REQUEST = struct.Struct("=4s4si")  # struct ip_mreqn: group, address, interface
_IPV6_REQUEST = struct.Struct("=16sI")  # struct ipv6_mreq: group, interface
_ANY = bytes(4)
_MULTICAST_ALL = ((socket.IPPROTO_IP, 49), (socket.IPPROTO_IPV6, 29)) if sys.platform == "linux" else ()
_SENDING = (
    (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, socket.IP_MULTICAST_LOOP, socket.IP_MULTICAST_IF),
    (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, socket.IPV6_MULTICAST_LOOP, socket.IPV6_MULTICAST_IF),
)


def is_group(host: str) -> bool:
    """Whether a canonical host is a multicast address."""
    return is_literal(host) and ip_address(host.partition("%")[0]).is_multicast


def interface_number(interface: Interface) -> int:
    """The number of an interface; 0 for ``None``. Raises ``ConfigError`` when there is no such."""
    if interface is None:
        return 0
    if isinstance(interface, int) or interface.isdigit():
        return int(interface)
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        known = ", ".join(name for _, name in socket.if_nameindex())
        raise ConfigError(f"this machine has no interface {interface!r}; there are: {known}") from None


def within(interface: Interface, name: tuple[Any, ...]) -> tuple[Any, ...]:
    """A group's ``name`` to bind. IPv6 groups of one link need its interface there (RFC 4007, 6)."""
    return (*name[:3], name[3] or interface_number(interface)) if len(name) > 3 else name


def join(sock: socket.socket, group: str, interface: Interface = None) -> None:
    """Receive what is sent to a group. Raises ``ConfigError`` saying why that cannot be."""
    _membership(sock, group, interface, (socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP), "join")


def leave(sock: socket.socket, group: str, interface: Interface = None) -> None:
    """Receive it no longer. Raises ``ConfigError`` when this socket is not in the group."""
    _membership(sock, group, interface, (socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP), "leave")


def only_joined(sock: socket.socket) -> None:
    """No datagrams of groups that only another socket of this machine has joined (Linux gives them)."""
    for level, option in _levels(sock, _MULTICAST_ALL):
        try:
            sock.setsockopt(level, option, 0)
        except OSError:
            pass  # an older kernel: IPv6 has it since Linux 4.20


def prepare_sending(
    sock: socket.socket, hops: int | None, loop: bool | None, interface: Interface = None
) -> None:
    """How far what is sent to groups goes, whether this machine gets it too, and through which interface.

    ``None`` keeps the system's value: one hop, yes, by the routes. Raises ``ConfigError``.
    """
    if hops is not None and hops not in range(256):
        raise ConfigError(f"hops={hops!r}: expected a whole number from 0 to 255")
    number = interface_number(interface)
    for level, hops_option, loop_option, interface_option in _levels(sock, _SENDING):
        if hops is not None:
            sock.setsockopt(level, hops_option, hops)
        if loop is not None:
            sock.setsockopt(level, loop_option, int(loop))
        if number:
            value = _IPV4_REQUEST.pack(_ANY, _ANY, number) if level == socket.IPPROTO_IP else number
            _set_interface(sock, level, interface_option, value, interface)


def _set_interface(
    sock: socket.socket, level: int, option: int, value: int | bytes, interface: Interface
) -> None:
    try:
        sock.setsockopt(level, option, value)
    except OSError as error:
        raise ConfigError(f"cannot send through interface {interface!r}: {error.strerror}") from error


def _levels(sock: socket.socket, both: Sequence[T]) -> Sequence[T]:
    """Of settings for IPv4 and IPv6, those that a socket has: a dual-stack one has both."""
    if sock.family == socket.AF_INET:
        return both[:1]
    only_six = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return both[1:] if only_six else both


def _membership(
    sock: socket.socket, group: str, interface: Interface, options: tuple[int, int], doing: str
) -> None:
    host = _group(group)
    bare, _, zone = host.partition("%")
    number = interface_number(zone or interface)
    try:
        if ":" in bare:
            packed = _IPV6_REQUEST.pack(socket.inet_pton(socket.AF_INET6, bare), number)
            sock.setsockopt(socket.IPPROTO_IPV6, options[1], packed)
        else:
            packed = _IPV4_REQUEST.pack(socket.inet_aton(bare), _ANY, number)
            sock.setsockopt(socket.IPPROTO_IP, options[0], packed)
    except OSError as error:
        raise ConfigError(f"cannot {doing} the group {host}: {_advice(error, sock, interface)}") from error


def _group(text: str) -> str:
    try:
        host = canonical_host(text)
    except AddressError as error:
        raise ConfigError(f"{text!r} is no multicast group: {error}") from None
    if not is_group(host):
        raise ConfigError(f"{text!r} is no multicast group; those are 224.0.0.0/4 and ff00::/8")
    return host


def _advice(error: OSError, sock: socket.socket, interface: Interface) -> str:
    if error.errno == errno.ENODEV:
        return "no interface can be picked for it; name one (interface=)"
    if error.errno == errno.EADDRINUSE:
        return "this socket has joined it already"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this socket has not joined it, or {interface or 'the interface'} has no such address family"
    if error.errno in (errno.ENOPROTOOPT, errno.EINVAL):
        return "a socket of this address family cannot"
    return error.strerror or str(error)
