r"""Paths with parameters: ``/users/{id:int}/files/{path:path}``.

A pattern is a row of segments. A segment is literal text, or has parameters: ``{name}`` is text without a
slash, ``{name:int}`` a number, ``{name:uuid}`` a UUID; text may stand around them (``{name}.json``). A last
segment ``{name:path}`` takes all that is left, slashes included. Literal text is written as people read it:
``/größe`` fits ``/gr%C3%B6%C3%9Fe``.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

from portico.errors import ConfigError

__all__ = ["Pattern", "Segment", "fits", "split_raw"]

_PARAMETER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SAFE = "-._~!$&'()*+,;=:@"


class _Kind(NamedTuple):
    pattern: str
    convert: Callable[[str], Any]


_KINDS = {
    # A number has one spelling: two paths for one thing confuse caches, and -0 or 007 people.
    "int": _Kind(r"0|-?[1-9][0-9]{0,17}", int),
    "uuid": _Kind(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", UUID),
    "str": _Kind(r".+?", str),
    "path": _Kind(r".+", str),
}
_ORDER = list(_KINDS)
"""The stricter first: that is the order in which they are tried."""
_LONGEST = 255
"""Characters of a segment with two parameters of text, whose matching takes time by their product."""


class Segment:
    """One segment with parameters, or the rest of the path (``rest``). Raises ``ConfigError``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: list[str] = []
        self._kinds: list[str] = []
        self._parts = _PARAMETER.split(text)  # literal, parameter, literal, …
        for parameter in self._parts[1::2]:
            self._add(parameter)
        self.rest = "path" in self._kinds
        self._check()
        expressions = [
            f"({_KINDS[kind].pattern}){re.escape(literal)}"
            for kind, literal in zip(self._kinds, self._parts[2::2], strict=True)
        ]
        self.shape = re.escape(self._parts[0]) + "".join(expressions)
        self._match = re.compile(self.shape, re.DOTALL).fullmatch
        self._longest = _LONGEST if self._kinds.count("str") > 1 else None

    def _add(self, text: str) -> None:
        name, colon, kind = text.partition(":")
        kind = kind if colon else "str"
        if not _NAME.fullmatch(name) or keyword.iskeyword(name):
            raise ConfigError(f"the parameter {{{text}}}: expected a name, as in {{id}} or {{id:int}}")
        if kind not in _KINDS:
            raise ConfigError(f"the parameter {{{text}}}: no kind {kind!r}; there are {', '.join(_KINDS)}")
        self.names.append(name)
        self._kinds.append(kind)

    def _check(self) -> None:
        if self.rest and self._parts[0::2] != ["", ""]:
            raise ConfigError(f"{self.text!r}: a parameter of the kind path has its segment to itself")
        if "" in self._parts[2:-1:2]:
            raise ConfigError(f"{self.text!r}: nothing tells where one parameter ends and the next begins")
        if self._kinds.count("str") > 2:
            raise ConfigError(f"{self.text!r}: one segment can have two parameters of text at most")

    @property
    def rank(self) -> tuple[int, ...]:
        """What is tried first: more literal text, then stricter kinds."""
        return (-len("".join(self._parts[0::2])), *(_ORDER.index(kind) for kind in self._kinds))

    def read(self, text: str) -> list[Any] | None:
        """The values of its parameters in a decoded segment; ``None`` where it does not fit."""
        if self._longest is not None and len(text) > self._longest:
            return None
        found = self._match(text)
        if found is None:
            return None
        return [_KINDS[kind].convert(value) for kind, value in zip(self._kinds, found.groups(), strict=True)]

    def write(self, values: Mapping[str, Any]) -> str:
        """The segment with these values, encoded. Raises ``ConfigError`` for those it would not read."""
        texts = [str(values[name]) for name in self.names]
        plain = self._parts[0] + "".join(
            text + literal for text, literal in zip(texts, self._parts[2::2], strict=True)
        )
        pieces = plain.split("/") if self.rest else [plain]
        if not fits(pieces[:-1] if self.rest and len(pieces) > 1 and not pieces[-1] else pieces):
            raise ConfigError(f"{self.text}: {plain!r} cannot be part of a path")
        if self.read(plain) is None:
            raise ConfigError(f"{self.text}: {plain!r} does not fit")
        return quote(plain, safe=_SAFE + ("/" if self.rest else ""))


def fits(segments: Sequence[str]) -> bool:
    """Whether parameters may stand for these: not for nothing, dots, NUL, and what UTF-8 cannot say."""
    return not any(part in ("", ".", "..") or "\0" in part or _SURROGATE.search(part) for part in segments)


class Pattern:
    """A whole path pattern. Raises ``ConfigError`` for one that cannot be read."""

    def __init__(self, text: str) -> None:
        if not text.startswith("/"):
            raise ConfigError(f"the route {text!r} must begin with a slash, as in /{text}")
        if "?" in text or "#" in text or "%" in text:
            raise ConfigError(f"the route {text!r} is a path as people read it: without ?, # and %")
        self.text = text
        self.segments: list[str | Segment] = [_segment(part, text) for part in text[1:].split("/")]
        if "" in self.segments[:-1]:
            raise ConfigError(f"the route {text!r} has an empty segment")
        places = [
            place for place, part in enumerate(self.segments) if isinstance(part, Segment) and part.rest
        ]
        if places and places != [len(self.segments) - 1]:
            raise ConfigError(f"the route {text!r}: a parameter of the kind path can only stand at the end")
        self.names = [name for part in self.segments if isinstance(part, Segment) for name in part.names]
        if len(set(self.names)) != len(self.names):
            raise ConfigError(f"the route {text!r} has two parameters of one name")

    @classmethod
    def prefix(cls, text: str) -> Pattern:
        """What stands before a path: ``/api``, also written ``/api/``; ``/`` is nothing at all."""
        if text == "/":
            pattern = cls(text)
            pattern.text, pattern.segments = "", []
            return pattern
        return cls(text.rstrip("/") or text)

    def path(self, values: Mapping[str, Any]) -> str:
        """The path with these values. Raises ``ConfigError``."""
        missing = [name for name in self.names if name not in values]
        if missing:
            raise ConfigError(f"the path {self.text} needs {', '.join(missing)}")
        parts = [
            quote(part, safe=_SAFE) if isinstance(part, str) else part.write(values) for part in self.segments
        ]
        return "".join(f"/{part}" for part in parts)

    def __repr__(self) -> str:
        return f"<Pattern {self.text}>"


def _segment(part: str, whole: str) -> str | Segment:
    if part in (".", "..") or ("{" not in part and "}" in part):
        raise ConfigError(f"the route {whole!r} has a segment that nothing can fit: {part!r}")
    if "{" not in part:
        return part
    if "{" in _PARAMETER.sub("", part) or "}" in _PARAMETER.sub("", part):
        raise ConfigError(f"the route {whole!r}: the braces in {part!r} do not fit each other")
    return Segment(part)


def split_raw(raw: str) -> list[str] | None:
    """The segments of an undecoded path that begins with ``/``, each decoded by itself, so that an encoded
    slash stays inside its segment. ``None`` for what no route can fit: broken escapes, bytes that are not
    UTF-8, NUL, and the segments ``.`` and ``..`` in any spelling.
    """
    parts = raw[1:].split("/")
    if "%" in raw or not raw.isascii():
        try:
            parts = [_decoded(part) for part in parts]
        except ValueError:
            return None
    elif "/." not in raw:  # most paths are plain, and need no look at each part
        return parts
    return None if any(part in (".", "..") or "\0" in part for part in parts) else parts


def _decoded(part: str) -> str:
    data = part.encode("latin-1")
    if b"%" in data:
        first, *rest = data.split(b"%")
        data = first + b"".join(bytes([int(_hex(piece[:2]), 16)]) + piece[2:] for piece in rest)
    return data.decode()


def _hex(digits: bytes) -> bytes:
    if len(digits) != 2 or not digits.isalnum():
        raise ValueError("a broken escape")
    return digits
