"""Tables for people: fitted to a terminal, plain elsewhere, harmless whatever is in them."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import write
from portico.data.sinks import Sink, sink
from portico.data.table import write_table
from portico.data.table_cells import cut, harmless, width_of
from portico.errors import ConfigError


def table(records, **options):
    out = io.BytesIO()
    write(records, out, "table", **options)
    return out.getvalue().decode().splitlines()


def on_terminal(records, monkeypatch, columns=40, **options):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    written = []
    with Sink(written.append, "terminal", terminal=True) as out:
        write_table(records, out, **options)
    return b"".join(written).decode().splitlines()


PEOPLE = [{"name": "Ada", "born": 1815, "note": None}, {"name": "Grace Hopper", "born": 1906, "note": "x, y"}]


def test_columns_are_aligned_and_numbers_stand_to_the_right():
    assert table(PEOPLE) == [
        "name          born  note",
        "------------  ----  ----",
        "Ada           1815",
        "Grace Hopper  1906  x, y",
    ]


def test_texts_of_numbers_are_numbers():
    assert table([{"n": "1.5"}, {"n": "-20"}, {"n": ""}])[2:] == ["1.5", "-20", ""]
    assert table([{"n": "5", "m": "nan"}, {"n": "10", "m": "x"}])[2] == " 5  nan"
    assert table([{"b": True}, {"b": 1}])[2] == "true"


@dataclass
class Point:
    x: int
    y: float


def test_records_of_any_kind_are_shown():
    assert table([Point(1, 2.5)]) == ["x    y", "-  ---", "1  2.5"]
    assert table([[1, "a"], (2, "b")])[0] == "column_1  column_2"
    assert table([1, "x"])[0] == "value"
    assert table([{"a": {"b": [1, None]}}])[2] == '{"b": [1, null]}'
    assert table([{1: b"\xff"}])[2] == "\\xff"
    assert table([]) == []
    assert table([{}]) == ["", "", ""]


def test_widths_are_those_of_what_is_seen():
    lines = table([{"a": "日本", "b": 1}, {"a": "e\u0301", "b": 2}, {"a": "👩", "b": 3}])
    assert lines[2:] == ["日本  1", "e\u0301     2", "👩    3"]
    assert (width_of("日本"), width_of("e\u0301"), width_of("ab")) == (4, 1, 2)
    assert (cut("日本語", 4), cut("日本語", 5), cut("abcd", 3), cut("ab", 3)) == ("日…", "日本…", "ab…", "ab")


def test_a_terminal_is_not_overrun(monkeypatch):
    lines = on_terminal([{"a": "x" * 100, "b": 5, "c": "日" * 50}], monkeypatch)
    assert max(width_of(re.sub(r"\x1b\[\d*m", "", line)) for line in lines) <= 40
    assert lines[0].startswith("\x1b[1ma ")
    assert lines[1].startswith("─")
    assert "5" in lines[2]
    assert lines[2].count("…") == 2


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
def test_without_colour_where_it_is_not_wanted(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    written = []
    with Sink(written.append, "terminal", terminal=True) as out:
        write_table(PEOPLE, out)
    assert b"\x1b" not in b"".join(written)


def test_many_columns_stay_readable(monkeypatch):
    lines = on_terminal([{f"c{n}": "long text" for n in range(30)}], monkeypatch)
    assert all(len(cell) == 3 for cell in lines[2].split("  "))


HARM = {
    "\x1b[2J": "\\x1b[2J",
    "a\nb\tc\r": "a\\nb\\tc\\r",
    "\x9b31m": "\\x9b31m",
    "\u202egpj.exe": "\\u202egpj.exe",
    "a\u200bb": "a\\u200bb",
    "\ud800": "\\ud800",
    "\x7f\0": "\\x7f\\x00",
    "\u2028": "\\u2028",
    "\U000e0041": "\\ue0041",
    "grün 日本 👩‍👩‍👧 [bold]": "grün 日本 👩‍👩‍👧 [bold]",
}


@pytest.mark.parametrize("text", HARM)
def test_what_steers_a_terminal_is_spelled_out(text):
    assert harmless(text) == HARM[text]
    assert table([{text: text}])[2].rstrip() == HARM[text]


@given(st.lists(st.dictionaries(st.text(), st.text() | st.none() | st.floats()), max_size=5))
def test_nothing_harmful_is_written(records):
    out = io.BytesIO()
    write(records, out, "table")
    text = out.getvalue().decode()
    assert all(each == "\n" or each.isprintable() or ord(each) >= 0xA0 for each in text)


def test_records_come_out_while_others_are_still_made():
    seen = []

    def records():
        for number in range(1000):
            if number == 500:
                seen.append(b"".join(written).count(b"\n"))
            yield {"n": number}

    written = []
    with Sink(written.append, "terminal", terminal=True) as out:
        write_table(records(), out)
    assert seen[0] == 2 + 400
    assert b"".join(written).count(b"\n") == 1002


def test_memory_does_not_grow_with_the_records():
    import tracemalloc

    with sink("/dev/null") as out:
        write_table(({"n": n, "t": "text"} for n in range(300)), out)
        tracemalloc.start()
        try:
            write_table(({"n": n, "t": "text" * 10} for n in range(20_000)), out)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 2 << 20


def test_other_fields_begin_another_table():
    lines = table([{"a": 1}] * 200 + [{"b": 2}])
    assert lines[200:] == ["1", "1", "", "b", "-", "2"]
    assert table([{"a": 1}] * 200 + [{"b": 2}], fields=["b"])[-1] == "2"


def test_one_long_text_does_not_make_all_lines_long():
    lines = table([{"a": "x" * 100_000, "b": 1}, {"a": "y", "b": 2}])
    assert len(lines[3]) < 300


@pytest.mark.parametrize("width", [0, -1])
def test_a_width_is_a_number_above_zero(width):
    with pytest.raises(ConfigError, match="width="):
        table(PEOPLE, width=width)


def test_a_width_can_be_told():
    assert table(PEOPLE, width=18) == [
        "name    born  note",
        "──────  ────  ────",
        "Ada     1815",
        "Grace…  1906  x, y",
    ]
