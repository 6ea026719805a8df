"""What types the columns of a CSV file have, by the values at its beginning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from math import isfinite

__all__ = ["SAMPLED", "guessed"]

SAMPLED = 1000
"""Rows by which types are guessed."""

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[-+][0-9]{2}:[0-9]{2})?"
_KINDS: tuple[tuple[type, re.Pattern[str]], ...] = (
    (bool, re.compile("true|false|True|False|TRUE|FALSE")),
    # What begins with a zero, or with a plus, is the number of a house, an article, a telephone.
    (int, re.compile("-?(?:0|[1-9][0-9]{0,17})")),
    # A float keeps fifteen digits: longer numbers are keys.
    (float, re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")),
    (date, re.compile(_DAY)),
    (datetime, re.compile(f"{_DAY}[T ]{_CLOCK}")),
)


_SWAPPED = str.maketrans(",.", ".,")


def guessed(rows: Sequence[Sequence[str]], width: int, decimal: str) -> dict[int, type]:
    """By the number of a column, the type that all its values have; ``decimal`` is the sign in floats. None
    for text, and for a column that is empty."""
    found = {}
    for at in range(width):
        values = {row[at] for row in rows if len(row) == width and row[at]}
        kind = _kind_of(values, decimal)
        if kind is not None:
            found[at] = kind
    return found


def _kind_of(values: set[str], decimal: str) -> type | None:
    if not values:
        return None
    for kind, pattern in _KINDS:
        if kind is float and decimal != ".":
            values = {value.translate(_SWAPPED) for value in values}
        if all(pattern.fullmatch(value) for value in values) and _are(kind, values):
            return kind
    return None


def _are(kind: type, values: set[str]) -> bool:
    """Whether there are such days: 2024-02-30 is as good as text, and so is what a float has no room for."""
    if kind is float:
        return all(isfinite(float(value)) for value in values)
    if not issubclass(kind, date):
        return True
    try:
        for value in values:
            kind.fromisoformat(value)
    except ValueError:
        return False
    return True
