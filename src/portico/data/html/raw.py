"""Where raw text ends: that of a script, a style, a title (HTML standard, 13.2.5.2 to 5 and 15 to 31)."""

from __future__ import annotations

import re
from functools import cache

__all__ = ["RawText"]

_HELD = 12
"""Characters at the end of a piece that may be the beginning of ``</textarea``, the longest of its kind."""


class RawText:
    """The text of an element, ``name``. ``references``: whether those to characters count in it."""

    def __init__(self, name: str) -> None:
        self.references = name in ("title", "textarea")
        self._name = name
        self._level = 0  # of a script: 1 in what looks like a comment, 2 in a script within that

    def find(self, text: str, at: int, *, final: bool) -> tuple[int, bool]:
        """How far its text goes, and whether that is its end."""
        if self._name == "plaintext":
            return len(text), False
        while True:
            mark = _marks(self._name, self._level).search(text, at)
            if mark is None:
                break
            if mark[0].startswith("</") and self._level < 2:
                return mark.start(), True
            self._level = _LEVELS[mark[0].lower(), self._level]
            at = mark.start() + 2 if mark[0] == "<!--" else mark.end()  # the dashes may be those of an end
        if final:
            return len(text), False
        begin = max(at, len(text) - _HELD)
        held = min(
            (place for place in (text.find("<", begin), text.find("-", begin)) if place >= 0), default=-1
        )
        return (len(text) if held < 0 else held), False


_LEVELS = {
    ("<!--", 0): 1,
    ("-->", 1): 0,
    ("-->", 2): 0,
    ("<script", 1): 2,
    ("</script", 2): 1,
}


@cache
def _marks(name: str, level: int) -> re.Pattern[str]:
    end = rf"</{name}(?=[\t\n\f\r />])"
    if name == "script":
        end += ("|<!--", r"|-->|<script(?=[\t\n\f\r />])", "|-->")[level]
    return re.compile(end, re.IGNORECASE | re.ASCII)
