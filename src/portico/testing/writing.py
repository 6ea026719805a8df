"""What a stream is to its writer."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import Any, BinaryIO

from portico.engines import door
from portico.errors import ConnectionLost, LocalProtocolError, StreamBusy, StreamClosed
from portico.sockets.stream import Stream
from portico.testing.checks import equal, inside, raises, stream_check, true

__all__ = ["FLOOD"]

FLOOD = bytes(1 << 25)
"""More than any transport may take without saying *would block*."""
BIG = bytes(range(256)) * 8192


@stream_check
def write_takes_any_bytes(near: Stream, far: Stream) -> None:
    """``bytes``, ``bytearray`` and ``memoryview``, empty ones too."""
    near.write(b"a")
    near.write(b"")
    near.write(bytearray(b"b"))
    near.write(memoryview(b"xcdx")[1:3])
    equal(far.read_exactly(4), b"abcd", "what arrived")


@stream_check
def big_writes_cross(near: Stream, far: Stream) -> None:
    """Both ends write more than fits while both read: everything arrives, in order."""
    readers = [door.spawn(stream.read_exactly, len(BIG)) for stream in (near, far)]
    writers = [door.spawn(stream.write, BIG) for stream in (near, far)]
    for task in writers:
        task.join()
    for reader in readers:
        equal(reader.join(), BIG, "what arrived")


@stream_check
def write_many_keeps_order(near: Stream, far: Stream) -> None:
    """Thousands of parts, of all sizes, arrive as one."""
    parts = [bytes([number % 256]) * (number % 300) for number in range(5000)]
    wanted = b"".join(parts)
    task = door.spawn(far.read_exactly, len(wanted))
    near.write_many(parts)
    equal(task.join(), wanted, "what arrived")
    near.write_many([])
    near.write_many([b"", bytearray(b"x"), memoryview(b"yz")])
    equal(far.read_exactly(3), b"xyz", "what arrived")


@stream_check
def try_write_never_waits(near: Stream, far: Stream) -> None:
    """``try_write`` takes what fits, and 0 once nothing does."""
    sent = taken = near.try_write(FLOOD)
    while taken and sent < len(FLOOD):
        taken = near.try_write(FLOOD[: 1 << 20])
        sent += taken
    true(sent < len(FLOOD), "this transport takes bytes without bound")
    equal(near.try_write(b""), 0, "try_write of nothing")
    task = door.spawn(far.read_exactly, sent)
    near.write(b"")  # hands on what TLS had held back
    equal(len(task.join()), sent, "what arrived")


@stream_check
def one_writer_at_a_time(near: Stream, far: Stream) -> None:
    """A second writer gets ``StreamBusy``, at once; the first one is not disturbed."""
    task = door.spawn(near.write, FLOOD)
    inside(near)
    raises(StreamBusy, near.write, b"x")
    raises(StreamBusy, near.write_many, [b"x"])
    raises(StreamBusy, near.try_write, b"x")
    raises(StreamBusy, near.shutdown_write)
    far.write(b"a reader is no writer")
    equal(near.read_exactly(6), b"a read", "read beside a writer")
    equal(far.read_exactly(len(BIG)), FLOOD[: len(BIG)], "what arrived")
    near.close()
    raises(StreamClosed, task.join)


@stream_check
def half_close_leaves_the_other_half(near: Stream, far: Stream) -> None:
    """After ``shutdown_write`` the peer sees the end, and may still answer."""
    near.write(b"question")
    near.shutdown_write()
    near.shutdown_write()
    equal(far.read_all(), b"question", "the question")
    equal(far.read(), b"", "read at the end")
    far.write(b"answer")
    far.shutdown_write()
    equal(near.read_all(), b"answer", "the answer")
    for write in (near.write, near.try_write):
        raises(ConnectionLost, write, b"more")
    raises(ConnectionLost, near.write_many, [b"more"])


@stream_check
def send_file_sends_a_regular_file(near: Stream, far: Stream) -> None:
    """A whole file, a part of it, and a file object without descriptor."""
    with tempfile.TemporaryFile() as file:
        file.write(BIG)  # not flushed: what was written to the file belongs to it
        _arrives(near.send_file, far, BIG, file)
        _arrives(near.send_file, far, BIG[1000:1100], file, 1000, 100)
        _arrives(near.send_file, far, BIG[-5:], file, len(BIG) - 5)
        equal(near.send_file(file, len(BIG)), 0, "send_file from the end")
    _arrives(near.send_file, far, BIG[7:], io.BytesIO(BIG), 7)
    _arrives(near.send_file, far, BIG[7:9], io.BytesIO(BIG), 7, 2)


def _arrives(send: Callable[..., int], far: Stream, wanted: bytes, file: BinaryIO | Any, *part: int) -> None:
    task = door.spawn(far.read_exactly, len(wanted))
    equal(send(file, *part), len(wanted), "send_file")
    equal(task.join(), wanted, "what arrived")


@stream_check
def send_file_tells_of_a_shrunken_file(near: Stream, far: Stream) -> None:
    """A file that ends before its count is an error; what it had was sent."""
    with tempfile.TemporaryFile() as file:
        file.write(b"abc")
        raises(LocalProtocolError, near.send_file, file, 0, 5)
    equal(far.read_exactly(3), b"abc", "what arrived")
    raises(LocalProtocolError, near.send_file, io.BytesIO(b"abc"), 1, 3)
    equal(far.read_exactly(2), b"bc", "what arrived")
