"""Events: what a document consists of, in its order, with lines, while it arrives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from portico.data import source, xml
from portico.errors import ConfigError, DataError
from tests.data.xml_documents import cut, elements

DOCUMENT = """<?xml version="1.0"?>
<!DOCTYPE a>
<!-- ü -->
<a x="1" p:y="&lt;" xmlns:p="urn:p" xml:lang="de">
  t&amp;ä<![CDATA[<]]>
  <p:b/><?do it?>
</a>
""".encode()

EXPECTED = [
    ("comment", "", {}, " ü ", 3, 1),
    ("start", "a", {"x": "1", "{urn:p}y": "<", "{http://www.w3.org/XML/1998/namespace}lang": "de"}, "", 4, 1),
    ("text", "", {}, "\n  t&ä<\n  ", 4, 51),
    ("start", "{urn:p}b", {}, "", 6, 3),
    ("end", "{urn:p}b", {}, "", 6, 9),
    ("instruction", "do", {}, "it", 6, 9),
    ("text", "", {}, "\n", 6, 18),
    ("end", "a", {}, "", 7, 1),
]


def test_events() -> None:
    assert [tuple(event) for event in xml.events(DOCUMENT)] == EXPECTED
    event = next(event for event in xml.events(DOCUMENT) if event.name.endswith("b"))
    assert (event.namespace, event.local, event.kind) == ("urn:p", "b", "start")


def test_byte_by_byte_and_in_utf_16() -> None:
    pieces = [bytes((byte,)) for byte in DOCUMENT]
    assert [event[:4] for event in xml.events(pieces)] == [each[:4] for each in EXPECTED]
    wide = DOCUMENT.decode().encode("utf-16")
    assert [tuple(event) for event in xml.events(wide)] == EXPECTED


def test_they_come_while_the_document_does() -> None:
    came: list[str] = []

    def arriving() -> Iterator[bytes]:
        for piece in (b"<a>     ", b"<b>x", b"</b>", b"</a>"):
            yield piece
            came.append(piece.decode())

    found = xml.events(arriving())
    assert (next(found).name, len(came)) == ("a", 0)
    assert (next(found).kind, len(came)) == ("text", 1)
    assert (next(found).name, len(came)) == ("b", 1)
    assert (next(found).kind, len(came)) == ("text", 2)


def test_a_text_does_not_hold_up_what_follows() -> None:
    came = 0

    def arriving() -> Iterator[bytes]:
        nonlocal came
        for piece in (b"<a>", "ä".encode() * 9000, b"</b", b">", b"x", b"<c/>", b"</a>"):
            came += 1
            yield piece.replace(b"</b", b"<b/")

    found = xml.events(arriving())
    assert [(event.kind, came) for event in itertools.islice(found, 4)][2:] == [("start", 4), ("end", 4)]
    assert [(event.kind, came) for event in itertools.islice(found, 2)] == [("text", 6), ("start", 6)]


@pytest.mark.parametrize(
    "part", [b"<!--%s-->", b"<b c='%s'/>", b"<?p %s?>", b"<b %s/>", b"<![CDATA[%s]]>", b"%s"]
)
def test_a_long_part_in_many_pieces_takes_no_longer_than_it_is(part: bytes) -> None:
    """Bounded by the time that a test may take: with each piece parsed anew, it would take minutes."""
    content = (
        b"x" * 4_000_000
        if b" %s/" not in part
        else b" ".join(b"a%d='b'" % n for n in range(900)) + b" " * 3_990_000
    )
    before, _, after = part.partition(b"%s")
    pieces = [b"<a>" + before, *(content[at : at + 50] for at in range(0, len(content), 50)), after + b"</a>"]
    assert len(list(xml.events(pieces))) in (3, 4)
    assert list(xml.records(pieces, "none")) == []


def test_lines_of_a_long_document_are_exact() -> None:
    data = b"<r>" + b"\n<a>\n</a>" * 50_000 + b"</r>"
    lines = [event.line for event in xml.events(data) if event.kind == "start"]
    assert lines == [1, *range(2, 100_002, 2)]


def as_events(element: Any) -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Of a tree, as lxml has it."""
    if element.tag is etree.Comment:
        yield "comment", "", {}, element.text
    elif element.tag is etree.PI:
        yield "instruction", element.target, {}, element.text
    else:
        yield "start", element.tag, dict(element.attrib), ""
        if element.text:
            yield "text", "", {}, element.text
        for child in element:
            yield from as_events(child)
            if child.tail:
                yield "text", "", {}, child.tail
        yield "end", element.tag, {}, ""


@given(st.data())
def test_they_are_what_lxml_reads(data: st.DataObject) -> None:
    document = etree.tostring(data.draw(elements()), encoding=data.draw(st.sampled_from(("utf-8", "utf-16"))))
    expected = list(as_events(etree.fromstring(document)))
    assert [event[:4] for event in xml.events(data.draw(cut(document)))] == expected


def test_a_handler_is_told_of_what_it_has_methods_for() -> None:
    class Handler:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def start(self, name: str, attributes: dict[str, str]) -> None:
            self.told.append((name, attributes))

        def text(self, text: str) -> None:
            self.told.append(text)

        def instruction(self, name: str, text: str) -> None:
            self.told.append((name, text))

    handler = Handler()
    xml.handle(b"<a b='c'>d<e/><!-- f --><?g h?></a>", handler)
    assert handler.told == [("a", {"b": "c"}), "d", ("e", {}), ("g", "h")]


@pytest.mark.parametrize(
    ("data", "line", "column", "reason"),
    [
        (b"<a>\n<b></a>", 2, 6, "mismatched tag"),
        (b"<a>\n &x;</a>", 2, 2, "undefined entity"),
        (b"<a b='1'\nb='2'/>", 2, 1, "duplicate attribute"),
        (b"<p:a/>", 1, 1, "unbound prefix"),
        (b"<a>\x01</a>", 1, 4, "not well-formed"),
        (b"", 1, 1, "no element"),
        (b"<a>", 1, 4, "no element"),
        (b"<a/><a/>", 1, 5, "junk after"),
    ],
)
def test_errors_say_where(data: bytes, line: int, column: int, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        list(xml.events(data))
    assert (caught.value.source, caught.value.line, caught.value.column) == ("the bytes", line, column)


def test_what_came_before_an_error_comes_first() -> None:
    found = xml.events(b"<a><b/></c>")
    assert [event.kind for event in itertools.islice(found, 3)] == ["start", "start", "end"]
    with pytest.raises(DataError):
        next(found)


def test_what_may_be_allowed() -> None:
    with pytest.raises(ConfigError, match="bounds are in Limits"):
        xml.events(b"<a/>", allow="huge")
    with source(b"<a/>") as given:
        assert len(list(xml.events(given))) == 2
