"""How long others may keep a file: Cache-Control by its path, or by a name that tells its content."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import translate

from portico.errors import ConfigError

__all__ = ["IMMUTABLE", "CacheRules", "is_hashed"]

IMMUTABLE = "public, max-age=31536000, immutable"
"""For what never changes under its name (RFC 8246): a year, which is as good as for ever."""

_PIECE = re.compile(rb"[.\-_]([0-9A-Za-z]{8,64})(?=[.\-_])")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


class CacheRules:
    """Cache-Control for files by glob; the first that fits decides.

    A pattern with a slash is held against the path below the root (``assets/*``, where ``*`` crosses
    slashes), another against the name (``*.css``); an empty value says nothing. A plain string holds for
    every file. With ``immutable``, names that carry a hash come before all rules. Raises ``ConfigError``.
    """

    def __init__(self, cache: str | Mapping[str, str], *, immutable: bool = False) -> None:
        rules = {"*": cache} if isinstance(cache, str) else cache
        self._rules = [_rule(pattern, value) for pattern, value in rules.items()] if cache else []
        self._immutable = immutable

    def of(self, parts: list[bytes], name: bytes) -> str:
        """What is said about a file; ``""``: nothing."""
        if self._immutable and is_hashed(name):
            return IMMUTABLE
        for by_path, pattern, value in self._rules:
            if pattern.match(b"/".join(parts) if by_path else name):
                return value
        return ""


def is_hashed(name: bytes) -> bool:
    """Whether a build tool put a hash of the content into a file's name, as in ``app.3f9a1c7e.js``.

    At least eight letters and digits between separators: hexadecimal with both, or else a digit, a small
    and a capital letter. A date, a version or a word is no hash; a hash that looks like one needs a rule.
    """
    return any(map(_looks_random, _PIECE.findall(name)))


def _looks_random(piece: bytes) -> bool:
    digits = any(48 <= byte <= 57 for byte in piece)
    if not digits or piece.isdigit():
        return False
    if not piece.strip(b"0123456789abcdef"):
        return True
    return piece != piece.lower() and piece != piece.upper()


def _rule(pattern: str, value: str) -> tuple[bool, re.Pattern[bytes], str]:
    if not pattern.strip("/"):
        raise ConfigError(f"static cache: {pattern!r} is no pattern; write it like '*.css' or 'assets/*'")
    if not _VALUE.fullmatch(value):
        raise ConfigError(f"static cache: {value!r} cannot be sent as Cache-Control for {pattern!r}")
    glob = translate(os.fsencode(pattern.lstrip("/")).decode("latin-1"))
    return "/" in pattern, re.compile(glob.encode("latin-1")), value
