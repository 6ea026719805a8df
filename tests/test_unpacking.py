"""Undoing compression: whole at any chunking, refused when damaged, bounded whatever comes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import brotli
import brotlicffi
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from portico import unpacking
from portico.errors import ConfigError, EndOfStream, LimitExceeded, ProtocolError
from portico.limits import Limits
from portico.unpacking import FORMATS, Unpacking, can_unpack

TEXT = b"".join(b"line %d of a text that compresses\n" % n for n in range(3000)) + random.Random(1).randbytes(
    50_000
)
OPEN = Limits().but(unpacked=None, unpack_ratio=None)


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-15)
    return machine.compress(data) + machine.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, bare": raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "identity": bytes,
}
packed = pytest.mark.parametrize("packing", PACKERS)
closed = pytest.mark.parametrize("packing", [name for name in PACKERS if name != "identity"])


def unpack(names: str | list[str], pieces: list[bytes] | bytes, limits: Limits = OPEN) -> bytes:
    if isinstance(names, str):
        names = [names.partition(",")[0]]
    waiting = iter([pieces] if isinstance(pieces, bytes) else pieces)
    unpacked = Unpacking(names, lambda: next(waiting, b""), limits)
    return b"".join(iter(unpacked.read, b""))


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_there_is_a_packer_for_every_format():
    assert {name.partition(",")[0] for name in PACKERS} == set(FORMATS)
    assert all(can_unpack(name) for name in FORMATS)


@packed
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_what_was_packed_comes_out_at_any_chunking(packing, size):
    data = TEXT if size > 1 else TEXT[:5000]
    assert unpack(packing, cut(PACKERS[packing](data), size)) == data


LINES = b"".join(b"%d,\xc3\xa4,line\n" % number for number in range(90_000))


@packed
@pytest.mark.parametrize("lines", [20_000, 41_237, 60_000, 90_000])
def test_much_that_comes_at_once_comes_out_to_its_end(packing, lines):
    """A library may say that it could take more while it still holds the last of what it made."""
    data = LINES[: lines * 14] + random.Random(lines).randbytes(9)
    assert unpack(packing, PACKERS[packing](data)) == data


@packed
@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize("length", [(1 << 18) - 1, 1 << 18, (1 << 18) + 1, 491_456, 1_000_000, 10_000_000])
def test_a_long_text_of_which_little_is_left_comes_out_as_a_whole(packing, size, length):
    data = bytes(length)
    assert unpack(packing, cut(PACKERS[packing](data), size)) == data


@packed
def test_nothing_at_all_is_nothing(packing):
    assert unpack(packing, []) == b""


@packed
def test_an_empty_text_is_empty(packing):
    assert unpack(packing, PACKERS[packing](b"")) == b""


@closed
def test_data_that_ends_early_is_an_error_at_every_byte(packing):
    data = PACKERS[packing](TEXT[:300])
    for end in range(1, len(data)):
        with pytest.raises((EndOfStream, ProtocolError)):
            unpack(packing, data[:end])


@closed
def test_what_came_before_the_early_end_has_been_given(packing):
    data = PACKERS[packing](TEXT)
    waiting = iter(cut(data[:-20], 1000))
    unpacked = Unpacking([packing.partition(",")[0]], lambda: next(waiting, b""), OPEN)
    got: list[bytes] = []
    with pytest.raises((EndOfStream, ProtocolError)):
        got.extend(iter(unpacked.read, b""))
    assert got or packing == "bzip2"  # whose blocks are larger than this
    assert TEXT.startswith(b"".join(got))


@closed
def test_damage_is_an_error(packing):
    data = bytearray(PACKERS[packing](TEXT[:20_000] * 3))
    data[len(data) // 2 :] = random.Random(7).randbytes(len(data) - len(data) // 2)
    with pytest.raises((ProtocolError, EndOfStream)):
        assert unpack(packing, bytes(data)) == TEXT[:20_000] * 3


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz", "zstd"])
def test_several_streams_in_a_row_are_one(packing):
    one, two = PACKERS[packing](b"first "), PACKERS[packing](b"second")
    for size in (1, 5, 1000):
        assert unpack(packing, cut(one + two, size)) == b"first second"


@closed
def test_bytes_after_the_end_are_an_error(packing):
    with pytest.raises(ProtocolError, match=r"after the end|damaged"):
        unpack(packing, PACKERS[packing](b"text") + b"and more")


@pytest.mark.parametrize("packing", ["gzip", "xz", "bzip2"])
def test_zeros_after_the_end_are_padding(packing):
    assert unpack(packing, PACKERS[packing](b"text") + bytes(1024)) == b"text"


def test_between_streams_of_xz_there_are_zeros_by_fours():
    one, two = lzma.compress(b"first "), lzma.compress(b"second")
    for zeros in (0, 4, 8, 1024):
        for size in (1, 3, 5, 1000):
            assert unpack("xz", cut(one + bytes(zeros) + two + bytes(zeros), size)) == b"first second"
    for zeros in (1, 2, 3, 5, 1023):
        for size in (1, 3, 1000):
            with pytest.raises(
                ProtocolError, match=f"{zeros} bytes of padding in the xz data: no multiple of 4"
            ):
                unpack("xz", cut(one + bytes(zeros) + two, size))
    with pytest.raises(ProtocolError, match="after the end of the xz data"):
        unpack("xz", one + bytes(4) + b"x")


def test_a_dictionary_of_lzma_that_is_too_large():
    with pytest.raises(ProtocolError, match="damaged lzma data"):
        unpack("lzma", b"\x5d\0\0\0\x40" + b"\xff" * 8 + lzma.compress(TEXT, lzma.FORMAT_ALONE)[13:])


def test_a_checksum_that_is_wrong_is_an_error():
    data = bytearray(gzip.compress(b"some text"))
    data[-6] ^= 1
    with pytest.raises(ProtocolError, match="damaged gzip data"):
        unpack("gzip", bytes(data))


def bare_that_looks_wrapped() -> Iterator[bytes]:
    """Raw deflate that begins as a zlib header might: a stored block, whose padding bits are free."""
    for first in (0x08, 0x18, 0x28, 0x38, 0x48, 0x58, 0x68, 0x78):
        for low in range(256):
            if (first << 8 | low) % 31 == 0:
                content = bytes(range(256))[:low] if low else b""
                length = low.to_bytes(2, "little")
                inverse = (low ^ 0xFFFF).to_bytes(2, "little")
                yield bytes([first]) + length + inverse + content + raw_deflate(b"the rest")


def test_bare_deflate_that_looks_like_a_zlib_header_is_read_as_what_it_is():
    seen = 0
    for data in bare_that_looks_wrapped():
        for size in (1, 2, 3, 1000):
            assert unpack("deflate", cut(data, size)) == zlib.decompress(data, -15)
        seen += 1
    assert seen > 50


@given(
    st.binary(max_size=2000),
    st.sampled_from(["gzip", "deflate", "deflate, bare", "br", "zstd"]),
    st.integers(1, 99),
)
def test_any_text_comes_out_as_it_went_in(data, packing, size):
    assert unpack(packing, cut(PACKERS[packing](data), size)) == data


def test_several_packings_are_undone_from_the_last_to_the_first():
    data = brotli.compress(zlib.compress(gzip.compress(TEXT)))
    assert unpack(["gzip", "deflate", "br"], cut(data, 999)) == TEXT


@closed
def test_a_bomb_is_refused_and_never_in_memory(packing):
    data = PACKERS[packing](bytes(64 << 20))
    assert len(data) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="times as many") as caught:
            unpack_and_drop(packing, data, Limits())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.limit == "unpack_ratio"
    assert peak < 40 << 20


def unpack_and_drop(packing: str, data: bytes, limits: Limits) -> int:
    waiting = iter(cut(data, 65536))
    unpacked = Unpacking([packing.partition(",")[0]], lambda: next(waiting, b""), limits)
    return sum(map(len, iter(unpacked.read, b"")))


def test_a_bomb_within_a_bomb_is_refused():
    data = gzip.compress(gzip.compress(gzip.compress(bytes(64 << 20))))
    waiting = iter([data])
    unpacked = Unpacking(["gzip", "gzip", "gzip"], lambda: next(waiting, b""), Limits())
    with pytest.raises(LimitExceeded):
        sum(map(len, iter(unpacked.read, b"")))


def test_a_bomb_between_two_packings_is_refused():
    inner = gzip.compress(b"x") + bytes(200 << 20)
    data = gzip.compress(inner)
    assert len(data) < 300_000
    with pytest.raises(LimitExceeded):
        unpack(["gzip", "gzip"], cut(data, 65536), Limits())


def test_empty_streams_without_end_are_refused():
    data = gzip.compress(gzip.compress(b"") * 400_000)
    with pytest.raises(LimitExceeded, match="nothing in them"):
        unpack(["gzip", "gzip"], [data], Limits())
    assert unpack("gzip", gzip.compress(b"") * 5000 + gzip.compress(b"x")) == b"x"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_zstd_frames_to_be_skipped_are_skipped(size):
    skipped = b"\x5a\x2a\x4d\x18\x05\0\0\0hello"
    frame = zstandard.ZstdCompressor().compress(b"text")
    assert unpack("zstd", cut(skipped + frame + skipped + skipped + frame, size)) == b"texttext"
    with pytest.raises((ProtocolError, EndOfStream)):
        unpack("zstd", cut(frame + skipped[:7], size))


def test_the_total_is_bounded():
    with pytest.raises(LimitExceeded, match="more than 1000 bytes") as caught:
        unpack("gzip", gzip.compress(bytes(2000)), Limits().but(unpacked=1000))
    assert caught.value.limit == "unpacked"


def test_much_of_little_is_no_bomb_while_it_is_small():
    assert unpack("gzip", gzip.compress(bytes(8 << 20)), Limits()) == bytes(8 << 20)


def test_a_zstd_window_that_takes_too_much_memory_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packer.compress(TEXT) + packer.flush()
    with pytest.raises(LimitExceeded, match="window of more than 8388608 bytes"):
        unpack("zstd", data)


def test_what_is_unknown_is_said():
    with pytest.raises(ConfigError, match="nobody here can unpack 'rot13'"):
        unpack("rot13", b"x")


@pytest.mark.parametrize("name", ["br", "zstd"])
def test_a_missing_library_is_named(name, monkeypatch):
    monkeypatch.setattr(unpacking, "can_unpack", lambda name: False)
    with pytest.raises(ConfigError, match=r"pip install 'portico\[fast\]'"):
        unpack(name, b"x")


def test_the_other_brotli_does_as_well(monkeypatch):
    monkeypatch.setattr(unpacking, "_brotli", lambda: brotlicffi)
    assert unpack("br", cut(brotli.compress(TEXT), 1000)) == TEXT
    assert unpack("br", brotli.compress(LINES)) == LINES
    with pytest.raises(LimitExceeded):
        unpack_and_drop("br", brotli.compress(bytes(64 << 20)), Limits())
