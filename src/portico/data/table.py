"""Records as a table for people: on a terminal fitted to its width, elsewhere plain text."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import inf
from numbers import Number
from time import monotonic
from typing import Any

from portico.data.shown import fields_of, shown
from portico.data.sinks import Sink
from portico.data.table_cells import cut, harmless, padded, width_of
from portico.errors import ConfigError

__all__ = ["write_table"]

_BATCH = 200
"""Records by which the columns and their widths are told; more of them would keep the first ones waiting."""
_SHOWN = 0.5
"""Seconds after which those are shown that have come, where a person waits."""
_GAP = "  "
_NARROWEST = 3
"""A column is not made narrower than this: the terminal breaks the lines then."""
_WIDEST = 200
"""Elsewhere than on a terminal: what is longer in a cell moves what comes after it."""
_BOLD, _NORMAL = "\x1b[1m", "\x1b[0m"


def write_table(
    records: Iterable[Any],
    out: Sink,
    *,
    fields: Sequence[str] | None = None,
    width: int | None = None,
) -> None:
    """Write records as a table, some hundred at a time: the whole is never held.

    Columns are as wide as the first 200 records need; on a terminal no wider together than it is, or than
    ``width`` characters, and what does not fit ends in ``…``. Numbers stand to the right. Where records with
    other fields begin, so does another table. Characters that steer a terminal are written as ``\\x1b``.

    ``fields``: the columns, in place of those that the records have. Raises ``ConfigError`` for a width that
    is no positive number.
    """
    if width is not None and width < 1:
        raise ConfigError(f"width={width}: expected a number of characters")
    if width is None and out.terminal:
        width = shutil.get_terminal_size().columns
    bold = out.terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    layout: _Layout | None = None
    for batch in _batches(map(fields_of, records), _SHOWN if out.terminal else inf):
        names = (
            list(fields)
            if fields is not None
            else list(dict.fromkeys(name for each in batch for name in each))
        )
        rows = [[record.get(name) for name in names] for record in batch]
        if layout is None or not set(names) <= set(layout.names):
            if layout is not None:
                out.write("\n")
            layout = _Layout(names, rows, width, bold)
            out.write(layout.head())
        else:
            rows = [[record.get(name) for name in layout.names] for record in batch]
        for row in rows:
            out.write(layout.line(row))
        if out.terminal:
            out.flush()


def _batches(records: Iterator[dict[str, Any]], patience: float) -> Iterator[list[dict[str, Any]]]:
    """Some records, as many as come within some seconds."""
    end = monotonic() + patience
    batch: list[dict[str, Any]] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH or monotonic() > end:
            yield batch
            batch = []
            end = monotonic() + patience
    if batch:
        yield batch


class _Layout:
    """How wide each column is, and which of them are of numbers."""

    def __init__(self, names: list[str], rows: list[list[Any]], width: int | None, bold: bool) -> None:
        self.names = names
        self._labels = [harmless(name) for name in names]
        self._bold = bold
        self._numbers = [_are_numbers(row[at] for row in rows) for at in range(len(names))]
        needed = [
            max(chain([width_of(label)], (width_of(harmless(shown(row[at]))) for row in rows)))
            for at, label in enumerate(self._labels)
        ]
        self._fitted = width is not None
        self._widths = [min(each, _WIDEST) for each in needed] if width is None else _fit(needed, width)

    def head(self) -> str:
        """The names of the columns, and a line under them."""
        line = self._joined(self._labels)
        if self._bold and line:
            line = f"{_BOLD}{line}{_NORMAL}"
        rule = "─" if self._fitted else "-"
        return f"{line}\n{_GAP.join(rule * width for width in self._widths)}\n"

    def line(self, row: list[Any]) -> str:
        """One record."""
        return self._joined([harmless(shown(value)) for value in row]) + "\n"

    def _joined(self, texts: list[str]) -> str:
        cells = []
        for text, width, number in zip(texts, self._widths, self._numbers, strict=True):
            cells.append(padded(cut(text, width) if self._fitted else text, width, right=number))
        return _GAP.join(cells).rstrip(" ")


def _are_numbers(values: Iterable[Any]) -> bool:
    """Whether all that is there are numbers, or texts of such."""
    given = [value for value in values if value not in (None, "")]
    return bool(given) and all(_is_number(value) for value in given)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return value.isascii() and any(map(str.isdigit, value))
    return isinstance(value, Number)


def _fit(needed: list[int], most: int) -> list[int]:
    """Widths that are no more together than ``most``, gaps among them: the wide columns give way."""
    widths = list(needed)
    room = max(most - len(_GAP) * (len(widths) - 1), len(widths) * _NARROWEST)
    if sum(widths) <= room:
        return widths
    order = sorted(range(len(widths)), key=needed.__getitem__)
    for place, column in enumerate(order):  # the narrow ones get what they need, the others the same
        widths[column] = min(needed[column], max(room // (len(order) - place), _NARROWEST))
        room -= widths[column]
    return widths
