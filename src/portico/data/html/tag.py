"""A tag, whole or in pieces: its name and its attributes (HTML standard, 13.2.5.6 to 40)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from portico.data.html.lexis import ATTRIBUTES, lower, unescape_value
from portico.errors import LimitExceeded

__all__ = ["TagInPieces", "attributes_in", "check_number", "check_size", "named", "too_deep"]

_SPACE = re.compile(r"[\t\n\f\r ]*+")
_BETWEEN = re.compile(r"[\t\n\f\r /]*+")
_TAG_NAME = re.compile(r"[^\t\n\f\r />]*+")
_NAME = re.compile(r"[^\t\n\f\r />=]*+")
_UNQUOTED = re.compile(r"[^\t\n\f\r >]*+")
_SHORT = 40
"""Names below this are remembered."""


def named(name: str) -> str:
    """The name of an element or attribute, as the tag means it."""
    return _lowered(name) if len(name) < _SHORT else _lowered.__wrapped__(name)


@lru_cache(1024)
def _lowered(name: str) -> str:
    return lower(name).replace("\0", "\ufffd")


def attributes_in(text: str, most: int, source: str) -> dict[str, str]:
    """The attributes of a tag, from all that is between its name and its end. Raises ``LimitExceeded`` for
    more than ``most``."""
    attributes: dict[str, str] = {}
    if text:
        if len(text) > most:  # else there are fewer, for each takes a character
            check_number(sum(1 for _ in ATTRIBUTES.finditer(text)), most, source)
        for name, quoted, single, bare in ATTRIBUTES.findall(text):
            _add(attributes, name, quoted or single or bare)
    return attributes


def check_number(number: int, most: int, source: str) -> None:
    """Raises ``LimitExceeded`` for a tag with more than ``most`` attributes."""
    if number > most:
        raise LimitExceeded(f"{source}: a tag of more than {most} attributes", "html_attributes", 413)


def check_size(size: int, most: int, source: str) -> None:
    """Raises ``LimitExceeded`` for a token of more than ``most`` characters."""
    if size > most:
        raise LimitExceeded(f"{source}: a tag or comment of more than {most} characters", "html_token", 413)


def too_deep(most: int, source: str) -> LimitExceeded:
    """The error for more than ``most`` elements within elements, where no tree is made."""
    return LimitExceeded(f"{source}: more than {most} elements within elements", "html_depth", 413)


class TagInPieces:
    """A tag that comes in pieces. ``ends``: whether it is an end tag, whose ``name`` has the slash, too.
    ``slash``: whether one stands before its ``>``. ``done``: all of it has come. ``most``: characters,
    ``attributes``: how many there may be."""

    def __init__(self, ends: bool, most: int, attributes: int, source: str) -> None:
        self.name = ""
        self.attributes: dict[str, str] = {}
        self.slash = False
        self.done = False
        self._state: Callable[[str, int], int] = self._tag_name
        self._parts = ["/"] if ends else []
        self._attribute = ""
        self._quote = ""
        self._size = 0
        self._most = most
        self._most_attributes = attributes
        self._count = 0
        self._source = source

    def take(self, text: str, at: int) -> int:
        """Read on at a place in a text. How far it came: to its end, or to that of the text."""
        while at < len(text) and not self.done:
            at = self._state(text, at)
        return at

    def _tag_name(self, text: str, at: int) -> int:
        at = self._keep(_TAG_NAME, text, at)
        if at < len(text):
            self.name, self._state = named("".join(self._parts)), self._between
        return at

    def _between(self, text: str, at: int) -> int:
        begin, at = at, _end(_BETWEEN, text, at)
        if at > begin:
            self.slash = text[at - 1] == "/"
        if at == len(text):
            return at
        if text[at] == ">":
            self.done = True
            return at + 1
        self._state, self._parts, self.slash = self._attribute_name, [text[at]], False
        return at + 1

    def _attribute_name(self, text: str, at: int) -> int:
        at = self._keep(_NAME, text, at)
        if at < len(text):
            self._attribute, self._state = "".join(self._parts), self._after_name
        return at

    def _after_name(self, text: str, at: int) -> int:
        at = _end(_SPACE, text, at)
        if at == len(text):
            return at
        if text[at] != "=":
            return self._finish("", at)
        self._state, self._parts = self._before_value, []
        return at + 1

    def _before_value(self, text: str, at: int) -> int:
        at = _end(_SPACE, text, at)
        if at == len(text):
            return at
        if text[at] == ">":
            return self._finish("", at)
        if text[at] in "\"'":
            self._quote, self._state = text[at], self._quoted
            return at + 1
        self._state = self._unquoted
        return at

    def _quoted(self, text: str, at: int) -> int:
        end = text.find(self._quote, at)
        self._hold(text, at, len(text) if end < 0 else end)
        return len(text) if end < 0 else self._finish("".join(self._parts), end + 1)

    def _unquoted(self, text: str, at: int) -> int:
        at = self._keep(_UNQUOTED, text, at)
        return self._finish("".join(self._parts), at) if at < len(text) else at

    def _finish(self, value: str, at: int) -> int:
        self._count += 1
        check_number(self._count, self._most_attributes, self._source)
        _add(self.attributes, self._attribute, value)
        self._state = self._between
        return at

    def _keep(self, pattern: re.Pattern[str], text: str, at: int) -> int:
        end = _end(pattern, text, at)
        self._hold(text, at, end)
        return end

    def _hold(self, text: str, at: int, end: int) -> None:
        self._parts.append(text[at:end])
        self._size += end - at
        check_size(self._size, self._most, self._source)


def _add(attributes: dict[str, str], name: str, value: str) -> None:
    name = named(name)
    if name not in attributes:  # the first one counts
        attributes[name] = value if value.isalnum() else unescape_value(value.replace("\0", "\ufffd"))


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
