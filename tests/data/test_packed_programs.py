"""Packed sources as real programs make them: in several parts, with wide windows, damaged, cut short."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from portico.data import source
from portico.errors import DataError, LimitExceeded, PorticoError
from portico.limits import Limits
from tests.peers import need, need_module

CHANCE = random.Random(1)
TEXT = b"".join(b"%d,%d\n" % (number, CHANCE.getrandbits(40)) for number in range(20_000))
PROGRAMS = {
    "gzip": ["gzip", "-c"],
    "bzip2": ["bzip2", "-c"],
    "xz": ["xz", "-c"],
    "xz, several blocks": ["xz", "-c", "--block-size=65536"],
    "xz, no check": ["xz", "-c", "-C", "none"],
    "xz, best": ["xz", "-c", "-9e"],
    "zstd": ["zstd", "-q", "-c"],
    "zstd, no check": ["zstd", "-q", "-c", "--no-check"],
}
SKIPPED = b"\x50\x2a\x4d\x18\x05\0\0\0hello"


def run(command: list[str], data: bytes) -> bytes:
    command = [need(command[0]), *command[1:]]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=60).stdout


def read(packed: Any, **options: Any) -> bytes:
    with source(packed, **options) as opened:
        return b"".join(opened.chunks())


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> list[str]:
    if request.param.startswith("zstd"):
        need_module("zstandard")
    return PROGRAMS[request.param]


def test_several_parts_follow_each_other(program: list[str]) -> None:
    packed, empty = run(program, TEXT), run(program, b"")
    for made, expected in (
        (packed, TEXT),
        (packed + packed, TEXT * 2),
        (empty, b""),
        (empty + packed + empty, TEXT),
        (packed + bytes(512), TEXT),  # as tapes are filled up
    ):
        assert read(made) == expected
        assert read([made[at : at + 1000] for at in range(0, len(made), 1000)]) == expected


def test_what_is_cut_short_or_goes_on_is_an_error(program: list[str]) -> None:
    packed = run(program, TEXT)
    for cut in (3, 5, len(packed) // 2, len(packed) - 100):
        with pytest.raises(DataError, match="ended early"):
            read(packed[:-cut])
        with pytest.raises(DataError, match="ended early"):
            read(packed + packed[:-cut])
    for more in (b"garbage", bytes(7) + packed):
        with pytest.raises(DataError, match=r"bytes after the end|no multiple of 4"):
            read(packed + more)
        with pytest.raises(DataError, match=r"bytes after the end|no multiple of 4"):
            read([packed, bytes(4), more])
    if program[0] == "xz":
        assert read(packed + bytes(8) + packed) == TEXT * 2
    else:
        with pytest.raises(DataError, match="bytes after the end"):
            read(packed + bytes(8) + packed)
    for at in range(20, len(packed), len(packed) // 20):
        try:
            assert read(packed[:at] + bytes([packed[at] ^ 0x55]) + packed[at + 1 :]) or "no check" in str(
                program
            )
        except PorticoError as error:
            assert "the bytes" in str(error)  # noqa: PT017


@pytest.mark.parametrize("options", [["--long=25"], ["--long=27"], ["--ultra", "-22"]], ids=" ".join)
def test_wide_windows_of_zstd_are_taken_up_to_a_limit(options: list[str]) -> None:
    need_module("zstandard")
    block = random.Random(2).randbytes(1 << 20)
    packed = run(["zstd", "-q", "-c", *options], block * 12)
    assert read(packed) == block * 12
    with pytest.raises(LimitExceeded, match="window of more than 8388608 bytes") as caught:
        read(packed, limits=Limits(zstd_window=8 << 20))
    assert caught.value.limit == "zstd_window"


def test_a_window_of_two_gigabytes_is_refused() -> None:
    need_module("zstandard")
    with pytest.raises(LimitExceeded, match="window of more than 134217728 bytes"):
        read(run(["zstd", "-q", "-c", "--long=31"], TEXT))


def test_a_window_that_is_only_announced_takes_no_memory(tmp_path: Path) -> None:
    need_module("zstandard")
    code = (
        "import resource, sys; from portico.data import source;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "opened = [source(sys.argv[1]) for _ in range(20)]; [len(each.chunk()) for each in opened];"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    packed = tmp_path / "x.zst"
    packed.write_bytes(run(["zstd", "-q", "-c", "--long=27"], TEXT))
    command = [sys.executable, "-c", code, str(packed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) < 60 << 10  # KiB, of twenty at once


def test_frames_that_are_skipped() -> None:
    need_module("zstandard")
    packed = run(PROGRAMS["zstd"], TEXT)
    for made, expected in (
        (SKIPPED + packed, TEXT),
        (packed + SKIPPED + packed, TEXT * 2),
        (packed + SKIPPED, TEXT),
        (SKIPPED, b""),
    ):
        assert read(made) == expected
    with pytest.raises(DataError, match="ended early"):
        read(packed + SKIPPED[:6])


# -- zip archives


def zipped(folder: Path, *options: str, member: bytes = TEXT) -> bytes:
    (folder / "a.csv").write_bytes(member)
    command = [need("zip"), "-q", *options, "x.zip", "a.csv"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
    return (folder / "x.zip").read_bytes()


@pytest.mark.parametrize("options", [[], ["-0"], ["-Z", "bzip2"], ["-fz"], ["-9"]], ids=" ".join)
def test_members_of_every_kind(options: list[str], tmp_path: Path) -> None:
    packed = zipped(tmp_path, *options)
    assert read(packed) == TEXT
    assert read(packed[at : at + 999] for at in range(0, len(packed), 999)) == TEXT  # not seekable


def test_an_archive_that_was_made_in_a_pipe(tmp_path: Path) -> None:
    packed = run(["zip", "-q", "-", "-"], TEXT)  # sizes follow the data
    assert read(packed) == TEXT
    assert read(zipped(tmp_path, member=b"")) == b""


def test_a_member_packed_by_lzma() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.csv", TEXT)
    assert read(made.getvalue()) == TEXT


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv in it is encrypted"):
        read(zipped(tmp_path, "-P", "secret"))


@pytest.mark.parametrize(
    ("method", "name"),
    [(9, "Deflate64"), (20, "zstd"), (93, "zstd"), (95, "xz"), (98, "PPMd"), (77, "method 77")],
)
def test_a_method_that_nobody_here_knows_is_named(method: int, name: str, tmp_path: Path) -> None:
    packed = bytearray(zipped(tmp_path))
    central = packed.index(b"PK\x01\x02")
    packed[8:10] = packed[central + 10 : central + 12] = method.to_bytes(2, "little")
    with pytest.raises(DataError, match=f"packed by {name}"):
        read(bytes(packed))


def test_whatever_is_damaged_in_an_archive_is_one_kind_of_error(tmp_path: Path) -> None:
    packed = zipped(tmp_path, member=TEXT[:2000])
    for at in range(0, len(packed), 7):
        with pytest.raises(DataError):
            read(packed[:at], packing="zip")
    for at in range(len(packed)):
        for bits in (0x01, 0x80, 0xFF):
            damaged = bytearray(packed)
            damaged[at] ^= bits
            try:
                read(bytes(damaged), packing="zip")
            except PorticoError as error:
                assert str(error).startswith("the bytes: ")  # noqa: PT017
