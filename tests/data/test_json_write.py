"""Writing JSON: what is written is read again as it was, and what has no JSON is refused by its path."""

from __future__ import annotations

import io
import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import read
from portico.data import write as write_any
from portico.data.json import lines, load, records, write, write_json, write_lines
from portico.data.json.by_hand import by_hand
from portico.errors import DataError
from tests.data.test_json import VALUES, same


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    LARGE = 2


@dataclass
class Inner:
    at: datetime
    data: bytes = b""


@dataclass
class Outer:
    inner: Inner
    price: Decimal
    colors: list[Color] = field(default_factory=list)


class Tagged(msgspec.Struct, tag=True, rename="camel"):
    first_name: str
    value: Any = None


class Row(msgspec.Struct, array_like=True):
    a: Any
    b: Any


@attrs.define
class Thing:
    a: Any


AT = datetime(2026, 1, 2, 3, 4, 5, 600, UTC)
RICH = Outer(Inner(AT, b"\xff\x00"), Decimal("1.10"), [Color.RED, Color.BLUE])
WEST = timezone(timedelta(hours=-5, minutes=-30))
PLAIN = '{"inner":{"at":"2026-01-02T03:04:05.000600Z","data":"/wA="},"price":1.10,"colors":["red","blue"]}'


@pytest.fixture(params=["msgspec", "by hand"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by hand":
        monkeypatch.setitem(sys.modules, "msgspec", None)
    return str(request.param)


def written(value: Any, **options: Any) -> str:
    out = io.BytesIO()
    write(value, out, **options)
    return out.getvalue().decode()


def both(value: Any, **options: Any) -> tuple[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "msgspec", None)
        slow = written(value, **options)
    return written(value, **options), slow


@given(VALUES, st.sampled_from([None, 0, 1, 4]), st.booleans(), st.booleans())
def test_what_is_written_is_read_as_it_was(value: Any, indent: int | None, sort: bool, ascii: bool) -> None:  # noqa: A002
    for text in both(value, indent=indent, sort=sort, ascii=ascii):
        assert text.endswith("\n")
        assert text.isascii() or not ascii
        assert ("\n" not in text[:-1]) or indent is not None
        assert load(text.encode()) == value
        if not sort:
            assert same(load(text.encode()), value)


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 2]))
def test_records_are_written_as_lines_and_as_an_array(values: list[Any], indent: int | None) -> None:
    out = io.BytesIO()
    write_lines(iter(values), out)
    assert out.getvalue().count(b"\n") == len(values)
    assert same(list(lines(out.getvalue())), values)
    out = io.BytesIO()
    write_json(iter(values), out, indent=indent)
    assert same(list(records(out.getvalue())), values)
    assert same(load(out.getvalue()), values)


def test_what_is_more_than_json_has_a_form(by: str) -> None:
    assert written(RICH) == PLAIN + "\n"
    if by == "msgspec":
        assert load(written(RICH).encode(), type=Outer) == RICH
    values = {
        date(2026, 1, 2): '"2026-01-02"',
        AT.replace(tzinfo=None): '"2026-01-02T03:04:05.000600"',
        datetime(2026, 1, 2, 3, tzinfo=WEST): '"2026-01-02T03:00:00-05:30"',
        time(3, 4): '"03:04:00"',
        UUID(int=5): '"00000000-0000-0000-0000-000000000005"',
        (1, (2,)): "[1,[2]]",
        frozenset([1]): "[1]",
        Size.LARGE: "2",
        b"ab": '"YWI="',
        Decimal("12345678901234567890.123456789"): "12345678901234567890.123456789",
        2**200: str(2**200),
        "\u2028\x7f\x1f/": '"\u2028\x7f\\u001f/"',
    }
    for value, expected in values.items():
        assert written(value) == expected + "\n"
        assert written({"a": [value]}) == f'{{"a":[{expected}]}}\n'
    assert written(bytearray(b"ab")) == '"YWI="\n'
    assert written(Thing([Thing(1)])) == '{"a":[{"a":1}]}\n'
    assert written(OrderedDict(b=1, a=2)) == '{"b":1,"a":2}\n'
    assert written(MappingProxyType({"a": 1})) == '{"a":1}\n'
    assert written({1: 2, date(2026, 1, 2): 3, Color.RED: 4}) == '{"1":2,"2026-01-02":3,"red":4}\n'


def test_structs_are_the_same_where_one_part_of_them_is_written_by_hand() -> None:
    for value in (
        Tagged("ä"),
        Row(1, [2]),
        Tagged("x", Row(None, 3)),
        Inner(datetime(2026, 1, 2, tzinfo=UTC)),
    ):
        easy = written({"v": value, "m": {}})
        assert written({"v": value, "m": MappingProxyType({})}) == easy


def test_sorted_indented_and_ascii(by: str) -> None:
    value = {"b": [1, {"ü": []}], "a": {}, "😀": "ä\u2028"}
    assert written(value, sort=True, ascii=True) == (
        '{"a":{},"b":[1,{"\\u00fc":[]}],"\\ud83d\\ude00":"\\u00e4\\u2028"}\n'
    )
    assert written(value, indent=2) == json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    out = io.BytesIO()
    write_json([value, 1], out, indent=2)
    assert out.getvalue().decode() == json.dumps([value, 1], indent=2, ensure_ascii=False) + "\n"
    for empty in ([], iter(())):
        out = io.BytesIO()
        write_json(empty, out)
        assert out.getvalue() == b"[]\n"


LOOP: list[Any] = []
LOOP.append({"again": LOOP})
DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]
SHALLOW: list[Any] = []
for _ in range(512):
    SHALLOW = [SHALLOW]


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({"a": [1, float("nan")]}, "$.a[1]", "nan is no number"),
        ({"a": [None, {"b c": float("-inf")}]}, '$.a[1]["b c"]', "-inf is no number"),
        ([Decimal("NaN")], "$[0]", "NaN is no number"),
        ([None, Decimal("Infinity")], "$[1]", "Infinity is no number"),
        ({"x": Inner(date(2026, 1, 2), float("nan"))}, "$.x.data", "nan"),  # type: ignore[arg-type]
        ({1: float("nan")}, "$.1|$[\"1\"]", "nan"),
        ({"a": object()}, "$.a", "object has no JSON"),
        ({"a": Inner}, "$.a", "type has no JSON"),
        ([{None: 1}], "$[0]", "key"),
        ([{True: 1}], "$[0]", "key"),
        ([{(1, 2): 1}], "$[0]", "key"),
        (["x", "\ud800"], "$", "half a surrogate"),
        ([10**5000], "$[0]", "digits"),
        ([{float("nan"): 1}], "$[0]", "key of an object is nan"),
        ([{float("-inf"): 1}, "nan"], "$[0]", "key of an object is -inf"),
        ([{Decimal("NaN"): 1}], "$[0]", "NaN is no number"),
        ([{Decimal("-Infinity"): 1}], "$[0]", "-Infinity is no number"),
        ([{frozenset([1]): 1}], "$[0]", "key"),
        ([{object(): 1}], "$[0]", "key"),
        ([LOOP], "$", "contains itself"),
        (DEEP, "$", "512 deep"),
        (SHALLOW, "$", "512 deep"),
    ],
)  # fmt: skip
def test_what_has_no_json_is_refused_by_its_path(
    value: Any, path: str, reason: str, by: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    file.write_text("before")
    with pytest.raises(DataError, match=reason) as caught:
        write(value, file)
    assert caught.value.path.startswith(tuple(path.split("|")))
    assert file.read_text() == "before"
    for many in (write_lines, write_json):
        with pytest.raises(DataError) as caught:
            many([1, value], file)
        assert caught.value.path.startswith("$[1]")
        assert file.read_text() == "before"


@pytest.mark.parametrize("sort", [False, True])
def test_keys_that_stand_for_text_are_text(by: str, sort: bool) -> None:
    class Colour(Enum):
        RED = "red"
        TWO = 2

    keys = {
        1: "1", 10**30: str(10**30), 1.5: "1.5", -0.0: "-0.0", Decimal("2.50"): "2.50",
        Decimal("-1E+9"): "-1E+9",
        datetime(2026, 1, 2, tzinfo=UTC): "2026-01-02T00:00:00Z", date(2026, 1, 2): "2026-01-02",
        UUID(int=5): str(UUID(int=5)), b"ab": "YWI=", Colour.RED: "red", Colour.TWO: "2", "nan": "nan",
        '{1.5:2,"inf":': '{1.5:2,"inf":', timedelta(seconds=-90.5): "-PT90.5S",
    }  # fmt: skip
    for key, text in keys.items():
        assert load(written({key: 1, "z": [key]}, sort=sort).encode(), numbers="decimal")[text] == 1
    everything = load(written([dict.fromkeys(keys, 1)], sort=sort).encode())
    assert everything == [dict.fromkeys(keys.values(), 1)]


def test_durations_are_the_same_by_hand() -> None:
    for days, seconds, microseconds in product((0, 1, -3), (0, 1, 86399), (0, 1, 500_000)):
        one = timedelta(days, seconds, microseconds)
        assert by_hand(one, (), sort=False, ascii=False, indent=None) == msgspec.json.encode(one)


def test_512_levels_are_written_by_both_ways(by: str) -> None:
    assert written(SHALLOW[0]) == "[" * 512 + "]" * 512 + "\n"
    assert load(written([SHALLOW[0][0], {1: 10**30}]).encode()) == [SHALLOW[0][0], {"1": 10**30}]


def test_what_is_null_is_no_error(by: str) -> None:
    assert written([None, "NaN", "Infinity", "null", {"null": None}]) == (
        '[null,"NaN","Infinity","null",{"null":null}]\n'
    )


def test_half_a_pair_can_be_written_in_ascii(by: str) -> None:
    assert written(["\ud800"], ascii=True) == '["\\ud800"]\n'
    assert load(written(["\ud800"], ascii=True).encode(), surrogates="keep") == ["\ud800"]


def test_files_and_formats(tmp_path: Path) -> None:
    many = [{"n": n, "s": "ä", "f": None} for n in range(5000)]
    for name in ("x.json", "x.jsonl", "x.json.gz", "x.ndjson.xz"):
        write_any(iter(many), tmp_path / name)
        assert list(read(tmp_path / name)) == many
    write_any(many, tmp_path / "y.json", indent=1, sort=True)
    assert load(tmp_path / "y.json") == many
    write({"a": 1}, tmp_path / "z.json.gz")
    assert load(tmp_path / "z.json.gz") == {"a": 1}
    out = io.BytesIO()
    write(1, out)
    write_lines([2], out)
    assert out.getvalue() == b"1\n2\n"


def test_records_are_written_while_they_come(tmp_path: Path) -> None:
    class Counting(io.BytesIO):
        pass

    for many, each in ((write_lines, 1), (write_json, 2)):
        out, most = Counting(), 0

        def produce(out: io.BytesIO = out) -> Iterator[Any]:
            for n in range(3000):
                nonlocal most
                most = max(most, n * 100 - out.tell())
                yield "x" * 97

        make: Callable[..., None] = many
        make(produce(), out)
        assert most < (1 << 17), each


def test_a_producer_that_fails_leaves_a_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("before")

    def failing() -> Iterator[Any]:
        yield 1
        raise KeyError("x")

    for many in (write_lines, write_json):
        with pytest.raises(KeyError):
            many(failing(), file)
        assert file.read_text() == "before"
