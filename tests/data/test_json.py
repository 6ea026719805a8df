"""JSON: whole documents, lines, sequences, and the elements of a path."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portico.data import read, source
from portico.data.json import documents, items, lines, load, path_text, read_json, records
from portico.data.json.path import steps_of
from portico.errors import ConfigError, DataError, LimitExceeded
from portico.limits import Limits

NAMES = st.sampled_from(["a", "b", "c", "a b", "ä", "", "€", '"', "x.y", "😀"])
TRAILING_COMMA = (1, 8, "trailing comma") if sys.version_info >= (3, 13) else (2, 1, "property name|key")
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | NAMES
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=40,
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-16", "utf-32"])
PATHS = ["$", "[*]", "$.*", "a", "a[*]", "a.b[*]", "[*].a", "[*][*]", "a.*.b", "[1]", "[*][0].a", '["a b"].*']


class Item(msgspec.Struct):
    name: str
    price: Decimal
    count: int = 1


@dataclass
class Order:
    number: int
    items: list[Item]


class Point(TypedDict):
    x: int
    y: int


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    turn, at = random.Random(seed), 0
    while at < len(data):
        size = turn.choice([1, 2, 3, 7, 30, 1000])
        yield data[at : at + size]
        at += size


def written(value: Any, style: int) -> str:
    indent, separators = [(None, None), (None, (",", ":")), (2, None), (0, (" ,", "\t:\r"))][style % 4]
    return json.dumps(value, indent=indent, separators=separators, ensure_ascii=style % 3 == 0)


def same(one: Any, other: Any) -> bool:
    """Equal, of equal types and with equal signs of nought."""
    return repr(one) == repr(other)


# -- whole documents


@given(VALUES, st.integers(0, 11), ENCODINGS, st.integers())
def test_a_document_is_what_the_standard_library_says(
    value: Any, style: int, encoding: str, seed: int
) -> None:
    text = written(value, style)
    data = text.encode(encoding)
    assert same(load(pieces(data, seed)), json.loads(text))
    assert same(load(data), json.loads(text))
    assert same(load(data, duplicates="error"), json.loads(text))
    assert same(list(documents(pieces(data, seed))), [json.loads(text)])


def test_typed_values() -> None:
    text = '{"number": 7, "items": [{"name": "ä", "price": 1.10}, {"name": "b", "price": 1e-7, "count": 3}]}'
    expected = Order(7, [Item("ä", Decimal("1.10")), Item("b", Decimal("1e-7"), 3)])
    assert load(text.encode(), type=Order) == expected
    assert load(text.encode("utf-16"), type=Order) == expected
    assert load(b'{"x": 1, "y": 2}', type=Point) == {"x": 1, "y": 2}
    assert load(b'{"1": [2]}', type=dict[int, list[int]]) == {1: [2]}


@pytest.mark.parametrize(
    ("text", "kind", "path", "line", "column"),
    [
        ('{"number": 7,\n "items": [\n  {"name": "a", "price": 1},\n  {"name": 3}]}', Order,
         "$.items[1].name", 4, 12),
        ('{"number": 7,\n "items": [{"name": "ä"}]}', Order, "$.items[0]", 2, 12),
        ('{"number": "7", "items": []}', Order, "$.number", 1, 12),
        ('[{"x": 1, "y": 2},\r\n {"x": 1, "y": {"a": [1, "]"]}}]', list[Point], "$[1].y", 2, 16),
        ('{"a": {"b": [1, null]}}', dict[str, dict[str, list[int]]], "$[...][...][1]", 1, 1),
        ("\n  [1]", Order, "", 2, 3),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_named_by_path_and_place(
    text: str, kind: Any, path: str, line: int, column: int
) -> None:
    with pytest.raises(DataError) as caught:
        load(text.encode(), type=kind)
    error = caught.value
    assert (error.path, error.line, error.column, error.source) == (path, line, column, "the bytes")
    assert "xpected" in error.reason or "missing" in error.reason
    found = records(f'{{"a": [\n{text}]}}'.encode(), "a[*]", type=kind)
    with pytest.raises(DataError) as caught:
        list(found)
    assert caught.value.path == "$.a[0]" + path.removeprefix("$")
    assert (caught.value.line, caught.value.column) == (line + 1, column)


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("", 1, 1, "nothing in it"),
        (" \n ", 2, 2, "nothing in it"),
        ('{"a": 1,\n}', *TRAILING_COMMA),
        ('[1,\n 2,\n "ä" 3]', 3, 6, "expecting ','"),
        ("[1, 2", 1, 6, "expecting ','"),
        ("[1, 2]\n\n]", 3, 1, "more follows"),
        ('["a\nb"]', 1, 4, "control character"),
        ('["\\x"]', 1, 3, "escape"),
        ("[NaN]", 1, 2, "NaN is no number of JSON"),
        ('["NaN", -Infinity]', 1, 9, "-Infinity is no number"),
        ('["1e999", 1, 1e999]', 1, 14, "more than a float holds"),
        ('{"a": "\\\\ud800", "b": "\\ud800x"}', 1, 24, "half a surrogate pair"),
        ("[tru]", 1, 2, "no value begins here"),
    ],
)
def test_an_error_names_line_and_column(text: str, line: int, column: int, reason: str) -> None:
    for data in (text.encode(), text.encode("utf-16-le") if text else b""):
        with pytest.raises(DataError, match=reason) as caught:
            load(data)
        assert (caught.value.line, caught.value.column) == (line, column)
        assert f"the bytes, line {line}, column {column}" in str(caught.value)


def test_bytes_that_are_no_text_are_named_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"a": "b",\n "\xc3\xa4": "\xff"}')
    for read_it in (load, lambda what: list(records(what, "$.a"))):
        with pytest.raises(DataError, match="byte 0xff is no UTF-8") as caught:
            read_it(path)
        assert (caught.value.source, caught.value.line, caught.value.column) == (str(path), 2, 8)
    with pytest.raises(DataError, match="0xc3"):
        load(b'["\xc3')
    assert load(source(b'["\xe4"]', encoding="latin-1")) == ["ä"]
    assert load(source(b'["\xe4"]', content_type="application/json; charset=iso-8859-1")) == ["ä"]


@pytest.mark.parametrize("at", range(7))
def test_a_broken_character_is_found_at_any_border_of_pieces(at: int) -> None:
    data = b'["\xf0\x9f\x98"]'
    for read_it in (load, lambda what: list(records(what)), lambda what: list(lines(what))):
        with pytest.raises(DataError, match="is no UTF-8") as caught:
            read_it(iter([data[:at], data[at:]]))
        assert (caught.value.line, caught.value.column) == (1, 3)


# -- choices


def test_numbers() -> None:
    text = b"[1, 1.10, 1e400, -0.0, 0.1, 0.12345678901234567890, 123456789012345678901234567890, 1E2]"
    decimal = load(text, numbers="decimal")
    assert same(
        decimal,
        [
            1, Decimal("1.10"), Decimal("1E+400"), Decimal("-0.0"), Decimal("0.1"),
            Decimal("0.12345678901234567890"), 123456789012345678901234567890, Decimal("1E+2"),
        ],
    )  # fmt: skip
    exact = load(text, numbers="exact")
    assert same(
        exact,
        [1, 1.1, Decimal("1E+400"), -0.0, 0.1, Decimal("0.12345678901234567890"),
         123456789012345678901234567890, 100.0],
    )  # fmt: skip
    assert same(list(records(text, numbers="decimal")), decimal)
    assert same(list(lines(text, numbers="exact")), [exact])
    with pytest.raises(DataError, match="more than a Decimal holds"):
        load(b"[1e99999999999999999999999]", numbers="decimal")
    assert load(b"[1e400, -1e400]", allow_nan=True) == [float("inf"), -float("inf")]


def test_what_is_no_number_by_choice() -> None:
    value = load(b"[NaN, Infinity, -Infinity]", allow_nan=True)
    assert repr(value) == "[nan, inf, -inf]"
    assert repr(list(records(iter([b"[Na", b"N,-Inf", b"inity]"]), allow_nan=True))) == "[nan, -inf]"
    assert repr(load(b"[NaN]", allow_nan=True, type=list[float])) == "[nan]"
    with pytest.raises(DataError, match="NaN"):
        load(b"[NaN]", type=list[float])
    with pytest.raises(DataError, match="NaN"):
        list(records(b'{"a": NaN, "b": [1]}', "b[*]"))


def test_keys_that_are_there_twice() -> None:
    text = b'{"x": {"a": 1,\n "b": 2, "\\u0061": [3]}}'
    assert load(text) == {"x": {"a": [3], "b": 2}}
    assert load(text, duplicates="first") == {"x": {"a": 1, "b": 2}}
    assert load(b'{"a": 1, "a": "x"}', duplicates="first", type=dict[str, int]) == {"a": 1}
    for path in ("$", "x", "x.*", "x.b"):
        with pytest.raises(DataError, match="there before") as caught:
            list(records(text, path, duplicates="error"))
        assert caught.value.line == 2
    for kind in (None, dict[str, dict[str, Any]]):
        with pytest.raises(DataError, match="there before") as caught:
            load(text, duplicates="error", type=kind)
        assert (caught.value.line, caught.value.column) == (2, 10)
    assert load(b'[{"a": 1}, {"a": 1, "b": "a"}]', duplicates="error", type=list[dict[str, Any]])


def test_halves_of_pairs() -> None:
    text = rb'["\ud800", "\\ud800", "\ud83d\ude00", "\ude00\ud83d", "\ud83d\u0041"]'
    assert load(text, surrogates="keep") == ["\ud800", "\\ud800", "😀", "\ude00\ud83d", "\ud83dA"]
    assert load(text, surrogates="replace") == ["\ufffd", "\\ud800", "😀", "\ufffd\ufffd", "\ufffdA"]
    assert list(records(text, surrogates="replace")) == load(text, surrogates="replace")
    assert load(text, surrogates="replace", type=list[str])[3] == "\ufffd\ufffd"
    assert load(rb'{"\ud800": 1}', surrogates="replace") == {"\ufffd": 1}
    with pytest.raises(DataError, match="half a surrogate"):
        load(text, type=list[str])


def test_choices_that_are_none() -> None:
    for bad in ({"numbers": "float"}, {"duplicates": "all"}, {"surrogates": "drop"}, {"type": "no such"}):
        for read_it in (load, lines, records, documents, items):
            with pytest.raises((ConfigError, DataError)):
                read_it(b"[1]", **bad)  # type: ignore[operator]
    for path in ("a[", "a..b", "a[-1]", "a[1:2]", "..a", "a[?(@.b)]", "[01]", "a b", '["\\x"]', "$$"):
        with pytest.raises(ConfigError, match="path"):
            records(b"[]", path)


@pytest.mark.parametrize("read_it", [load, lines, documents, records, items, read_json])
def test_an_option_that_does_not_exist_is_named_with_the_function(read_it: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"^{read_it.__name__}\(\) got an unexpected keyword argument 'number'$"
    ):
        read_it(b"[1]", number="exact")


@pytest.mark.parametrize(("path", "wrong"), {"1": "'1'", "a.1": "'.1'", ".1": "'.1'", "1.1": "'1.1'"}.items())
def test_a_path_that_is_none_is_told_as_it_was_written(path: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        records(b"[]", path)
    assert str(caught.value).startswith(f"path {path!r}: {wrong} is none of")


def test_lines_that_were_read_as_one_document_are_told_of() -> None:
    def told(read_it: Callable[[bytes], Any], data: bytes) -> str:
        with pytest.raises(DataError, match="more follows") as caught:
            read_it(data)
        return str(caught.value)

    for read_it in (load, lambda data: list(records(data, "$")), lambda data: list(records(data, "$.*"))):
        for data in (b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\r\n\n  {"a": 2}'):
            assert "format jsonl" in told(read_it, data)
            assert "lines()" in told(read_it, data)
        assert "jsonl" not in told(read_it, b'{"a": 1} {"a": 2}')
    assert "jsonl" not in told(lambda data: list(lines(data)), b'{"a": 1} {"a": 2}\n')


# -- lines


@given(st.lists(VALUES, max_size=30), st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\r\n"]), st.integers())
def test_lines_are_each_a_document(values: list[Any], end: str, seed: int) -> None:
    texts = [json.dumps(value, ensure_ascii=seed % 2 == 0) for value in values]
    text = end.join(texts) + (end if seed % 3 else "")
    expected = [json.loads(each) for each in texts]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert same(list(lines(pieces(text.encode(encoding), seed))), expected)
    assert same(list(documents(pieces(text.encode(), seed))), expected)
    assert same(list(documents(pieces(" ".join(texts).encode(), seed))), expected)
    marked = "".join(f"\x1e{each}\n" for each in texts)
    assert same(list(lines(pieces(marked.encode(), seed))), expected)


def test_a_line_that_is_wrong_is_named_and_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    good = [{"x": n, "y": n} for n in range(5000)]
    texts = [json.dumps(each) for each in good]
    texts[1000:1000] = ['{"x": 1, "y": "ä"}', "", '{"x": 1,', '"y": 1}', "{} {}"]
    path.write_bytes(gzip.compress("\r\n".join(texts).encode()))
    wrong: list[DataError] = []
    assert list(lines(path, type=Point, on_error=wrong.append)) == good
    assert [error.line for error in wrong] == [1001, 1003, 1004, 1005]
    assert (wrong[0].path, wrong[0].column) == ("$.y", 15)
    assert wrong[1].column == 9
    assert str(path) in str(wrong[0])
    came: list[Any] = []
    with pytest.raises(DataError, match="line 1001, column 15"):
        came.extend(lines(path, type=Point))
    assert came == good[:1000]
    wrong.clear()
    assert len(list(lines(path, on_error=wrong.append))) == 5001
    assert [error.line for error in wrong] == [1003, 1004, 1005]


def test_two_documents_in_a_line_and_one_in_two_are_no_lines() -> None:
    wrong: list[DataError] = []
    data = b'[1]\n[1],[2]\n[["x"\n2]]\n{}{}\n{"a":\n{}\n}\n3\n'
    assert list(lines(data, on_error=wrong.append)) == [[1], {}, 3]
    assert [error.line for error in wrong] == [2, 3, 4, 5, 6, 8]


def test_a_line_that_is_no_text_is_one_that_is_wrong() -> None:
    data = b'{"x": 1, "y": 2}\n{"x": 1, "y": 2, "\xc3\xa4": "\xff"}\r\n{"x": 3, "y": 4}\n["\xc3'
    wrong: list[DataError] = []
    for kind in (None, Point):
        wrong.clear()
        for what in (data, pieces(data, 1)):
            assert list(lines(what, type=kind, on_error=wrong.append)) == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
        assert [(error.line, error.column) for error in wrong] == [(2, 24), (4, 3)] * 2
    with pytest.raises(DataError, match="line 2, column 24: byte 0xff is no UTF-8"):
        list(lines(data, type=Point))


def test_what_is_before_broken_characters_comes() -> None:
    for encoding in ("utf-8", "utf-16-le", "utf-16", "utf-32"):
        data = '[1, {"ä": "€"},\n 33, "'.encode(encoding) + b"\xff\xdc" * 4 + b"  "
        for what in (data, pieces(data, 1), iter([data[:9], data[9:]])):
            found: list[Any] = []
            with pytest.raises(DataError, match="line 2, column 7: byte 0xff is no UTF") as caught:
                found.extend(records(what))
            assert found == [1, {"ä": "€"}, 33]
            assert caught.value.line == 2


def test_sequences_of_texts() -> None:
    text = '\x1e{"a":\n1}\n\x1e\x1e[2]\n\x1e3\n\x1e{"cut\n\x1e4'
    wrong: list[DataError] = []
    assert list(lines(text.encode(), on_error=wrong.append)) == [{"a": 1}, [2], 3]
    assert [error.line for error in wrong] == [5, 6]
    assert "cut off" in wrong[1].reason
    with pytest.raises(DataError, match="line 5"):
        list(lines(text.encode()))


def test_documents_that_follow_each_other() -> None:
    data = b'{"a": 1}[2]"x"3 4\n\ntrue\n{\n"b": [\n5]}\nnull'
    for what in (data, iter([data[at : at + 1] for at in range(len(data))])):
        assert list(documents(what)) == [{"a": 1}, [2], "x", 3, 4, True, {"b": [5]}, None]
    assert list(documents(b" \n")) == []
    for glued in (b"1true", b"truefalse", b"1-2", b"nullnull", b"1.5.6", b"01"):
        for what in (glued, iter([glued[at : at + 1] for at in range(len(glued))])):
            with pytest.raises(DataError):
                list(documents(what))
    found = documents(b'{"a": 1}\n{"a": x}')
    assert next(found) == {"a": 1}
    with pytest.raises(DataError, match="line 2, column 7"):
        next(found)


# -- paths


def selected(value: Any, steps: tuple[Any, ...], at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """In plain Python."""
    if not steps:
        yield at, value
        return
    parts: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list):
        parts = list(enumerate(value))
    for key, part in parts:
        if steps[0] is None or (type(key) is type(steps[0]) and key == steps[0]):
            yield from selected(part, steps[1:], (*at, key))


@given(VALUES, st.sampled_from(PATHS), st.integers(0, 11), st.integers())
@settings(max_examples=300)
@example([{"a": 1}, {"a": [2]}, {}, {"a": None}, 3, {"a": "x"}] * 9, "[*].a", 1, 1)
def test_a_path_leads_where_it_does_in_plain_python(value: Any, path: str, style: int, seed: int) -> None:
    check_path(value, path, style, seed)


@given(st.lists(VALUES, max_size=5), st.sampled_from(PATHS), st.integers(1, 60), st.integers(0, 11))
@settings(max_examples=100)
def test_a_path_into_long_arrays(values: list[Any], path: str, times: int, style: int) -> None:
    check_path(values * times, path, style, style)
    check_path({"a": values * times, "b": values}, path, style, style)


MEMBERS = st.lists(
    st.tuples(NAMES | st.sampled_from(['","', '{"a":', "\\", "k1", "k2", "k3", "k4"]), VALUES),
    min_size=1,
    max_size=7,
)


@given(MEMBERS, st.integers(1, 80), st.integers(0, 11), st.sampled_from(["$.*", "$.*.a", "$.*[*]"]))
@settings(max_examples=200)
def test_a_path_into_large_objects_whose_keys_may_be_there_twice(
    members: list[tuple[str, Any]], times: int, style: int, path: str
) -> None:
    check_members(members * times, style, path)


@pytest.mark.parametrize("style", range(12))
@pytest.mark.parametrize(
    "value", [{"a": 1}, {"a": {"a": {"a": 2}}}, 1.5, None, "a", [], [{"a": 1}, {"a": 2}], {}]
)
def test_values_of_one_shape_in_large_objects(value: Any, style: int) -> None:
    for names in (["a"], ['x"y', "x,y", '","'], [f"k{number}" for number in range(200)]):
        members = [(name, value) for name in names] * (500 // len(names))
        check_members(members, style, "$.*")
        check_members([*members, ("mixed", {"b": [value] * 3}), *members], style, "$.*")


def test_a_number_at_the_beginning_of_a_piece_is_not_cut_where_no_seam_is() -> None:
    for data in (
        [b'["a" ,"b" ,', b"901 ]"],
        [b'[{"a":1}  ,{"a":1}  ,', b"90 ,12]"],
        [b'["a","b",', b"12,3]"],
    ):
        assert list(records(iter(data))) == json.loads(b"".join(data))
        assert list(records(iter([b'{"x":', *data, b',"a":[1]}']), "a[*]")) == [1]


def check_members(members: list[tuple[str, Any]], style: int, path: str) -> None:
    written_members = (f"{written(name, style)}: {written(value, style)}" for name, value in members)
    data = ("{" + (",", " ,\n")[style % 2].join(written_members) + "}").encode()
    steps = steps_of(path)[1:]
    expected = [
        ((name, *more), part)
        for name, value in members
        for more, part in selected(json.loads(json.dumps(value)), steps)
    ]
    for what in (lambda: data, lambda: pieces(data, style)):
        assert same(list(records(what(), path)), [part for _, part in expected])
        assert same(list(items(what(), path)), expected)
    assert same(list(items(data, path, duplicates="first")), expected)


def test_typed_values_of_a_large_object() -> None:
    good = {f"k{n}": {"x": n, "y": n} for n in range(3000)}
    text = json.dumps({"a": good})
    assert {place[1]: value for place, value in items(text.encode(), "a.*", type=Point)} == good
    wrong = text.replace('"y": 2222', '"y": "2"')
    found: list[Any] = []
    with pytest.raises(DataError, match="Expected `int`") as caught:
        found.extend(records(wrong.encode(), "a.*", type=Point))
    assert caught.value.path == "$.a.k2222.y"
    assert found == list(good.values())[:2222]
    for kind in (Path, list[Path]):
        with pytest.raises(DataError, match="Expected `"):
            list(records(text.encode(), "a.*", type=kind))


def test_an_error_names_the_element_where_those_before_lack_the_step() -> None:
    elements = [{"a": 1} if number % 3 else {"b": 1} for number in range(3000)]
    data = json.dumps([*elements, {"a": "x"}]).encode()
    with pytest.raises(DataError) as caught:
        list(records(data, "[*].a", type=int))
    assert caught.value.path == "$[3000].a"


def check_path(value: Any, path: str, style: int, seed: int) -> None:
    data = written(value, style).encode()
    steps = steps_of(path)
    certain = steps.index(None) if None in steps else len(steps)
    parents = [part for _, part in selected(value, steps[:certain])]
    expected = list(selected(json.loads(data), steps))
    for what in (data, pieces(data, seed)):
        if not parents or (certain < len(steps) and not isinstance(parents[0], (dict, list))):
            with pytest.raises(DataError, match=r"no such thing|expected an array or object"):
                list(records(what, path))
            continue
        assert same(list(records(what, path)), [part for _, part in expected])
    if parents and (certain == len(steps) or isinstance(parents[0], (dict, list))):
        assert same(list(items(data, path)), expected)
        assert same(list(items(pieces(data, seed), path)), expected)
        assert same(list(records(data, path, duplicates="first")), [part for _, part in expected])


@given(st.lists(VALUES, min_size=1, max_size=20), st.integers(0, 11), st.data())
@settings(max_examples=200)
def test_what_is_broken_anywhere_is_refused(values: list[Any], style: int, data: st.DataObject) -> None:
    text = written({"before": values, "a": values * 3, "after": values}, style)
    at = data.draw(st.integers(0, len(text) - 1))
    broken = (
        text[:at] + data.draw(st.sampled_from(["", "}", ",", '"', "\x01", "0", "x", ":"])) + text[at + 1 :]
    )
    # Of what is not asked for, only the grammar counts.
    lenient: Any = {"numbers": "decimal", "surrogates": "keep"}
    try:
        whole = load(broken.encode(), **lenient)
    except DataError:
        whole = None
    if not isinstance(whole, dict) or whole.keys() != {"before", "a", "after"}:
        if whole is None:
            for what in (broken.encode(), pieces(broken.encode(), at)):
                with pytest.raises(DataError):
                    list(records(what, "a[*]", **lenient))
        return
    if isinstance(whole["a"], (list, dict)):
        for what in (broken.encode(), pieces(broken.encode(), at)):
            assert same(list(records(what, "$.a[*]", **lenient)), list(selected_all(whole["a"])))


def selected_all(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else value


def test_a_document_that_is_cut_at_any_byte_gives_what_came_and_an_error() -> None:
    value = {"x": [1, {"y": None}], "a": [{"n": 1.5, "s": "ä\"'\\"}, [True, "😀"], 12]}
    data = json.dumps(value, ensure_ascii=False).encode()
    for at in range(len(data)):
        for what in (data[:at], (data[k : k + 1] for k in range(at))):
            found: list[Any] = []
            with pytest.raises(DataError):
                found.extend(records(what, "a[*]"))
            assert found == value["a"][: len(found)]
        with pytest.raises(DataError):
            load(data[:at])


def test_elements_come_while_the_document_does() -> None:
    came: list[int] = []

    def slowly() -> Iterator[bytes]:
        for number, piece in enumerate(
            [b'{"a": [{"n": 1}', b", ", b'{"n": 2}, {"n"', b": 3}", b"], ", b'"b": 1}']
        ):
            came.append(number)
            yield piece

    seen = [(value["n"], came[-1]) for value in records(slowly(), "a[*]")]
    assert seen == [(1, 0), (2, 2), (3, 3)]
    came.clear()
    seen = [(value, came[-1]) for value in lines(iter([came.append(9) or b"1\n2\n", b"3", b"4\n"]))]  # type: ignore[func-returns-value]
    assert [value for value, _ in seen] == [1, 2, 34]


def test_paths_in_writing() -> None:
    for text, steps in {
        "$": (),
        "a.b[*]": ("a", "b", None),
        '$["b c"][0].*': ("b c", 0, None),
        "['it\\'s \"x\"'][*]": ('it\'s "x"', None),
        '$["\\u00e4\\n"]': ("ä\n",),
        "ä.content-type": ("ä", "content-type"),
        " $.a [*]".replace(" [", "["): ("a", None),
    }.items():
        assert steps_of(text) == steps
        assert steps_of(path_text(steps)) == steps


def test_a_path_that_leads_nowhere_is_an_error_and_what_lacks_a_step_is_not() -> None:
    data = b'{"a": {"b": [{"c": 1}, {}, 2, [3], null, {"c": null}]}, "n": null, "s": 1}'
    assert list(records(data, "a.b[*].c")) == [1, None]
    assert list(records(b'{"a": []}', "a[*]")) == []
    for path, where in {"x[*]": "$.x", "a.x.y[*]": "$.a.x", "a.b.c": "$.a.b.c", "a.b[9]": "$.a.b[9]"}.items():
        with pytest.raises(DataError, match="no such thing") as caught:
            list(records(data, path))
        assert caught.value.path == where
    for path in ("n[*]", "s.x", "a.b[2].c"):
        with pytest.raises(DataError, match="expected an array or object"):
            list(records(data, path))


def test_typed_elements_and_what_is_in_them() -> None:
    orders = [
        {"number": n, "items": [{"name": f"ä{n}", "price": n, "x": [n]}] * (n % 3)} for n in range(3000)
    ]
    data = json.dumps({"orders": orders}, ensure_ascii=False).encode()
    got = list(records(data, "orders[*]", type=Order))
    assert [order.number for order in got] == list(range(3000))
    inner = list(records(data, "orders[*].items[*]", type=Item))
    assert inner == [item for order in got for item in order.items]
    assert list(records(data, "orders[*].number", type=int)) == list(range(3000))
    assert list(items(data, "orders[*].number"))[2999] == (("orders", 2999, "number"), 2999)
    with pytest.raises(DataError, match="Expected `str`") as caught:
        list(records(data, "orders[*].items[*].price", type=str))
    assert caught.value.path == "$.orders[1].items[0].price"


def test_an_error_in_the_middle_comes_after_all_that_is_before_it() -> None:
    good = [{"x": n, "y": n} for n in range(2000)]
    text = "[" + ",\n".join(json.dumps(each) for each in good) + ',\n{"x": 1, "y": "2"}]'
    found: list[Any] = []
    with pytest.raises(DataError) as caught:
        found.extend(records(text.encode(), type=Point))
    assert found == good
    assert (caught.value.path, caught.value.line, caught.value.column) == ("$[2000].y", 2001, 15)


# -- by format


def test_records_of_documents_by_their_format(tmp_path: Path) -> None:
    for text, expected in {
        '[{"a": 1}, {"a": 2}]': [{"a": 1}, {"a": 2}],
        '{"a": 1}': [{"a": 1}],
        " \n3": [3],
        "[]": [],
    }.items():
        assert list(read(text.encode(), format="json")) == expected
    (tmp_path / "x.json").write_text('{"a": [1, 2]}')
    (tmp_path / "x.jsonl").write_text('{"a": 1}\nx\n{"a": 2}\n')
    assert list(read(tmp_path / "x.json", path="a[*]")) == [1, 2]
    wrong: list[DataError] = []
    assert list(read(tmp_path / "x.jsonl", on_error=wrong.append)) == [{"a": 1}, {"a": 2}]
    assert len(wrong) == 1
    assert list(read(b'{"a": 1}\n{"a": 2}\n')) == [{"a": 1}, {"a": 2}]
    assert list(read_json(b"[1, 2]", type=int)) == [1, 2]


def test_what_was_opened_is_closed_and_what_was_not_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2, 3]")
    for read_it in (records, lines, documents, items, read_json):
        found = read_it(path)
        next(found)
        found.close()  # type: ignore[attr-defined]
        read_it(path)  # what is never asked for leaves nothing open
    with open(path, "rb") as file:
        assert list(records(file)) == [1, 2, 3]
        assert not file.closed
    given = source(path)
    assert load(given) == [1, 2, 3]
    given.close()
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        next(lines(tmp_path / "nowhere"))


def test_without_msgspec_all_is_the_same_but_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    data = b'{"a": [{"n": 1.5}, {"n": null}, 12345678901234567890123]}'
    assert load(data) == json.loads(data)
    assert list(records(data, "a[*].n")) == [1.5, None]
    assert list(lines(b"1\n\n[2]\n")) == [1, [2]]
    with pytest.raises(DataError, match="line 2"):
        list(lines(b"1\n[2\n"))
    with pytest.raises(ConfigError, match="portico\\[data\\]"):
        load(data, type=dict)


def test_text_files_and_limits() -> None:
    assert load(io.StringIO('["ä"]')) == ["ä"]
    with pytest.raises(LimitExceeded, match="answer"):
        load(b"[" + b" " * 100 + b"]", limits=Limits(answer=50))
    with pytest.raises(LimitExceeded, match="answer"):
        load(source(b"[" + b" " * 100 + b"]", limits=Limits(answer=50)))
