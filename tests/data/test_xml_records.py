"""Records: the elements of a document one by one, as a tree of the whole would have them."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from portico.data import read, source, xml
from portico.errors import ConfigError, DataError, LimitExceeded
from portico.limits import Limits
from tests.data.xml_documents import cut, elements

SHOP = b"""<?xml version="1.0"?>
<shop xmlns="urn:shop" xmlns:x="urn:x"><!-- c -->
  <item id="1"><name>\xc3\x84pfel<!-- c --> rot</name><tag>a</tag><tag>b</tag></item> tail
  <part><item id="2" x:y="z" xml:lang="de"><item id="3"/></item></part>
  <x:item id="4">only</x:item>
</shop>
"""


def ids(select: str, **options: Any) -> list[str]:
    return [element.get("id") for element in xml.records(SHOP, select, **options)]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("{urn:shop}item", "1 3 2"),
        ("{*}item", "1 3 2 4"),
        ("item", ""),
        ("s:item", "1 3 2"),
        ("s:shop/s:item", "1"),
        ("/s:shop/s:item", "1"),
        ("/s:item", ""),
        ("s:part/s:item", "2"),
        ("s:part//s:item", "3 2"),
        ("s:shop//s:item/s:item", "3"),
        ("s:shop//*/s:item", "3 2"),
        ("//s:item", "1 3 2"),
        ("x:*", "4"),
        ("*:item", "1 3 2 4"),
        ("/*/*:item", "1 4"),
        ("{}item", ""),
    ],
)
def test_patterns(select: str, expected: str) -> None:
    for pieces in (SHOP, [bytes((byte,)) for byte in SHOP]):
        found = xml.records(pieces, select, namespaces={"s": "urn:shop", "x": "urn:x"})
        assert " ".join(element.get("id") for element in found) == expected


def test_a_default_namespace() -> None:
    assert (
        ids("item", namespaces={None: "urn:shop"})
        == ids("item", namespaces={"": "urn:shop"})
        == ["1", "3", "2"]
    )


@pytest.mark.parametrize(
    "select",
    [
        *(
            "",
            "/",
            "a/",
            "a///b",
            "p:a",
            "a b/",
            "{urn",
            "{a}",
            "a b",
            "//[",
            "a[1]",
            "@id",
            "text()",
            "a|b",
            ".",
        ),
        *("..", "a/..", "1a", "-a", "{u}1", "{u}a:b", "*a", "{*}a*"),
    ],
)
def test_what_is_no_pattern(select: str) -> None:
    with pytest.raises(ConfigError):
        xml.records(SHOP, select)


@pytest.mark.parametrize("name", ["é", "_", "a.b-c·", "\U00010400", "ↂ"])
def test_a_name_of_any_language_is_a_pattern(name: str) -> None:
    document = f"<r><{name}/></r>".encode()
    assert [each.tag for each in xml.records(document, name)] == [name]
    assert [each.tag for each in xml.records(document, f"r/{{}}{name}")] == [name]


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("document", "column"),
    [(b"<r>\n<i>&nbsp;</i>\n<i/></r>", 10), (b"<r>\n<i a='&nbsp;'/>\n<i/></r>", 13)],
)
def test_an_entity_that_nobody_declared_is_named(document: bytes, column: int, size: int) -> None:
    pieces = [document[at : at + size] for at in range(0, len(document), size)]
    readers: list[Any] = [lambda: list(read(pieces, "xml")), lambda: list(xml.records(pieces, "i"))]
    for reader in (*readers, lambda: xml.load(pieces)):
        with pytest.raises(DataError, match="'nbsp' not defined") as caught:
            reader()
        assert (caught.value.line, caught.value.column) == (2, column)


def test_what_never_ends_is_called_a_tag_or_comment() -> None:
    with pytest.raises(LimitExceeded, match="a tag or comment of more than"):
        list(xml.records((b"<r><!--", *(b"x" * 2**20 for _ in range(30))), "i"))


def test_the_type_of_records_is_known() -> None:
    @dataclass
    class Name:
        name: str

    document = b"<r><i><name>x</name></i></r>"
    typed: list[Name] = list(xml.records(document, "i", type=Name))
    dicts: list[dict[str, Any]] = list(xml.records(document, "i", as_="dict"))
    assert typed[0].name == dicts[0]["name"] == "x"


def test_options_that_are_none() -> None:
    with pytest.raises(ConfigError, match="as_"):
        xml.records(SHOP, "a", as_="list")
    with pytest.raises(ConfigError, match="allow"):
        xml.records(SHOP, "a", allow={"everything"})
    with pytest.raises(ConfigError, match="resolver"):
        xml.records(SHOP, "a", allow={"external"})


def test_an_element_is_whole_when_it_comes_and_stays_so_if_it_is_kept() -> None:
    data = b"<r>" + b"<a><b>x</b>y</a>z" * 50_000 + b"</r>"
    kept = list(xml.records(data, "a"))
    gc.collect()
    assert len(kept) == 50_000
    assert all(etree.tostring(each, with_tail=False) == b"<a><b>x</b>y</a>" for each in kept)


def test_an_element_may_be_taken_apart() -> None:
    data = b"<r>" + b"<a><b>x</b></a>" * 50_000 + b"</r>"
    count = 0
    for element in xml.records(data, "a"):
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]
        count += 1
    assert count == 50_000


@given(st.data())
def test_they_are_those_of_the_whole(data: st.DataObject) -> None:
    document = etree.tostring(data.draw(elements()), encoding="utf-8")
    whole = etree.fromstring(document, etree.XMLParser(remove_comments=True, remove_pis=True))
    names = sorted({element.tag for element in whole.iter()})
    name = data.draw(st.sampled_from(names))
    for select, wanted in ((name, name), ("*", None), ("{*}*", None)):
        expected = [etree.tostring(each, with_tail=False) for each in _ended(whole, wanted)]
        found = xml.records(data.draw(cut(document)), select)
        assert [etree.tostring(each, with_tail=False) for each in found] == expected
    assert [each.tag for each in xml.records(document, f"/{whole.tag}/*")] == [each.tag for each in whole]


def _ended(whole: Any, name: str | None) -> list[Any]:
    return [element for _, element in etree.iterwalk(whole, events=("end",), tag=name)]


@given(st.data())
def test_pieces_of_any_size_with_more_than_one_prune(data: st.DataObject) -> None:
    shape = data.draw(
        st.lists(st.sampled_from((b"<a>x</a>", b"<b><a>y</a></b>", b"z", b"<c><a><a/></a></c>", b"<d/>")))
    )
    document = b"<r>" + b"".join(shape) + b"</r>"
    pieces = [document[at : at + 5] for at in range(0, len(document), 5)]
    expected = [etree.tostring(each, with_tail=False) for each in _ended(etree.fromstring(document), "a")]
    assert [etree.tostring(each, with_tail=False) for each in xml.records(pieces, "a")] == expected


@given(st.data())
def test_with_entities_allowed_they_are_the_same(data: st.DataObject) -> None:
    document = etree.tostring(data.draw(elements()), encoding="utf-8")
    found = [_plain(each) for each in xml.records(document, "*", allow={"entities"})]
    assert found == [_plain(each) for each in xml.records(document, "*")]


def _plain(element: Any) -> tuple[str, dict[str, str], list[str]]:
    return element.tag, dict(element.attrib), list(element.itertext())


def test_elements_within_entities() -> None:
    data = b"<!DOCTYPE r [<!ENTITY e '<a>x</a>'><!ENTITY f '&e;<b>&e;</b>'>]><r>&e;&f;<a>&#38;</a></r>"
    for pieces in ([data], [bytes((byte,)) for byte in data]):
        assert [each.text for each in xml.records(pieces, "a", allow={"entities"})] == ["x", "x", "x", "&"]
    broken = data.replace(b"<b>", b"<b><c>")
    with pytest.raises(DataError) as caught:
        list(xml.records(broken, "a", allow={"entities"}))
    assert caught.value.line == 1


# -- as other types


def test_as_dicts() -> None:
    names = {"s": "urn:shop"}
    first, third, second = xml.records(SHOP, "s:item", namespaces=names, as_="dict")
    assert first == {"@id": "1", "s:name": "Äpfel rot", "s:tag": ["a", "b"]}
    assert third == {"@id": "3"}
    assert second == {"@id": "2", "@x:y": "z", "@xml:lang": "de", "s:item": {"@id": "3"}}
    bare = {"": "urn:shop"}
    assert next(xml.records(SHOP, "item", namespaces=bare, as_="dict", lists=("name",), attribute="")) == {
        "id": "1",
        "name": ["Äpfel rot"],
        "tag": ["a", "b"],
    }
    assert next(xml.records(b"<a b='c'>d</a>", "a", as_="dict", text="_", attribute="-")) == {
        "-b": "c",
        "_": "d",
    }
    assert next(xml.records(b"<a/>", "a", as_="dict")) == {"#text": ""}
    assert next(xml.records(b"<a> x <b/> y </a>", "a", as_="dict")) == {"b": "", "#text": "x  y"}
    assert next(xml.records(b"<a><b> </b></a>", "a", as_="dict")) == {"b": " "}


def test_a_record_that_is_deep() -> None:
    data = b"<r>" + b"<a>" * 255 + b"</a>" * 255 + b"</r>"
    made = next(xml.records(data, "/r", as_="dict"))
    for _ in range(254):
        made = made["a"]
    assert made == {"a": ""}
    with pytest.raises(LimitExceeded, match="more than 256 levels"):
        list(xml.records(b"<a>" * 1000 + b"</a>" * 1000, "/a", as_="dict", allow="huge"))


class Item(msgspec.Struct):
    id: int = msgspec.field(name="@id")
    price: float
    tag: list[str] = []


@dataclass
class Plain:
    id: int
    price: float


def test_as_types() -> None:
    data = (
        b"<r>\n<item id='7'><price>1.5</price><tag>a</tag></item>\n<item id='8'><price>x</price></item></r>"
    )
    found = xml.records(data, "item", type=Item, lists="tag")
    assert next(found) == Item(7, 1.5, ["a"])
    with pytest.raises(DataError, match="Expected `float`, got `str`") as caught:
        next(found)
    assert (caught.value.line, caught.value.path, caught.value.source) == (3, "$.price", "the bytes")
    assert next(xml.records(data, "item", type=Plain, attribute="")) == Plain(7, 1.5)


def test_what_does_not_fit_is_collected() -> None:
    data = (
        b"<r>\n<i id='1'><price>2</price></i>\n<i id='x'/>\n<i id='3'/><i id='4'><price>5</price></i>\n</x>"
    )
    errors: list[DataError] = []
    for on_error in (errors, errors.append):
        errors.clear()
        found = xml.records(data, "i", type=Item, on_error=on_error)
        assert [next(found).id, next(found).id] == [1, 4]
        with pytest.raises(DataError, match="mismatch"):  # which ends the document
            next(found)
        assert [(each.source, each.line, each.path) for each in errors] == [
            ("the bytes", 3, "$.@id"),
            ("the bytes", 4, "$"),
        ]
        assert "price" in errors[1].reason
    assert len(errors) == 2
    with pytest.raises(DataError):
        list(xml.records(data, "i", type=Item))
    with pytest.raises(ConfigError, match="on_error"):
        xml.records(data, "i", type=Item, on_error="ignore")  # type: ignore[arg-type]


# -- errors


def test_what_came_before_an_error_comes_first() -> None:
    for pieces in ([b"<r><a>1</a>\n<a>2</a></b>"], [b"<r><a>1</a>\n<a>2</a>", b"</b>"]):
        found = xml.records(pieces, "a")
        assert [next(found).text, next(found).text] == ["1", "2"]
        with pytest.raises(DataError, match="mismatch: r line 1 and b") as caught:
            next(found)
        assert (caught.value.source, caught.value.line, caught.value.column) == ("the pieces", 2, 13)


@pytest.mark.parametrize(
    "data", [b"", b" ", b"<r>", b"<r><a/>", b"text", b"<r/><r/>", b"<r/>x", b"\0", b"<?xml?>"]
)
def test_what_is_not_whole(data: bytes) -> None:
    with pytest.raises(DataError):
        list(xml.records(data, "a"))


def test_what_was_opened_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_bytes(b"<r>" + b"<a/>" * 100_000 + b"</r>")
    found = xml.records(path, "a")
    next(found)
    found.close()
    with source(path) as given:
        assert sum(1 for _ in xml.records(given, "a")) == 100_000
        assert given.chunk() == b""
    with pytest.raises(FileNotFoundError):
        next(xml.records(tmp_path / "none", "a"))


def test_compressed_and_bounded(tmp_path: Path) -> None:
    import gzip

    bomb = gzip.compress(b"<r>" + b"<a/>" * 3_000_000 + b"</r>")
    with pytest.raises(LimitExceeded):
        for _ in xml.records(source(bomb, limits=Limits(unpacked=1_000_000)), "a"):
            pass


def test_another_thread_does_not_go_on() -> None:
    """In a process of its own, for lxml alone would end it."""
    program = """
import gc, threading
from portico.data import xml
from portico.errors import LocalProtocolError
for bad in (b"<a><b>", b"<a b='&x;'/>", b"<a>") * 100:
    try: xml.load(bad)
    except ValueError: pass
def begin():
    global found
    found = xml.records([b"<r>" + b"<a>x</a>" * 20000, b"<a/></r>"], "a")
    kept.append(next(found))
for end in (list, lambda found: found.close(), lambda found: None):
    kept = []
    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    try: end(found)
    except LocalProtocolError as error: print(error)
    del found, kept
    gc.collect()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout.count("must read on")) == (0, 1), done.stderr


# -- memory


SHAPES = {
    "records": b"<a><b>some text</b><c d='e'/></a>\n",
    "nothing that is wanted": b"<x><b>some text</b><c d='e'/></x>\n",
    "wanted ones in others": b"<x><y><a>text</a></y> text </x>text",
    "comments": b"<!-- comment --><?p i?>",
    "text in pieces": b"<x/>text ",
    "recursion": b"<a><a>1</a><x/><a><a/></a></a>",
    "attributes": b"<a xml:id='ID' b='c'/>",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_does_not_grow(shape: str) -> None:
    piece = SHAPES[shape] * (200_000 // len(SHAPES[shape]))

    held: list[int] = []

    def document() -> Iterator[bytes]:
        yield b"<r>"
        for number in range(60):
            held.append(resident())
            yield piece.replace(b"ID", b"i%d" % number, 1).replace(b" xml:id='ID'", b"")
        yield b"</r>" + piece * 20 * (shape == "comments")

    gc.freeze()  # what tests before left is not looked at again and again
    try:
        for _ in xml.records(document(), "a"):
            pass
    finally:
        gc.unfreeze()
    assert max(held[20:]) - held[20] < 4 << 20  # of 12 MB, whose tree takes 100


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_large_file_in_less_than_80_mib(tmp_path: Path) -> None:
    """In a process of its own, which imports no more than it needs."""
    path = tmp_path / "large.xml"
    record = b"<item id='1'><name>N\xc3\xa4me</name><text>" + b"lorem ipsum " * 15 + b"</text></item>\n"
    with path.open("wb") as file:
        file.write(b"<list>")
        for _ in range(100):
            file.write(record * 4000)
        file.write(b"</list>")
    assert path.stat().st_size > 90_000_000
    program = (
        "import sys; from portico.data import xml\n"
        "print(sum(1 for _ in xml.records(sys.argv[1], 'item')), "
        "next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, timeout=50
    )
    count, peak = map(int, done.stdout.split())
    assert count == 400_000
    assert peak < 80 << 10
