"""Records of a CSV source as lists of text, with the line each begins in, while they arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import Any, TypedDict

from portico.data.csv.dialect import Dialect, chosen
from portico.data.csv.engine import reader
from portico.data.csv.lines import Lines, count_lines, split_lines
from portico.data.csv.sniffing import SAMPLE, announced, dialect_of
from portico.data.faults import Errors, told_of
from portico.data.sources import Progress, Source, source
from portico.errors import ConfigError, DataError, LimitExceeded
from portico.limits import Limits

__all__ = ["Options", "Reading"]

_SEPARATOR = len("sep=;\r\n") + 2
_MARKED = "expected after"
_ENDED = "unexpected end"
_LARGE = "field limit"
_SPARED = 64
"""Tries at several records at once that are left out, at most, where they are in vain: in a file of long
texts, there is a line end in all of them."""
_SEARCHED = 1 << 16
"""Characters of a record in which the place of a fault is looked for."""


class Options(TypedDict, total=False):
    """What ``rows`` and ``records`` take of CSV itself, and of ``source``."""

    dialect: Dialect | str | None
    delimiter: str | None
    quote: str | None
    escape: str | None
    comment: str | None
    skip: int
    strict: bool
    on_error: Errors
    packing: str | None
    member: str | None
    encoding: str | None
    content_type: str
    limits: Limits | None
    progress: Progress | None
    name: str


class Reading:
    """The records of a source. Nothing is opened before the first is asked for; ``close`` what it opened.

    ``goes_on``: whether errors are collected, if that is asked for: one in a header never is, for what comes
    after it would mean nothing. ``replayed``: the line of a record that was taken before.
    """

    def __init__(
        self,
        what: Any,
        *,
        dialect: Dialect | str | None = None,
        delimiter: str | None = None,
        quote: str | None = None,
        escape: str | None = None,
        comment: str | None = None,
        skip: int = 0,
        strict: bool = True,
        on_error: Errors = "raise",
        **opening: Any,
    ) -> None:
        self._parts = {"delimiter": delimiter, "quote": quote, "escape": escape, "comment": comment}
        self._dialect = chosen(dialect, self._parts)
        if skip < 0:
            raise ConfigError(f"skip={skip!r}: expected a number of lines")
        self._skip = skip
        self._strict = strict
        self._told = told_of(on_error)
        self._what = what
        self._opening = opening
        self._source: Source | None = None
        self._lines: Lines | None = None
        self.limits = Limits()
        self.goes_on = False
        self.at_once = False
        self.replayed = 0
        self.at = 0
        self._first = 0
        self._batch: list[list[str]] = []
        self._spared = 0
        self._failed = 0

    @property
    def begins(self) -> int:
        """The line in which the record given last begins, from 1."""
        if self.replayed:
            return self.replayed
        return 0 if self._lines is None else self._first + self.at + 1

    def close(self) -> None:
        """Let go of the source, unless the caller had opened it."""
        if self._source is not None and self._source is not self._what:
            self._source.close()

    def fault(self, reason: str, column: int | None = None) -> None:
        """Raise or collect what is wrong with the record that was given last."""
        error = self.error(reason, column)
        if self._told is None or not self.goes_on:
            raise error
        self._told(error)

    def error(self, reason: str, column: int | None = None) -> DataError:
        """What is wrong with the record that was given last."""
        return DataError(reason, self._named(), line=self.begins, column=column)

    def _named(self) -> str:
        return "" if self._source is None else self._source.name

    def check_width(self, row: list[str]) -> None:
        """Raise ``LimitExceeded`` where the record given last has too many fields."""
        if len(row) > self.limits.csv_columns:
            raise LimitExceeded(
                f"{self._named()}, line {self.begins}: a record of {len(row)} fields, more than "
                f"{self.limits.csv_columns}; pass limits=Limits(csv_columns=…)",
                "csv_columns",
                413,
            )

    def batches(self) -> Iterator[list[list[str]]]:
        """The records in lists. In one of several, each takes up one line; ``at`` is to be the number of that
        which ``begins`` is asked about. Until ``at_once`` is set, each comes alone."""
        lines, dialect = self._opened()
        self._lines = lines
        flow = _blanked(iter(lines), self._skip)
        if dialect.comment:
            flow = _without_comments(flow, dialect.comment, lines)
        if self._skip:
            made, _ = reader(flow, dialect, strict=self._strict, limit=self.limits.csv_field)
            for _ in range(self._skip):
                next(made)
            lines.finished = self._skip
        if self._skip or dialect.comment or dialect.escape or not self._strict:
            # Only strict reading tells of a record that is not all there, and an escape hides its end.
            yield from self._one_by_one(flow, dialect)
            return
        slices = lines.slices()
        while True:
            self._batch = []
            yield from self._one_by_one(self._section(slices, dialect), dialect)
            if not self._batch:
                return
            self._first, self.at = lines.finished, 0
            lines.finished += len(self._batch)
            yield self._batch

    def _section(self, slices: Iterator[list[str]], dialect: Dialect) -> Iterator[str]:
        """Lines, as long as records are to be taken from them one by one. Then ``_batch`` has some that were
        taken at once, or there are no more."""
        assert self._lines is not None
        lines = self._lines
        for each in slices:
            if self.at_once and lines.finished == lines.passed - len(each):
                self._batch = self._at_once(each, dialect)
                if self._batch:
                    return
            yield from each

    def _at_once(self, lines: list[str], dialect: Dialect) -> list[list[str]]:
        """The records of some lines, where each line is one, and nothing is wrong with it; else none. Where
        some were not, as many times are not tried as were in vain before, and one more."""
        if self._spared:
            self._spared -= 1
            return []
        made, unreadable = reader(lines, dialect, strict=True, limit=self.limits.csv_field)
        try:
            rows = list(made)
        except unreadable:
            rows = []
        if len(rows) == len(lines):
            self._failed = 0
            return rows
        self._failed = min(2 * self._failed + 1, _SPARED)
        self._spared = self._failed
        return []

    def _one_by_one(self, flow: Iterator[str], dialect: Dialect) -> Iterator[list[list[str]]]:
        assert self._lines is not None
        lines, before = self._lines, self._lines.finished
        made, unreadable = reader(flow, dialect, strict=self._strict, limit=self.limits.csv_field)
        lenient, going = not self._strict, True
        self._first, self.at = before, 0
        while going:
            going = False
            try:
                for row in made:
                    if lenient and lines.ended:  # it asked for more, and there was none
                        self._unfinished(lines, before + made.line_num, dialect)
                        return
                    yield [row]
                    self._first = lines.finished = before + made.line_num
            except unreadable as error:
                going = True
                self._refused(str(error), lines, before + made.line_num, dialect)
                self._first = lines.finished = before + made.line_num

    # -- opening

    def _opened(self) -> tuple[Lines, Dialect]:
        opened = self._source = source(self._what, **self._opening)
        self.limits = opened.limits
        pieces = opened.text("text/csv")
        sample, pieces = _beginning(pieces, _SEPARATOR if self._dialect else SAMPLE)
        if not self._opening.get("encoding") and _is_utf16(sample):
            raise DataError(
                "every second character is NUL; pass encoding='utf-16-le' or 'utf-16-be'", opened.name
            )
        dialect = self._dialect or self._found(sample)
        if announced(sample) is not None and not (self._dialect and sample.startswith(("'", '"'))):
            self._skip += 1  # in quotes it tells a delimiter to whoever looks for one, else it is a field
        return Lines(pieces, self.limits.csv_record, opened.name), dialect

    def _found(self, sample: str) -> Dialect:
        """By looking; what the caller says of it wins."""
        sample = "".join(split_lines(sample)[self._skip :]) if self._skip else sample
        comment = self._parts["comment"]
        if comment:
            sample = "".join(line for line in split_lines(sample) if not line.startswith(comment))
        found = dialect_of(sample, quote=self._parts["quote"] or None)
        return chosen(found, self._parts) or found

    # -- what is wrong with the text

    def _refused(self, message: str, lines: Lines, last: int, dialect: Dialect) -> None:
        if _LARGE in message:
            raise self._too_large(lines, last, dialect)
        if _ENDED in message:
            self._unfinished(lines, last, dialect)
        elif _MARKED in message:
            column = self._column_of_fault(lines, last, dialect)
            self.fault(
                "text after a closing quote: a quote in a field is written twice; strict=False takes it as "
                "it is, quote='' where nothing is quoted",
                column,
            )
        else:
            self.fault(message)

    def _unfinished(self, lines: Lines, last: int, dialect: Dialect) -> None:
        column, line = self._open_quote(lines, last, dialect)
        (end,) = deque(lines.record(last), maxlen=1)
        if dialect.escape and end.rstrip("\r\n").endswith(dialect.escape):
            return self.fault("it ends after an escape", column)
        return self.fault(
            f"the quote that begins field {column} in line {line} is never closed; "
            "quote='' where nothing is quoted",
            column,
        )

    def _open_quote(self, lines: Lines, last: int, dialect: Dialect) -> tuple[int, int]:
        """Number and line of the field in which line ``last`` ends."""
        record = islice(lines.record(last), last - lines.finished)
        made, _ = reader(record, dialect, strict=False, limit=self.limits.csv_field)
        row = next(made, [""])
        return len(row), last + 1 - max(count_lines(row[-1]), 1)

    def _column_of_fault(self, lines: Lines, last: int, dialect: Dialect) -> int | None:
        """In which field line ``last`` cannot be read; ``None`` where it would take long to find."""
        record = list(islice(lines.record(last), _SEARCHED))
        if last - lines.finished > len(record) or sum(map(len, record)) > _SEARCHED:
            return None
        return _column_of_fault(record, dialect, self.limits.csv_field)

    def _too_large(self, lines: Lines, last: int, dialect: Dialect) -> LimitExceeded:
        limit, where = self.limits.csv_field, ""
        if last - lines.finished > 1:
            column, line = self._open_quote(lines, last - 1, dialect)
            where = f" (field {column}, whose quote begins in line {line}; perhaps it is never closed)"
        return LimitExceeded(
            f"{self._named()}, line {self.begins}: a field of more than {limit} characters{where}; "
            "or pass limits=Limits(csv_field=…)",
            "csv_field",
            413,
        )


def _beginning(pieces: Iterator[str], size: int) -> tuple[str, Iterator[str]]:
    """So many characters at least, if there are, and all pieces again."""
    taken, held = [], 0
    for piece in pieces:
        taken.append(piece)
        held += len(piece)
        if held >= size:
            break
    return "".join(taken)[:size], chain(taken, pieces)


def _is_utf16(text: str) -> bool:
    """Whether it is UTF-16 without a mark, read as something else."""
    return len(text) >= 8 and any(set(text[first:64:2]) == {"\0"} for first in (0, 1))


def _blanked(flow: Iterator[str], count: int) -> Iterator[str]:
    """The first lines become empty ones: a quote in them is nothing, and they count."""
    for _ in range(count):
        next(flow, None)
    return chain(repeat("\n", count), flow) if count else flow


def _without_comments(flow: Iterator[str], comment: str, lines: Lines) -> Iterator[str]:
    """Where a record would begin, a comment is as an empty line; within quotes it is text."""
    for number, line in enumerate(flow):
        yield "\n" if number == lines.finished and line.startswith(comment) else line


def _column_of_fault(record: list[str], dialect: Dialect, limit: int) -> int:
    """In which field the last of a record's lines cannot be read: where a longer beginning of it fails, and a
    shorter one does not."""
    *before, line = record
    good, bad = 0, len(line)
    while bad - good > 1:
        middle = (good + bad) // 2
        if _is_faulty([*before, line[:middle]], dialect, limit):
            bad = middle
        else:
            good = middle
    made, _ = reader([*before, line[:good]], dialect, strict=False, limit=limit)
    return len(next(made, [""]))


def _is_faulty(record: list[str], dialect: Dialect, limit: int) -> bool:
    made, unreadable = reader(record, dialect, strict=True, limit=limit)
    try:
        next(made, None)
    except unreadable as error:
        return _MARKED in str(error)
    return False
