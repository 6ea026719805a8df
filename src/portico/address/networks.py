"""Sets of networks: which peers a list of addresses means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from portico.address.value import Address
from portico.errors import ConfigError

__all__ = ["IP", "LOCAL", "Networks", "ip_of", "local_kind"]

IP = IPv4Address | IPv6Address
LOCAL = ("unix", "memory")
"""Words for peers of this machine, which have no IP address."""

_MAPPED = 96  # bits of ::ffff:0:0/96, which holds IPv4 (RFC 4291, 2.5.5.2)


def ip_of(address: Address) -> IP | None:
    """The IP address of an endpoint, without its zone, IPv4 wrapped in IPv6 as IPv4; ``None`` without one."""
    return _unwrapped(ip_address(address.host.partition("%")[0])) if address.is_ip else None


def local_kind(address: Address) -> str:
    """Which of ``LOCAL`` an endpoint without IP address is; its transport's name for any other kind."""
    return "unix" if address.transport == "unixgram" else address.transport


class Networks:
    """A set of networks (``10.0.0.0/8``, ``2001:db8::/32``), single addresses and words of ``LOCAL``.

    Asking takes one look-up for each length of prefix, however many networks there are. Raises
    ``ConfigError`` for what is none of these; a network whose address does not end where its prefix ends
    is refused, because one of the two is a slip.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._words: set[str] = set()
        self._prefixes: dict[tuple[int, int], set[int]] = defaultdict(set)
        for entry in entries:
            if entry in LOCAL:
                self._words.add(entry)
            else:
                version, shift, prefix = _read(entry)
                self._prefixes[version, shift].add(prefix)

    def covers(self, ip: IP | None, kind: str) -> bool:
        """Whether a peer is in one of the networks; ``kind`` says what it is when it has no IP address."""
        if ip is None:
            return kind in self._words
        version, value = ip.version, int(ip)
        return any(
            value >> shift in prefixes
            for (its_version, shift), prefixes in self._prefixes.items()
            if its_version == version
        )


def _unwrapped(ip: IP) -> IP:
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return ip if mapped is None else mapped


def _read(entry: str) -> tuple[int, int, int]:
    """Version, bits after the prefix, and the prefix as a number."""
    text, slash, size = str(entry).partition("/")
    try:
        written = ip_address(text)
    except ValueError:
        raise ConfigError(
            f"{entry!r} is no network: write an address or a network, as in 10.0.0.0/8 or 2001:db8::/32, "
            f"or one of the words {', '.join(LOCAL)}"
        ) from None
    if "%" in text:
        raise ConfigError(
            f"{entry!r} has a zone; networks have none: leave out what follows the percent sign"
        )
    length = _length(entry, size, written.max_prefixlen) if slash else written.max_prefixlen
    ip = _unwrapped(written)
    if ip is not written:
        length -= _MAPPED
        if length < 0:
            raise ConfigError(f"{entry!r}: IPv4 within IPv6 needs a prefix of {_MAPPED} bits or more")
    shift = ip.max_prefixlen - length
    prefix = int(ip) >> shift
    if prefix << shift != int(ip):
        right = type(ip)(prefix << shift)
        raise ConfigError(f"{entry!r} is not where a network of {length} bits begins: write {right}/{length}")
    return ip.version, shift, prefix


def _length(entry: str, text: str, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= most:
        return int(text)
    raise ConfigError(f"{entry!r}: expected a number of bits from 0 to {most} after the slash")
