"""CSV from anywhere: rows, dicts and typed records while they arrive, and all of them back.

::

    for row in records("prices.csv.gz", type=Price):
        ...
    write(rows, "prices.csv")

The dialect is found by looking, unless it is told; memory does not grow with the source; what is wrong is
told with its line and column, or collected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, wraps
from typing import Any, Literal, TypeVar, Unpack, overload

from portico.data.csv.dialect import EXCEL, TSV, UNIX, Dialect
from portico.data.csv.header import Duplicates, Ragged, check_choice
from portico.data.csv.plan import Plan, Types, read_records
from portico.data.csv.reading import Options, Reading
from portico.data.csv.sniffing import SAMPLE, dialect_of
from portico.data.csv.writing import Quoting, Writing
from portico.data.sinks import Sink, sink
from portico.data.sources import Source, source

__all__ = [
    "EXCEL",
    "TSV",
    "UNIX",
    "Dialect",
    "dialect_of",
    "read_csv",
    "read_tsv",
    "records",
    "rows",
    "sniff",
    "write",
    "write_csv",
    "write_tsv",
]

T = TypeVar("T")


def rows(
    what: Any,
    *,
    header: bool = False,
    ragged: Ragged = "keep",
    empty_lines: bool = False,
    **options: Unpack[Options],
) -> Iterator[list[str]]:
    """Records of anything that ``source`` takes, as lists of text.

    ``header``: leave out the first. ``ragged``: what is done where one has fewer or more fields than the
    first: ``"keep"`` it as it is, ``"fill"`` up what is missing with empty fields, or an ``"error"``.
    ``empty_lines``: empty lines, and those of comments, are empty lists; else they are left out.

    ``options``, of ``source`` and these: ``dialect``: a ``Dialect``, or the name of one (``excel``, ``unix``,
    ``tsv``); ``delimiter``, ``quote`` (``""``: nothing is quoted), ``escape``, ``comment``: parts of it,
    which go before all. With neither a dialect nor a delimiter, it is found by looking (``sniff``),
    for which 65,536 characters are waited for.
    ``skip``: lines before the data. ``strict=False``: text after a closing quote belongs to the field.
    ``on_error``: a list that errors are appended to, or a function they are told to, while the record is left
    out; ``"raise"``.

    Raises ``DataError`` with line and column, ``LimitExceeded`` (``csv_field``, ``csv_record``,
    ``csv_columns``), ``ConfigError``, and what ``source`` does.
    """
    check_choice("ragged", ragged, ("keep", "fill", "error"))
    return _rows(Reading(what, **options), header, ragged, empty_lines)


def _rows(reading: Reading, header: bool, ragged: Ragged, empty_lines: bool) -> Iterator[list[str]]:
    most, width = 0, None
    reading.goes_on, reading.at_once = not header, True
    try:
        for batch in reading.batches():
            if width is not None and ragged == "keep" and all(batch) and max(map(len, batch)) <= most:
                yield from batch
                continue
            for reading.at, row in enumerate(batch):
                if len(row) > most:
                    reading.check_width(row)
                    most = len(row)
                if not row:
                    if empty_lines:
                        yield row
                    continue
                if width is None:
                    width = len(row)
                    reading.goes_on = True
                    if header:
                        continue
                if ragged != "keep" and len(row) != width:
                    if ragged == "error" or len(row) > width:
                        reading.fault(f"{len(row)} fields, where the first record has {width}", width + 1)
                        continue
                    row.extend([""] * (width - len(row)))
                yield row
    finally:
        reading.close()


@overload
def records(
    what: Any,
    *,
    type: type[T],
    header: bool | Sequence[str] = True,
    ragged: Ragged = "error",
    duplicates: Duplicates = "number",
    rename: Mapping[str, str] | None = None,
    convert: Mapping[str, Callable[[str], Any]] | None = None,
    decimal: Literal[".", ","] = ".",
    **options: Unpack[Options],
) -> Iterator[T]: ...
@overload
def records(
    what: Any,
    *,
    type: None = None,
    types: Types | None = None,
    header: bool | Sequence[str] = True,
    ragged: Ragged = "error",
    duplicates: Duplicates = "number",
    rename: Mapping[str, str] | None = None,
    convert: Mapping[str, Callable[[str], Any]] | None = None,
    decimal: Literal[".", ","] = ".",
    **options: Unpack[Options],
) -> Iterator[dict[str, Any]]: ...
def records(
    what: Any,
    *,
    type: type[Any] | None = None,  # noqa: A002
    types: Types | None = None,
    header: bool | Sequence[str] = True,
    ragged: Ragged = "error",
    duplicates: Duplicates = "number",
    rename: Mapping[str, str] | None = None,
    convert: Mapping[str, Callable[[str], Any]] | None = None,
    decimal: Literal[".", ","] = ".",
    **options: Unpack[Options],
) -> Iterator[Any]:
    """Records of anything that ``source`` takes, as dicts, or as instances of ``type``.

    ``header``: the first record names the columns; ``False``: they are ``column_1`` and so on, or the fields
    of ``type`` in their order; names: these, and there is no header. Of several columns ``a``, the second is
    ``a_2`` (``duplicates="error"``: a ``DataError``); one without a name is ``column_3``, but at the end of
    the header it is none: fields there must be empty. ``rename``: new names for columns.

    ``ragged``: a record with more or fewer fields than the header is an ``"error"``, the default, for no
    reading of it can be trusted; ``"fill"``: those that are missing are ``None`` (empty, where types are
    asked for), more are an error; ``"keep"``: the same, and those too many are called as columns without a
    name are, ``column_4`` (dropped, where types are asked for). Empty lines are left out.

    ``type``: a dataclass, a ``msgspec.Struct`` or a ``NamedTuple``, whose fields are ``str``, ``int``,
    ``float``, ``bool``, ``Decimal``, ``date``, ``datetime``, ``time`` (ISO 8601), ``UUID``, ``bytes``, an
    ``Enum`` (by value or name), a ``Literal``, or one of these ``| None``, which an empty field is. Columns
    that no field is called like are left out; a field with a default needs no column. ``types``: the same for
    single columns of dicts, or ``"auto"``: as the first 1000 records suggest, if every value of a column
    agrees; numbers that begin with a zero stay text, what is empty is ``None``. ``convert``: functions for
    fields or columns, which raise ``ValueError``. ``decimal=","``: of floats and decimals.

    ``options`` and what is raised: as for ``rows``.
    """
    plan = Plan(header, type, types, ragged, duplicates, rename or {}, convert or {}, decimal)
    return read_records(Reading(what, **options), plan)


def sniff(what: Any, **opening: Any) -> Dialect:
    """The dialect of anything that ``source`` takes, by its beginning, which stays in a ``Source``."""
    opened = source(what, **opening)
    try:
        beginning = opened.peek(4 * SAMPLE)  # no character has more bytes
        return dialect_of(beginning.decode(opened.charset("text/csv"), "replace").removeprefix("\ufeff"))
    finally:
        if opened is not what:
            opened.close()


@wraps(records, assigned=(), updated=())
def read_csv(source: Source, **options: Any) -> Iterator[Any]:
    """The reader of the format ``csv``: ``records``."""
    return records(source, **options)


@wraps(records, assigned=(), updated=())
def read_tsv(source: Source, **options: Any) -> Iterator[Any]:
    """The reader of the format ``tsv``: ``records`` with tabs between fields."""
    if options.get("dialect") is None:
        options.setdefault("delimiter", "\t")
    return records(source, **options)


def write(
    records: Iterable[Any],
    where: Any,
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
    packing: str | None = None,
) -> None:
    """Write records to anything that ``sink`` takes: all of them, or a file is left as it was.

    ``records``: lists or tuples; or dicts, dataclasses, Structs, named tuples, all of one kind. ``header``:
    the columns and their order; without it they are those of the first dict, or the fields; ``False``: none
    is written. ``missing`` keys of a dict, and ``extra`` ones: an ``"error"``, or they are ``"empty"``, and
    ``"drop"`` them.

    ``dialect`` (``excel``, ``unix``, ``tsv``; else ``excel``) and its parts: as for ``rows``. ``quoting``:
    ``"minimal"``, ``"all"``, ``"nonnumeric"``, ``"none"``, which takes an ``escape``. ``None`` is empty,
    floats have all their digits, dates are in ISO 8601, lists and dicts are JSON. ``escape_formulas``: an
    apostrophe goes before text that a spreadsheet would take for a formula (OWASP, CSV Injection): for files
    that hold what strangers wrote and that people open in one. ``encoding``: ``utf-8-sig`` lets old Excel see
    UTF-8.

    Raises ``DataError`` that names a record which cannot be written, ``OSError``, ``ConfigError``.
    """
    writing = Writing(
        dialect=dialect,
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        line_end=line_end,
        quoting=quoting,
        header=header,
        missing=missing,
        extra=extra,
        escape_formulas=escape_formulas,
        encoding=encoding,
    )
    with sink(where, packing=packing) as out:
        _written(writing, records, out)


def _written(writing: Writing, records: Iterable[Any], out: Sink) -> None:
    out.gathered = partial(writing.taken, out.name)
    try:
        for piece in writing.pieces(records, out.name, out.due if out.awaited else None):
            out.write(piece)
    finally:
        out.gathered = None


@wraps(write, assigned=(), updated=())
def write_csv(records: Iterable[Any], sink: Sink, **options: Any) -> None:
    """The writer of the format ``csv``: as ``write``, but the sink stays open."""
    _written(Writing(**options), records, sink)


@wraps(write, assigned=(), updated=())
def write_tsv(records: Iterable[Any], sink: Sink, **options: Any) -> None:
    """The writer of the format ``tsv``: as ``write_csv``, with tabs between fields."""
    write_csv(records, sink, **{"dialect": TSV, **options})
