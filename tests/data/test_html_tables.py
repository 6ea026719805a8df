"""Tables as rows: spans resolved as the standard resolves them, headers as names, bombs refused."""

from __future__ import annotations

import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import read, source
from portico.data.html import load, tables
from portico.errors import ConfigError, DataError, EndOfStream, LimitExceeded
from portico.limits import Limits
from tests.peers import need_module

need_module("selectolax")


def rows(markup):
    (found,) = tables(f"<table>{markup}</table>".encode())
    return found.rows


SPANS = {
    "<tr><td>a<td>b<tr><td>c": [["a", "b"], ["c", ""]],
    "<tr><td colspan=2>a<td>b<tr><td>c<td>d<td>e": [["a", "a", "b"], ["c", "d", "e"]],
    "<tr><td rowspan=2>a<td>b<tr><td>c<tr><td>d": [["a", "b"], ["a", "c"], ["d", ""]],
    "<tr><td rowspan=2 colspan=2>a<td>b<tr><td>c": [["a", "a", "b"], ["a", "a", "c"]],
    # A span ends with its group, and does not make rows.
    "<tbody><tr><td rowspan=9>a<td>b<tbody><tr><td>c<td>d": [["a", "b"], ["c", "d"]],
    "<tr><td rowspan=65534>a": [["a"]],
    # None: to the end of its group.
    "<tbody><tr><td rowspan=0>a<td>b<tr><td>c<tr><td>d<tbody><tr><td>e": [
        ["a", "b"], ["a", "c"], ["a", "d"], ["e", ""],
    ],
    # Where two overlap, the first stays.
    "<tr><td>a<td rowspan=2>b<tr><td colspan=2>c<td>d": [["a", "b", ""], ["c", "b", "d"]],
    "<tr><td>a<td>b<td rowspan=3>c<tr><td rowspan=2>d<td>e<tr><td>f": [
        ["a", "b", "c"], ["d", "e", "c"], ["d", "f", "c"],
    ],
    # The foot comes last, wherever it is written; heads stay where they are.
    "<tfoot><tr><td>f<tbody><tr><td>b<thead><tr><td>h": [["b"], ["h"], ["f"]],
    "<tr><td colspan=x>a<td colspan=0>b<td colspan=-1>c<td colspan=' +2px'>d": [["a", "b", "c", "d", "d"]],
    "<tr></tr><tr><td>a": [[""], ["a"]],
    "<caption>c</caption>": [],
    "": [],
    "<tr><td>a<br>b<p>c</p><td> d\n e ": [["a\nb\n\nc", "d e"]],
    "<tr><td hidden>a<td><i hidden>x</i>b": [["a", "b"]],
    "text<tr><td>a<div>x</div>": [["a\nx"]],
    "<tr><td colspan=1001>a": [["a"] * 1000],
}  # fmt: skip


@pytest.mark.parametrize("markup", SPANS)
def test_spans_are_resolved(markup):
    assert rows(markup) == SPANS[markup]


def test_a_table_in_a_cell_is_one_of_its_own():
    found = tables(b"<table><tr><td>a<table><caption>in<tr><td>inner</table>b</table><table></table>")
    assert [each.rows for each in found] == [[["a\nb"]], [["inner"]], []]
    assert [each.caption for each in found] == ["", "in", ""]


def test_cells_tell_what_they_are():
    (found,) = tables(b"<table><tr><th colspan=2>a<td rowspan=0>b<tr><td>c</table>")
    head, same, cell = found.cells[0]
    assert (head.text, head.header, head.columns, head.rows) == ("a", True, 2, 1)
    assert same is head
    assert (cell.header, cell.rows) == (False, 65534)
    assert found.cells[1][1] is None


HEADERS = {
    "<tr><th>a<th>b<tr><td>1<td>2": [{"a": "1", "b": "2"}],
    "<thead><tr><td>a<td>b<tbody><tr><td>1<td>2": [{"a": "1", "b": "2"}],
    # Of several rows: joined, what spans them once.
    "<thead><tr><th rowspan=2>n<th colspan=2>year<tr><th>old<th>new<tbody><tr><td>x<td>1<td>2": [
        {"n": "x", "year old": "1", "year new": "2"}
    ],
    "<tr><td><th>a<tr><th>r<td>1": [{"column_1": "r", "a": "1"}],
    "<tr><th>a<th>a<th>a_2<tr><td>1<td>2<td>3": [{"a": "1", "a_3": "2", "a_2": "3"}],
    "<tr><td>1<td>2": [{"column_1": "1", "column_2": "2"}],
    "<tr><th>a<tr><td>1<td>2": [{"a": "1", "column_2": "2"}],
    "<tr><th>a\n b<br>c<tr><td>1": [{"a b c": "1"}],
    "<tr><th>a": [],
    "": [],
}


@pytest.mark.parametrize("markup", HEADERS)
def test_headers_name_the_columns(markup):
    data = f"<table>{markup}</table>".encode()
    assert list(read(data, "html")) == HEADERS[markup]


def test_how_many_rows_are_headers_can_be_told():
    data = b"<table><tr><td>a<td>b<tr><td>1<td>2<tr><td>3<td>4</table>"
    assert list(read(data, headers=1)) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert list(read(data, headers=2)) == [{"a 1": "3", "b 2": "4"}]


@pytest.mark.parametrize(
    "header", [["a", "a"], ["", "b", " "], ["a", "a_2", "a"], ["x", "column_1", ""], ["ä", "Ä", "ä", "ä"]]
)
def test_columns_are_called_as_those_of_csv(header):
    names = [*header, "end"]
    page = f"<table><tr>{''.join(f'<th>{name}' for name in names)}<tr>{'<td>1' * len(names)}</table>"
    lines = f"{','.join(names)}\n{','.join('1' * len(names))}\n"
    assert list(read(page.encode(), "html")) == list(read(lines.encode(), "csv", delimiter=","))


def test_a_name_that_comes_twice_can_be_an_error():
    page = b"<table><tr><th>a<th>b<th>a<tr><td>1<td>2<td>3</table>"
    with pytest.raises(DataError, match=r"^the bytes: columns of the same name: 'a'; duplicates='number'"):
        list(read(page, "html", duplicates="error"))
    with pytest.raises(DataError, match="columns of the same name"):
        tables(page)[0].names(duplicates="error")
    with pytest.raises(ConfigError, match="duplicates='x': expected 'number' or 'error'"):
        list(read(page, "html", duplicates="x"))
    assert list(read(b"<table><tr><th>a<tr><td>1</table>", "html", duplicates="error")) == [{"a": "1"}]


TWO = (
    b"<table id=x><caption>First</caption><tr><th>a<tr><td>1</table><table class=y><tr><th>b<tr><td>2</table>"
)


def test_one_of_several_tables_is_chosen():
    assert list(read(TWO, table=0)) == [{"a": "1"}]
    assert list(read(TWO, table=1)) == [{"b": "2"}]
    assert list(read(TWO, table=".y")) == [{"b": "2"}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"the bytes: choose one of its tables with table=: 0: 2 rows \(First\); 1: 2 rows \(b\)"),
        ({"table": 2}, "no table 2: 0"),
        ({"table": -1}, "no table -1: 0"),
        ({"table": "p"}, "no element matches 'p'"),
        ({"table": "th"}, "<th> is no table"),
    ],
)
def test_a_choice_that_cannot_be_is_said(options, said):
    with pytest.raises(DataError, match=said):
        list(read(TWO, "html", **options))


def test_a_page_without_tables_is_said():
    with pytest.raises(DataError, match="the bytes: no table in the page"):
        list(read(b"<p>x", "html"))


BOMBS = {
    "one wide column": "<tr>" + "<td colspan=1000>" * 5000,
    "many wide rows": "<tr><td colspan=1000>" * 5000,
    "a tall and wide cell": "<tr><td colspan=1000 rowspan=65534>" + "<tr>" * 10_000,
    "many tall cells": "<tr>" + "<td rowspan=0>" * 1000 + "<tr>" * 10_000,
    "a wide row and many": "<tr><td colspan=1000>" * 1 + "<td>" * 1000 + "<tr><td>" * 10_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_of_spans_is_refused(bomb):
    begun = time.process_time()
    with pytest.raises(LimitExceeded, match="the bytes: a table of more than") as caught:
        tables(f"<table>{BOMBS[bomb]}".encode())
    assert caught.value.limit == "html_cells"
    assert time.process_time() - begun < 20


def test_tables_within_tables_take_time_by_their_size():
    begun = time.process_time()
    found = tables(b"<table><tr><td>" * 1300 + b"word " * 100_000)
    assert len(found) == 1300
    assert sum(len(each.rows[0][0]) for each in found) < 600_000
    assert time.process_time() - begun < 20


def test_the_limit_can_be_lowered():
    with pytest.raises(LimitExceeded):
        tables(source(b"<table><tr><td colspan=100></table>", limits=Limits(html_cells=50)))


CELLS = st.lists(
    st.sampled_from(
        "<tr> <td> <th> <td_colspan=2> <td_rowspan=2> <td_rowspan=0> <td_colspan=3_rowspan=3> <tbody> "
        "<thead> <tfoot> <table> </table> x <caption> </tr>".split(" ")
    ).map(lambda each: each.replace("_", " ")),
    max_size=40,
).map("".join)


@given(CELLS)
def test_every_table_has_rows_of_one_length(markup):
    for each in tables(f"<table>{markup}".encode()):
        assert len({len(row) for row in each.cells}) <= 1
        assert len(list(each.records())) == len(each.cells) - each.headers
        assert load(b"<table>").tables()[0].cells == []


LONG = "<p>x<table><tr><th>n<th>square" + "".join(
    f"<TR><td>{n}</td><td>{n * n}</td></TR>\n" for n in range(20_000)
)


@pytest.mark.parametrize("size", [30_000, 40_000, 49_999])
def test_rows_that_came_before_a_fault_are_given(size):
    """A row that is cut is none of them: 12 of 1234 is another number."""
    packed = gzip.compress((LONG + "</table>").encode())
    found = read(packed[:size], "html")
    rows = []
    with pytest.raises(DataError, match=r"^the bytes: "):
        rows.extend(found)
    assert len(rows) > 1000
    assert rows == [{"n": str(n), "square": str(n * n)} for n in range(len(rows))]


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_page_that_breaks_off_anywhere_gives_whole_rows(cut):
    page = (
        "<table><tr><th>n<th>m<tr><td>123<td>456<tr><td rowspan=2>789<td>12<tr><td>34</table><p>and so on</p>"
    )

    def pieces():
        yield page.encode()[:-cut]
        raise EndOfStream("the peer went away")

    whole = list(read(page.encode(), "html"))
    rows = []
    with pytest.raises(DataError, match="the peer went away"):
        rows.extend(read(source(pieces(), encoding="utf-8"), "html"))
    assert rows == whole[: len(rows)]
    assert len(rows) == 3 or "</table" not in page[:-cut]


def test_a_page_that_breaks_off_before_its_table_says_why():
    def pieces():
        yield b"<p>x</tr>"
        raise EndOfStream("the peer went away")

    with pytest.raises(DataError, match="the peer went away"):
        list(read(pieces(), "html"))


def test_a_page_that_is_too_large_gives_no_rows():
    found = read(LONG.encode(), "html", limits=Limits(answer=10_000))
    with pytest.raises(LimitExceeded, match="a page of more than 10000 characters"):
        next(found)
