"""Random operations at random fragmentation, against plain bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import EndOfStream, LimitExceeded
from portico.testing import BLOCK, scripted

DATA = st.binary(max_size=200) | st.lists(st.sampled_from([b"\n", b"\r", b"ab", b"-"]), max_size=60).map(
    b"".join
)
SIZE = st.integers(min_value=0, max_value=80)
READ = st.one_of(
    st.tuples(st.sampled_from(["read", "read_exactly", "peek", "try_read", "read_into", "unread"]), SIZE),
    st.tuples(st.just("read_line"), st.integers(min_value=1, max_value=80)),
    st.tuples(st.just("read_until"), st.sampled_from([b"\n", b"\r\n", b"ab-", b"--"])),
    st.tuples(st.just("readable"), st.none()),
)


def fragments(data: bytes, cuts: list[int]) -> list[bytes | None]:
    """``data`` in pieces as ``cuts`` say; a cut of 0 is a pause."""
    pieces: list[bytes | None] = []
    for cut in cuts:
        pieces.append(data[:cut] if cut and data else BLOCK)
        data = data[cut:]
    return pieces + ([data] if data else [])


class Model:
    """What has to come, and what a stream may answer."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        data, self.data = self.data[:size], self.data[size:]
        return data

    def check(self, stream: Any, act: str, what: Any) -> None:
        getattr(self, act)(stream, what)

    def read(self, stream: Any, size: int) -> None:
        got = stream.read(size)
        assert got == self.take(len(got))
        assert len(got) <= size
        assert got or not size or not self.data

    def try_read(self, stream: Any, size: int) -> None:
        got = stream.try_read(size)
        assert got is None or got == self.take(len(got))
        assert got != b"" or not size or not self.data

    def read_into(self, stream: Any, size: int) -> None:
        buffer = bytearray(size)
        got = stream.read_into(buffer)
        assert bytes(buffer[:got]) == self.take(got)
        assert got or not size or not self.data

    def read_exactly(self, stream: Any, size: int) -> None:
        if size <= len(self.data):
            assert stream.read_exactly(size) == self.take(size)
            return
        with pytest.raises(EndOfStream) as end:
            stream.read_exactly(size)
        assert end.value.partial == self.take(size)

    def peek(self, stream: Any, size: int) -> None:
        assert stream.peek(size) == self.data[:size]

    def unread(self, stream: Any, size: int) -> None:
        got = stream.read(size)
        stream.unread(got)

    def readable(self, stream: Any, _: None) -> None:
        if stream.readable:
            got = stream.try_read(1)
            assert got == self.take(1)

    def read_until(self, stream: Any, separator: bytes) -> None:
        at = self.data.find(separator)
        if at >= 0:
            assert stream.read_until(separator) == self.take(at + len(separator))
            return
        with pytest.raises(EndOfStream) as end:
            stream.read_until(separator)
        assert end.value.partial == self.take(len(self.data))

    def read_line(self, stream: Any, limit: int) -> None:
        at = self.data.find(b"\n")
        line = self.data if at < 0 else self.data[: at + 1]
        try:
            got = stream.read_line(limit, keep_end=True)
        except LimitExceeded:
            assert len(line) > limit or (at < 0 and len(line) >= limit)
        except EndOfStream:
            assert not self.data
        else:
            assert len(line) <= limit
            assert got == self.take(len(line))


@given(DATA, st.lists(st.integers(min_value=0, max_value=40), max_size=30), st.lists(READ, max_size=30))
def test_any_reads_give_the_bytes_in_order(
    data: bytes, cuts: list[int], reads: list[tuple[str, Any]]
) -> None:
    model = Model(data)
    stream, _ = scripted(*fragments(data, cuts))
    with stream:
        for act, what in reads:
            model.check(stream, act, what)
        assert stream.read_all() == model.data


@given(DATA, st.lists(st.integers(min_value=0, max_value=40), max_size=30))
def test_lines_are_those_of_bytes(data: bytes, cuts: list[int]) -> None:
    stream, _ = scripted(*fragments(data, cuts))
    with stream:
        assert list(stream) == [line + b"\n" for line in data.split(b"\n")[:-1]] + (
            [data.split(b"\n")[-1]] if data.split(b"\n")[-1] else []
        )


WRITE = st.one_of(
    st.tuples(st.just("write"), st.binary(max_size=50)),
    st.tuples(st.just("write_many"), st.lists(st.binary(max_size=20), max_size=20)),
    st.tuples(st.just("try_write"), st.binary(max_size=50)),
)


@given(st.lists(WRITE, max_size=20), st.lists(st.integers(min_value=0, max_value=30), max_size=60))
def test_any_writes_send_the_bytes_in_order(writes: list[tuple[str, Any]], accept: list[int]) -> None:
    stream, transport = scripted(accept=accept)
    wanted = b""
    with stream:
        for act, data in writes:
            taken = getattr(stream, act)(data)
            whole = b"".join(data) if act == "write_many" else data
            wanted += whole[:taken] if act == "try_write" else whole
        assert transport.sent == wanted
