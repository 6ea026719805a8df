"""Sources: the same bytes from wherever they come, whatever packs them, within bounds."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

import portico
from portico.client.session import Session
from portico.data import format_names, html, read, register_format, source, write
from portico.data.formats import _FORMATS, _PAGE, Format, format_of
from portico.data.opening import suffixes_of
from portico.errors import ConfigError, ConnectError, DataError, EndOfStream, LimitExceeded, Timeout
from portico.limits import Limits

DATA = b"".join(b"%d,\xc3\xa4,line\n" % number for number in range(60_000)) + random.Random(3).randbytes(9)


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return file.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": partial(lzma.compress, format=lzma.FORMAT_ALONE),
    "zst": zstandard.ZstdCompressor().compress,
    "br": brotli.compress,
    "zip": lambda data: zipped(a_csv=data),
    "": lambda data: data,
}


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/csv; charset=iso-8859-1")])
    return [PACKED[environ["PATH_INFO"].rpartition(".")[2].removeprefix("csv")](DATA)]


@contextlib.contextmanager
def piped(data: bytes) -> Iterator[int]:
    reading, writing = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(writing, "wb") as file:
            file.write(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield reading
    finally:
        os.close(reading)
        feeder.join()


# -- from anywhere


@pytest.mark.parametrize("packing", PACKED)
def test_a_path(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"prices.csv{packing and '.'}{packing}"
    path.write_bytes(PACKED[packing](DATA))
    for spelled in (path, str(path)):
        with source(spelled) as one:
            assert (one.name, one.suffix) == (str(path), "csv")
            assert b"".join(one.chunks()) == DATA
            assert (one.read(), one.chunk(), one.peek()) == (b"", b"", b"")


@pytest.mark.parametrize("packing", PACKED)
def test_what_gives_bytes(packing: str) -> None:
    data = PACKED[packing](DATA)
    options: dict[str, Any] = {"packing": "br"} if packing == "br" else {}
    pieces = [data[at : at + 7001] for at in range(0, len(data), 7001)]
    for what in (data, bytearray(data), memoryview(data), io.BytesIO(data), iter(pieces), [b"", *pieces]):
        with source(what, **options) as one:
            assert one.read() == DATA


@pytest.mark.parametrize("packing", [name for name in PACKED if name != "br"])
def test_byte_by_byte(packing: str) -> None:
    data = PACKED[packing](DATA[:2000])
    with source(data[at : at + 1] for at in range(len(data))) as one:
        assert one.read() == DATA[:2000]


@pytest.mark.parametrize("packing", PACKED)
def test_a_response(packing: str) -> None:
    with Session(app=app, base_url="http://test/", env=False, timeout=20) as session:
        with source(session.get(f"a.csv.{packing}".rstrip("."), stream=True)) as one:
            assert (one.name, one.suffix) == (f"http://test/a.csv.{packing}".rstrip("."), "csv")
            assert one.charset() == "cp1252"
            assert one.read() == DATA
        assert session.get("a.csv").status == 200


def test_a_url(tmp_path: Path) -> None:
    (tmp_path / "ä b.csv.gz").write_bytes(gzip.compress(DATA))
    with source((tmp_path / "ä b.csv.gz").as_uri()) as one:
        assert (one.suffix, one.read()) == ("csv", DATA)
    with source("data:text/plain;charset=iso-8859-1,%E4") as one:
        assert "".join(one.text()) == "ä"
    with portico.Server(app, "http://127.0.0.1:0") as server:
        url = f"http://user:secret@127.0.0.1:{server.addresses[0].port}/x.csv.gz"
        with source(url, limits=Limits()) as one:
            assert one.read() == DATA
            assert "secret" not in one.name
    with pytest.raises(ConnectError):
        source(url)


def test_a_stream_as_it_comes() -> None:
    def serve(stream: portico.Stream) -> None:
        stream.write(b"one")
        stream.read(1)
        stream.write(b"second\n")

    with (
        portico.Server(serve, "memory:source-of-a-test"),
        portico.connect("memory:source-of-a-test") as stream,
        source(stream) as one,
    ):
        assert one.chunk() == b"one"
        stream.write(b"x")
        assert list(one.chunks()) == [b"second\n"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with piped(gzip.compress(DATA)) as reading, open(reading, closefd=False) as file:
        monkeypatch.setattr("sys.stdin", file)
        with source("-") as one:
            assert (one.name, one.read()) == ("standard input", DATA)
        assert not file.closed


def test_a_file_of_text() -> None:
    with source(io.StringIO("ä\n€")) as one:
        assert (one.charset(), "".join(one.text())) == ("utf-8", "ä\n€")


def test_what_is_open_stays_open_and_what_was_opened_is_closed(tmp_path: Path) -> None:
    file = io.BytesIO(b"data")
    with source(file):
        pass
    assert file.read() == b"data"
    (tmp_path / "x").write_bytes(b"data")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        source(tmp_path / "x").close()
        with source(tmp_path / "x", packing="zip") as one, contextlib.suppress(DataError):
            one.read()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize("what", [None, 7, object(), print])
def test_what_gives_none(what: Any) -> None:
    with pytest.raises(ConfigError, match="no data can be read from"):
        source(what)
    with pytest.raises(ConfigError, match="text"):
        source(["text"]).read()


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        source(tmp_path / "nowhere.csv")
    with pytest.raises(OSError, match="irectory"):
        source(tmp_path).read()


# -- how it is read


def test_reading_like_a_file() -> None:
    with source(iter([b"abc", b"defg", b"h"])) as one:
        assert one.peek(4) == b"abcdefg"[:4]
        assert [one.read(2), one.read(3), one.read(0), one.chunk(), one.read(9)] == [
            b"ab",
            b"cde",
            b"",
            b"fg",
            b"h",
        ]


def test_all_at_once_has_a_bound() -> None:
    with source(bytes(1001), limits=Limits(answer=1000)) as one, pytest.raises(LimitExceeded, match="1000"):
        one.read()


def test_progress_is_told(tmp_path: Path) -> None:
    packed = gzip.compress(DATA)
    (tmp_path / "x.gz").write_bytes(packed)
    told: list[tuple[int, int | None]] = []
    with source(tmp_path / "x.gz", progress=lambda *facts: told.append(facts)) as one:
        assert one.read() == DATA
    assert told[-1] == (len(packed), len(packed))
    with source(iter([b"ab", b"c"]), progress=lambda *facts: told.append(facts)) as one:
        one.read()
    assert told[-1] == (3, None)


def test_a_deadline_bounds_it() -> None:
    def serve(stream: portico.Stream) -> None:
        stream.write(b"begin")
        stream.read()

    with (
        portico.Server(serve, "memory:slow-source-of-a-test"),
        portico.connect("memory:slow-source-of-a-test") as stream,
        source(stream) as one,
        portico.timeout(0.05),
        pytest.raises(Timeout),
    ):
        one.read()


# -- what packs it


def test_damage_has_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(DATA)[:-9])
    with source(path) as one, pytest.raises(DataError, match=f"{path}: .*ended early"):
        one.read()
    path.write_bytes(gzip.compress(DATA)[:-8] + bytes(8))
    with source(path) as one, pytest.raises(DataError, match=f"{path}: damaged gzip"):
        one.read()


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "lzma", "zst", "br"])
def test_bombs(packing: str) -> None:
    bomb = PACKED[packing](bytes(64 << 20))
    options: dict[str, Any] = {"packing": "br"} if packing == "br" else {}
    with source(bomb, **options) as one, pytest.raises(LimitExceeded, match="times as many"):
        for _ in one.chunks():
            pass
    with (
        source(bomb, limits=Limits(unpacked=1 << 20), **options) as one,
        pytest.raises(LimitExceeded, match="1048576"),
    ):
        for _ in one.chunks():
            pass


def test_bombs_in_archives() -> None:
    bomb = zipped(a=bytes(100 << 20))
    with source(bomb) as one, pytest.raises(LimitExceeded, match="times as many"):
        for _ in one.chunks():
            pass
    with source(bomb, limits=Limits(unpacked=1 << 20)) as one, pytest.raises(LimitExceeded, match="1048576"):
        for _ in one.chunks():
            pass
    with pytest.raises(LimitExceeded, match="an archive of more than 50 bytes"):
        source(bomb, limits=Limits(unpacked=50)).read()


def test_members_of_archives() -> None:
    archive = zipped(a_csv=b"a", sub__b_json=b"b")
    with source(archive, member="a.csv") as one:
        assert (one.read(), one.suffix) == (b"a", "csv")
    with source(archive, member="sub/b.json") as one:
        assert (one.read(), one.suffix) == (b"b", "json")
    with pytest.raises(DataError, match=r"2 files: choose one with member= \('a.csv', 'sub/b.json'\)"):
        source(archive).read()
    with pytest.raises(DataError, match="no member 'c'"):
        source(archive, member="c").read()
    with pytest.raises(DataError, match="no file in it"):
        source(zipped()).read()
    with pytest.raises(DataError, match="cannot be read"):
        source(archive[:60]).read()
    with pytest.raises(ConfigError, match="no zip archive"):
        source(b"plain", member="c").read()
    with pytest.raises(ConfigError, match="no zip archive"):
        source(gzip.compress(b"plain"), member="c").read()


def test_an_archive_that_lies_about_its_member() -> None:
    archive = bytearray(zipped(a=DATA))
    archive[archive.rindex(b"PK\x01\x02") + 16] ^= 1  # the checksum in the directory
    with source(archive) as one, pytest.raises(DataError, match="damaged"):
        one.read()


def test_packings_by_choice() -> None:
    assert source(gzip.compress(b"x"), packing="identity").read()[:2] == b"\x1f\x8b"
    assert source(brotli.compress(b"x"), packing="br").read() == b"x"
    with pytest.raises(ConfigError, match="lzw"):
        source(b"x", packing="lzw").read()


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("x.csv", "csv"),
        ("/a.b/x.CSV.GZ", "csv.gz"),
        ("x", ""),
        ("a.b/x", ""),
        ("x.gz", "gz"),
        (".csv", "csv"),
        ("a.b.c.json", "json"),
        ("x.2024.csv.zst", "csv.zst"),
        ("", ""),
    ],
)
def test_suffixes(name: str, suffix: str) -> None:
    assert suffixes_of(name) == suffix


# -- characters


@pytest.mark.parametrize(
    ("data", "kind", "charset"),
    [
        ("ä".encode(), "", "utf-8"),
        ("\ufeffä".encode("utf-16"), "", "utf-16-le"),
        (b"\xef\xbb\xbfx", "", "utf-8"),
        (b"<?xml version='1.0' encoding='iso-8859-2'?><a/>", "application/xml", "iso8859-2"),
        (b"<meta charset=koi8-r>", "text/html", "koi8-r"),
        (b"<meta charset=koi8-r>,1", "text/csv", "utf-8"),
        (b"\0{\0}", "application/json", "utf-16-be"),
        (("ä" * 40_000).encode()[: (1 << 16) + 1], "", "utf-8"),
    ],
)
def test_the_charset_is_told_in_order(data: bytes, kind: str, charset: str) -> None:
    assert source(data).charset(kind) == charset
    assert source(data, encoding="koi8-r").charset(kind) == "koi8-r"


def test_a_charset_that_nothing_tells_is_looked_for() -> None:
    text = "größer, über, Straße, Äpfel, für\n" * 50
    assert "".join(source(text.encode("cp1252")).text("text/csv")) == text


def test_text_in_pieces() -> None:
    text = "\ufeffäöü€𝄞\n" * 1000
    for charset in ("utf-8", "utf-16-le", "gb18030"):
        data = text.encode(charset)
        pieces = (data[at : at + 3] for at in range(0, len(data), 3))
        with source(pieces, encoding=charset) as one:
            assert "".join(one.text()) == text.removeprefix("\ufeff")


def test_bytes_that_are_no_text() -> None:
    data = b"a" * (1 << 18) + b"\xff" + b"b" * 10
    with (
        source(io.BytesIO(data)) as one,
        pytest.raises(DataError, match=f"0xff at offset {1 << 18} is no utf-8"),
    ):
        list(one.text())
    with source(io.BytesIO(data)) as one:
        assert "".join(one.text(errors="replace")).count("\ufffd") == 1
    with pytest.raises(DataError, match="0xe2 at offset 1 is no utf-8"):
        list(source(b"a\xe2\x82").text())
    with pytest.raises(ConfigError, match="no such"):
        source(b"", encoding="klingon")


# -- formats


@pytest.mark.parametrize(
    ("beginning", "name"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "jsonl"),
        (b' \n[{"a": 1}]', "json"),
        (b'{"a":\n 1}', "json"),
        (b"\xef\xbb\xbf<!DOCTYPE html><p>", "html"),
        (b"<!-- a --> <html>", "html"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"<a><b/></a>", "xml"),
        (b"a,b\n1,2\n", "csv"),
    ],
)
def test_a_format_is_told_by_its_beginning(beginning: bytes, name: str) -> None:
    assert format_of(source(beginning)).name == name


def test_what_tells_a_format_comes_in_order(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"a,b\n1,2\n")
    for options, name, told in (
        ({}, None, "json"),
        ({"content_type": "text/csv; header=present"}, None, "csv"),
        ({"content_type": "text/csv"}, "xml", "xml"),
    ):
        with source(tmp_path / "x.json", **options) as one:
            assert format_of(one, name).name == told
    with pytest.raises(DataError, match="nothing tells its format"):
        format_of(source(b"word"))
    with pytest.raises(ConfigError, match="format 'yaml' is not known"):
        format_of(source(b"word"), "yaml")


def test_a_comment_without_end_takes_no_time() -> None:
    began = time.process_time()
    assert _PAGE.match(b"<!---->" * 600 + b"<x") is None
    assert time.process_time() - began < 5


def test_a_format_of_ones_own(tmp_path: Path) -> None:
    def read_pairs(given: Any, separator: str = "=") -> Iterator[dict[str, str]]:
        for line in "".join(given.text()).splitlines():
            name, found, value = line.partition(separator)
            if not found:
                raise DataError("no pair", given.name, line=1)
            yield {"name": name, "value": value}

    def write_pairs(records: Any, out: Any) -> None:
        for each in records:
            out.write(f"{each['name']}={each['value']}\n")

    register_format(Format("pairs", read_pairs, write_pairs, suffixes=("pairs",)))
    try:
        assert "pairs" in format_names()
        path = tmp_path / "x.pairs.gz"
        write([{"name": "a", "value": "1"}, {"name": "b", "value": "ä"}], path)
        assert gzip.decompress(path.read_bytes()) == "a=1\nb=ä\n".encode()
        assert list(read(path)) == [{"name": "a", "value": "1"}, {"name": "b", "value": "ä"}]
        assert list(read(b"a:1", format="pairs", separator=":")) == [{"name": "a", "value": "1"}]
        with pytest.raises(DataError, match=r"the bytes, line 1: no pair"):
            list(read(b"a", "pairs"))
        with pytest.raises(KeyError):
            write([{"name": "a"}], path)
        assert len(list(read(path))) == 2, "what was there before is there still"
        assert os.listdir(tmp_path) == ["x.pairs.gz"]
    finally:
        del _FORMATS["pairs"]


def test_a_format_that_is_only_written() -> None:
    with pytest.raises(ConfigError, match="table cannot be read"):
        read(b"", "table")


def test_early_end_of_a_body_is_an_error() -> None:
    with source(gzip.compress(DATA)[:100]) as one, pytest.raises((DataError, EndOfStream)):
        one.read()


def test_the_url_is_known_in_full_after_redirects() -> None:
    """The name in errors is cut; what references are relative to is not."""
    folder = "f" * 300

    def moved(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/":
            start_response("302 Found", [("Location", f"/{folder}/page")])
            return []
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<a href=x>x</a><form action=y></form><link rel=canonical href=z>"]

    with Session(app=moved, base_url="http://ada:secret@shop.test") as session:
        url = f"http://shop.test/{folder}/"
        for stream in (False, True):
            with source(session.get("/", stream=stream)) as opened:
                assert opened.url == f"{url}page"
                assert opened.name == f"{url}page"[:200] + "…"
                assert [link.url for link in html.links(opened, kinds=["a", "link"])] == [
                    f"{url}x",
                    f"{url}z",
                ]
        assert [form.action for form in html.forms(session.get("/"))] == [f"{url}y"]
        assert html.metadata(session.get("/")).canonical == f"{url}z"
        assert html.load(session.get("/")).base == f"{url}page"
        assert html.load(session.get("/"), "http://other.test/").links()[0].url == "http://other.test/x"
    assert [source(each).url for each in (b"", io.BytesIO(), iter([b""]), "data:text/plain,x")] == [""] * 4


@pytest.mark.parametrize(
    ("data", "told", "encoding"),
    [
        (b"abc", {}, None),
        ("ä".encode(), {"content_type": "text/html"}, None),
        (b"abc", {"content_type": "text/html; charset=latin1"}, "cp1252"),
        (b"abc", {"content_type": "text/html; charset=unheard-of"}, None),
        (b"abc", {"content_type": "text/html; charset=latin1", "encoding": "utf-8"}, "utf-8"),
        (b"\xfe\xff\0a", {"content_type": "text/xml; charset=utf-16"}, "utf-16-be"),
        (b"a\0", {"content_type": "text/xml; charset=utf-16"}, "utf-16-le"),
        (b"\xef\xbb\xbfa", {}, None),
    ],
)
def test_what_was_told_of_the_encoding_is_told(data: bytes, told: Any, encoding: str | None) -> None:
    opened = source(data, **told)
    assert opened.encoding == encoding
    opened.charset()
    assert opened.encoding == encoding  # what was found by looking is not what was told


def test_text_is_not_decoded_again() -> None:
    """Whatever it says of itself: it was in that encoding before it was text."""
    for file in (
        io.StringIO("<meta charset=latin1>ä"),
        io.TextIOWrapper(io.BytesIO("ä".encode("cp1252")), "cp1252"),
    ):
        with source(file) as opened:
            assert opened.encoding == "utf-8"
            assert "".join(opened.text("text/html")).endswith("ä")
