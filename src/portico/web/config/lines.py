"""Where in a TOML file each key stands: ``tomllib`` tells no positions.

The text is known to be right, for ``tomllib`` has read it: this only follows its shape, and so it is short.
"""

from __future__ import annotations

import re
from bisect import bisect_right

__all__ = ["Lines", "Path"]

Path = tuple[str | int, ...]
"""Keys and places in lists, from the root: ``("mount", 0, "path")``."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}#\n]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|' r"'''.*?'{3,5}|" r'"(?:\\.|[^"\\])*"|' r"'[^']*'", re.DOTALL
)  # up to two quotes may stand right before the three that end a long string
_SIMPLE_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")


class Lines:
    """The lines of a text's keys, tables and list items."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._places: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}  # of the tables in each list of tables
        self._at = 0
        self._read()

    def of(self, path: Path) -> int:
        """The line of a key, or of the nearest table around it; 0 for what nothing is written about."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                return bisect_right(self._starts, self._places[path[:length]])
        return 0

    def _read(self) -> None:
        table: Path = ()
        while self._skip_blank() < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._pair(table)

    def _skip_blank(self) -> int:
        self._at = self._after(_BLANK)
        return self._at

    def _after(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        return self._at if found is None else found.end()

    def _header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]``: the table that what follows belongs to."""
        start, many = self._at, self._text.startswith("[[", self._at)
        self._at += 1 + many
        names = self._names()
        self._at += 1 + many
        path: Path = ()
        for name in names[:-1]:
            path = self._latest((*path, name))
        path = (*path, names[-1])
        if many:
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            self._places.setdefault(path, start)
            path = (*path, number)
        self._places[path] = start
        return path

    def _latest(self, path: Path) -> Path:
        """A list of tables stands for the last of them."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, table: Path) -> Path:
        start, path = self._at, table
        for name in self._names():
            path = (*path, name)
            self._places.setdefault(path, start)
        self._at = self._after(_SPACE) + 1  # the equals sign
        self._value(path)
        return table

    def _names(self) -> list[str]:
        names = []
        while True:
            self._at = self._after(_SPACE)
            start = self._at
            if self._text[start] in "\"'":
                self._at = self._after(_STRING)
                names.append(_unquoted(self._text[start : self._at]))
            else:
                self._at = self._after(_BARE)
                names.append(self._text[start : self._at])
            self._at = self._after(_SPACE)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _value(self, path: Path) -> None:
        self._at = self._after(_SPACE)
        first = self._text[self._at]
        if first == "[":
            self._items(path)
        elif first == "{":
            self._inline(path)
        else:
            self._at = self._after(_STRING if first in "\"'" else _PLAIN)

    def _items(self, path: Path) -> None:
        self._at += 1
        number = 0
        while self._text[self._skip_blank()] != "]":
            self._places[(*path, number)] = self._at
            self._value((*path, number))
            number += 1
            self._comma()
        self._at += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        while self._text[self._skip_blank()] != "}":
            self._pair(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        if self._text[self._skip_blank()] == ",":
            self._at += 1


def _unquoted(text: str) -> str:
    if text[0] == "'":
        return text[1:-1]
    return _ESCAPE.sub(_escaped, text[1:-1])


def _escaped(found: re.Match[str]) -> str:
    number = found[1] or found[2]
    return chr(int(number, 16)) if number else _SIMPLE_ESCAPES.get(found[3], found[3])
