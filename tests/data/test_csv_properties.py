"""CSV against the csv module, for texts that nobody thought of, in pieces of any size."""

from __future__ import annotations

import csv as standard_csv
import io
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portico.data.csv import Dialect, records, rows, write
from portico.data.csv.lines import Lines, count_lines, split_lines
from portico.errors import DataError, LimitExceeded
from portico.limits import Limits

CHARACTERS = st.text(alphabet="ab ,;\t|'\"\\\r\n#\0é\u2028\x0b\x85€😀=", max_size=12)
FIELDS = st.one_of(CHARACTERS, st.text(max_size=8).filter(lambda text: text.isprintable()))
ROWS = st.lists(st.lists(FIELDS, min_size=1, max_size=5), max_size=8)
CUTS = st.lists(st.integers(1, 7), max_size=20)
DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from(",;\t| "),
    quote=st.sampled_from(['"', "'", "~"]),
    escape=st.none() | st.just("\\"),
    double_quote=st.just(True),
    line_end=st.sampled_from(["\r\n", "\n", "\r"]),
)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for size in cuts:
        yield data[at : at + size]
        at += size
    yield data[at:]


def marked(text: str) -> bool:
    """A mark at the beginning is none of the text; nor is a line that tells the delimiter."""
    return text.startswith("\ufeff") or "sep=" in text


@given(ROWS, DIALECTS, st.sampled_from(["minimal", "all", "nonnumeric"]), CUTS)
@settings(max_examples=300)
def test_what_we_write_we_read_in_any_dialect_and_pieces(
    made: list[list[str]], dialect: Dialect, quoting: Any, cuts: list[int]
) -> None:
    out = io.BytesIO()
    write(made, out, dialect=dialect, quoting=quoting)
    data = out.getvalue()
    if not marked(data.decode()):
        assert list(rows(pieces(data, cuts), dialect=dialect, encoding="utf-8")) == made


@given(ROWS, st.sampled_from(",;\t|"), st.sampled_from(["\r\n", "\n", "\r"]), CUTS)
@settings(max_examples=300)
def test_what_we_escape_we_read_without_quotes(
    made: list[list[str]], delimiter: str, line_end: str, cuts: list[int]
) -> None:
    dialect = Dialect(delimiter=delimiter, quote=None, escape="\\", line_end=line_end)
    made = [row for row in made if row != [""]]  # which takes quotes
    out = io.BytesIO()
    write(made, out, dialect=dialect)
    data = out.getvalue()
    if not marked(data.decode()):
        assert list(rows(pieces(data, cuts), dialect=dialect, encoding="utf-8")) == made


@given(
    ROWS,
    st.sampled_from(",;\t|"),
    st.sampled_from("\"'"),
    st.sampled_from([standard_csv.QUOTE_ALL, standard_csv.QUOTE_MINIMAL, standard_csv.QUOTE_NONNUMERIC]),
    st.booleans(),
    CUTS,
)
@settings(max_examples=300)
def test_what_the_csv_module_writes_we_read(
    made: list[list[str]], delimiter: str, quote: str, quoting: Any, double: bool, cuts: list[int]
) -> None:
    text = io.StringIO(newline="")
    how: dict[str, Any] = {"delimiter": delimiter, "quotechar": quote, "doublequote": double}
    if not double:
        how["escapechar"] = "\\"
    standard_csv.writer(text, quoting=quoting, lineterminator="\r\n", **how).writerows(made)
    dialect = Dialect(delimiter=delimiter, quote=quote, double_quote=double, escape=None if double else "\\")
    if not marked(text.getvalue()):
        found = list(rows(pieces(text.getvalue().encode(), cuts), dialect=dialect, encoding="utf-8"))
        expected = list(standard_csv.reader(io.StringIO(text.getvalue(), newline=""), strict=True, **how))
        assert found == expected
        if double:
            assert found == made


@given(st.text(alphabet='ab,"\r\n \\;\x0b\u2028\0', max_size=60), st.booleans(), CUTS)
@settings(max_examples=500)
def test_any_text_is_read_as_the_csv_module_does_or_refused_where_it_refuses(
    text: str, strict: bool, cuts: list[int]
) -> None:
    found: list[list[str]] | None
    expected: list[list[str]] | None
    place = 1
    if marked(text):
        return
    try:
        found = list(
            rows(
                pieces(text.encode(), cuts), delimiter=",", encoding="utf-8", strict=strict, empty_lines=True
            )
        )
    except DataError as error:
        found, place = None, error.line or 0
    assert 1 <= place <= max(len(split_lines(text)), 1)
    try:
        expected = list(standard_csv.reader(io.StringIO(text, newline=""), strict=strict))
    except standard_csv.Error:
        expected = None
    if found is None and not strict:  # it ends in quotes, which the module lets pass then
        try:
            list(standard_csv.reader(io.StringIO(text, newline=""), strict=True))
        except standard_csv.Error:
            return
    assert found == expected


@given(st.text(alphabet='ab,"\r\n', max_size=60), CUTS)
@settings(max_examples=300)
def test_errors_do_not_depend_on_pieces(text: str, cuts: list[int]) -> None:
    def outcome(what: Any) -> tuple[list[Any], list[str]]:
        errors: list[DataError] = []
        found = list(rows(what, delimiter=",", encoding="utf-8", on_error=errors, name="it"))
        return found, [str(error) for error in errors]

    assert outcome(text.encode()) == outcome(pieces(text.encode(), cuts))


@given(st.text(alphabet="ab\r\n\x0b\u2028\x85", max_size=60), CUTS)
def test_lines_do_not_depend_on_pieces(text: str, cuts: list[int]) -> None:
    def texts() -> Iterator[str]:
        at = 0
        for size in [*cuts, len(text)]:
            if text[at : at + size]:
                yield text[at : at + size]
            at += size

    lines = Lines(texts(), 1 << 20, "it")
    found = []
    for line in lines:
        found.append(line)
        lines.finished += 1
    assert found == split_lines(text) == list(io.StringIO(text, newline=""))
    assert count_lines(text) == len(found)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), FIELDS, min_size=3), min_size=1, max_size=6), CUTS)
def test_dicts_come_back(made: list[dict[str, str]], cuts: list[int]) -> None:
    out = io.BytesIO()
    write(made, out)
    assert list(records(pieces(out.getvalue(), cuts), dialect="excel", encoding="utf-8")) == made


@given(st.binary(max_size=200), CUTS)
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused_in_one_way(data: bytes, cuts: list[int]) -> None:
    for read_it in (rows, records):
        try:
            for _ in read_it(pieces(data, cuts), limits=Limits(csv_field=50, csv_columns=20)):
                pass
        except (DataError, LimitExceeded):
            pass
