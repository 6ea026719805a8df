"""Tables as rows, by the standard's algorithm for forming a table (4.9.12): spans are resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from portico.data.columns import Duplicates, distinct
from portico.data.html.plaintext import text_of
from portico.errors import DataError, LimitExceeded
from portico.limits import Limits

__all__ = ["Cell", "Table", "table_of"]

_CELLS = frozenset(("td", "th"))
_made = tuple.__new__
"""A ``Cell`` of a tuple: twice as fast as by its own constructor."""
_COLUMNS_SPANNED = 1000
_ROWS_SPANNED = 65534
_DIGITS = re.compile(r"[\t\n\f\r ]*\+?0*([0-9]+)", re.ASCII)


class Cell(NamedTuple):
    """A cell of a table. ``header``: whether it is a ``th``. ``columns`` and ``rows``: how many it spans."""

    text: str
    header: bool = False
    columns: int = 1
    rows: int = 1


@dataclass(slots=True)
class Table:
    """A table. ``cells``: its rows, all of the same length; a cell that spans several slots is in each of
    them, ``None`` is in those that no cell covers. ``caption``: its text. ``headers``: how many rows at the
    top are headers: those of its ``thead``, else those with nothing but ``th`` in them. ``source``: what the
    page is called in errors."""

    cells: list[list[Cell | None]] = field(default_factory=list)
    caption: str = ""
    headers: int = 0
    source: str = field(default="", repr=False, compare=False)

    @property
    def rows(self) -> list[list[str]]:
        """The texts of all cells; ``""`` where there is none."""
        return [["" if cell is None else cell.text for cell in row] for row in self.cells]

    def names(self, headers: int | None = None, *, duplicates: Duplicates = "number") -> list[str]:
        """A name for each column: the texts of its header cells, with spaces between; ``column_3`` for one
        that has none; the second ``x`` is ``x_2`` (``duplicates="error"``: a ``DataError``). ``headers``:
        rows at the top to take for headers."""
        count = self.headers if headers is None else headers
        width = max(map(len, self.cells), default=0)
        names = []
        for column in range(width):
            parts: dict[str, None] = {}
            for row in self.cells[:count]:
                cell = row[column]
                if cell is not None and cell.text:
                    parts[" ".join(cell.text.split())] = None
            names.append(" ".join(parts))
        try:
            return distinct(names, duplicates)
        except DataError as error:
            raise DataError(error.reason, self.source) from None

    def records(
        self, headers: int | None = None, *, duplicates: Duplicates = "number"
    ) -> Iterator[dict[str, str]]:
        """Its other rows, by the names of the columns: see ``names``."""
        count = self.headers if headers is None else headers
        names = self.names(count, duplicates=duplicates)
        for row in self.cells[count:]:
            yield {name: "" if cell is None else cell.text for name, cell in zip(names, row, strict=True)}


def table_of(node: Any, limits: Limits, source: str) -> Table:
    """The table that a ``table`` element makes. What a table within a cell has is in that table only. Raises
    ``LimitExceeded`` where spans make too many cells."""
    maker = _Maker(limits.html_cells, source)
    feet = []
    for each in node.iter():
        if each.tag == "caption" and not maker.table.caption:
            maker.table.caption = text_of(each, without="table")
        elif each.tag == "tr":
            maker.row(each)
        elif each.tag == "tfoot":
            feet.append(each)  # it comes last, wherever it is written
        elif each.tag in ("thead", "tbody"):
            maker.group(each)
    for each in feet:
        maker.group(each)
    return maker.finished()


class _Maker:
    def __init__(self, most: int, source: str) -> None:
        self.table = Table(source=source)
        self._most = most
        self._source = source
        self._size = 0
        self._width = 0
        self._growing: dict[int, tuple[Cell, int]] = {}  # by column: a cell, and the rows that it goes on for
        self._heads = 0

    def group(self, node: Any) -> None:
        """The rows of a group, at whose end all cells end."""
        self._growing = {}
        at_top = node.tag == "thead" and self._heads == len(self.table.cells)
        for each in node.iter():
            if each.tag == "tr":
                self.row(each)
        if at_top:
            self._heads = len(self.table.cells)
        self._growing = {}

    def row(self, node: Any) -> None:
        cells, spanning = [], bool(self._growing)
        for each in node.iter():
            name = each.tag
            if name in _CELLS:
                text, given = text_of(each, "table"), each.attributes
                columns, rows = _spans(given) if given else (1, 1)
                spanning = spanning or columns != 1 or rows != 1
                cells.append(_made(Cell, (text, name == "th", columns, rows)))
        if spanning:
            self._span(cells)
        else:
            self._add(cells)

    def _span(self, cells: list[Cell]) -> None:
        """A row with cells in it that go over several columns or rows."""
        slots: dict[int, Cell] = {column: cell for column, (cell, _) in self._growing.items()}
        growing = {column: (cell, left - 1) for column, (cell, left) in self._growing.items() if left > 1}
        column = 0
        for cell in cells:
            while column in slots:
                column += 1
            if cell.columns == cell.rows == 1:
                slots[column] = cell
                column += 1
                continue
            self._count(cell.columns)
            for at in range(column, column + cell.columns):
                if at not in slots:  # where two overlap, the one that was first stays
                    slots[at] = cell
                    if cell.rows > 1:
                        growing[at] = (cell, cell.rows - 1)
            column += cell.columns
        self._growing = growing
        self._add([slots.get(at) for at in range(max(slots, default=-1) + 1)])

    def _add(self, row: Sequence[Cell | None]) -> None:
        self._count(len(row))
        self._width = max(self._width, len(row))
        self.table.cells.append(list(row))

    def finished(self) -> Table:
        table = self.table
        self._size = 0
        self._count(self._width * len(table.cells))
        for row in table.cells:
            row.extend([None] * (self._width - len(row)))
        table.headers = self._heads or _heading_rows(table.cells)
        return table

    def _count(self, cells: int) -> None:
        self._size += cells
        if self._size > self._most:
            raise LimitExceeded(f"{self._source}: a table of more than {self._most} cells", "html_cells", 413)


def _spans(given: Mapping[str, str | None]) -> tuple[int, int]:
    """Over how many columns and rows a cell with these attributes goes."""
    columns = _number(given.get("colspan")) or 1
    rows = _number(given.get("rowspan"))
    return (
        min(columns, _COLUMNS_SPANNED),
        _ROWS_SPANNED if rows == 0 else min(rows or 1, _ROWS_SPANNED),  # none: to the end of its group
    )


def _number(text: str | None) -> int | None:
    """By the rules for non-negative integers (2.3.4.2): what comes after the digits does not count."""
    found = _DIGITS.match(text or "")
    return None if found is None else int(found[1][:9])


def _heading_rows(rows: list[list[Cell | None]]) -> int:
    """How many rows at the top have headers and nothing else in them."""
    for number, row in enumerate(rows):
        filled = [cell for cell in row if cell is not None and (cell.header or cell.text)]
        if not filled or not all(cell.header for cell in filled):
            return number
    return len(rows)
