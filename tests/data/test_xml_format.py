"""XML as a format of records: read as dicts, written from dicts."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import read, write
from portico.errors import ConfigError, DataError


def written(records: Any, **options: Any) -> str:
    out = io.BytesIO()
    write(records, out, "xml", **options)
    return out.getvalue().decode()


def test_what_repeats_below_the_root_is_read() -> None:
    data = b"<list>\n<item id='1'><n>x</n></item><!-- c --><item id='2'/></list>"
    assert list(read(data)) == [{"@id": "1", "n": "x"}, {"@id": "2"}]
    assert list(read(b"<list><item>x</item></list>")) == [{"#text": "x"}]
    assert list(read(b"<list/>", "xml")) == []
    assert list(read(data, "xml", select="n")) == [{"#text": "x"}]
    assert list(read(data, "xml", attribute="", lists=("n",))) == [{"id": "1", "n": ["x"]}, {"id": "2"}]


def test_children_that_are_not_alike_are_no_records() -> None:
    with pytest.raises(DataError, match=r"<link> follows <title>.*select=") as caught:
        list(read(b"<feed>\n<title/>\n<link/></feed>", "xml"))
    assert caught.value.line == 3
    found = read(b"<r><a/><a/><a/><b/></r>", "xml")
    assert [next(found), next(found)] == [{"#text": ""}, {"#text": ""}]
    with pytest.raises(DataError, match="<b> follows <a>"):
        list(found)


@pytest.mark.parametrize("select", [None, "i", "/r/i"])
def test_as_types_and_what_does_not_fit_is_collected(select: str | None) -> None:
    data = b"<r>\n<i><name>a</name><when>2026-01-02</when></i>\n<i><when>x</when></i><i><name/></i>\n</r>"
    errors: list[DataError] = []
    found = read(data, "xml", select=select, type=Named, on_error=errors)
    assert list(found) == [Named("a", date(2026, 1, 2)), Named("")]
    assert [(each.line, each.path) for each in errors] == [(3, "$.when")]
    with pytest.raises(DataError):
        list(read(data, "xml", select=select, type=Named))


class Named(msgspec.Struct):
    name: str
    when: date | None = None


@pytest.mark.parametrize(
    ("data", "count", "reason"),
    [("<r><i a='1'/><i a='2'/></x>", 2, "mismatch"), ("<r><i a='1'/><i a='2'/><x/></r>", 2, "follows"),
     ("<r><i a='1'/>" * 300, 1, "follows|depth"),
     ("<!DOCTYPE r [<!ENTITY e ''>]><r><i/></r>", 0, "entities")],
)  # fmt: skip
def test_the_tool_keeps_what_was_good(
    data: str, count: int, reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from portico.cli.main import run

    (tmp_path / "x.xml").write_text(data)
    arguments = ["data", str(tmp_path / "x.xml"), "--to", "jsonl", "-o", str(tmp_path / "out.jsonl")]
    code = run(arguments)
    assert code in (63, 65)
    assert not (tmp_path / "out.jsonl").exists()
    assert run([*arguments, "--keep-going"]) == code
    _, said = capfd.readouterr()
    assert re.search(reason, said)
    assert "Traceback" not in said
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == count


def test_by_its_name_and_packed(tmp_path: Path) -> None:
    records = [{"@id": "1", "name": "Öl & <Essig>", "tag": ["a", "b"]}, {"name": ""}]
    for name in ("x.xml", "x.xml.gz"):
        write(records, tmp_path / name)
        assert list(read(tmp_path / name)) == records


def test_what_is_written() -> None:
    records = [
        {"b": 1, "@a": 'x"<\n', "c": {"#text": "t>", "@d": True}, "e": [None, 2.5, {"f": []}], "g": None}
    ]
    assert written(records, root="all", record="one") == (
        '<?xml version="1.0" encoding="UTF-8"?>\n<all>\n<one a="x&quot;&lt;&#10;"><b>1</b>'
        '<c d="true">t&gt;</c><e/><e>2.5</e><e></e><g/></one>\n</all>\n'
    )
    assert written(iter(())) == '<?xml version="1.0" encoding="UTF-8"?>\n<records>\n</records>\n'
    spaces = {None: "urn:a", "p": "urn:b&"}
    text = written([{"p:x": 1, "@p:y": 2, "@xml:lang": "de"}], namespaces=spaces)
    assert '<records xmlns="urn:a" xmlns:p="urn:b&amp;">\n<record p:y="2" xml:lang="de"><p:x>1</p:x>' in text
    names = {"": "urn:a", "p": "urn:b&"}
    assert list(read(text.encode(), namespaces=names)) == [{"@p:y": "2", "@xml:lang": "de", "p:x": "1"}]


class Colour(Enum):
    RED = "red"


@dataclass
class Plain:
    name: str
    when: date


class Struct(msgspec.Struct):
    number: int = msgspec.field(name="n")


def test_types() -> None:
    when = datetime(2024, 2, 3, 4, 5, tzinfo=UTC)
    row = {"a": Decimal("1.10"), "b": when, "c": UUID(int=1), "d": Colour.RED, "e": Plain("x", when.date())}
    text = written([row, Struct(5)])
    for part in (
        "<a>1.10</a>",
        "<b>2024-02-03T04:05:00+00:00</b>",
        "-000000000001</c>",
        "<d>red</d>",
        "<n>5</n>",
    ):
        assert part in text
    assert "<e><name>x</name><when>2024-02-03</when></e>" in text


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"a b": 1}, "no name of XML"),
        ({"": 1}, "no name of XML"),
        ({1: 1}, "no name of XML"),
        ({"1a": 1}, "no name of XML"),
        ({"a><b": 1}, "no name of XML"),
        ({"@": 1}, "no name of XML"),
        ({"@a='' b": 1}, "no name of XML"),
        ({"a:b:c": 1}, "no name of XML"),
        ({"xmlns": 1}, "no name of XML"),
        ({"@xmlns:p": "urn:x"}, "no name of XML"),
        ({"@xmlns": "urn:x"}, "no name of XML"),
        ({"p:a": 1}, "prefix 'p' has no namespace"),
        ({"a": "\0"}, r"U\+0000 cannot"),
        ({"a": ["x", {"b": "\x1b"}]}, r"U\+001B cannot"),
        ({"@a": "\ufffe"}, r"U\+FFFE cannot"),
        ({"#text": "\ud800"}, r"U\+D800 cannot"),
        ({"a": b"x"}, "type bytes"),
        ({"a": object()}, "type object"),
        ({"@a": {"b": 1}}, "type dict"),
        ({"@a": [1]}, "type list"),
        ({"a": [[1]]}, "list within a list"),
    ],
)
def test_what_cannot_be_written_names_where_it_stands(record: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        write([{"ok": 1}, record], tmp_path / "x.xml")
    assert caught.value.path.startswith("$[1]")
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_contains_itself() -> None:
    record: dict[str, Any] = {}
    record["a"] = record
    with pytest.raises(DataError, match="levels"):
        written([record])


@pytest.mark.parametrize(
    "options", [{"root": "a b"}, {"record": "<"}, {"record": "p:x"}, {"namespaces": {"1": "u"}}]
)
def test_names_of_the_whole_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        written([], **options)


def test_records_are_written_as_they_come(tmp_path: Path) -> None:
    sizes: list[int] = []

    def endless() -> Iterator[dict[str, str]]:
        for number in range(3000):
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
            yield {"text": "x" * 100, "number": str(number)}

    write(endless(), tmp_path / "x.xml")
    assert sizes[-1] > 0
    assert sum(1 for _ in read(tmp_path / "x.xml")) == 3000


_TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\ufffe\uffff").filter(
    lambda c: c in "\t\n\r" or ord(c) >= 32
), max_size=9)  # fmt: skip
_NAMES = st.text("abcäÖ北-.1", min_size=1, max_size=4).filter(lambda name: name[0] not in "-.1")
_VALUES = st.recursive(
    _TEXTS,
    lambda inner: (
        st.dictionaries(_NAMES, inner, min_size=1, max_size=3) | st.lists(_TEXTS, min_size=2, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=3), max_size=3))
def test_what_is_written_is_read_again(records: list[dict[str, Any]]) -> None:
    assert list(read(written(records).encode(), "xml")) == records
