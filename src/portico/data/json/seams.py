"""Where one part of an array or object probably ends and another begins, by what stood there before.

What is found may stand inside of a part, or of a string in it. That it does not shows when all up to it is
valid, taken as an array or object.
"""

from __future__ import annotations

import re

__all__ = ["Seam", "seam_of_elements", "seam_of_members"]

_OPENING = re.compile(r'\{[ \t\n\r]*"[^"\\]{1,100}"[ \t\n\r]*:|[{\["]')


class Seam:
    """What is found again: ``comma`` tells where the comma is, from its beginning; ``None``: before the key
    in which it begins."""

    __slots__ = ("_comma", "_text")

    def __init__(self, text: str, comma: int | None) -> None:
        self._text = text
        self._comma = comma

    def last(self, window: str, start: int, end: int) -> int:
        """The comma of the last one there; -1: there is none."""
        found = window.rfind(self._text, start, end)
        if found < 0:
            return -1
        if self._comma is not None:
            return found + self._comma
        key = window.rfind('"', start, found)
        return window.rfind(",", start, key) if key > 0 else -1


def seam_of_elements(window: str, last: int, comma: int, at: int) -> Seam | None:
    """Of two elements in an array, of which the first ends at ``last`` and the second begins at ``at``: the
    end of the first and the beginning of the second, with the first key in it."""
    opening = _OPENING.match(window, at)
    if last == 0 or window[last - 1] not in '}]"':
        return Seam(window[comma:at], 0)
    return Seam(window[last - 1 : opening.end()], comma - last + 1) if opening is not None else None


def seam_of_members(window: str, comma: int, key: int, at: int) -> Seam:
    """Of two values in an object, of which the second has a key that begins at ``key``: keys differ, so it
    begins with the quote that ends one."""
    opening = _OPENING.match(window, at)
    if opening is None:
        return Seam(window[comma : key + 1], 0)
    return Seam(window[window.rfind('"', key, at) : opening.end()], None)
