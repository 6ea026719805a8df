"""What may stand for a host, and the one way to write each.

Two spellings of one host must be equal, and no spelling may mean one host here and another in the next
program: ``0177.1`` is 127.0.0.1 for some C libraries and a name for others, so it is refused.

Names outside ASCII become A-labels by IDNA 2008 with the mapping of UTS #46, as in browsers and curl.
The standard library knows only IDNA 2003, which sends ``faß.de`` to ``fass.de``: another domain, perhaps
with another owner.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from portico.errors import AddressError

__all__ = ["canonical_host", "canonical_ipv6", "is_literal"]

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?", re.ASCII)
"""Letters, digits, hyphen (RFC 1123, 2.1), and the underscore, which real names inside networks have."""
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_ZONE = re.compile(r"[0-9A-Za-z._~-]{1,15}", re.ASCII)
"""An interface's name or number; Linux keeps 15 bytes (``IFNAMSIZ``)."""


def canonical_host(text: str) -> str:
    """The one spelling of a host: an IP literal without brackets, or a name in lower-case ASCII.

    An IPv6 address that only wraps an IPv4 one (``::ffff:1.2.3.4``) becomes that, so that no list of
    addresses has to name both. Raises ``AddressError`` saying what is wrong with the host.
    """
    if ":" in text:
        return canonical_ipv6(text)
    if text.isascii():
        return _ascii(text, text.lower())
    return _ascii(text, _to_ascii(text))


def is_literal(host: str) -> bool:
    """Whether a canonical host is an IP address. (No name ends in a number: those are refused.)"""
    return ":" in host or host.rpartition(".")[2].isdigit()


def canonical_ipv6(text: str) -> str:
    """The spelling of RFC 5952 for an IPv6 literal without brackets, with its zone after ``%``."""
    bare, percent, zone = text.partition("%")
    try:
        address = IPv6Address(bare)
    except AddressValueError:
        raise AddressError(f"{text!r} is no IPv6 address") from None
    if not percent:
        return _ipv6_text(address)
    if address.ipv4_mapped is not None or not _ZONE.fullmatch(_unescaped(zone)):
        raise AddressError(f"{zone!r} is no interface for {bare}")
    return f"{_ipv6_text(address)}%{_unescaped(zone)}"


def _unescaped(zone: str) -> str:
    """RFC 6874 wrote the percent sign of a zone as ``%25``; everybody else writes it plainly."""
    return zone[2:] if zone.startswith("25") and len(zone) > 2 else zone


def _ipv6_text(address: IPv6Address) -> str:
    """As ``inet_ntop`` writes it, which sockets report: Python versions differ on embedded IPv4."""
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    value = int(address)
    if 0xFFFF < value <= 0xFFFFFFFF:
        return f"::{IPv4Address(value)}"
    return address.compressed


def _ascii(text: str, host: str) -> str:
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(text, host)
    if len(host) > 254 or len(host.removesuffix(".")) > 253:
        raise AddressError(f"the host name is {len(host)} characters long; 253 are allowed")
    for label in labels:
        if len(label) > 63:
            raise AddressError(f"the label {label[:20]!r}… of the host name is longer than 63 characters")
        if not _LABEL.fullmatch(label):
            raise AddressError(f"{text!r} is no host name" + _hint(text))
    return host


def _ipv4(text: str, host: str) -> str:
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        raise AddressError(
            f"{text!r} is no IPv4 address: four numbers from 0 to 255, without leading zeros"
        ) from None


def _hint(text: str) -> str:
    if text == "*":
        return " (leave the host empty for every interface)"
    if not text or ".." in text or text.startswith("."):
        return " (a part between its dots is empty)"
    if any(character.isspace() for character in text):
        return " (it contains white space)"
    return ""


def _encoded(idna: Any, text: str) -> str:
    """By IDNA 2008; and by the URL standard, as browsers have it, where there are symbols such as emoji."""
    try:
        return str(idna.encode(text, uts46=True), "ascii")
    except idna.InvalidCodepoint:
        # What is left is valid by UTS 46, or refused with its name.
        labels = idna.uts46_remap(text, std3_rules=False).split(".")
    coded = [_symbols(idna, label) for label in labels]
    if any(len(label) > 63 for label in coded):
        raise idna.IDNAError("a part between its dots is too long")
    return ".".join(coded)


_JOINERS = "\u200c\u200d"


def _symbols(idna: Any, label: str) -> str:
    if label.isascii():
        return label
    try:
        return str(idna.alabel(label), "ascii")
    except idna.InvalidCodepoint:
        idna.check_initial_combiner(label)
        idna.check_hyphen_ok(label)
        idna.check_bidi(label)
        if any(each in _JOINERS and not idna.valid_contextj(label, at) for at, each in enumerate(label)):
            raise idna.IDNAError("an invisible joiner where none belongs") from None
        return "xn--" + label.encode("punycode").decode("ascii")


def _to_ascii(text: str) -> str:
    if len(text) > 254:
        raise AddressError(f"the host name is {len(text)} characters long; 253 are allowed")
    import idna  # most programs never meet such a name, and its tables are large

    try:
        host = _encoded(idna, text)
    except idna.IDNAError as error:
        raise AddressError(f"{text!r} is no host name: {error}") from None
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        raise AddressError(f"{text!r} is no host name: write an IP address in plain digits")
    return host
