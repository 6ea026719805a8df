"""Trees of documents: read as they are, and hostile ones refused."""

from __future__ import annotations

import resource
import tracemalloc

import pytest

from portico.data.trees import parse_xml
from portico.errors import LimitExceeded, ProtocolError

BASE = "http://h/page"


def test_a_document_is_a_tree():
    root = parse_xml(b"<?xml version='1.0' encoding='iso-8859-1'?><a x='&lt;&#228;'><b>\xe4</b></a>")
    assert (root.get("x"), root.findtext("b")) == ("<ä", "ä")


@pytest.mark.parametrize(
    "data",
    [b"", b"<a>", b"<a></b>", b"text", b"<a/><b/>", b"<a b=1/>", b"\x00", b"<a>\x01</a>", b"<a>&none;</a>"],
)
def test_what_is_not_well_formed_says_where(data):
    with pytest.raises(ProtocolError, match=r"line \d+, column \d+: .*no XML document"):
        parse_xml(data, BASE)


def laughs(levels: int = 12) -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(levels))
    return f"<!DOCTYPE a [{entities}]><a>&l{levels - 1};</a>".encode()


ATTACKS = {
    "laughs": laughs(),
    "laughs in an attribute": laughs().replace(b"<a>&l11;</a>", b"<a b='&l11;'/>"),
    "quadratic": b"<!DOCTYPE a [<!ENTITY b '" + b"x" * 100_000 + b"'>]><a>" + b"&b;" * 10_000 + b"</a>",
    "file": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "network": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'http://127.0.0.1:1/'>]><a>&b;</a>",
    "parameter": b"<!DOCTYPE a [<!ENTITY % b SYSTEM 'file:///etc/passwd'> %b;]><a/>",
    "unused": b"<!DOCTYPE a [<!ENTITY b 'harmless'>]><a/>",
    "depth": b"<a>" * 100_000 + b"</a>" * 100_000,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_with_little_memory(attack):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded) as caught:
            parse_xml(ATTACKS[attack], BASE)
    finally:
        tracemalloc.stop()
    assert "root:" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("data", [b"<depth><a></depth>", b"<entity><a></entity>", b"<a>&nbsp;</a>"])
def test_what_is_only_malformed_is_not_taken_for_an_attack(data):
    with pytest.raises(ProtocolError, match="http://h/page, line 1, column"):
        parse_xml(data, BASE)


def test_a_dtd_elsewhere_is_not_fetched():
    root = parse_xml(b"<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/x.dtd'><a/>")
    assert root.tag == "a"
