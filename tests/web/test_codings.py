import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import ConfigError
from portico.web import codings
from portico.web.codings import check_codings, choose, compressor, installed, pack

ALL = ("zstd", "br", "gzip")


def unpack(data, coding):
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "br":
        return brotli.decompress(data)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (None, ""),
        ("", ""),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("br, gzip", "br"),
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0.5,gzip;q=0.50", "br"),
        ("GZip ; Q=0.8", "gzip"),
        ("x-gzip", "gzip"),
        ("x-br", ""),
        ("*", "zstd"),
        ("*;q=0", None),
        ("gzip, *;q=0", "gzip"),
        ("*;q=0, identity", ""),
        ("zstd;q=0, *", "br"),
        ("identity", ""),
        ("identity;q=0", None),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("identity;q=1, gzip;q=0.5", ""),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0, br;q=0, zstd;q=0", None),
        ("gzip;q=0", ""),
        ("deflate", ""),
        ("gzip;q=1.5", ""),
        ("gzip;q=-1", ""),
        ("gzip;q=0.1234", ""),
        ("gzip;q=nan", ""),
        ("gzip;q=", ""),
        ("gzip;level=1", ""),
        ("gzip;q=1;x", ""),
        (",,gzip,,", "gzip"),
        ("gzip;q=1.000", "gzip"),
        ("gzipx, agzip", ""),
        ("x" * 300 + ", gzip", "gzip"),
    ],
)
def test_the_coding_is_the_one_that_the_client_likes_best(accepted, chosen):
    assert choose(accepted, ALL) == chosen


def test_what_is_not_offered_is_not_chosen():
    assert choose("br, gzip", ("gzip",)) == "gzip"
    assert choose("br", ("gzip",)) == ""
    assert choose("*", ()) == ""
    assert choose("identity;q=0", ()) is None


@given(st.text(max_size=40), st.lists(st.sampled_from(ALL), unique=True).map(tuple))
def test_no_header_breaks_the_choice(accepted, offered):
    assert choose(accepted, offered) in (None, "", *offered)


@pytest.mark.parametrize("coding", ALL)
@given(pieces=st.lists(st.binary(max_size=3000), max_size=5))
def test_what_is_flushed_can_be_read_at_once(coding, pieces):
    packer = compressor(coding)
    sent = b""
    reader = {
        "gzip": lambda: zlib.decompressobj(31).decompress(sent),
        "br": lambda: brotli.Decompressor().process(sent),
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress(sent),
    }[coding]
    for count, piece in enumerate(pieces, 1):
        sent += packer.compress(piece) + packer.flush()
        assert reader() == b"".join(pieces[:count])
    sent += packer.finish()
    assert unpack(sent, coding) == b"".join(pieces)


@pytest.mark.parametrize("coding", ALL)
def test_packing_makes_smaller_and_always_the_same(coding):
    text = b"All work and no play makes Jack a dull boy.\n" * 1000
    packed = pack(text, coding)
    assert len(packed) < len(text) / 20
    assert unpack(packed, coding) == text
    assert pack(text, coding) == packed


def test_without_the_libraries_there_is_gzip(monkeypatch):
    monkeypatch.setattr(codings, "find_spec", lambda name: None)
    installed.cache_clear()
    try:
        assert installed() == ("gzip",)
        with pytest.raises(ConfigError, match=r"brotli: pip install 'portico\[fast\]'"):
            check_codings(["gzip", "br"])
    finally:
        monkeypatch.undo()
        installed.cache_clear()


def test_a_coding_that_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="there are: zstd, br, gzip"):
        check_codings(["deflate"])
    assert check_codings(["gzip", "br"]) == ("gzip", "br")
