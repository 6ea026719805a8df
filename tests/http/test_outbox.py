"""The queue of what waits to leave: order, gathering, files, closing."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import ConnectionLost
from portico.http.outbox import Outbox
from portico.sockets.transport import Transport


class Sink(Transport):
    """Takes at most so many bytes a call, and nothing while ``shut``."""

    def __init__(self, most=1 << 30, *, zero_copy=True):
        super().__init__()
        self.most, self.zero_copy = most, zero_copy
        self.got = bytearray()
        self.calls = 0
        self.shut = False

    def send(self, data):
        self.calls += 1
        taken = 0 if self.shut else min(len(data), self.most)
        self.got += memoryview(data)[:taken]
        return taken

    def send_file(self, descriptor, offset, count):
        if not self.zero_copy:
            return None
        self.calls += 1
        data = b"" if self.shut else os.pread(descriptor, min(count, self.most), offset)
        self.got += data
        return len(data) if data or self.shut else -1


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 40)
    return lambda: open(tmp_path / "file", "rb")


PIECES = st.lists(
    st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, 5000), st.integers(0, 5000))), max_size=90
)


@given(pieces=PIECES, most=st.integers(1, 700), zero_copy=st.booleans())
def test_everything_leaves_in_order_however_little_is_taken(tmp_path_factory, pieces, most, zero_copy):
    path = tmp_path_factory.getbasetemp() / "outbox"
    content = bytes(range(256)) * 40
    if not path.exists():
        path.write_bytes(content)
    outbox, sink, wanted, files = Outbox(), Sink(most, zero_copy=zero_copy), b"", []
    for piece in pieces:
        if isinstance(piece, bytes):
            outbox.add(piece)
            wanted += piece
        else:
            files.append(open(path, "rb"))  # noqa: SIM115
            outbox.add_file(files[-1], *piece)
            wanted += content[piece[0] : piece[0] + piece[1]]
    assert outbox.memory == sum(len(piece) for piece in pieces if isinstance(piece, bytes))
    while outbox:
        assert outbox.send(sink)
        assert not outbox.blocked
    assert bytes(sink.got) == wanted
    assert outbox.memory == 0
    assert all(each.closed for each in files)


def test_small_pieces_leave_in_one_call():
    outbox, sink = Outbox(), Sink()
    for number in range(60):
        outbox.add(b"%d," % number)
    assert outbox.send(sink)
    assert sink.calls == 1
    assert not outbox


def test_what_is_not_taken_stays_and_says_so():
    outbox, sink = Outbox(), Sink(3)
    outbox.add(b"abcdef")
    sink.shut = True
    assert not outbox.send(sink)
    assert outbox.blocked
    assert outbox.memory == 6
    sink.shut = False
    assert outbox.send(sink)
    assert not outbox
    assert not outbox.blocked


def test_a_reader_as_fast_as_we_are_does_not_keep_us_for_ever(tmp_path):
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 100 << 20)
    outbox, sink = Outbox(), Sink()
    outbox.add_file(open(tmp_path / "large", "rb"), 0, 100 << 20)  # noqa: SIM115
    assert outbox.send(sink)
    assert outbox
    assert not outbox.blocked
    assert len(sink.got) <= 16 << 20
    outbox.close()


@pytest.mark.parametrize("zero_copy", [True, False])
def test_a_file_that_became_shorter_cuts_the_answer(file, zero_copy):
    outbox, sink, opened = Outbox(), Sink(zero_copy=zero_copy), file()
    outbox.add_file(opened, 10_000, 1000)
    with pytest.raises(ConnectionLost):
        outbox.send(sink)
    assert len(sink.got) == 240
    outbox.close()
    assert opened.closed


def test_closing_closes_the_files_and_forgets_the_rest(file):
    outbox, opened = Outbox(), file()
    outbox.add(b"head")
    outbox.add_file(opened, 0, 100)
    outbox.close()
    assert opened.closed
    assert not outbox
    assert outbox.memory == 0


def test_an_empty_piece_of_a_file_is_closed_at_once(file):
    outbox, opened = Outbox(), file()
    outbox.add_file(opened, 0, 0)
    assert opened.closed
    assert not outbox
