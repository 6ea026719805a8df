r"""The PROXY protocol, versions 1 and 2 (HAProxy's specification): who is really there, told before all else.

::

    version 1    PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n     TCP6 alike; UNKNOWN says nothing
    version 2    \r\n\r\n\0\r\nQUIT\n   version·command   family·protocol   length   addresses   TLVs
                 12 bytes               1                 1                 2        0…216       the rest

A listener for which it is on takes connections from trusted networks only, and none without such a header:
else anybody could be whoever they like (specification, section 2). The header comes before TLS. It is read
exactly, not a byte more, so that afterwards the transport is an ordinary one.
"""

from __future__ import annotations

import logging
import re
import socket
import struct
from collections.abc import Callable, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf
from time import monotonic
from typing import Final

from portico.address import Address
from portico.address.networks import Networks, ip_of, local_kind
from portico.errors import ConfigError, ConnectionLost, ProtocolError
from portico.sockets.transport import READ, SocketTransport, Transport, lost

__all__ = ["LONGEST", "HeaderReader", "ProxyProtocol", "ToldTransport"]

log = logging.getLogger("portico.proxy_protocol")

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [\x20-\x7e]*)?|(?P<family>TCP[46]) (?P<source>[0-9A-Fa-f:.]{2,39}) "
    rb"(?P<target>[0-9A-Fa-f:.]{2,39}) (?P<port>0|[1-9][0-9]{0,4}) (?P<other>0|[1-9][0-9]{0,4}))\r\n"
)
_LONGEST_V1: Final = 107
_FIXED: Final = 16
LONGEST: Final = 4096
"""Bytes of a header that are taken. The specification's own addresses need 232; the rest are TLVs."""

_LOG_PAUSE = 5.0  # seconds between two lines about refusals

_LOCAL, _PROXY = 0x20, 0x21
_FAMILIES: Final = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}
_UNSPECIFIED, _UNIX = 0x00, 0x31
_UNIX_PATH: Final = 108
_CRC32C = 0x03


class HeaderReader:
    """Reads one header from the bytes that have come.

    ``done``, then ``peer`` is who is there: ``None`` where the header does not say, because the proxy speaks
    for itself (a health check) or does not know.
    """

    __slots__ = ("_held", "_scheme", "done", "peer")

    def __init__(self, scheme: str = "tcp") -> None:
        self._scheme = scheme
        self._held = b""
        self.done = False
        self.peer: Address | None = None

    def feed(self, data: bytes) -> int:
        """How many of these bytes, which come next, belong to the header. Raises ``ProtocolError``."""
        held = self._held + data
        length = self._length(held)
        if length is None or length > len(held):
            self._held = held
            return len(data)
        taken = length - len(self._held)
        self._read(held[:length])
        self.done = True
        return taken

    def _length(self, held: bytes) -> int | None:
        """The length of the whole header; ``None``: it cannot be told yet."""
        if held.startswith(b"PROXY "[: len(held)]):
            end = held.find(b"\r\n", 0, _LONGEST_V1)
            if end < 0 and len(held) >= _LONGEST_V1:
                raise ProtocolError(f"a PROXY line of more than {_LONGEST_V1} bytes")
            return end + 2 if end >= 0 else None
        if not held.startswith(_SIGNATURE[: len(held)]):
            raise ProtocolError("the connection does not begin with a PROXY header")
        if len(held) < _FIXED:
            return None
        length = _FIXED + int.from_bytes(held[14:16], "big")
        if length > LONGEST:
            raise ProtocolError(f"a PROXY header of {length} bytes, more than {LONGEST}")
        return length

    def _read(self, header: bytes) -> None:
        if header[0] == _SIGNATURE[0]:
            self._read_v2(header)
        else:
            self._read_v1(header)

    def _read_v1(self, line: bytes) -> None:
        found = _V1.fullmatch(line)
        if found is None:
            raise ProtocolError(f"not a PROXY line: {line[:60]!r}")
        if found["family"] is None:
            return
        kind = IPv4Address if found["family"] == b"TCP4" else IPv6Address
        try:
            source, _ = kind(found["source"].decode()), kind(found["target"].decode())
        except ValueError:
            raise ProtocolError(f"an address in a PROXY line is none: {line[:60]!r}") from None
        if int(found["port"]) > 65535 or int(found["other"]) > 65535:
            raise ProtocolError("a port in a PROXY line is above 65535")
        self._tell(source, int(found["port"]))

    def _read_v2(self, header: bytes) -> None:
        command, family = header[12], header[13]
        if command not in (_LOCAL, _PROXY):
            raise ProtocolError(f"a PROXY header of version and command 0x{command:02x}")
        size = self._read_addresses(header, family) if command == _PROXY else len(header)
        if command == _PROXY:
            _check_tlvs(header, size)

    def _read_addresses(self, header: bytes, family: int) -> int:
        """Take the addresses; where they end."""
        if family == _UNSPECIFIED:
            return len(header)
        if family == _UNIX:
            end = _FIXED + 2 * _UNIX_PATH
            if len(header) < end:
                raise ProtocolError("a PROXY header is too short for its addresses")
            self.peer = Address.of_socket("unix", _unix_path(header[_FIXED : _FIXED + _UNIX_PATH]))
            return end
        if family not in _FAMILIES:
            raise ProtocolError(f"a PROXY header for family and protocol 0x{family:02x}, which is no stream")
        width = _FAMILIES[family][1]
        end = _FIXED + 2 * width + 4
        if len(header) < end:
            raise ProtocolError("a PROXY header is too short for its addresses")
        (port,) = struct.unpack_from("!H", header, _FIXED + 2 * width)
        self._tell(ip_address(header[_FIXED : _FIXED + width]), port)
        return end

    def _tell(self, ip: IPv4Address | IPv6Address, port: int) -> None:
        ip = getattr(ip, "ipv4_mapped", None) or ip
        name = (str(ip), port) if ip.version == 4 else (str(ip), port, 0, 0)
        self.peer = Address.of_socket(self._scheme, name)


def _unix_path(raw: bytes) -> str | bytes:
    """As the kernel reports one: bytes in the abstract namespace, else text."""
    if raw[:1] == b"\0":
        return raw.rstrip(b"\0")
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _check_tlvs(header: bytes, at: int) -> None:
    """TLVs are passed over, but for a checksum, which is held against the header."""
    while at < len(header):
        if at + 3 > len(header):
            raise ProtocolError("a PROXY header ends within a TLV")
        kind, length = struct.unpack_from("!BH", header, at)
        if at + 3 + length > len(header):
            raise ProtocolError("a PROXY header ends within a TLV")
        if kind == _CRC32C:
            if length != 4:
                raise ProtocolError("the checksum of a PROXY header has not four bytes")
            told = header[at + 3 : at + 7]
            if crc32c(header[: at + 3] + b"\0\0\0\0" + header[at + 7 :]) != int.from_bytes(told, "big"):
                raise ProtocolError("the checksum of a PROXY header is wrong")
        at += 3 + length


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (RFC 3385), which the standard library lacks."""
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


@cache
def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


class ProxyProtocol:
    """Which connections begin with a PROXY header: ``server.proxy_protocol = ProxyProtocol(["10.0.0.0/8"])``.

    ``trusted``: the networks of the proxies (as ``Admission`` has them; ``unix`` is a word, too); who is in
    none of them is refused. ``on``: the addresses for which it is on, where it is not all. Raises
    ``ConfigError``.
    """

    def __init__(self, trusted: Sequence[str], *, on: Sequence[str | Address] = ()) -> None:
        if isinstance(trusted, str) or not trusted:
            raise ConfigError('proxy_protocol: name the networks of the proxies, as in ["10.0.0.0/8", "::1"]')
        try:
            self._trusted = Networks(trusted)
        except ConfigError as error:
            raise ConfigError(f"proxy_protocol: {error}") from None
        self._named = tuple(trusted)
        self.on = tuple(Address.parse(each) for each in on)
        self._last_log = -inf

    def covers(self, local: Address | None) -> bool:
        """Whether it is on at this address of a listener."""
        return not self.on or (local is not None and any(_same_place(each, local) for each in self.on))

    def expect(
        self, accepted: Transport, refused: Callable[[], object], told: Callable[[Transport], object]
    ) -> ToldTransport | None:
        """The transport whose header is to be read, as its handshake; ``told`` is called with it when that
        has been done. ``None``: its peer is not trusted. ``refused()`` is called for every refusal."""

        def refuse(transport: Transport, why: str) -> None:
            refused()
            now = monotonic()
            if now - self._last_log >= _LOG_PAUSE:
                self._last_log = now
                log.warning("refused %s: %s", transport.peer, why)

        peer = accepted.peer
        if peer is None or not self._trusted.covers(ip_of(peer), local_kind(peer)):
            refuse(accepted, "it is no trusted proxy, and the PROXY protocol is on here")
            return None
        return ToldTransport(accepted, refuse, told)

    def __repr__(self) -> str:
        return f"<ProxyProtocol from {', '.join(self._named)}>"


def _same_place(asked: Address, real: Address) -> bool:
    """An address as it was asked for, and the one where something listens: port 0 has become another."""
    if asked.port == 0:
        return (asked.scheme, asked.host) == (real.scheme, real.host)
    return (asked.scheme, asked.host, asked.port, asked.path) == (
        real.scheme, real.host, real.port, real.path,
    )  # fmt: skip


class ToldTransport(SocketTransport):
    """An accepted socket whose peer is told by a PROXY header: reading that is its handshake.

    ``told(transport)`` is called when the peer is known; what it raises ends the connection. ``refused``
    with the reason why there is no header that could be believed.
    """

    __slots__ = ("_reader", "_refused", "_told", "handshaking")

    def __init__(
        self,
        accepted: Transport,
        refused: Callable[[Transport, str], object],
        told: Callable[[Transport], object],
    ) -> None:
        if not isinstance(accepted, SocketTransport):
            raise ConfigError(f"{accepted.local}: the PROXY protocol needs a TCP or Unix socket")
        super().__init__(accepted.sock, accepted.peer, accepted.local)
        self.handshaking = True
        self._told: Callable[[Transport], object] | None = told
        local = accepted.local
        on_ip = local is not None and local.transport in ("tcp", "tls")
        self._reader = HeaderReader(local.scheme if local is not None and on_ip else "tcp")
        self._refused = refused

    def handshake(self) -> int:
        while self.handshaking:
            try:
                data = self.sock.recv(LONGEST, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                return READ
            except OSError as error:
                raise lost(error, "reading the PROXY header", self.peer) from error
            self._take(data)
        return 0

    def recv(self, size: int) -> bytes | None:
        # TLS above reads on by itself while it is shaking hands.
        return None if self.handshaking and self.handshake() else super().recv(size)

    def _take(self, data: bytes) -> None:
        try:
            if not data:
                raise ProtocolError("the connection ended before its PROXY header")
            count = self._reader.feed(data)
        except ProtocolError as error:
            self._refused(self, str(error))
            raise ConnectionLost(f"{self.peer} was refused: {error}") from None
        # What was peeked at belongs to the header, up to here: a poller that is told of bytes that wait
        # would tell of them for ever.
        self.sock.recv(count)
        if not self._reader.done:
            return
        self.handshaking = False
        if self._reader.peer is not None:
            self.peer = self._reader.peer
        told, self._told = self._told, None
        if told is not None:
            told(self)

    def close(self) -> None:
        self._told = None  # it may know the connection that has this transport: no circle
        super().close()
