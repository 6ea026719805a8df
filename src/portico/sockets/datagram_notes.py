"""What the kernel notes beside a datagram: where it was sent to, who sent it, how many there was no room for.

Ancillary data, each system's in its own way (RFC 3542, 6 for IPv6; ip(7), unix(7), socket(7) for Linux); a
system that lacks some of it tells less.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

from portico.address import Address
from portico.sockets.options import Credentials

__all__ = ["Ancillary", "Notes", "ask_for_notes", "destination", "read_notes", "room_for_notes", "source"]

Ancillary = Sequence[tuple[int, int, bytes]]
Where = tuple[int, bytes]
"""Where a datagram was sent to, as the kernel says it: the level and the structure."""

_LINUX = sys.platform == "linux"
_IP_PKTINFO: int = getattr(socket, "IP_PKTINFO", 8 if _LINUX else -1)  # Python names it from 3.14 on
_IPV6_PKTINFO: int = getattr(socket, "IPV6_PKTINFO", -1)
_SO_RXQ_OVFL = 40 if _LINUX else -1
_CREDENTIALS: int = getattr(socket, "SCM_CREDENTIALS", -1)

_INFO4 = struct.Struct("=i4s4s")  # struct in_pktinfo: interface, our address, the header's destination
_INFO6 = struct.Struct("=16sI")  # struct in6_pktinfo: the header's destination, interface
_WHO = struct.Struct("=iII")  # struct ucred


class Notes(NamedTuple):
    """``lost``: the datagrams that a full receive buffer has cost so far; the kernel counts in 32 bits."""

    where: Where | None = None
    credentials: Credentials | None = None
    lost: int | None = None


def ask_for_notes(sock: socket.socket, *, everywhere: bool) -> None:
    """Before it is bound. ``everywhere``: it will hear what is sent to several addresses, so ask to which."""
    wanted = [(socket.SOL_SOCKET, _SO_RXQ_OVFL)]
    if sock.family == socket.AF_UNIX:
        wanted = [(socket.SOL_SOCKET, getattr(socket, "SO_PASSCRED", -1))]
    elif everywhere:
        wanted.append((socket.IPPROTO_IP, _IP_PKTINFO))
        if sock.family == socket.AF_INET6:
            wanted.append((socket.IPPROTO_IPV6, getattr(socket, "IPV6_RECVPKTINFO", -1)))
    for level, option in wanted:
        try:
            sock.setsockopt(level, option, 1)
        except OSError:
            pass  # a system that does not know it tells less


def room_for_notes(sock: socket.socket) -> int:
    """Bytes for ``recvmsg``; none for descriptors that a peer may send along: the kernel closes them."""
    if sock.family == socket.AF_UNIX:
        return socket.CMSG_SPACE(_WHO.size)
    return sum(socket.CMSG_SPACE(size) for size in (_INFO4.size, _INFO6.size, 4))


def read_notes(ancillary: Ancillary) -> Notes:
    """What the kernel said beside one datagram."""
    where = credentials = lost = None
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            where = level, value
        elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            # A dual-stack socket gets both for IPv4; only the other tells a broadcast from our address.
            where = where or (level, value)
        elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
            lost = int.from_bytes(value, sys.byteorder)
        elif level == socket.SOL_SOCKET and kind == _CREDENTIALS:
            credentials = Credentials(*_WHO.unpack(value))
        elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            _close_descriptors(value)
    return Notes(where, credentials, lost)


def destination(port: int | None, where: Where) -> Address:
    """The address in the datagram's header, with the socket's port."""
    level, info = where
    if level == socket.IPPROTO_IP:
        return Address.of_socket("udp", (socket.inet_ntoa(_INFO4.unpack(info)[2]), port))
    packed, number = _INFO6.unpack(info)
    host = socket.inet_ntop(socket.AF_INET6, packed)
    return Address.of_socket("udp", (host, port, 0, number if _is_scoped(packed) else 0))


def source(where: Where) -> Ancillary:
    """What to send along, so that an answer leaves from the address that was asked."""
    level, info = where
    if level == socket.IPPROTO_IP:
        return ((level, _IP_PKTINFO, _INFO4.pack(0, _INFO4.unpack(info)[1], bytes(4))),)
    packed, number = _INFO6.unpack(info)
    if packed[0] == 0xFF:  # a group is nobody's address
        return ()
    return ((level, _IPV6_PKTINFO, _INFO6.pack(packed, number if _is_scoped(packed) else 0)),)


def _is_scoped(packed: bytes) -> bool:
    """Whether an IPv6 address means another place on each link: fe80::/10, and groups of a link."""
    return (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80) or (packed[0] == 0xFF and packed[1] & 0x0F <= 2)


def _close_descriptors(value: bytes) -> None:
    numbers = array.array("i")
    numbers.frombytes(value[: len(value) - len(value) % numbers.itemsize])
    for number in numbers:
        os.close(number)
