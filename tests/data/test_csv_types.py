"""CSV: records of types."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional
from uuid import UUID

import msgspec
import pytest

from portico.data.csv import records
from portico.errors import ConfigError, DataError


class Colour(enum.Enum):
    RED = "r"
    GREEN = 2


Metres = NewType("Metres", float)


@dataclass
class Everything:
    i: int
    f: float
    b: bool
    d: Decimal
    day: date
    when: datetime
    at: time
    o: int | None
    s: str | None
    c: Colour
    l: Literal["x", 3]  # noqa: E741
    u: UUID
    m: Metres
    raw: bytes
    t: str
    old: Optional[float] = None  # noqa: UP045


HEAD = b"i,f,b,d,day,when,at,o,s,c,l,u,m,raw,t,old\n"
ROW = (
    b"-1,1e3,yes,0.10,2024-02-29,2024-01-01T12:30:00Z,12:30,,,2,3,"
    b"12345678-1234-5678-1234-567812345678,1.5,\xc3\xa4,,2\n"
)


def test_every_type() -> None:
    (found,) = records(HEAD + ROW, type=Everything, delimiter=",")
    assert found == Everything(
        -1, 1000.0, True, Decimal("0.10"), date(2024, 2, 29), datetime(2024, 1, 1, 12, 30, tzinfo=UTC),
        time(12, 30), None, None, Colour.GREEN, 3, UUID("12345678-1234-5678-1234-567812345678"),
        Metres(1.5), b"\xc3\xa4", "", 2.0,
    )  # fmt: skip
    assert str(found.d) == "0.10"


class Point(msgspec.Struct):
    x: int
    y: float = 0.5


class Renamed(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    first_name: str
    how_many: Annotated[int, msgspec.Meta(ge=0, le=9)] = 1


class Pair(NamedTuple):
    a: int
    b: str = "none"


@dataclass(slots=True, frozen=True, kw_only=True)
class Keyed:
    a: int
    b: list[int] = field(default_factory=list, init=False)
    c: str = "c"


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (Point, b"x,y\n1,2\n", Point(1, 2.0)),
        (Point, b"z,x\n9,1\n", Point(1, 0.5)),
        (Renamed, b"howMany,firstName\n3,Anna\n", Renamed(first_name="Anna", how_many=3)),
        (Pair, b"b,a\nx,1\n", Pair(1, "x")),
        (Pair, b"a,c\n1,x\n", Pair(1)),
        (Keyed, b"c,a\nx,1\n", Keyed(a=1, c="x")),
    ],
)
def test_structs_tuples_and_classes(kind: Any, data: bytes, expected: Any) -> None:
    assert list(records(data, type=kind)) == [expected]


@dataclass
class Gap:
    a: int
    b: int = 2
    c: int = 3


def test_a_column_that_is_not_there_keeps_its_default() -> None:
    assert list(records(b"a,c\n1,9\n", type=Gap)) == [Gap(1, 2, 9)]
    with pytest.raises(DataError, match=r"line 1: no column is called 'a' \(there are 'b', 'c'\)"):
        list(records(b"b,c\n1,9\n", type=Gap))


def test_without_a_header_fields_are_in_their_order() -> None:
    assert list(records(b"1,2,3\n", type=Gap, header=False)) == [Gap(1, 2, 3)]
    assert list(records(b"3,1\n", type=Gap, header=["c", "a"])) == [Gap(1, 2, 3)]
    assert list(records(b"The A,c\n1,3\n", type=Gap, rename={"The A": "a"})) == [Gap(1, 2, 3)]


BAD = {
    "int": ("i", ["", "x", "1.0", "1_000", "0x1", "1e3", "9" * 5000]),
    "float": ("f", ["", "x", "1,5", "1_0.0", "1.2.3"]),
    "bool": ("b", ["", "2", "maybe", "truely"]),
    "Decimal": ("d", ["", "x", "1_0", "1,5"]),
    "date": ("day", ["", "2024-02-30", "2024-13-01", "1.2.2024", "x"]),
    "datetime": ("when", ["", "2024-01-01T25:00", "noon"]),
    "time": ("at", ["", "25:00"]),
    "int or empty": ("o", ["x", " "]),
    "Colour": ("c", ["", "b", "red"]),
    "Literal['x', 3]": ("l", ["", "y", "03"]),
    "UUID": ("u", ["", "x", "1234"]),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_value_is_told_with_its_place(what: str) -> None:
    names = HEAD.decode().strip().split(",")
    column, values = BAD[what]
    for value in values:
        cells = ROW.decode().strip().split(",")
        cells[names.index(column)] = f'"{value}"'
        data = HEAD + ROW + ",".join(cells).encode() + b"\n" + ROW
        with pytest.raises(DataError) as caught:
            list(records(data, type=Everything, delimiter=","))
        error = caught.value
        assert (error.line, error.column) == (3, names.index(column) + 1)
        assert error.reason.startswith(f"{column}: ")
        assert f"is no {what}" in error.reason
        assert len(error.reason) < 150


def test_bounds_of_a_struct_are_checked() -> None:
    with pytest.raises(DataError, match=r"line 2, column 2: howMany: '10' is no int \(Expected `int` <= 9"):
        list(records(b"firstName,howMany\nx,10\n", type=Renamed))


@dataclass
class Even:
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError(f"{self.n} is odd")


def test_what_a_class_refuses_is_told_and_collected() -> None:
    errors: list[DataError] = []
    assert list(records(b"n\n2\n3\nx\n4\n", type=Even, on_error=errors)) == [Even(2), Even(4)]
    assert [str(error) for error in errors] == [
        "the bytes, line 3: 3 is odd",
        "the bytes, line 4, column 1: n: 'x' is no int",
    ]


def test_lines_are_those_of_the_file_whatever_is_in_quotes() -> None:
    data = b'n,t\r\n1,"a\r\nb"\r\n\r\n2,"c\nd\re"\r\nx,"f\r\ng"\r\n'
    errors: list[DataError] = []
    list(records(data, types={"n": int}, on_error=errors))
    assert [error.line for error in errors] == [8]


def test_rows_of_another_width() -> None:
    @dataclass
    class Two:
        a: int
        b: int | None

    data = b"a,b\n1\n2,3\n4,5,6\n"
    assert list(records(b"a,b\n1\n", type=Two, ragged="fill")) == [Two(1, None)]
    assert list(records(data, type=Two, ragged="keep")) == [Two(1, None), Two(2, 3), Two(4, 5)]
    with pytest.raises(DataError, match="1 fewer"):
        list(records(data, type=Two))


def test_decimal_commas() -> None:
    @dataclass
    class Price:
        net: float
        tax: Decimal | None

    data = b"net;tax\n1,5;0,30\n2;\n"
    assert list(records(data, type=Price, decimal=",")) == [Price(1.5, Decimal("0.30")), Price(2.0, None)]
    with pytest.raises(DataError, match=r"net: '1\.5' is no float"):
        list(records(b"net;tax\n1.5;1\n", type=Price, decimal=","))


def test_functions_of_the_caller() -> None:
    @dataclass
    class Tagged:
        tags: list[str]
        n: int = 0

    data = b"tags,n\na b,1\n,2\n"
    found = list(records(data, type=Tagged, convert={"tags": str.split}))
    assert found == [Tagged(["a", "b"], 1), Tagged([], 2)]
    assert list(records(data, convert={"n": float})) == [{"tags": "a b", "n": 1.0}, {"tags": "", "n": 2.0}]
    with pytest.raises(DataError, match="line 2, column 1: tags: 'a b' is no float"):
        list(records(data, convert={"tags": float}))
    with pytest.raises(DataError, match="no column is called 'x'"):
        list(records(data, convert={"x": float}))


@pytest.mark.parametrize("kind", [list[int], int | str, dict, complex, int | str | None])
def test_types_that_no_text_is_of_are_refused_at_once(kind: Any) -> None:
    made = msgspec.defstruct("Made", [("a", kind)])
    with pytest.raises(ConfigError, match=r"Made\.a: "):
        records("/no/such/file", type=made)


def test_types_of_single_columns() -> None:
    assert list(records(b"a,b,c\n1,2,\n", types={"a": int, "c": float | None})) == [
        {"a": 1, "b": "2", "c": None}
    ]
    with pytest.raises(ConfigError):
        records(b"", types={"a": int}, type=Point)  # type: ignore[call-overload]
    with pytest.raises(ConfigError):
        records("/no/such/file", types={"a": complex})


@pytest.mark.parametrize("width", [1, 199, 200, 201, 3000])
def test_tables_of_any_width(width: int) -> None:
    data = ",".join(f"c{n}" for n in range(width)) + "\n" + ",".join(map(str, range(width))) + "\n"
    last = f"c{width - 1}"
    (found,) = records(data.encode(), delimiter=",", types="auto")
    assert found == {f"c{n}": n for n in range(width)}
    (found,) = records(data.encode(), delimiter=",", types={last: float})
    assert found[last] == float(width - 1)
    assert width == 1 or found["c0"] == "0"
    kind = msgspec.defstruct("Wide", [(last, int)])
    assert list(records(data.encode(), delimiter=",", type=kind)) == [kind(width - 1)]
    bad = f"{data}{',' * (width - 1)}x\n".encode()
    for options in ({"types": {last: int}}, {"type": kind}):
        with pytest.raises(DataError, match=f"line 3, column {width}: {last}: 'x' is no int"):
            list(records(bad, delimiter=",", **options))  # type: ignore[call-overload]


def test_names_that_are_huge() -> None:
    data = b"a" * 100_000 + b",b\n1,2\n"
    assert list(records(data, types="auto")) == [{"a" * 100_000: 1, "b": 2}]
    assert list(records(data)) == [{"a" * 100_000: "1", "b": "2"}]


# -- guessing


def guess(*values: str) -> list[Any]:
    data = "x,n\n" + "".join(f'"{value}",{n}\n' for n, value in enumerate(values))
    return [record["x"] for record in records(data.encode(), delimiter=",", types="auto")]


def test_types_are_guessed_where_all_values_agree() -> None:
    assert guess("1", "-2", "0") == [1, -2, 0]
    assert guess("1", "2.5", "1e3", "") == [1.0, 2.5, 1000.0, None]
    assert guess("2024-01-01", "") == [date(2024, 1, 1), None]
    assert guess("2024-01-01 10:00", "2024-01-01T10:00:00Z") == [
        datetime(2024, 1, 1, 10, 0),  # noqa: DTZ001
        datetime(2024, 1, 1, 10, 0, tzinfo=UTC),
    ]
    assert guess("true", "False", "") == [True, False, None]


def test_decimal_commas_are_guessed_where_they_are_asked_for() -> None:
    data = b"a;b;c\n1,5;1.5;2\n2;2,5;3\n"
    assert next(records(data, types="auto", decimal=",")) == {"a": 1.5, "b": "1.5", "c": 2}
    assert next(records(data, types="auto")) == {"a": "1,5", "b": "1.5", "c": 2}


def test_what_only_looks_like_a_number_stays_text() -> None:
    for values in (
        ("007", "12"),
        ("+49", "+1"),
        ("1", "2", "x"),
        ("1_000",),
        ("nan", "1"),
        ("inf",),
        ("1,5",),
        (" 1",),
        ("٣",),
        ("9" * 30,),
        ("2024-02-30",),
        ("1.", "2."),
        (".5",),
        ("", ""),
        ("0x10",),
        ("2024-W01-1",),
    ):
        assert guess(*values) == list(values)


def test_what_comes_later_and_is_no_such_value_is_an_error() -> None:
    data = b"a\n" + b"1\n" * 1500 + b"x\n2\n"
    errors: list[DataError] = []
    assert len(list(records(data, types="auto", on_error=errors))) == 1501
    assert [str(error) for error in errors] == [
        "the bytes, line 1502, column 1: a: 'x' is no int or empty",
    ]


def test_lines_of_errors_among_the_sampled_are_right() -> None:
    errors: list[DataError] = []
    data = b'a,b\n1,"x\ny"\n2\n3,z\n4,"q"x\n5,6,7\n'
    assert len(list(records(data, types="auto", on_error=errors))) == 2
    assert sorted(error.line or 0 for error in errors) == [4, 6, 7]


def test_nan_is_a_float_where_one_is_asked_for() -> None:
    (found,) = records(b"x,y\n1,nan\n", type=Point)
    assert math.isnan(found.y)


def test_a_number_that_no_float_holds_stays_text() -> None:
    assert list(records(b"a,b\n1e400,1e300\n", types="auto")) == [{"a": "1e400", "b": 1e300}]
    assert list(records(b"a,b\ninf,NaN\n", types="auto")) == [{"a": "inf", "b": "NaN"}]
