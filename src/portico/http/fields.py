"""Field lines: valid or refused, in one scan by one pattern, then split (RFC 9112, 5).

A table per process keeps single lines of the fields in ``STABLE_FIELDS``, whose values repeat and carry no
secret: what a lookup's time could tell about other clients must be worth nothing. It may not change a
verdict (the tests compare both ways).
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from portico.errors import LimitExceeded, ProtocolError
from portico.http.messages import Fields

__all__ = ["STABLE_FIELDS", "TEXT", "TOKEN", "check_lines", "known_lines", "parse_fields"]

TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN: Final = TOKEN.encode()
_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]"

# Possessive quantifiers: no backtracking, so linear whatever comes.
_LINES: Final = rb"(?:%b++:%b*+\r\n)*+" % (_TOKEN, _TEXT)
_SOME_LINES: Final = re.compile(_LINES)
_FIELDS: Final = re.compile(_LINES + b"\r\n")
TEXT: Final = bytes(byte for byte in range(256) if byte == 0x09 or 0x20 <= byte != 0x7F)
"""What the value of a field may hold: deleting these from it must leave nothing."""

STABLE_FIELDS: Final = frozenset(
    (
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-type",
        "date",
        "dnt",
        "expect",
        "host",
        "origin",
        "pragma",
        "priority",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-gpc",
        "server",
        "te",
        "upgrade-insecure-requests",
        "user-agent",
        "vary",
        "via",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-requested-with",
    )
)
_LINE_LENGTH: Final = 256
_KEPT_LINES: Final = 1024
_NAMES: Final = 1024
_NAME_LENGTH: Final = 64


class _Names(dict[str, str]):
    """Field names as sent, in lower case; bounded."""

    def __missing__(self, name: str) -> str:
        low = name.lower()
        if len(name) <= _NAME_LENGTH and len(self) < _NAMES:
            self[name] = low
        return low


_names: Final = _Names()


class _Lines(dict[str, tuple[str, str]]):
    """Valid header lines, split; a lookup of a missing one splits it, and keeps it if it may."""

    def __missing__(self, line: str) -> tuple[str, str]:
        name, _, value = line.partition(":")
        field = (_names[name], value.strip(" \t"))
        if field[0] in STABLE_FIELDS and len(line) <= _LINE_LENGTH:
            if len(self) >= _KEPT_LINES:
                self.clear()
            self[line] = field
        return field


_lines: Final = _Lines()


def known_lines() -> int:
    """How many lines the table holds."""
    return len(_lines)


def parse_fields(block: bytes, limit: int, memo: bool = True) -> Fields:
    """Split a block of field lines that ends with an empty line.

    Raises ``ProtocolError`` (400), and ``LimitExceeded`` (431) for more than ``limit`` fields.
    """
    if not _FIELDS.fullmatch(block):
        _refuse_fields(block)
    lines = block.decode("latin-1").split("\r\n")
    del lines[-2:]
    if len(lines) > limit:
        raise LimitExceeded(f"more than {limit} header fields", "headers", 431)
    if memo:
        return tuple(map(_lines.__getitem__, lines))
    return tuple(
        [(_names[name], value.strip(" \t")) for name, _, value in [line.partition(":") for line in lines]]
    )


def check_lines(lines: bytes) -> None:
    """Raise ``ProtocolError`` (400) unless these are valid field lines, each with its end."""
    if not _SOME_LINES.fullmatch(lines):
        _refuse_fields(lines + b"\r\n")


def _refuse_fields(block: bytes) -> NoReturn:
    """Say what is wrong with a block of field lines that is not valid."""
    for line in block[:-4].split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            raise ProtocolError("a header line begins with a blank (obsolete folding)")
        if not colon:
            raise ProtocolError("a header line has no colon")
        if name.endswith((b" ", b"\t")):
            raise ProtocolError("a blank stands between a field's name and its colon")
        if not re.fullmatch(b"%b+" % _TOKEN, name):
            raise ProtocolError("a field's name is not a token")
        if not re.fullmatch(b"%b*" % _TEXT, value):
            raise ProtocolError(f"the value of {name[:60].decode()} holds a control character")
    raise ProtocolError("the header section is malformed")
