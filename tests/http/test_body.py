"""Where a request's body is kept, and how it is read while it still comes."""

from __future__ import annotations

import io
import tempfile
import tracemalloc

import pytest

from portico.http.body import Spool, StreamedBody


class Pieces:
    """In a connection's place: hands out the pieces of a body, then its end for ever."""

    def __init__(self, *pieces):
        self.left = list(pieces)
        self.asked = 0

    def next_piece(self):
        self.asked += 1
        piece = self.left.pop(0) if self.left else b""
        if isinstance(piece, Exception):
            raise piece
        return piece


def body(*pieces):
    return io.BufferedReader(StreamedBody(Pieces(*pieces)), 100)


@pytest.mark.parametrize("sizes", [[], [0], [10], [5, 5], [11], [5, 6], [10, 1], [100, 1], [1] * 30])
def test_a_spool_gives_back_what_was_added(sizes):
    spool = Spool(10)
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    for piece in pieces:
        spool.add(piece)
    with spool.file() as file:
        assert file.read() == b"".join(pieces)
        assert spool.size == sum(sizes)
        assert isinstance(file, io.BytesIO) is (sum(sizes) <= 10)


def test_a_spool_that_is_closed_closes_its_file(monkeypatch):
    made = []
    real = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: made.append(real(**options)) or made[-1])
    spool = Spool(1)
    spool.add(b"123")
    spool.close()
    assert made[0].closed


def test_single_bytes_cost_a_spool_no_more_than_large_pieces():
    spool = Spool(1 << 20)
    tracemalloc.start()
    for _ in range(100_000):
        spool.add(b"x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000


def test_a_streamed_body_reads_like_a_file():
    assert body(b"abc", b"", b"never").read() == b"abc"
    assert body(b"abc", b"def").read() == b"abcdef"
    assert body(b"abc", b"def").read(4) == b"abcd"
    assert body(b"a\nb", b"c\nd").readlines() == [b"a\n", b"bc\n", b"d"]
    assert list(body(b"one\n", b"two")) == [b"one\n", b"two"]
    assert body(b"abc\ndef").readline(2) == b"ab"
    large = body(b"x" * 1000)
    assert (large.read(999), large.read(999), large.read(999)) == (b"x" * 999, b"x", b"")


def test_a_streamed_body_asks_for_no_more_than_is_wanted():
    pieces = Pieces(b"abc", b"def")
    reader = io.BufferedReader(StreamedBody(pieces), 100)
    assert reader.read1(2) == b"ab"
    assert reader.read1(2) == b"c"
    assert pieces.asked == 1


def test_a_small_buffer_gets_a_large_piece_in_parts():
    raw = StreamedBody(Pieces(b"x" * 10))
    buffer = bytearray(4)
    assert [raw.readinto(buffer) for _ in range(4)] == [4, 4, 2, 0]


def test_what_the_connection_raises_reaches_the_reader():
    reader = body(b"abc", ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError):
        reader.read()
