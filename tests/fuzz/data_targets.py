"""The readers of data, fuzzed: in whatever pieces it comes, the same records, or a documented error."""

from __future__ import annotations

import bz2
import csv as standard_csv
import gzip
import io
import json as standard_json
import lzma
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import zstandard

from portico.data import csv, json, source, xml
from portico.data.html import Text
from portico.data.html.tokens import Tokenizer
from portico.data.json.depth import deeper
from portico.errors import DataError, LimitExceeded, PorticoError
from portico.limits import Limits
from tests.fuzz.pieces import cut
from tests.peers import corpus

__all__ = ["DATA_SEEDS", "DATA_TARGETS"]

LIMITS = Limits(unpacked=1 << 20, zstd_window=1 << 20)
REFUSALS = (DataError, LimitExceeded)
PATHS = ("$[*]", "$[*].a", "a.*", "$", "$.*")
SHALLOW = 400
"""Levels far below the limit: near it, what is passed over may count from elsewhere."""

PLAIN: dict[str, Any] = {"encoding": "utf-8", "packing": "identity", "name": "x"}
DIALECTS: tuple[dict[str, Any], ...] = (
    {},
    {"dialect": "excel"},
    {"delimiter": ";", "strict": False},
    {"dialect": "tsv"},
)


def _outcome(values: Callable[[], Iterable[Any]]) -> tuple[list[Any], str]:
    """What came before the end, and the documented error that ended it."""
    found: list[Any] = []
    try:
        found.extend(values())
    except REFUSALS as error:
        return found, str(error)
    return found, ""


def csv_rows(data: bytes) -> None:
    """Rows: the first two bytes say how they are cut, and of which dialect."""
    step, kind, raw = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    options: dict[str, Any] = {**DIALECTS[kind[0] % 4], **PLAIN}
    whole = _outcome(lambda: csv.rows([raw], **options))
    parted = _outcome(lambda: csv.rows(cut(raw, step[0]), **options))
    if "is no utf-8" in whole[1]:  # of what is before it, as much as had come
        assert parted[1]
        return
    assert whole == parted
    told: list[DataError] = []
    kept, _ = _outcome(lambda: csv.rows(cut(raw, step[0]), **options, on_error=told))
    assert kept[: len(whole[0])] == whole[0]
    for more in ({"types": "auto"}, {"ragged": "fill"}, {"ragged": "keep", "on_error": [].append}):
        _outcome(lambda more=more: csv.records(cut(raw, step[0]), **options, **more))
    if not whole[1]:
        if kind[0] % 4 == 1:
            assert whole[0] == _by_the_csv_module(raw)
        _check_written_rows(whole[0])


def _by_the_csv_module(raw: bytes) -> list[list[str]]:
    text = raw.decode("utf-8").removeprefix("\ufeff")
    rows = [row for row in standard_csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    return rows[1:] if rows and csv.sniffing.announced(text) is not None else rows


def _check_written_rows(rows: list[list[str]]) -> None:
    out = io.BytesIO()
    csv.write(rows, out)
    assert list(csv.rows(out.getvalue(), dialect="excel", packing="identity", encoding="utf-8")) == rows


def json_stream(data: bytes) -> None:
    """What is at a path, and the whole: the first byte says how it is cut, and which path it is."""
    step, raw = data[0] if data else 0, data[1:]
    given = lambda pieces: source(pieces, packing="identity", name="x", limits=LIMITS)  # noqa: E731
    whole, refused = _outcome(lambda: [json.load(given([raw]))])
    assert (whole, refused) == _outcome(lambda: [json.load(given(cut(raw, step)))])
    _check_path(PATHS[step % len(PATHS)], given, raw, step, whole, refused)
    if whole:
        out = io.BytesIO()
        json.write(whole[0], out)
        assert repr(standard_json.loads(out.getvalue())) == repr(whole[0])


def _check_path(
    path: str, given: Callable[[list[bytes]], Any], raw: bytes, step: int, whole: list[Any], refused: str
) -> None:
    once = _outcome(lambda: json.records(given([raw]), path))
    slowly = _outcome(lambda: json.records(given(cut(raw, step)), path))
    located = _outcome(lambda: json.items(given(cut(raw, step)), path))
    if deeper(raw, SHALLOW):
        return
    assert bool(once[1]) == bool(slowly[1]), (path, once[1], slowly[1])
    if not once[1]:
        assert repr(once[0]) == repr(slowly[0]) == repr([value for _, value in located[0]])
        if path == "$[*]" and whole and isinstance(whole[0], list):
            assert repr(once[0]) == repr(whole[0])
    if path in ("$", "$[*]") and refused and raw.lstrip()[:1] == b"[":
        assert once[1], refused


def json_lines(data: bytes) -> None:
    """Lines: the first byte says how they are cut."""
    step, raw = data[0] if data else 0, data[1:]

    def read(pieces: list[bytes]) -> tuple[Any, list[str]]:
        told: list[str] = []
        given = source(pieces, packing="identity", name="x")
        return _outcome(lambda: json.lines(given, on_error=lambda error: told.append(str(error)))), told

    whole = read([raw])
    assert repr(whole) == repr(read(cut(raw, step)))
    for line in raw.split(b"\n"):
        _outcome(lambda line=line: json.documents(source([line], packing="identity")))


def html_tokens(data: bytes) -> None:
    """Tokens of a page: the first byte says how it is cut."""
    step, raw = data[0] if data else 0, data[1:]
    text = raw.decode("utf-8", "replace")
    size = step % 61 + 1
    whole = _tokens([text])
    assert whole == _tokens(text[at : at + size] for at in range(0, len(text), size))


def _tokens(pieces: Iterable[str]) -> list[Any]:
    machine = Tokenizer(LIMITS, "page")
    found: list[Any] = []
    for each in _events(machine, pieces):
        if isinstance(each, Text) and found and isinstance(found[-1], Text):
            found[-1] = Text(found[-1].text + each.text)
        else:
            found.append(each)
    return found


def _events(machine: Tokenizer, pieces: Iterable[str]) -> Iterator[Any]:
    for piece in pieces:
        yield from machine.feed(piece)
    yield from machine.close()


def xml_events(data: bytes) -> None:
    """Events and records of a document: the first byte says how it is cut."""
    step, raw = data[0] if data else 0, data[1:]
    given = lambda pieces: source(pieces, packing="identity", name="x")  # noqa: E731
    whole = _outcome(lambda: xml.events(given([raw])))
    slowly = _outcome(lambda: xml.events(given(cut(raw, step))))
    assert bool(whole[1]) == bool(slowly[1]), (whole[1], slowly[1])
    found = [
        _outcome(lambda pieces=pieces: [each.tag for each in xml.records(given(pieces), "b")])
        for pieces in ([raw], cut(raw, step))
    ]
    assert (found[0][0], bool(found[0][1])) == (found[1][0], bool(found[1][1])), found
    if whole[1]:
        return
    assert [tuple(each)[:4] for each in whole[0]] == [tuple(each)[:4] for each in slowly[0]]
    ends = [each.name for each in whole[0] if each.kind == "end"]
    assert sorted(ends) == sorted(each.name for each in whole[0] if each.kind == "start")


def packed_sources(data: bytes) -> None:
    """What is compressed, or looks so: the first byte says how it is cut."""
    step, raw = data[0] if data else 0, data[1:]
    whole = _unpacked([raw])
    assert whole == _unpacked(cut(raw, step))
    assert whole is None or len(whole) <= 1 << 20


def _unpacked(pieces: list[bytes]) -> bytes | None:
    try:
        with source(pieces, limits=LIMITS) as given:
            return b"".join(given.chunks())
    except PorticoError as error:
        return None if isinstance(error, REFUSALS) else b"no documented error: " + bytes(2 << 20)


DATA_TARGETS: dict[str, Callable[[bytes], None]] = {
    "csv": csv_rows,
    "json": json_stream,
    "json-lines": json_lines,
    "html-tokens": html_tokens,
    "xml": xml_events,
    "packed": packed_sources,
}


def _json_suite() -> list[bytes]:
    try:
        folder = corpus("json/test_parsing")
    except pytest.skip.Exception:
        return []
    return [file.read_bytes() for file in sorted(folder.glob("*.json")) if file.stat().st_size < 1000]


def _packed() -> list[bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.csv", b"a,b\n1,2\n")
    zstd = zstandard.ZstdCompressor(level=1).compress(b"hello hello hello")
    made = [gzip.compress(b"hello", mtime=0), bz2.compress(b"hello"), lzma.compress(b"hello"), zstd]
    skipped = b"\x50\x2a\x4d\x18\x05\0\0\0hello"
    return [
        b"plain",
        archive.getvalue(),
        *made,
        *(each * 2 for each in made),
        made[0] + b"\0" + made[0],
        skipped + zstd + skipped,
    ]


DATA_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "csv": lambda: [
        b'\1\0a,b\r\n1,"x ""y"" z"\r\n2,"a\nb"\r\n',
        b"\2\0sep=;\na;b\n1,5;2\n",
        b'\3\1"a","b"\n"1","never closed\n',
        b"\1\2a;b;\n;;\n\n#c\n",
        b"\7\3a\tb\n2024-01-02\t1e400\n",
        b'\1\0\xef\xbb\xbfa|b|c\r1|2|3\r"x"|y"z|\r',
    ],
    "json": lambda: [
        b'\1[{"a": 1}, {"a": 2.5e3, "b": [null, true]}, {"a": "\\ud83d\\ude00"}]',
        b'\2{"a": {"x": 1, "y": [1, 2], "z": {"a": []}}}',
        *(b"\1" + each for each in _json_suite()),
    ],
    "json-lines": lambda: [b'\1{"a": 1}\n[]\r\n\n{"a": tru}\n"\xe4"\n1 2\n', b"\2\x1e[1]\n\x1e12\x1e{}\n"],
    "html-tokens": lambda: [
        b"\1<!doctype html><title>a&lt;</title><a href='x?a&copy=1' b=c d>t</a><!--c--!><br/>",
        b"\1<script>'<!--<script></script>--></script><textarea>\n&amp;</textarea><plaintext><b>",
        b"\3<svg><![CDATA[<a>]]></svg><style></styl</style><?x?></ x><a\0b c\0='\0'>&#x80;&notit;",
    ],
    "xml": lambda: [
        b'\1<?xml version="1.0"?><!DOCTYPE a><!--c--><a x="1" xmlns:p="u"><p:b/><![CDATA[<]]><?d i?></a>',
        b"\2<a><b c='&#228;'>x<b/></b></a>",
        b'\3<!DOCTYPE a [<!ENTITY e "x"><!ATTLIST a b CDATA "d">]><a>&e;</a>',
        b"\1" + '<a xmlns="u">ä</a>'.encode("utf-16"),
    ],
    "packed": lambda: [b"\1" + each for each in _packed()],
}
