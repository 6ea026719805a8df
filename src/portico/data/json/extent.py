"""How far a value goes, told while its text arrives, of which no character is looked at twice for it.

Arrays and objects end with the bracket that closes the first one; brackets in strings are none. Whether what
is between is JSON is for others to say: of a text that is valid, this is where the value ends; one that is
not cannot become so by where it is cut.
"""

from __future__ import annotations

import re

from portico.data.json.depth import brackets_of, levels_of

__all__ = ["Extent"]

_BLOCK = 1 << 12
"""Characters whose brackets are counted at once, by C. Only in the last block they are looked at singly."""
_IN_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{\]}]', re.DOTALL)
_WORD = re.compile(r"[-+.0-9A-Za-z]*+")


class Extent:
    """Of a value with this first character. ``feed`` it what follows. ``level``: arrays and objects that are
    open."""

    def __init__(self, first: str) -> None:
        self.level = 1 if first in "[{" else 0
        self._word = first not in '[{"'
        self._quoted = first == '"'
        self._escaped = False

    def feed(self, text: str, at: int = 0) -> int | None:
        """Where the value ends in this text; ``None``: it goes on."""
        if self._word:
            end = _WORD.match(text, at).end()  # type: ignore[union-attr]
            return end if end < len(text) else None
        for start in range(at, len(text), _BLOCK):
            end = self._in_block(text[start : start + _BLOCK])
            if end is not None:
                return start + end
        return None

    def _in_block(self, block: str) -> int | None:
        at = 0
        if self._quoted:
            at = _IN_STRING.match(block, self._escaped).end() + 1  # type: ignore[union-attr]
            self._escaped = at == len(block) and block[-1] == "\\"
            if self._escaped or at > len(block):
                return None
            self._quoted = False
            if not self.level:
                return at
        rest = block[at:]
        brackets, quoted = brackets_of(rest.encode("utf-8", "replace"))
        lowest, last = levels_of(brackets)
        if self.level + lowest <= 0:
            return at + self._closed(rest)
        self.level += last
        self._quoted = quoted
        self._escaped = quoted and (len(rest) - len(rest.rstrip("\\"))) % 2 == 1
        return None

    def _closed(self, rest: str) -> int:
        """Where the bracket is that closes the first one."""
        level = self.level
        for found in _TOKEN.finditer(rest):
            if found[0] in "[{":
                level += 1
            elif found[0] in "]}":
                level -= 1
                if not level:
                    return found.end()
        return len(rest)  # a backslash outside of strings has misled: that is no JSON
