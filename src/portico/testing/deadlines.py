"""What a deadline does to a stream."""

from __future__ import annotations

from portico.deadline import timeout
from portico.engines import door
from portico.errors import Cancelled, ConnectionLost, EndOfStream, Timeout
from portico.sockets.stream import Stream, wait_any
from portico.testing.checks import equal, inside, raises, stream_check, true
from portico.testing.writing import FLOOD

__all__: list[str] = []

SOON = 0.05


@stream_check
def a_deadline_ends_a_read_and_loses_nothing(near: Stream, far: Stream) -> None:
    """What came before a ``Timeout`` is there for the next read."""
    far.write(b"abc")
    with timeout(SOON):
        late = raises(Timeout, near.read_exactly, 5)
    true("reading" in late.doing, f"Timeout says {late.doing!r}, not that it was reading")
    with timeout(SOON):
        raises(Timeout, near.read_line)
    equal(near.read(), b"abc", "what came before the Timeout")


@stream_check
def a_deadline_ends_a_write_for_good(near: Stream, far: Stream) -> None:
    """A cut write says how much went out; more writes fail, reads go on."""
    with timeout(SOON):
        late = raises(Timeout, near.write, FLOOD)
    sent = -1 if late.sent is None else late.sent
    true(0 < sent < len(FLOOD), f"Timeout.sent is {late.sent}")
    true("writing" in late.doing, f"Timeout says {late.doing!r}, not that it was writing")
    raises(ConnectionLost, near.write, b"more")
    raises(ConnectionLost, near.write_many, [b"more"])
    true("cut" in repr(near), f"{near!r} does not show the cut write")
    far.write(b"still there")
    equal(near.read_exactly(5), b"still", "read after a cut write")


@stream_check
def a_past_deadline_stops_what_would_succeed(near: Stream, far: Stream) -> None:
    """Each operation asks for the deadline, also when it would not have to wait; nothing is lost."""
    far.write(b"line\n")
    near.peek(5)
    reads = (near.read, near.read_line, near.read_all, near.peek, near.try_read)
    with timeout(0):
        for read in reads:
            raises(Timeout, read)
        raises(Timeout, near.read_exactly, 1)
        raises(Timeout, near.read_into, bytearray(1))
        for write in (near.write, near.try_write):
            equal(raises(Timeout, write, b"x").sent, 0, "Timeout.sent")
        raises(Timeout, near.write_many, [b"x"])
        raises(Timeout, near.shutdown_write)
        raises(Timeout, wait_any, [near])
    equal(near.read_line(), b"line", "read after the deadline")
    near.write(b"y")
    equal(far.read(), b"y", "what was written after the deadline")


@stream_check
def a_steady_sender_does_not_outrun_a_deadline(near: Stream, far: Stream) -> None:
    """A peer that never pauses does not keep a reader past its deadline."""
    task = door.spawn(_send_for_ever, far)
    with timeout(SOON):
        raises(Timeout, near.read_until, b"never", 1 << 40)
    near.abort()
    raises(ConnectionLost, task.join)


def _send_for_ever(stream: Stream) -> None:
    while True:
        stream.write(bytes(1 << 16))


@stream_check
def cancelling_a_reader_loses_nothing(near: Stream, far: Stream) -> None:
    """``Task.cancel`` raises ``Cancelled`` in the wait; the stream is as good as before."""
    far.write(b"abc")
    task = door.spawn(near.read_exactly, 5)
    inside(near)
    task.cancel()
    raises(Cancelled, task.join)
    far.shutdown_write()
    equal(raises(EndOfStream, near.read_exactly, 5).partial, b"abc", "what came before the cancellation")


@stream_check
def cancelling_a_writer_cuts_it(near: Stream, far: Stream) -> None:
    """A cancelled write leaves a stream that refuses to go on in the middle of nowhere."""
    task = door.spawn(near.write, FLOOD)
    inside(near)
    task.cancel()
    raises(Cancelled, task.join)
    raises(ConnectionLost, near.write, b"more")
