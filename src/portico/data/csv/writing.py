"""Records of any kind as CSV text, in pieces."""

from __future__ import annotations

import codecs
import csv as standard_csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, Literal

from portico.data.csv.dialect import EXCEL, Dialect, chosen
from portico.data.csv.header import check_choice
from portico.data.csv.sniffing import announced
from portico.data.csv.values import cells
from portico.errors import ConfigError, DataError

__all__ = ["Quoting", "Writing"]

Quoting = Literal["minimal", "all", "nonnumeric", "none"]

_QUOTING = {
    "minimal": standard_csv.QUOTE_MINIMAL,
    "all": standard_csv.QUOTE_ALL,
    "nonnumeric": standard_csv.QUOTE_NONNUMERIC,
    "none": standard_csv.QUOTE_NONE,
}
_AT_ONCE = 500
"""Records that become text in one step."""
_END = "\r\n"


class _Written(list[str]):
    """A file for the csv module: each record is an item."""

    write = list.append


class Writing:
    """How records are written. Raises ``ConfigError`` for what cannot work, before anything is written."""

    def __init__(
        self,
        *,
        dialect: Dialect | str | None = None,
        delimiter: str | None = None,
        quote: str | None = None,
        escape: str | None = None,
        line_end: str | None = None,
        quoting: Quoting = "minimal",
        header: bool | Sequence[str] | None = None,
        missing: Literal["error", "empty"] = "error",
        extra: Literal["error", "drop"] = "error",
        escape_formulas: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        check_choice("quoting", quoting, tuple(_QUOTING))
        check_choice("missing", missing, ("error", "empty"))
        check_choice("extra", extra, ("error", "drop"))
        parts = {"delimiter": delimiter, "quote": quote, "escape": escape, "line_end": line_end}
        self._dialect = chosen(dialect or EXCEL, parts) or EXCEL
        self._quoting = self._safe(quoting)
        if isinstance(header, str):
            raise ConfigError(f"header={header!r}: expected True, False or names")
        self._header = header
        self._missing = missing
        self._extra = extra
        self._cells = cells(escape_formulas)
        self._written = _Written()
        self._begun = False
        try:
            self._encoder = codecs.getincrementalencoder(encoding)()
        except LookupError:
            raise ConfigError(f"encoding={encoding!r}: no such character encoding") from None

    def _safe(self, quoting: str) -> str:
        """All is quoted where a space or a comment's mark at the beginning of a field would be lost."""
        dialect = self._dialect
        if dialect.quote is None:
            return "none"
        if quoting != "none" and (dialect.skip_initial_space or dialect.comment):
            return "all"
        return quoting

    def pieces(
        self, records: Iterable[Any], name: str, due: Callable[[], bool] | None = None
    ) -> Iterator[bytes]:
        """The text, in pieces, sooner when ``due()`` is true after a record. Raises ``DataError`` that names
        the record which cannot be written."""
        flow = iter(records)
        beginning = list(islice(flow, 1))
        head, row_of = self._shape(beginning[0] if beginning else None, name)
        writer = self._writer(self._written)
        if head is not None:
            self._write(writer, head, name, "the header")
        numbered = enumerate(chain(beginning, flow), 1)
        more = True
        while more:
            more = False
            for number, record in islice(numbered, _AT_ONCE):
                more = True
                self._write(writer, row_of(record, number), name, f"record {number}")
                if due is not None and due():
                    break
            if piece := self.taken(name):
                yield piece

    def taken(self, name: str) -> bytes:
        """What has become text, and is in no piece yet."""
        written = self._written
        if not written:
            return b""
        if not self._begun:
            self._begun, written[0] = True, self._as_data(written[0])
        text = self._joined(written)
        written.clear()
        return self._encoded(text, name)

    def _write(self, writer: Any, row: list[Any], name: str, path: str) -> None:
        try:
            writer.writerow(self._cells(row))
        except (standard_csv.Error, ValueError) as error:
            raise DataError(str(error), name, path=path) from None

    def _as_data(self, first: str) -> str:
        """A first record that would be read as what tells the delimiter, in quotes, so that it is data."""
        mark = self._dialect.quote
        return f"{mark}{first[:-2]}{mark}{_END}" if mark and announced(first) and first[0] != mark else first

    def _shape(self, first: Any, name: str) -> tuple[list[str] | None, Callable[[Any, int], list[Any]]]:
        """The header that is to be written, and what makes a row of a record, by the kind of the first."""
        given = None if self._header is None or isinstance(self._header, bool) else list(self._header)
        if first is None or (isinstance(first, (list, tuple)) and not hasattr(first, "_fields")):
            return given, partial(_row_of_row, name, None if given is None else len(given))
        if isinstance(first, Mapping):
            names = given or list(first)
            row_of: Callable[[Any, int], list[Any]] = partial(self._row_of_mapping, name, names)
        else:
            fields = attributes(first, name)
            names = given or list(fields)
            unknown = [each for each in names if each not in fields]
            if unknown:
                raise DataError(f"{type(first).__name__} has no field {unknown[0]!r}", name, path="record 1")
            row_of = partial(_row_of_object, name, type(first), [fields[each] for each in names])
        return (None if self._header is False else [str(each) for each in names]), row_of

    def _row_of_mapping(self, name: str, names: list[str], record: Any, number: int) -> list[Any]:
        try:
            row = [record[each] for each in names]
            if len(record) == len(names):
                return row
        except (KeyError, TypeError, IndexError):
            row = self._filled(name, names, record, number)
        more = set(record).difference(names) if self._extra == "error" else ()
        if more:
            raise DataError(
                f"{min(map(repr, more))} is no column; pass header= with all of them, or extra='drop'",
                name,
                path=f"record {number}",
            )
        return row

    def _filled(self, name: str, names: list[str], record: Any, number: int) -> list[Any]:
        if not isinstance(record, Mapping):
            raise DataError(f"a {type(record).__name__} among dicts", name, path=f"record {number}")
        if self._missing == "error":
            lacking = next(each for each in names if each not in record)
            raise DataError(
                f"it has no {lacking!r}; missing='empty' leaves it empty", name, path=f"record {number}"
            )
        return [record.get(each) for each in names]

    def _writer(self, file: Any) -> Any:
        dialect = self._dialect
        how: Any = _QUOTING[self._quoting]
        return standard_csv.writer(
            file,
            delimiter=dialect.delimiter,
            quotechar=dialect.quote,
            escapechar=dialect.escape,
            doublequote=dialect.double_quote,
            quoting=how,
            # Fields that hold characters of the line's end are quoted: it takes both for them all to be.
            lineterminator=_END,
            strict=True,
        )

    def _joined(self, written: list[str]) -> str:
        end = self._dialect.line_end
        return "".join(written) if end == _END else "".join([text[:-2] + end for text in written])

    def _encoded(self, text: str, name: str) -> bytes:
        try:
            return self._encoder.encode(text)
        except UnicodeEncodeError as error:
            what = text[error.start]
            raise DataError(f"{what!r} cannot be written in {error.encoding}", name) from None


def attributes(record: Any, name: str) -> dict[str, str]:
    """The fields of a dataclass, a Struct or a named tuple: attributes by the names of columns."""
    kind = type(record)
    if hasattr(kind, "__struct_fields__"):
        return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    found = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "_fields", None)
    if not found:
        raise DataError(
            f"a {kind.__name__} is no record: expected a dict, a list, a dataclass, a Struct", name
        )
    return {each: each for each in found}


def _row_of_row(name: str, width: int | None, record: Any, number: int) -> list[Any]:
    if not isinstance(record, (list, tuple)):
        raise DataError(f"a {type(record).__name__} among lists", name, path=f"record {number}")
    if width is not None and len(record) != width:
        raise DataError(f"{len(record)} fields, and {width} in the header", name, path=f"record {number}")
    return list(record)


def _row_of_object(name: str, kind: type, fields: list[str], record: Any, number: int) -> list[Any]:
    if not isinstance(record, kind):
        raise DataError(f"a {type(record).__name__} among {kind.__name__}", name, path=f"record {number}")
    return [getattr(record, each) for each in fields]
