"""Sources of odd kinds: what waits, what gives text or numbers, what is closed, what nobody can read."""

from __future__ import annotations

import array
import asyncio
import contextlib
import gzip
import io
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portico import Server, Stream, aio, data, timeout
from portico.data import Format, formats, read, register_format, sink, source, write
from portico.data.formats import format_of
from portico.errors import ConfigError, DataError, EndOfStream, Timeout

CSV = "name,n\nÄ,1\nB,2\n".encode()
ROWS = [{"name": "Ä", "n": "1"}, {"name": "B", "n": "2"}]


@contextlib.contextmanager
def silent(**how: Any) -> Iterator[Any]:
    """The reading end of a pipe in which nothing comes, as a file."""
    reading, writing = os.pipe()
    with open(writing, "wb"), open(reading, "rb", **how) as file:
        yield file


# -- waiting


def test_a_deadline_ends_the_wait_for_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent() as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        with source("-") as one, pytest.raises(Timeout, match="reading standard input"), timeout(0.05):
            one.chunk()


def test_a_named_pipe_waits_for_its_writer_as_long_as_the_deadline_lets_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    with pytest.raises(Timeout, match=r"reading .*pipe\.csv"), timeout(0.05):
        list(read(path))
    writer = threading.Thread(target=path.write_bytes, args=(CSV,))
    writer.start()
    assert list(read(path)) == ROWS
    writer.join()


def test_the_wait_for_a_named_pipe_is_cancelled_in_a_task(tmp_path: Path) -> None:
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)

    async def waiting() -> None:
        async with asyncio.timeout(0.05):
            await aio.run(lambda: list(read(path)))

    with pytest.raises(TimeoutError):
        asyncio.run(waiting())


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_that_does_not_block_is_waited_for(buffering: int) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=buffering) as file, source(file) as one:
        with pytest.raises(Timeout), timeout(0.05):  # nothing is there, which is not the end
            one.chunk()
        os.write(writing, CSV)
        assert one.chunk() == CSV
        os.close(writing)
        assert one.chunk() == b""


def test_there_may_be_no_standard_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(ConfigError, match="standard input is closed"):
        source("-")
    with pytest.raises(ConfigError, match="standard output is closed"):
        sink("-")


def test_a_body_that_ends_early_is_no_fault_of_the_data() -> None:
    def cut(stream: Stream) -> None:
        stream.read_until(b"\r\n\r\n")
        stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + gzip.compress(CSV))

    with Server(cut, "tcp://127.0.0.1:0") as server:
        url = f"http://127.0.0.1:{server.addresses[0].port}/x.csv"
        with source(url) as one, pytest.raises(EndOfStream, match=f"^{url}: the connection ended") as caught:
            one.read()
    assert caught.value.request is not None


def test_a_response_of_asyncio() -> None:
    async def talk(url: str) -> list[Any]:
        async with aio.Session() as session:
            got = [list(read(await session.get(url)))]
            async with await session.get(url, stream=True) as answer:
                got.append(await aio.run(lambda: list(read(answer))))
        return got

    def say(stream: Stream) -> None:
        stream.read_until(b"\r\n\r\n")
        stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\n\r\n" + CSV)

    with Server(say, "tcp://127.0.0.1:0") as server:
        assert asyncio.run(talk(f"http://127.0.0.1:{server.addresses[0].port}/")) == [ROWS, ROWS]


def test_what_has_to_be_awaited_is_told() -> None:
    class Awaited:
        async def read(self, size: int = -1) -> bytes:
            return b""

    with pytest.raises(ConfigError, match=r"portico\.aio\.run"):
        source(Awaited())


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("application/problem+json; charset=utf-8", "json"),
        ("application/vnd.x+xml", "xml"),
        ("application/xhtml+xml", "html"),
    ],
)
def test_media_types_tell_what_they_are_made_of(kind: str, name: str) -> None:
    assert format_of(source(b"x", content_type=kind)).name == name


def test_errors_of_reading_name_the_file() -> None:
    path = f"/proc/{os.getpid()}/mem"
    if not os.path.exists(path):
        pytest.skip("no file here that can be opened and not be read")
    with source(path) as one, pytest.raises(OSError, match=r"mem'$"):
        one.read()


# -- text, bytes, numbers


def test_text_is_what_it_is_whatever_the_document_says() -> None:
    text = '<?xml version="1.0" encoding="iso-8859-1"?><r><i>ä€</i></r>'
    assert list(read(io.StringIO(text))) == [{"#text": "ä€"}]
    assert source(io.StringIO("é")).charset() == "utf-8"
    with pytest.raises(DataError, match="no utf-8"):
        list(read(io.StringIO("a,b\n\ud800,1\n")))


def test_text_that_is_none_is_an_error_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("ä,b\n".encode("latin-1") * 2)
    with open(path, encoding="utf-8") as file, pytest.raises(DataError, match=r"x\.csv: no text: .*0xe4"):
        list(read(file))


def test_numbers_make_no_zeros() -> None:
    class Odd:
        def read(self, size: int = -1) -> Any:
            return 7

    for what in ([1, 2], [10**12], [None], Odd()):
        with pytest.raises(ConfigError, match="expected bytes"):
            source(what).read()
    assert source(array.array("B", CSV)).read() == CSV
    assert source(memoryview(CSV)[::2]).read() == CSV[::2]
    assert source([bytearray(b"a"), memoryview(b"b")]).read() == b"ab"


@pytest.mark.parametrize("name", ["hex", "zlib", "rot13", "undefined", "idna", "punycode", "a\0", "x" * 9999])
def test_a_codec_of_something_else_is_no_encoding(name: str) -> None:
    with pytest.raises(ConfigError, match="no such character encoding") as caught:
        source(CSV, encoding=name)
    assert len(str(caught.value)) < 200


# -- what is over, and what is told


@pytest.mark.parametrize("begun", [False, True])
def test_a_closed_source_does_not_look_like_an_empty_one(tmp_path: Path, begun: bool) -> None:
    (tmp_path / "x.csv").write_bytes(CSV)
    for what in (CSV, tmp_path / "x.csv", [CSV]):
        one = source(what)
        if begun:
            one.peek(1)
        one.close()
        with pytest.raises(ValueError, match="read of a closed source"):
            one.read()


def test_options_are_not_for_a_source_that_is_there() -> None:
    with pytest.raises(ConfigError, match="there already"):
        read(source(CSV, name="it"), encoding="latin-1")


def test_progress_is_told_of_what_came() -> None:
    told: list[tuple[int, int | None]] = []
    source(CSV, progress=lambda done, size: told.append((done, size))).read()
    assert told == [(len(CSV), len(CSV))]


def test_a_name_that_says_packed_of_what_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv.gz"
    path.write_text("a\tb,c\n1\t2,3\n")
    assert list(read(path)) == [{"a": "1", "b,c": "2,3"}]
    packed = tmp_path / "y.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a":1}\n'))
    with gzip.open(packed) as file:
        assert source(file).suffix == "jsonl"


# -- what is no data


@pytest.mark.parametrize(
    "beginning",
    [
        b"\x7fELF\x02\x01\x01\0\0\0\0\n\0\0\0\0\0\0\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0",
        b"\0\1\2\3\n\xff" * 50,
    ],
)
def test_a_program_or_a_picture_is_no_csv(beginning: bytes) -> None:
    with pytest.raises(DataError, match="nothing tells its format; pass format= one of csv, html, "):
        read(beginning)


TEXTS = ["a,b\n1,2\n", "имя,число\nА,1\n" * 20, "名前,数\n山,1\n" * 20]


@pytest.mark.parametrize(
    ("charset", "text"),
    [(charset, text) for charset in ("utf-8", "utf-16", "iso2022_jp", "shift_jis") for text in TEXTS]
    + [("utf-16-le", TEXTS[0]), ("utf-16-be", TEXTS[0])],
)
def test_text_of_other_sets_is(charset: str, text: str) -> None:
    with source(text.encode(charset), encoding=charset) as one:
        assert format_of(one).name == "csv"


def test_what_is_told_of_formats_is_what_can_be_had(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing in it"):
        read(b"")
    with pytest.raises(DataError) as unread:
        read(b"one line")
    assert "table" not in str(unread.value)
    with pytest.raises(ConfigError, match=r"its name tells no format; pass format= one of .*table"):
        write([], tmp_path / "x.foo")
    assert os.listdir(tmp_path) == []


def test_a_format_of_others_goes_before_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tsv = tmp_path / "x.tsv"
    tsv.write_bytes(b"a\n")
    monkeypatch.setattr(formats, "_FORMATS", dict(formats._FORMATS))
    sniff = re.compile(rb"%%\n").match
    register_format(
        Format("mine", lambda given: iter(["mine"]), suffixes=("tsv",), sniff=lambda b: bool(sniff(b)))
    )
    assert list(read(b"%%\na,b\n1,2\n")) == ["mine"]
    assert list(read(tsv)) == ["mine"]
    assert list(read(b"a,b\n1,2\n")) == [{"a": "1", "b": "2"}]


def test_the_module_shows_its_names() -> None:
    assert {"read", "write", "source", "sink", "format_names", "register_format"} <= set(dir(data))


@pytest.mark.parametrize(
    ("name", "text", "one"),
    [
        ("csv", b"a,b\n1,2\n", "delimiter"),
        ("tsv", b"a\n1\n", "ragged"),
        ("json", b"[1]", "path"),
        ("jsonl", b"1\n", "on_error"),
        ("html", b"<table>", "table"),
        ("xml", b"<a/>", "select"),
    ],
)
def test_an_option_that_no_reader_has(name: str, text: bytes, one: str) -> None:
    with pytest.raises(TypeError, match=rf"^read\(\) of {name} has no option 'sniff' \(it has .*\b{one}\b"):
        read(text, name, sniff=True)


@pytest.mark.parametrize("name", ["csv", "tsv", "json", "jsonl", "html", "xml", "table"])
def test_an_option_that_no_writer_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=rf"^write\(\) of {name} has no option 'sniff' \(it has .*packing"):
        write([{"a": 1}], tmp_path / "x", name, sniff=True)
    assert os.listdir(tmp_path) == []


def test_options_of_formats_of_others() -> None:
    def read_any(given: Any, **options: Any) -> Iterator[Any]:
        yield options

    def read_one(given: Any, *, one: int = 1) -> Iterator[Any]:
        yield one

    try:
        register_format(Format("any", read_any))
        register_format(Format("one", read_one))
        assert list(read(b"", "any", two=2)) == [{"two": 2}]
        assert list(read(b"", "one", one=2)) == [2]
        with pytest.raises(TypeError, match=r"of one has no option 'two' \(it has .*name, one, "):
            read(b"", "one", two=2)
    finally:
        del formats._FORMATS["any"], formats._FORMATS["one"]
