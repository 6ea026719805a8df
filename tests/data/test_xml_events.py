"""Events: what a document consists of, in its order, with lines, while it arrives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from portico.data import source, xml
from portico.errors import ConfigError, DataError, LimitExceeded
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


def test_a_handler_that_wants_all_and_its_place() -> None:
    told: list[Any] = []

    class Handler:
        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: told.append((name, *arguments))

    xml.handle(b"<!DOCTYPE a SYSTEM 's'><a xmlns='u' xmlns:p='v'><![CDATA[b]]></a>", Handler())
    assert told == [
        ("place", 1, 23), ("doctype", "a", {"system": "s"}),
        ("place", 1, 24), ("namespace", "", "u"), ("place", 1, 24), ("namespace", "p", "v"),
        ("place", 1, 24), ("start", "{u}a", {}),
        ("place", 1, 49), ("cdata", "b"),
        ("place", 1, 62), ("end", "{u}a"),
    ]  # fmt: skip


def test_an_error_of_a_handler_comes_out_and_what_was_opened_is_closed(tmp_path: Path) -> None:
    class Handler:
        def start(self, name: str, attributes: dict[str, str]) -> None:
            raise KeyError(name)

    path = tmp_path / "x.xml"
    path.write_bytes(b"<a/>")
    with pytest.raises(KeyError, match="a"):
        xml.handle(path, Handler())
    found = xml.events(path)
    next(found)
    found.close()


def of(data: bytes, *kinds: str) -> list[tuple[Any, ...]]:
    return [
        (event.kind, event.name, event.text, event.line, event.column)
        for event in xml.events(data, kinds=kinds)
    ]


def test_kinds() -> None:
    data = b"<a>b<!-- c -->d<![CDATA[e<]]>f<?g h?><i/>j<![CDATA[]]></a>"
    assert of(data, "text") == [("text", "", "bde<f", 1, 4), ("text", "", "j", 1, 42)]
    assert of(data, "text", "comment") == [
        ("text", "", "b", 1, 4),
        ("comment", "", " c ", 1, 5),
        ("text", "", "de<f", 1, 15),
        ("text", "", "j", 1, 42),
    ]
    assert of(data, "text", "cdata") == [
        ("text", "", "bd", 1, 4),
        ("cdata", "", "e<", 1, 16),
        ("text", "", "f", 1, 30),
        ("text", "", "j", 1, 42),
        ("cdata", "", "", 1, 43),
    ]
    assert of(data, "cdata") == [("cdata", "", "e<", 1, 16), ("cdata", "", "", 1, 43)]
    assert [each[0] for each in of(data, "end", "start")] == ["start", "start", "end", "end"]
    assert of(data, "instruction") == [("instruction", "g", "h", 1, 31)]
    assert of(data) == []
    with pytest.raises(DataError):
        of(b"<a>", "comment")
    with pytest.raises(ConfigError, match=r"kinds='doc'.*doctype"):
        xml.events(data, kinds="doc")


@pytest.mark.parametrize(
    ("declared", "attributes", "column"),
    [
        ("a", {}, 12),
        ("a SYSTEM 'x'", {"system": "x"}, 23),
        ("a PUBLIC '-//X' 'y' [<!ELEMENT a ANY>]", {"public": "-//X", "system": "y"}, 31),
    ],
)
def test_a_document_type(declared: str, attributes: dict[str, str], column: int) -> None:
    found = list(xml.events(f"<!DOCTYPE {declared}>\n<a/>".encode(), kinds=("doctype", "start")))
    assert [tuple(event) for event in found] == [
        ("doctype", "a", attributes, "", 1, column),
        ("start", "a", {}, "", 2, 1),
    ]


def test_namespaces_that_come_and_go() -> None:
    data = b"<a xmlns='u'><b xmlns='' xmlns:p='v' p:x='1' xml:lang='de'/><c/></a>"
    found = [(event.kind, event.name, event.text) for event in xml.events(data, kinds=("namespace", "start"))]
    assert found == [
        ("namespace", "", "u"), ("start", "{u}a", ""),
        ("namespace", "", ""), ("namespace", "p", "v"), ("start", "b", ""),
        ("start", "{u}c", ""),
    ]  # fmt: skip


# -- names of the fifth edition

ODD = "\u0132\u0e01\u1200\u3400\ua000\U0001f600\U000effff"
"""Letters that may begin a name since the fifth edition only."""
FIFTH = f"""<{ODD}:r xmlns:{ODD}='u' b='\u1200\n'>\u1200\n\u2182<a\u0346 \u2182='1'/>\u1200
<!-- <\u1200 \u20e1\u4e00\u4e00 --><b>\u1200<\u0345\u2182</b><c/>
</{ODD}:r>""".replace("<\u0345", "")


@given(st.data())
def test_names_that_expat_does_not_know(data: st.DataObject) -> None:
    document = FIFTH.encode(data.draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16"))))
    found = list(xml.events(data.draw(cut(document))))
    assert [event[:4] for event in found] == list(as_events(etree.fromstring(document)))
    lines = FIFTH.split("\n")
    for event in found:
        if event.kind in ("start", "comment"):
            at = lines[event.line - 1][event.column - 1 :]
            assert at.startswith(f"<{event.local}" if event.local and ODD[0] not in at[1] else "<")
    assert [(event.line, event.column) for event in found if event.local in ("c", "b")] == [
        (4, lines[3].index("<b>") + 1), (4, lines[3].index("</b>") + 1),
        (4, lines[3].index("<c/>") + 1), (4, lines[3].index("<c/>") + 5),
    ]  # fmt: skip


@given(st.characters(min_codepoint=0x80, exclude_categories=("Cs",)), st.sampled_from(("{}", "a{}", "a{}b")))
def test_each_character_may_be_in_a_name_or_not_as_lxml_has_it(character: str, form: str) -> None:
    name = form.format(character)
    data = f"<r><{name} {name}='1'/><?{name} x?></r>".encode()
    try:
        expected = [element.tag for element in etree.fromstring(data).iter(etree.Element)]
    except etree.XMLSyntaxError:
        with pytest.raises(DataError):
            list(xml.events(data))
    else:
        found = list(xml.events(data))
        assert [event.name for event in found if event.kind == "start"] == expected
        assert found[1].attributes == {name: "1"}


def test_entities_with_such_names() -> None:
    data = f"<!DOCTYPE r [<!ENTITY {ODD} '<{ODD}/>'><!ATTLIST r {ODD} CDATA 'd'>]><r>&{ODD};</r>".encode()
    found = list(xml.events(data, allow="entities"))
    assert [event.name for event in found] == ["r", ODD, ODD, "r"]
    assert found[0].attributes == {ODD: "d"}
    assert [each.tag for each in xml.records(data, ODD, allow="entities")] == [ODD]
    with pytest.raises(LimitExceeded, match=ODD[:-1]):
        list(xml.events(data))


def test_errors_behind_such_names_say_where() -> None:
    data = f"<r>\n<{ODD}></{ODD}></x>".encode()
    with pytest.raises(DataError) as caught:
        list(xml.events(data))
    assert (caught.value.line, caught.value.column) == (2, 2 * len(ODD) + 8)


def test_lines_that_end_otherwise() -> None:
    data = f"<r>\r\n<{ODD}/>\r<{ODD}/><b/>\r\n\r<{ODD}/><c/></r>".encode()
    for size in (1, 2, 3, 100):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        places = {event.name: (event.line, event.column) for event in xml.events(pieces, kinds="start")}
        assert places == {"r": (1, 1), "b": (3, len(ODD) + 4), "c": (5, len(ODD) + 4), ODD: (5, 1)}


@pytest.mark.parametrize(
    ("data", "line", "column", "reason"),
    [
        (b"<a>\n<b></a>", 2, 6, "mismatched tag"),
        (b"<a>\n &x;</a>", 2, 2, "undefined entity 'x'"),
        (b"<a>\n <b c='&amp;&x;'/></a>", 2, 2, "undefined entity 'x'"),
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
