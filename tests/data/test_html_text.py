"""The text of pages, as browsers show it; what they say of themselves; pages that are written."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import read, write
from portico.data.html import load, metadata, text
from portico.errors import DataError
from tests.peers import need_module

need_module("selectolax")

TEXTS = {
    "a  b\n c": "a b c",
    "<p>a<p>b": "a\n\nb",
    "<div>a</div><div>b<div>c</div></div>d": "a\nb\nc\nd",
    "a<br>b<br><br>c": "a\nb\n\nc",
    "<ul><li>a<li>b <b>c</b></ul>d": "a\nb c\nd",
    "<table><tr><td>a<td>b<tr><td><td>c</table>": "a\tb\n\tc",
    "<pre>\n a\n  b </pre>c": " a\n  b \nc",
    "<textarea> a\n b</textarea>": " a\n b",
    "a<script>no</script><style>no</style><!-- no --><noscript>b</noscript>": "ab",
    "<title>no</title><p hidden>no<p style='color:red; display : none'>no<dialog>no</dialog>"
    "<dialog open>a": "a",
    "<template>no</template><svg><text>no</text></svg><iframe>no</iframe>a": "a",
    "a <b> b </b> c": "a b c",
    "a<b> </b>b": "a b",
    " <span> a</span> <span> b</span> ": "a b",
    "a<span>b</span>c": "abc",
    "&lt;a&gt; &amp; &nbsp;b": "<a> & \xa0b",
    "<h1>a</h1>b<hr>c": "a\nb\nc",
    "<select><option>a<option>b</select>": "a\nb",
    "<details><summary>a</summary>b</details>": "a\nb",
    "<dl><dt>a<dd>b</dl>": "a\nb",
    "<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>": "漢kan",
    "": "",
}


@pytest.mark.parametrize("page", TEXTS)
def test_text_is_what_a_person_reads(page):
    assert text(page.encode()) == TEXTS[page]


def test_the_text_of_an_element():
    page = load(b"<table><tr><td>a<td>b</table><p>c <i>d</i>")
    assert page.first("td").text() == "a"
    assert page.first("p").text() == "c d"


def test_text_takes_time_by_its_size():
    begun = time.process_time()
    assert len(text(b"<p>x" * 50_000)) == 150_000 - 2
    assert len(text(b"<b>x</b> " * 50_000)) == 100_000 - 1
    assert len(text(b"<table><tr>" + b"<td>x" * 20_000)) == 40_000 - 1
    assert time.process_time() - begun < 30


ALL = """<html lang=de-AT><head><title>T</title><base href=/d/>
<meta charset=utf-8><meta name=Description content=" D "><meta name=description content=no>
<meta name=robots content="NoIndex, nofollow"><meta http-equiv=refresh content="3; url=next">
<meta property=og:title content=O><meta property=og:image content=1.png><meta property=og:image content=2.png>
<link rel=canonical href=c><link rel="shortcut icon" href=i.ico><link rel=apple-touch-icon href=a.png>
<link rel=alternate type="application/rss+xml; x" href=feed><link rel=alternate hreflang=EN href=en>
<link rel="alternate stylesheet" href=no.css type=application/rss+xml>
<script type="application/LD+json">{"@type": "Article", "n": [1]}</script>
<script type="application/ld+json">{"a": NaN}</script><script type="application/ld+json">{</script>
"""


def test_what_a_page_says_of_itself():
    found = metadata(ALL.encode(), "http://h/x/y")
    assert (found.title, found.language, found.charset, found.base) == ("T", "de-AT", "utf-8", "http://h/d/")
    assert found.canonical == "http://h/d/c"
    assert found.description == "D"
    assert found.robots == ("noindex", "nofollow")
    assert found.refresh == "http://h/d/next"
    assert found.graph == {"og:title": ["O"], "og:image": ["1.png", "2.png"]}
    assert found.data == [{"@type": "Article", "n": [1]}]
    assert found.icons == ["http://h/d/i.ico", "http://h/d/a.png"]
    assert found.feeds == ["http://h/d/feed"]
    assert found.alternates == {"en": "http://h/d/en"}


def test_a_page_that_says_nothing():
    found = metadata(b"")
    assert (found.title, found.description, found.canonical, found.robots, found.data) == ("", "", "", (), [])
    assert metadata(b"<meta property=og:description content=x>").description == "x"


@pytest.mark.parametrize("data", ["[" * 100_000, '"' + "x" * 2_000_000 + '"', "1" * 100_000, '{"a":1e999'])
def test_data_that_would_do_harm_is_left_out(data):
    assert metadata(f"<script type=application/ld+json>{data}</script>".encode()).data == []


def written(records, **options):
    out = io.BytesIO()
    write(records, out, "html", **options)
    return out.getvalue().decode()


def test_records_are_written_as_a_page_that_is_read_again():
    records = [{"a": "<b>&\"'", "b": "ü 日本"}, {"a": "", "b": "x\ny"}]
    page = written(records, title="T & U")
    assert "<title>T &amp; U</title>" in page
    assert list(read(page.encode(), "html")) == [{"a": "<b>&\"'", "b": "ü 日本"}, {"a": "", "b": "x y"}]


def test_records_of_any_kind_are_written():
    page = written([[1, None, True], ("x", 2.5, {"y": [1]})])
    assert list(read(page.encode(), "html")) == [
        {"column_1": "1", "column_2": "", "column_3": "true"},
        {"column_1": "x", "column_2": "2.5", "column_3": '{"y": [1]}'},
    ]
    assert "<td>7</td>" in written([7])
    assert written([]).endswith("<tbody>\n</tbody>\n</table>\n</body>\n</html>\n")


def test_columns_are_those_of_the_first_records_or_those_asked_for():
    records = [{"a": 1}, {"b": 2}]
    assert "<th>a</th><th>b</th>" in written(records)
    assert "<th>b</th></tr>" in written(records, fields=["b"])
    late = [{"a": 1}] * 100 + [{"a": 1, "z": 2}]
    with pytest.raises(DataError, match="record 101 has 'z', which the first 100 have not: pass fields="):
        written(late)


@given(st.lists(st.dictionaries(st.text(min_size=1), st.text()), max_size=5))
def test_nothing_that_is_written_is_markup(records):
    page = load(written(records).encode())
    assert {each.name for each in page.select("body *")} <= set("table thead tbody tr th td".split())
    assert len(page.select("tbody tr")) == len(records)
