"""Sinks: a file is there whole or not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from portico.cli.fetch_output import output_file
from portico.data import csv, sink, write
from portico.errors import ConfigError, DataError

DATA = bytes(range(256)) * 2000
UNPACKED: dict[str, Any] = {
    "gz": gzip.decompress,
    "bz2": bz2.decompress,
    "xz": lzma.decompress,
    "lzma": lzma.decompress,
    "zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "br": brotli.decompress,
    "csv": bytes,
}


@pytest.mark.parametrize("suffix", UNPACKED)
def test_a_file_is_packed_as_its_name_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.csv.{suffix}"
    with sink(path) as out:
        for at in range(0, len(DATA), 999):
            out.write(DATA[at : at + 999])
        out.write("ä")
        assert not path.exists()
    assert UNPACKED[suffix](path.read_bytes()) == DATA + "ä".encode()
    assert os.listdir(tmp_path) == [path.name]


def test_after_an_error_nothing_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(b"before")

    def fail() -> None:
        with sink(path) as out:
            out.write(DATA)
            raise KeyError("in between")

    with pytest.raises(KeyError):
        fail()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["x.gz"]


def test_its_mode_is_the_usual_one_or_that_of_before(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        with sink(tmp_path / "new") as out:
            out.write(b"x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    with sink(tmp_path / "new") as out:
        out.write(b"y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_the_umask_of_all_threads_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("it is that of all threads"))
    with sink(tmp_path / "x") as out:
        out.write(b"1")
    with output_file(str(tmp_path / "x")) as file:
        file.write(b"2")
    assert (tmp_path / "x").read_bytes() == b"2"


def test_what_nobody_may_read_is_never_there_for_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    with sink(path) as out:
        out.write(b"more")
        out.flush()
        assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with sink(tmp_path / "link") as out:
        out.write(b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"x"
    os.mkfifo(tmp_path / "pipe")
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    with sink(tmp_path / "pipe") as out:
        out.write(DATA)
    reader.join()
    assert came == [DATA]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sink(tmp_path / "nowhere" / "x")
    with pytest.raises(OSError, match="irectory"):
        sink(tmp_path)


def test_files_that_are_open_stay_open() -> None:
    binary, text = io.BytesIO(), io.StringIO()
    with sink(binary) as out:
        out.write("ä")
    with sink(text) as out:
        out.write("ä")
    assert (binary.getvalue(), text.getvalue()) == ("ä".encode(), "ä")
    out = sink(binary)
    assert sink(out) is out
    with sink(binary, packing="gzip") as packed:
        packed.write(b"more")
    assert gzip.decompress(binary.getvalue()[2:]) == b"more"


def test_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with sink("-") as out:
        out.write(DATA)
    assert capfdbinary.readouterr().out == DATA


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    out = sink(tmp_path / "x")
    monkeypatch.setattr(out, "_put", full)
    out.write(b"x")
    with pytest.raises(OSError, match="No space"):
        out.close()
    assert os.listdir(tmp_path) == []


def test_what_is_none() -> None:
    with pytest.raises(ConfigError, match="cannot be written to int"):
        sink(7)
    with pytest.raises(ConfigError, match="lzw"):
        sink(io.BytesIO(), packing="lzw")
    out = sink(io.BytesIO())
    out.close()
    out.close()
    with pytest.raises(ValueError, match="closed"):
        out.write(b"x")


# -- whose file it is


def test_a_link_keeps_its_name_and_says_how_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "new.csv.gz").symlink_to(tmp_path / "blob")
    with sink(tmp_path / "new.csv.gz") as out:
        assert out.suffix == "csv"
        out.write(DATA)
    assert (tmp_path / "new.csv.gz").is_symlink()
    assert gzip.decompress((tmp_path / "blob").read_bytes()) == DATA


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_the_owner_of_before_is_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before")
    os.chown(path, 1234, 2345)
    path.chmod(0o2640)
    with sink(path) as out:
        out.write(b"after")
    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (1234, 2345, 0o2640)


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    for name in (tmp_path / "nowhere" / "x.csv", "/dev/full"):
        with pytest.raises(OSError, match=f"{name}'$") as caught, sink(name) as out:
            out.write(b"x")
        assert caught.value.filename == str(name)
    with pytest.raises(FileNotFoundError):
        sink("")
    with pytest.raises(FileNotFoundError):
        sink(f"{tmp_path}/folder/")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["x.zip", "x.csv.zip"])
def test_an_archive_is_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="zip archives are not written"):
        sink(tmp_path / name)
    assert os.listdir(tmp_path) == []
    with sink(tmp_path / "x.csv.gzip") as out:
        assert out.suffix == "csv"
        out.write(DATA)
    assert gzip.decompress((tmp_path / "x.csv.gzip").read_bytes()) == DATA


# -- who waits


@pytest.mark.parametrize("format_", ["csv", "tsv", "jsonl", "json"])
def test_who_reads_a_pipe_sees_the_records_of_a_slow_source(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("portico.data.sinks.monotonic", lambda: now[0])
    out = io.BytesIO()

    def slow() -> Iterator[dict[str, int]]:
        for number in range(111, 114):
            now[0] += 60
            yield {"a": number}
            assert str(number).encode() in out.getvalue()

    write(slow(), out, format_)


def test_what_is_fast_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico.data.sinks.monotonic", lambda: 1.0)
    for format_ in ("csv", "jsonl"):
        pieces: list[bytes] = []
        out = io.BytesIO()
        monkeypatch.setattr(out, "write", lambda data, to=pieces: to.append(bytes(data)))
        write(({"a": number} for number in range(10_000)), out, format_)
        assert len(pieces) < 6
        assert len(b"".join(pieces).splitlines()) >= 10_000


@pytest.mark.parametrize("format_", ["csv", "jsonl", "table"])
def test_who_sits_at_a_terminal_sees_each_record(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("portico.data.table.monotonic", lambda: now[0])

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()

    def records() -> Iterator[dict[str, int]]:
        for number in range(111, 114):
            now[0] += 60
            yield {"a": number}
            assert str(number).encode() in out.getvalue()

    write(records(), out, format_)


def test_a_writer_hands_on_what_it_holds_when_it_is_asked() -> None:
    below = io.BytesIO()
    out = sink(below)
    out.awaited = False  # whoever flushes knows when

    def records() -> Iterator[list[int]]:
        for number in range(3):
            yield [number]
            out.flush()
            assert below.getvalue().endswith(b"%d\r\n" % number)

    csv.write_csv(records(), out)
    out.close()
    assert below.getvalue() == b"0\r\n1\r\n2\r\n"


# -- where it goes


def test_a_url_is_no_file() -> None:
    with pytest.raises(ConfigError, match="is a URL"):
        sink("http://x.test/y.csv")


def test_a_named_pipe_is_named_as_files_are(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    with sink(path) as out:
        assert out.suffix == "csv"
        out.write(b"x")
    reader.join()
    assert gzip.decompress(got[0]) == b"x"


def test_an_open_file_gets_what_is_written_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    with gzip.open(path, "wb") as file, sink(file) as out:
        assert out.suffix == "csv"
        out.write(DATA)
    assert gzip.decompress(path.read_bytes()) == DATA


def test_a_file_of_text_takes_what_its_characters_can_say() -> None:
    with pytest.raises(ConfigError, match="binary mode"):
        sink(io.StringIO(), packing="gzip")
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with pytest.raises(DataError, match="'ä' cannot be written in ascii"), sink(file) as out:
        out.write("aä")


def test_standard_output_that_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr("sys.stdout", text)
    with sink("-") as out:
        out.write("ä")
    assert text.getvalue() == "ä"


def test_what_was_printed_before_comes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    print("first")
    with sink("-") as out:
        out.write("second\n")
    assert raw.getvalue() == b"first\nsecond\n"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_descriptor_is_written_to_and_not_replaced(name: str, tmp_path: Path) -> None:
    program = f"from portico.data import sink\nwith sink({name!r}) as out: out.write('x')"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"x"
    path = tmp_path / "log"
    path.write_bytes(b"before ")
    with path.open("ab") as file:
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
    assert path.read_bytes() == b"before x"
