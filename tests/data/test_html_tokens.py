"""Pages as events: by the standard, at any chunking, in time that grows no faster than the page."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import source
from portico.data.html import Comment, Doctype, EndTag, StartTag, Text, events
from portico.data.html.raw import RawText
from portico.data.html.tokens import Tokenizer
from portico.data.html.watched import Watched
from portico.errors import LimitExceeded
from portico.limits import Limits
from tests.peers import corpus


def joined(found):
    """Events, with the texts that follow each other as one."""
    made = []
    for each in found:
        if isinstance(each, Text) and made and isinstance(made[-1], Text):
            made[-1] = Text(made[-1].text + each.text)
        else:
            made.append(each)
    return made


def tokens(pieces, start=None, limits=None):
    machine = Tokenizer(limits or Limits(), "page")
    if start is not None:
        machine._raw, machine._state = RawText(start), machine._raw_text
    found = []
    for piece in pieces:
        found += machine.feed(piece)
    return joined([*found, *machine.close()])


CASES = {
    "<p class=a ID='b'>x</p>": [StartTag("p", {"class": "a", "id": "b"}), Text("x"), EndTag("p")],
    "<!DOCTYPE html><br/>": [Doctype("html"), StartTag("br", {}, True)],
    "<a href=x/>": [StartTag("a", {"href": "x/"})],
    "<a b=1 b=2 C>": [StartTag("a", {"b": "1", "c": ""})],
    "<a x=a&b;c y='&lt;'>": [StartTag("a", {"x": "a&b;c", "y": "<"})],
    "<a href='?a&copy=1&copy;&lang'>": [StartTag("a", {"href": "?a&copy=1©&lang"})],
    "&notit; &amp;&#x80;&#0;&#xD800;&bogus;": [Text("¬it; &€\ufffd\ufffd&bogus;")],
    "<!-- a --><!--><!---><!--a--!>x": [
        Comment(" a "), Comment(""), Comment(""), Comment("a"), Text("x"),
    ],
    "<?php x ?></ x><!x>": [Comment("?php x ?"), Comment(" x"), Comment("x")],
    "a < b <3 </> <": [Text("a < b <3  <")],
    "<title><b>&lt;</title><b>": [
        StartTag("title", {}), Text("<b><"), EndTag("title"), StartTag("b", {}),
    ],
    "<script>'</scr'<!--<script></script>--></script>x": [
        StartTag("script", {}), Text("'</scr'<!--<script></script>-->"), EndTag("script"), Text("x"),
    ],
    "<script><!--></script>x": [StartTag("script", {}), Text("<!-->"), EndTag("script"), Text("x")],
    "<style></STYLE x>y": [StartTag("style", {}), EndTag("style"), Text("y")],
    "<plaintext></plaintext>": [StartTag("plaintext", {}), Text("</plaintext>")],
    "<svg><title><b></svg>": [StartTag("svg", {}), StartTag("title", {}), StartTag("b", {}), EndTag("svg")],
    "<svg><![CDATA[<a>&amp;]]></svg><![CDATA[x]]>": [
        StartTag("svg", {}), Text("<a>&amp;"), EndTag("svg"), Comment("[CDATA[x]]"),
    ],
    "<svg><desc><style><i></style>": [
        StartTag("svg", {}), StartTag("desc", {}), StartTag("style", {}), Text("<i>"), EndTag("style"),
    ],
    "<svg><p><style><i></style>": [
        StartTag("svg", {}), StartTag("p", {}), StartTag("style", {}), Text("<i>"), EndTag("style"),
    ],
    "<math><desc><style><i></style>": [
        StartTag("math", {}), StartTag("desc", {}), StartTag("style", {}), StartTag("i", {}), EndTag("style"),
    ],
    "<svg><mi><style><i>": [
        StartTag("svg", {}), StartTag("mi", {}), StartTag("style", {}), StartTag("i", {}),
    ],
    "a\r\nb\rc<a x='\r\n'>": [Text("a\nb\nc"), StartTag("a", {"x": "\n"})],
    "<a x='": [],
    "x<!-- y --": [Text("x"), Comment(" y ")],
    "<\u212a><\u0130mg><ſcript><i>": [Text("<\u212a><\u0130mg><ſcript>"), StartTag("i", {})],
    "<bK\u212a ſrc=1>": [StartTag("bk\u212a", {"ſrc": "1"})],
    "a\0b<a\0 b=\0>": [Text("ab"), StartTag("a\ufffd", {"b": "\ufffd"})],
    "<a =b c==d>": [StartTag("a", {"=b": "", "c": "=d"})],
    "<a b=>": [StartTag("a", {"b": ""})],
    '<a b="1"c>': [StartTag("a", {"b": "1", "c": ""})],
}  # fmt: skip


@pytest.mark.parametrize("page", CASES)
def test_events_are_those_of_the_standard(page):
    assert joined(events(page.encode())) == CASES[page]
    assert joined(events(bytes([byte]) for byte in page.encode())) == CASES[page]


MARKUP = st.lists(
    st.sampled_from(
        "< > / ! - -- = ' \" & ; a b script SCRIPT title svg math desc style <a <b> </a> </ <!-- --> --!> "
        "<![CDATA[ ]]> &amp &lt; &#x41 <!doctype <script> </script> <textarea> "
        "</textarea> x \n \r \0 é 日".split(" ")
    ),
    max_size=40,
).map("".join)


@given(MARKUP, st.lists(st.integers(0, 80), max_size=6))
def test_events_are_the_same_at_any_chunking(page, cuts):
    places = sorted({0, len(page), *(cut for cut in cuts if cut < len(page))})
    pieces = [page[a:b] for a, b in pairwise(places)]
    assert tokens(pieces) == tokens([page]) == tokens(page)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_page(data):
    for each in events(source(data, packing="identity")):
        assert isinstance(each, (StartTag, EndTag, Text, Comment, Doctype))


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (b"<html><p>one</p>", "text/html; charset=utf-8"),
        (b"<meta charset=utf-8>" + b" " * 1024 + b"<p>", "text/html"),
    ],
)
def test_an_event_comes_before_the_rest_of_the_page(page, kind):
    def pieces():
        yield page
        raise AssertionError("the rest was asked for")

    found = events(source(pieces(), content_type=kind))
    assert next(found).name in ("html", "meta")
    found.close()


ENDLESS = {
    "name": "<" + "a" * 200_000,
    "attribute": "<a " + "b" * 200_000,
    "value": "<a b='" + ">" * 200_000,
    "values": "<a " + "b='>' " * 30_000,
    "bare value": "<a b=" + "x" * 200_000,
    "comment": "<!--" + "-->"[:2] * 100_000,
    "comment ends": "<!--" + "- >" * 70_000,
    "bogus": "<?" + "x" * 200_000,
    "doctype": "<!doctype " + "x" * 200_000,
    "script": "<script>" + "</scrip <!-- " * 15_000,
    "title": "<title>" + "</titl" * 30_000,
    "references": "&" * 200_000,
    "reference": "&#" + "1" * 200_000,
    "less": "<" * 200_000,
    "cdata": "<svg><![CDATA[" + "]]" * 100_000,
    "foreign": "<svg>" + "<g>" * 30_000 + "</x>" * 30_000,
    "foreign ends": "<svg>" + "<g></p>" * 30_000,
    "quotes": "<a '" * 50_000,
    "open quotes": '<a b="' * 30_000,
    "slashes": "<a/" * 60_000,
    "space": "<a" + " " * 200_000,
}


@pytest.mark.parametrize("attack", ENDLESS)
def test_what_never_ends_takes_time_by_its_size(attack):
    page = ENDLESS[attack]
    for size in (1, len(page)):
        begun = time.process_time()
        tokens(
            (page[at : at + size] for at in range(0, len(page), size)), limits=Limits(html_attributes=1 << 20)
        )
        assert time.process_time() - begun < 20  # seconds; what grows with the square takes minutes


def test_a_token_has_a_bound():
    for page in ("<a b='" + "x" * 5000, "<!--" + "x" * 5000, "<" + "x" * 5000, "<?" + "x" * 5000):
        machine = Tokenizer(Limits(html_token=4096), "page")
        with pytest.raises(LimitExceeded, match=r"page: .*4096") as caught:
            list(machine.feed(page))
        assert caught.value.limit == "html_token"


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_tag_has_a_bound_for_its_attributes(size):
    page = "<p " + "a=1 " * 1000 + "><p " + "".join(f"a{number} " for number in range(1001)) + ">"
    machine = Tokenizer(Limits(), "page")
    found = []
    given = (event for at in range(0, len(page), size) for event in machine.feed(page[at : at + size]))
    with pytest.raises(LimitExceeded, match="page: a tag of more than 1000 attributes") as caught:
        found.extend(given)
    assert caught.value.limit == "html_attributes"
    assert found == [StartTag("p", {"a": "1"})]


STATES = {"Data state": None, "PLAINTEXT state": "plaintext", "RCDATA state": "title",
          "RAWTEXT state": "xmp", "Script data state": "script"}  # fmt: skip
_DEVIATION = re.compile(r"&#(x0{32}|0{32})")  # a reference of more than 32 digits is none here


def wanted(output, state):
    made = []
    for kind, *rest in (each for each in output if isinstance(each, list)):
        if kind == "Character":
            made.append(Text(rest[0].replace("\0", "") if state == "Data state" else rest[0]))
        elif kind == "StartTag":
            made.append(StartTag(rest[0], rest[1], *rest[2:]))
        elif kind == "DOCTYPE":
            made.append(Doctype(rest[0] or ""))
        else:
            made.append(EndTag(rest[0]) if kind == "EndTag" else Comment(rest[0]))
    return joined(each for each in made if each != Text(""))


def undoubled(value):
    if isinstance(value, str):
        return re.sub(r"\\u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), value)
    if isinstance(value, list):
        return [undoubled(each) for each in value]
    if isinstance(value, dict):
        return {undoubled(name): undoubled(each) for name, each in value.items()}
    return value


def test_the_conformance_suite_of_tokenizers_passes():
    count = 0
    for path in sorted((corpus("html5lib") / "tokenizer").glob("*.test")):
        for case in json.loads(path.read_text(encoding="utf-8")).get("tests", []):
            page, output = case["input"], case["output"]
            if case.get("doubleEscaped"):
                page, output = undoubled(page), undoubled(output)
            if _DEVIATION.match(page) or re.search("[\ud800-\udfff]", page):
                continue
            for state in case.get("initialStates", ["Data state"]):
                last = case.get("lastStartTag")
                if state not in STATES or (state != "RAWTEXT state" and last not in (None, STATES[state])):
                    continue
                start = STATES[state]
                if state == "RAWTEXT state":
                    start = last or start
                expected = wanted(output, state)
                assert tokens([page], start) == expected, (path.name, page)
                assert tokens(page, start) == expected, (path.name, page)
                count += 1
    assert count > 6900


def test_foreign_elements_within_each_other_have_a_bound():
    machine = Tokenizer(Limits(html_depth=2), "page")
    assert len(list(machine.feed("<svg>" + "<g>" * 127))) == 128
    with pytest.raises(LimitExceeded, match="page: more than 128 elements within elements") as caught:
        list(machine.feed("<g>"))
    assert caught.value.limit == "html_depth"


def test_of_names_that_have_ended_nothing_is_kept():
    machine = Tokenizer(Limits(), "page")
    list(machine.feed("<svg>" + "".join(f"<g{number}></g{number}>" for number in range(1000))))
    assert machine.foreign._counts == {"svg": 1}
    watched = Watched(100, "page")
    for number in range(1000):
        watched.begin(f"x{number}")
        watched.begin("b")
        watched.end(f"x{number}")
    assert len(watched._places) < 10
