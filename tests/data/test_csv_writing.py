"""CSV that is written: every kind of record, dialects, and what spreadsheets would run."""

from __future__ import annotations

import csv as standard_csv
import enum
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import write as write_any
from portico.data.csv import TSV, UNIX, Dialect, records, rows, write
from portico.errors import ConfigError, DataError


def written(made: Any, **options: Any) -> str:
    out = io.BytesIO()
    write(made, out, **options)
    return out.getvalue().decode()


@dataclass
class Item:
    name: str
    price: float | None


class Thing(msgspec.Struct, rename="camel"):
    the_name: str
    n: int = 1


class Pair(NamedTuple):
    a: int
    b: str


class Size(enum.Enum):
    SMALL = "s"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([["a", 1], ("b", None)], "a,1\r\nb,\r\n"),
        ([{"x": 1, "y": "b"}, {"y": "c", "x": 2}], "x,y\r\n1,b\r\n2,c\r\n"),
        ([Item("a", 0.1), Item("b", None)], "name,price\r\na,0.1\r\nb,\r\n"),
        ([Thing("a"), Thing("b", 2)], "theName,n\r\na,1\r\nb,2\r\n"),
        ([Pair(1, "x")], "a,b\r\n1,x\r\n"),
        ([], ""),
        ([[]], "\r\n"),
        ([[""], [None]], '""\r\n""\r\n'),
    ],
)
def test_records_of_every_kind(made: Any, expected: str) -> None:
    assert written(made) == expected
    assert written(iter(made)) == expected


def test_headers() -> None:
    made = [{"x": 1, "y": 2}]
    assert written(made, header=["y", "x"]) == "y,x\r\n2,1\r\n"
    assert written(made, header=False) == "1,2\r\n"
    assert written([[1, 2]], header=["a", "b"]) == "a,b\r\n1,2\r\n"
    assert written([], header=["a", "b"]) == "a,b\r\n"
    assert written([Item("a", 1.0)], header=["price"]) == "price\r\n1.0\r\n"


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        ([{"x": 1}, {"y": 1}], {}, r"record 2: it has no 'x'"),
        ([{"x": 1}, {"x": 1, "y": 1}], {}, r"record 2: 'y' is no column"),
        ([{"x": 1}, {"x": 1, "y": None}], {}, r"record 2: 'y' is no column"),
        ([{"x": 1}, {"y": 1}], {"missing": "empty"}, r"record 2: 'y' is no column"),
        ([{"x": 1}, [1]], {}, r"record 2: a list among dicts"),
        ([[1], {"x": 1}], {}, r"record 2: a dict among lists"),
        ([[1, 2], [1]], {"header": ["a", "b"]}, r"record 2: 1 fields, and 2 in the header"),
        ([Item("a", 1), {"name": 1}], {}, r"record 2: a dict among Item"),
        ([Item("a", 1)], {"header": ["size"]}, r"Item has no field 'size'"),
        (["abc"], {}, r"a str is no record"),
        ([[b"\xff"]], {}, r"record 1: 'utf-8' codec"),
        ([["a,b"]], {"quote": ""}, r"record 1: need to escape"),
        ([["ä"]], {"encoding": "ascii"}, r"'ä' cannot be written in ascii"),
        ([["\ud800"]], {}, r"cannot be written in utf-8"),
    ],
)
def test_what_cannot_be_written_is_told_and_leaves_nothing(
    made: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    with pytest.raises(DataError, match=message):
        write(made, path, **options)
    assert list(tmp_path.iterdir()) == []


def test_missing_and_further_keys_by_choice() -> None:
    made = [{"x": 1, "y": 2}, {"x": None, "z": 3}]
    assert written(made, missing="empty", extra="drop") == "x,y\r\n1,2\r\n,\r\n"


def test_values_are_written_so_that_they_can_be_read_back() -> None:
    values = [
        0.1 + 0.2,
        1e300,
        True,
        None,
        Decimal("1.10"),
        date(2024, 2, 29),
        datetime(2024, 1, 1, 12, 30, tzinfo=UTC),
        time(12, 30),
        Size.SMALL,
        UUID(int=5),
        b"\xc3\xa4",
        [1, {"a": "ä"}],
        10**40,
    ]
    (found,) = rows(written([values]).encode(), delimiter=",")
    assert found == [
        "0.30000000000000004",
        "1e+300",
        "true",
        "",
        "1.10",
        "2024-02-29",
        "2024-01-01T12:30:00+00:00",
        "12:30:00",
        "s",
        "00000000-0000-0000-0000-000000000005",
        "ä",
        '[1,{"a":"ä"}]',
        str(10**40),
    ]


def test_typed_records_come_back() -> None:
    made = [Item("a", 0.1), Item('b, "c"\n', None), Item("", 1e-9)]
    assert list(records(written(made).encode(), type=Item)) == made


def test_dialects() -> None:
    made = [["a", 'b"c', "d;e", "f\tg"]]
    assert written(made, dialect="unix") == 'a,"b""c",d;e,f\tg\n'
    assert written(made, dialect=TSV) == 'a\t"b""c"\td;e\t"f\tg"\n'
    assert written(made, delimiter=";", line_end="\n") == 'a;"b""c";"d;e";f\tg\n'
    assert written(made, dialect=UNIX, quoting="all") == '"a","b""c","d;e","f\tg"\n'
    assert written([["a", 1, 1.5]], quoting="nonnumeric") == '"a",1,1.5\r\n'
    assert written([["a,b"]], quote="", escape="\\") == "a\\,b\r\n"
    assert written([['a"b']], dialect=Dialect(double_quote=False, escape="\\")) == 'a\\"b\r\n'


@pytest.mark.parametrize("line_end", ["\r\n", "\n", "\r"])
def test_every_end_of_a_line_in_a_field_is_quoted(line_end: str) -> None:
    made = [["a\rb", "c\nd", "e\r\nf"], ["\r", "\n", ""]]
    text = written(made, line_end=line_end)
    assert list(rows(text.encode(), delimiter=",")) == made


@pytest.mark.parametrize("dialect", [Dialect(comment="#"), Dialect(skip_initial_space=True)])
def test_what_the_dialect_would_drop_is_quoted(dialect: Dialect) -> None:
    made = [["#a", " b"], [" c", "#d"]]
    assert list(rows(written(made, dialect=dialect).encode(), dialect=dialect)) == made


def test_a_first_field_that_looks_like_what_tells_the_delimiter_is_data() -> None:
    assert list(rows(written([["sep=;"], ["x"]]).encode(), delimiter=",")) == [["sep=;"], ["x"]]


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "=cmd|' /C calc'!A0",
    "-",
    "+a",
]
HARMLESS = ["-5", "+5", "-1.5", "-1,5", "1-1", "a=b", "", "-1e5", "'=1"]


def test_formulas_get_an_apostrophe_where_that_is_asked_for() -> None:
    made = [[value, "x"] for value in FORMULAS + HARMLESS]
    text = written(made, escape_formulas=True)
    assert [row[0] for row in rows(text.encode(), delimiter=",")] == [
        f"'{each}" for each in FORMULAS
    ] + HARMLESS
    assert written([[-5, -1.5, Decimal(-1)]], escape_formulas=True) == "-5,-1.5,'-1\r\n".replace("'", "")
    assert written([{"=1": 2}], escape_formulas=True) == "'=1\r\n2\r\n"
    assert written([["=1"]]) == "=1\r\n"


def test_encodings() -> None:
    out = io.BytesIO()
    write([["ä"]] * 1500, out, encoding="utf-8-sig")
    assert out.getvalue() == ("ä\r\n" * 1500).encode("utf-8-sig")
    out = io.BytesIO()
    write([["ä"]] * 1500, out, encoding="utf-16")
    assert list(rows(out.getvalue())) == [["ä"]] * 1500
    text = io.StringIO()
    write([["ä"]], text)
    assert text.getvalue() == "ä\r\n"


def test_files_appear_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    write([{"a": n} for n in range(2000)], path)
    assert gzip.decompress(path.read_bytes()).split() == [b"a", *(b"%d" % n for n in range(2000))]

    def failing() -> Iterator[list[int]]:
        yield from ([n] for n in range(2000))
        raise KeyError("in between")

    before = path.read_bytes()
    with pytest.raises(KeyError):
        write(failing(), path)
    assert path.read_bytes() == before


def test_by_the_name_of_the_format(tmp_path: Path) -> None:
    write_any([{"a": 1, "b": "x\ty"}], tmp_path / "x.tsv")
    assert (tmp_path / "x.tsv").read_bytes() == b'a\tb\n1\t"x\ty"\n'
    write_any([{"a": 1}], tmp_path / "x.csv", quoting="all")
    assert (tmp_path / "x.csv").read_bytes() == b'"a"\r\n"1"\r\n'


def test_as_the_csv_module_writes() -> None:
    made = [["a", 'b"c', "d,e", "f\r\ng", "", None, 1.5, -3]] * 1200
    text = io.StringIO(newline="")
    standard_csv.writer(text).writerows(made)
    assert written(made) == text.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"quoting": "some"},
        {"missing": "x"},
        {"extra": "x"},
        {"header": "abc"},
        {"encoding": "x"},
        {"dialect": "x"},
        {"line_end": "x"},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write([], tmp_path / "x.csv", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_a_field_as_json_is_json(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("before")
    deep: list[Any] = []
    for _ in range(600):
        deep = [deep]
    loop: list[Any] = []
    loop.append(loop)
    bad = ((deep, "too deep"), (loop, "Circular"), ([float("nan")], "float"), ({1: [10**5000]}, "digits"))
    for value, reason in bad:
        with pytest.raises(DataError, match=reason) as caught:
            write([["a"], [value]], file)
        assert caught.value.path == "record 2"
        assert file.read_text() == "before"


FIELDS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.text(",;\t\"'\r\n =+#\0a", max_size=6)
)


TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width), max_size=5)
)
VALUES = st.tuples(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
    st.booleans(),
    st.dates(),
    st.datetimes().map(lambda one: one.replace(fold=0)),
    st.decimals(allow_nan=False, allow_infinity=False),
)


@given(
    TABLES,
    st.sampled_from(["excel", "unix", "tsv"]),
    st.sampled_from(["minimal", "all", "nonnumeric"]),
    st.sampled_from([None, ";", "|", " "]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_texts_come_back_in_every_dialect(
    table: list[list[str]], dialect: str, quoting: Any, delimiter: str | None, encoding: str
) -> None:
    out = io.BytesIO()
    write(table, out, dialect=dialect, quoting=quoting, delimiter=delimiter, encoding=encoding)
    options: dict[str, Any] = {"dialect": dialect, "delimiter": delimiter, "encoding": encoding}
    assert list(rows(out.getvalue(), packing="identity", **options)) == table


@given(st.lists(VALUES, max_size=4))
def test_values_come_back_by_their_types(values: list[tuple[Any, ...]]) -> None:
    out = io.BytesIO()
    names = ["f", "i", "b", "d", "t", "n"]
    write(values, out, header=names)
    types = dict(zip(names, (float, int, bool, date, datetime, Decimal), strict=True))
    found = list(records(out.getvalue(), types=types, packing="identity"))
    assert [repr(tuple(each.values())) for each in found] == [repr(each) for each in values]
