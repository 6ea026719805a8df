"""Hostile documents: refused by events, trees and records alike, with little memory, and nothing is read."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import source, xml
from portico.data.xml.tags import Tags
from portico.errors import DataError, LimitExceeded, PorticoError
from portico.limits import Limits
from tests.data.xml_documents import BOMBS, SECRET, cut, declaring, harmless, thefts

WAYS: dict[str, Callable[..., Any]] = {
    "events": lambda data, **options: list(xml.events(data, **options)),
    "load": lambda data, **options: xml.xpath(xml.load(data, **options), "string(/)"),
    "records": lambda data, **options: [
        each.text for each in xml.records(data, "*", **options) if each.text is not None
    ],
    "read": lambda data, **options: list(xml.read_xml(source(data), "*", **options)),
}
SPARED = 100_000
"""KiB that an attack may take."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return WAYS[request.param]


@pytest.fixture
def bounded() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF)
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < SPARED
    assert after.ru_utime - before.ru_utime < 10


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "secret").write_text(SECRET)
    return f"file://{tmp_path}/secret"


@pytest.fixture
def network() -> Iterator[str]:
    """A URL that must not be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.usefixtures("bounded")
def test_a_document_that_declares_entities_is_refused(bomb: str, way: Callable[..., Any]) -> None:
    with pytest.raises(LimitExceeded, match=r"it declares entities|amplification") as caught:
        way(BOMBS[bomb])
    assert caught.value.limit == "entities"


@pytest.mark.parametrize("bomb", ["laughs", "laughs in an attribute", "parameter laughs", "quadratic"])
@pytest.mark.usefixtures("bounded")
def test_entities_that_are_allowed_do_not_grow_without_bound(bomb: str, way: Callable[..., Any]) -> None:
    limits = Limits(answer=1 << 24, xml_text=100_000)
    with suppress(LimitExceeded, DataError):
        assert len(str(way(source(BOMBS[bomb], limits=limits), allow={"entities"}))) < 1 << 24


def test_entities_that_are_allowed(way: Callable[..., Any]) -> None:
    data = declaring("<!ENTITY b 'x&#38;amp;<c>y</c>'>", "<a d='&lt;'>1&b;2</a>")
    assert "y" in str(way(data, allow={"entities"}))


def test_each_theft_is_refused(secret: str, network: str, way: Callable[..., Any]) -> None:
    for name, data in thefts(secret, network).items():
        with pytest.raises(PorticoError) as caught:
            way(data)
        assert SECRET not in str(caught.value), name
        with suppress(PorticoError):
            assert SECRET not in str(way(data, allow={"entities"})), name


def test_what_only_names_other_files_is_read_without_them(
    secret: str, network: str, way: Callable[..., Any]
) -> None:
    for name, data in harmless(secret, network).items():
        assert SECRET not in str(way(data)), name


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE a SYSTEM 'x'><a>b&c;d</a>",
        b"<!DOCTYPE a SYSTEM 'x'><a b='c&d;e'/>",
        b"<!DOCTYPE a PUBLIC 'x' 'y'>\n<a>\n<b c='&amp;' d='&#65;'/><b c='&lt;&nbsp;'/></a>",
        "<!DOCTYPE a SYSTEM 'x'><a b='c&d;e'/>".encode("utf-16"),
    ],
)
def test_a_reference_to_what_is_declared_elsewhere_is_not_lost_in_silence(
    data: bytes, way: Callable[..., Any]
) -> None:
    with pytest.raises(DataError, match="elsewhere") as caught:
        way(data)
    assert caught.value.line in (1, 3)
    with pytest.raises(DataError):
        way(data.replace(b" SYSTEM 'x'", b"").replace(b" PUBLIC 'x' 'y'", b""))


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE a><a/>",
        b"<!DOCTYPE a [<!ELEMENT a ANY><!ATTLIST a b CDATA 'c' d ID #IMPLIED><!NOTATION n SYSTEM 'n'>]><a/>",
        b"<?xml version='1.0'?><!-- --><!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0//EN' 'x.dtd'><html/>",
        b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://apple.com/x.dtd"><plist><dict/></plist>',
    ],
)
def test_a_document_type_that_does_nothing_is_read(data: bytes, way: Callable[..., Any]) -> None:
    way(data)
    way([bytes((byte,)) for byte in data])


# -- sizes


def test_depth(way: Callable[..., Any]) -> None:
    with pytest.raises(LimitExceeded, match=r"depth|levels"):
        way(b"<a>" * 100_000)
    with pytest.raises(LimitExceeded, match=r"depth|levels"):
        way(b"<a>" * 1000 + b"</a>" * 1000)
    way(b"<a>" * 200 + b"</a>" * 200)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    "endless",
    [b"x", b"<!-- x", b"<?x y", b"<![CDATA[x", b"<b c='x", b"<xxxx", b"<b xxxxxx", b"<b xmlns='x"],
)
def test_a_part_without_an_end(endless: bytes, way: Callable[..., Any]) -> None:
    pieces = (b"<a>" + endless, *(b"x" * 100_000 for _ in range(300)))
    with pytest.raises(LimitExceeded) as caught:
        way(pieces)
    assert caught.value.limit in ("size", "xml_text", "xml_record")


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    "before", [b" ", b"<!-- x -->", b"<?x y?>", b"<!DOCTYPE a [ ", b"<!DOCTYPE a [<!-- "]
)
def test_a_document_without_a_root(before: bytes, way: Callable[..., Any]) -> None:
    pieces = [before, *([before if "[" not in before.decode() else b"   "] * 300_000)]
    with pytest.raises(LimitExceeded, match="before the root"):
        way(source(pieces, limits=Limits(xml_prolog=1 << 16)))


@pytest.mark.parametrize("data", [b"<a %s/>", b"<r><a %s></a></r>", b"<r>x<b c=''/>\n<a\n%s/><b/></r>"])
@pytest.mark.parametrize("form", [b"a%d=''", b"xmlns:a%d='u'", b'\xc3\xa4%d = "\n>\'="'])
@pytest.mark.parametrize("step", [1 << 20, 1009, 7])
def test_attributes(data: bytes, form: bytes, step: int, way: Callable[..., Any]) -> None:
    for count in (1000, 1001):
        whole = data.replace(b"%s", b" ".join(form % number for number in range(count)))
        pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
        if count == 1000:
            way(pieces)
        else:
            with pytest.raises(LimitExceeded, match="more than 1000 attributes"):
                way(pieces)
            way(source(pieces, limits=Limits(xml_attributes=2000)))


@given(st.data())
def test_attributes_are_counted_at_any_chunking(data: st.DataObject) -> None:
    most = data.draw(st.integers(1, 8))
    tags = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=6))
    document = "<r>" + "".join(f"{'x' * (n % 3)}<a{_some(n)}/>" for n in tags) + "</r>"
    counter = Tags(most, "it")
    try:
        for piece in data.draw(cut(document.encode())):
            counter.look(piece)
        found = 0
    except LimitExceeded:
        found = 1
    assert found == (max(tags) > most)


def _some(count: int) -> str:
    return "".join(f" a{number}=''" for number in range(count))


@pytest.mark.parametrize(
    "content",
    [
        b"<!-- if a<b " + b"x = 'y'; " * 2000 + b"-->",
        b"<![CDATA[" + b"<a b='c'>" * 2000 + b"]]>",
        b"<![CDATA[a<b" + b"&& x='<' " * 2000 + b"]]>",
        b"<b/>" + b" x='y' " * 2000,
        b"<b>" + b" x='y' " * 2000 + b"</b>",
        b"</b>" + b" x='y' " * 2000 + b"<b>",
        b"<?p " + b" x='y' " * 2000 + b"?>",
        b'<b c="' + b" x='y' " * 2000 + b'"/>',
        b"<b/>" * 2000 + b" " * 9000,
    ],
)
def test_what_only_looks_like_attributes(content: bytes, way: Callable[..., Any]) -> None:
    if content.startswith(b"</b>"):
        content = b"<b>" + content + b"</b>"
    document = b"<a>" + content + b"</a>"
    for step in (1 << 20, 4096, 11):
        way([document[at : at + step] for at in range(0, len(document), step)])


ATTACKS = r"""
import resource, sys
from portico.data import source, xml
from portico.errors import LimitExceeded
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

def many(form, count=2_000_000, before=b"<r><a "):
    yield before
    for at in range(0, count, 5000):
        yield b" ".join(form % number for number in range(at, at + 5000)) + b" "
    yield b"/></r>"

def endless(start, part=b"x"):
    yield b"<a>" + start
    for _ in range(1200):
        yield part * (100_000 // len(part))

attacks = {
    "attributes": lambda: many(b"a%d=''"), "attributes of the root": lambda: many(b"a%d=''", before=b"<r "),
    "namespaces": lambda: many(b"xmlns:a%d='u'"), "apart": lambda: many(b"a%d\n=\t''"),
    "attributes at once": lambda: [b"".join(many(b"a%d=''", 900_000))],
    "defaults": lambda: iter([
        b"<!DOCTYPE r [<!ATTLIST a " + b" ".join(b"a%d CDATA 'x'" % n for n in range(900)) + b">]><r>",
        *[b"<a/>" * 10_000] * 100]),
    "a long default": lambda: iter([
        b"<!DOCTYPE r [<!ATTLIST a b CDATA '" + b"x" * 900_000 + b"'>]><r>", *[b"<a/>" * 1000] * 1000]),
    **{repr(start): lambda start=start: endless(start) for start in (
        b"", b"<", b"</", b"<b ", b"<b c='", b"<b xmlns='", b"<!--", b"<?p ", b"<![CDATA[", b"&")},
    "spaces": lambda: endless(b"<b", b" "), "references": lambda: endless(b"<b c='", b"&lt;"),
    "a text of references": lambda: endless(b"", b"&#x3b1;"),
}
ways = {
    "events": lambda data: sum(len(event.text) for event in xml.events(data)),
    "load": xml.load,
    "records": lambda data: sum(1 for each in xml.records(data, "*")),
}

def peak():
    status = open("/proc/self/status").read()
    return int(status.partition("VmHWM:")[2].split()[0])

way = ways[sys.argv[1]]
way(b"<a/>")
for name, attack in attacks.items():
    data = attack()
    if isinstance(data, list):
        open("/proc/self/clear_refs", "w").write("5")  # what it takes to make it is none of ours
    before, began = peak(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    try:
        way(data)
        limit = "none"
    except LimitExceeded as error:
        limit = error.limit
    used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began
    print(f"{peak() - before}\t{used:.1f}\t{limit}\t{name}")
"""


@pytest.mark.parametrize("name", ["events", "load", "records"])
def test_an_attack_by_size_takes_little_memory_and_time(name: str) -> None:
    """In a process of its own, which may have no more than 1 GiB."""
    done = subprocess.run([sys.executable, "-c", ATTACKS, name], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(rows) == 20
    for memory, seconds, limit, attack in rows:
        assert limit != "none", attack
        assert int(memory) < 32 << 10, attack
        assert float(seconds) < 20, attack


@pytest.mark.parametrize("kind", [b"<a%d_%d/>", b"<b a%d_%d=''/>", b"<b xmlns='a%d_%d'/>"])
@pytest.mark.parametrize("name", ["events", "records"])
def test_names_that_never_end(kind: bytes, name: str) -> None:
    def document() -> Iterator[bytes]:
        yield b"<r>"
        for part in range(1_000_000):
            yield b"".join(kind % (part, number) for number in range(1000))

    with pytest.raises(LimitExceeded, match="different names"):
        for _ in xml.events(document()) if name == "events" else xml.records(document(), "c"):
            pass


@pytest.mark.parametrize("part", [b"<b/>", b"<b c=''/>", b"x<b/>"])
def test_small_tags_weigh_more_than_their_bytes(part: bytes) -> None:
    def document() -> Iterator[bytes]:
        yield b"<a>"
        for _ in range(3000):
            yield part * 10_000

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limits = Limits(xml_nodes=200_000, xml_record=1 << 20)
    with pytest.raises(LimitExceeded, match="200000 tags and attributes"):
        xml.load(source(document(), limits=limits))
    with pytest.raises(LimitExceeded, match="a record of more than"):
        list(xml.records(source(document(), limits=limits), "a"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < SPARED


def test_names_are_counted_wherever_they_come() -> None:
    def document(fresh: int) -> Iterator[bytes]:
        yield b"<r>"
        for number in range(300):
            yield b"<b>x</b>" * 8000 + b"".join(b"<n%d_%d/>" % (number, each) for each in range(fresh))

    with pytest.raises(LimitExceeded, match="different names"):
        list(xml.records(document(1000), "c"))
    with pytest.raises(DataError):  # it does not end
        list(xml.records(document(2), "c"))


def test_a_whole_document_is_bounded_and_so_is_a_record() -> None:
    data = b"<a>" + b"<b>xxxxxxxxxx</b>" * 10_000 + b"</a>"
    with pytest.raises(LimitExceeded, match="take records"):
        xml.load(source(data, limits=Limits(answer=100_000)))
    with pytest.raises(LimitExceeded, match="a record of more than"):
        list(xml.records(source(data, limits=Limits(xml_record=50_000)), "a"))
    assert len(list(xml.records(source(data, limits=Limits(answer=1000, xml_record=1000)), "b"))) == 10_000


# -- encodings


@pytest.mark.parametrize(
    "data",
    [
        b"<?xml version='1.0' encoding='UTF-7'?><a>+ADw-b/+AD4-</a>",
        b"<?xml version='1.0' encoding='UTF-7'?>+ADwAIQ-DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b"<?xml version='1.0' encoding='HZ-GB-2312'?><a>~{<:Ky~}</a>",
        b"<?xml version='1.0' encoding='klingon'?><a/>",
        b"<?xml version='1.0' encoding='ISO-2022-KR'?><a/>",
        b"<?xml version='1.0' encoding='IBM037'?><a/>",
        "<?xml version='1.0' encoding='cp037'?><a/>".encode("cp037"),
        b"<?xml version='1.0' encoding='utf-8'?><a>\xe4</a>",
        b"<a>\xc3</a>",
        b"<a>\xed\xa0\x80</a>",
        b"<a>\xc0\xbc</a>",
        b"<a>\xf5\x80\x80\x80</a>",
        b"<?xml version='1.0' encoding='utf-16'?><a/>",
        "<a>ä</a>".encode("utf-16-le")[:-3],
        b"\xef\xbb\xbf<?xml version='1.0'?><a>\xe4</a>",
    ],
)
def test_an_encoding_that_is_odd_or_a_lie(data: bytes, way: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"encoding|is no utf|invalid token|bytes|declaration|expected"):
        way(data)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "ä北"), ("utf-16", "ä北😀"), ("iso-8859-1", "ä"), ("iso-8859-15", "€"),
        ("windows-1252", "€"),
        ("shift_jis", "北"), ("euc-jp", "北"), ("gb18030", "北😀"), ("big5", "北"), ("koi8-r", "Я"),
        ("us-ascii", "&#228;"), ("utf-8-sig", "ä"),
    ],
)  # fmt: skip
def test_encodings_of_real_documents(encoding: str, text: str, way: Callable[..., Any]) -> None:
    label = encoding.removesuffix("-sig")
    data = f"<?xml version='1.0' encoding='{label}'?>\n<a>{text}</a>".encode(encoding)
    assert text.replace("&#228;", "ä") in str(way(data))
    assert text.replace("&#228;", "ä") in str(way([bytes((byte,)) for byte in data]))


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8", "koi8-r", "utf-16-le", "shift_jis"])
def test_who_sends_it_knows_better(encoding: str, way: Callable[..., Any]) -> None:
    data = "<?xml version='1.0' encoding='us-ascii'?><a>ÄЯ</a>".replace(
        "Я" if encoding == "iso-8859-1" else "Ä" if encoding in ("koi8-r", "shift_jis") else "¶", ""
    ).encode(encoding)
    for options in ({"encoding": encoding}, {"content_type": f"text/xml; charset={encoding}"}):
        assert ("Ä" if encoding == "iso-8859-1" else "Я") in str(way(source(data, **options)))


@pytest.mark.parametrize("content_type", ["text/xml", "text/xml; charset=klingon", "application/xml"])
def test_a_content_type_that_says_nothing(content_type: str, way: Callable[..., Any]) -> None:
    data = "<?xml version='1.0' encoding='iso-8859-1'?><a>ä</a>".encode("latin-1")
    assert "ä" in str(way(source(data, content_type=content_type)))
