"""How a stream ends."""

from __future__ import annotations

import gc
import warnings

from portico.engines import door
from portico.errors import ConnectionLost, PorticoError, StreamClosed
from portico.sockets.stream import Stream
from portico.testing.checks import STREAM_CHECKS, PairFactory, equal, inside, raises, stream_check, true
from portico.testing.writing import FLOOD

__all__: list[str] = []


@stream_check
def close_delivers_and_then_ends(near: Stream, far: Stream) -> None:
    """What was written before ``close`` arrives; then comes the end, again and again."""
    near.write(b"last words")
    near.close()
    equal(far.read_all(), b"last words", "what arrived")
    equal((far.read(), far.read(), far.try_read()), (b"", b"", b""), "read at the end")
    true("peer ended" in repr(far), f"{far!r} does not show the end")


@stream_check
def close_wakes_a_reader(near: Stream, far: Stream) -> None:
    """``close`` from elsewhere ends a waiting read with ``StreamClosed``."""
    task = door.spawn(near.read)
    inside(near)
    near.close()
    raises(StreamClosed, task.join)


@stream_check
def close_wakes_a_writer(near: Stream, far: Stream) -> None:
    """``close`` from elsewhere ends a waiting write with ``StreamClosed``."""
    task = door.spawn(near.write, FLOOD)
    inside(near)
    near.close()
    raises(StreamClosed, task.join)


@stream_check
def close_wakes_both(near: Stream, far: Stream) -> None:
    """A reader and a writer at once."""
    reader, writer = door.spawn(near.read), door.spawn(near.write, FLOOD)
    inside(near, 2)
    near.close()
    raises(StreamClosed, reader.join)
    raises(StreamClosed, writer.join)


@stream_check
def abort_reaches_the_peer(near: Stream, far: Stream) -> None:
    """After ``abort`` the peer's reads and writes end, and an error never turns into an orderly end."""
    task = door.spawn(_outcome, far)
    inside(far)
    near.abort()
    first = task.join()
    equal(_outcome(far), first, "the second read after an abort")
    true(far.readable, "a stream that was aborted is not readable")
    lost = door.spawn(_write_until_lost, far)
    lost.join()


def _outcome(stream: Stream) -> str:
    try:
        return f"read {stream.read()!r}"
    except ConnectionLost as error:
        return type(error).__name__


def _write_until_lost(stream: Stream) -> None:
    def write() -> None:
        for _ in range(1000):
            stream.write(bytes(65536))

    raises(ConnectionLost, write)


@stream_check
def writing_to_one_who_left_is_an_error(near: Stream, far: Stream) -> None:
    """A peer that closed ends our writes with ``ConnectionLost``, soon, and never with a signal."""
    far.close()
    _write_until_lost(near)


@stream_check
def closing_twice_is_closing(near: Stream, far: Stream) -> None:
    """``close`` and ``abort`` may be repeated, in any order; leaving a ``with`` too."""
    near.close()
    near.close()
    near.abort()
    with near:
        true(near.closed, "closed is False after close()")
    far.abort()
    far.close()


@stream_check
def a_closed_stream_refuses(near: Stream, far: Stream) -> None:
    """Every operation on a closed stream is ``StreamClosed``."""
    far.write(b"too late")
    near.close()
    for act in (near.read, near.read_line, near.read_all, near.peek, near.try_read, near.shutdown_write):
        raises(StreamClosed, act)
    raises(StreamClosed, near.read_exactly, 1)
    raises(StreamClosed, near.read_into, bytearray(1))
    raises(StreamClosed, near.unread, b"x")
    raises(StreamClosed, list, near)
    for write in (near.write, near.try_write):
        raises(StreamClosed, write, b"x")
    raises(StreamClosed, near.write_many, [b"x"])
    equal(near.fileno(), -1, "fileno() of a closed stream")


@stream_check
def repr_shows_the_state(near: Stream, far: Stream) -> None:
    """Open, buffered, ended, closed."""
    true("open" in repr(near), f"{near!r} does not show that it is open")
    far.write(b"abc")
    near.peek(3)
    true("3 B buffered" in repr(near), f"{near!r} does not show what is buffered")
    near.shutdown_write()
    true("our end shut" in repr(near), f"{near!r} does not show that we ended our direction")
    near.close()
    true("closed" in repr(near), f"{near!r} does not show that it is closed")


def a_forgotten_stream_warns(make_pair: PairFactory) -> None:
    """Dropping an open stream gives a ``ResourceWarning``, and closes it."""
    near, far = make_pair()
    with far, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del near
        gc.collect()
        true(
            any(one.category is ResourceWarning for one in told), "no ResourceWarning for a stream left open"
        )
        try:
            equal(far.read(), b"", "read from a stream that was dropped")
        except PorticoError:
            pass  # a transport may show a dropped peer as a lost one


STREAM_CHECKS[a_forgotten_stream_warns.__name__] = a_forgotten_stream_warns
