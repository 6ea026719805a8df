"""What columns are called, and rows that have more or fewer fields than there are columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from portico.data.columns import Duplicates, distinct
from portico.data.csv.reading import Reading
from portico.errors import ConfigError

__all__ = ["Duplicates", "Ragged", "check_choice", "column_names", "fitted"]

Ragged = Literal["error", "fill", "keep"]


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` for an option that is none of its words."""
    if value not in choices:
        raise ConfigError(f"{name}={value!r}: expected {' or '.join(map(repr, choices))}")


def column_names(cells: Sequence[str], duplicates: Duplicates) -> list[str]:
    """Names for the cells of a header: empty ones at its end are no columns, others are ``column_3``, and the
    second ``a`` is ``a_2``. Raises ``ValueError`` for duplicates that are to be an error, and for a header
    without a name."""
    named = list(cells)
    while named and not named[-1].strip():
        named.pop()
    if not named:
        raise ValueError("the header names no column")
    return distinct(named, duplicates)


def fitted(
    reading: Reading, width: int, ragged: Ragged, filler: Any
) -> Callable[[int, list[str]], list[Any] | None]:
    """What makes a row of another width one of ``width`` fields, or reports it: then, and for an empty line,
    there is ``None``. Fields too many that are all empty are none: a delimiter stands at the end of lines."""

    def fit(at: int, row: list[str]) -> list[Any] | None:
        if not row:
            return None
        reading.at = at
        reading.check_width(row)
        if len(row) > width:
            if ragged == "keep" or not any(row[width:]):
                return row[:width]
        elif ragged != "error":
            return row + [filler] * (width - len(row))
        reading.fault(_misfit(len(row), width), min(len(row), width) + 1)
        return None

    return fit


def _misfit(count: int, width: int) -> str:
    more = "more" if count > width else "fewer"
    return f"{count} fields where there are {width} columns, {abs(count - width)} {more} than the header has"
