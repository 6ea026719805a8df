"""What a stream is to its reader."""

from __future__ import annotations

from portico.engines import door
from portico.errors import EndOfStream, LimitExceeded, StreamBusy
from portico.sockets.stream import Stream, wait_any
from portico.testing.checks import equal, inside, raises, stream_check, true

__all__: list[str] = []

DRIBBLE = 2000


@stream_check
def read_returns_what_there_is(near: Stream, far: Stream) -> None:
    """``read(n)`` gives between one byte and ``n``, without waiting for ``n``."""
    far.write(b"hello")
    equal(near.read(100), b"hello", "read(100)")
    far.write(b"abc")
    equal(near.read(1) + near.read(1) + near.read(1), b"abc", "three times read(1)")
    equal(near.read(0), b"", "read(0)")
    raises(ValueError, near.read, -1)


@stream_check
def read_exactly_gathers(near: Stream, far: Stream) -> None:
    """``read_exactly`` waits for all of its bytes and takes no more."""
    far.write(b"ab")
    task = door.spawn(near.read_exactly, 5)
    inside(near)
    far.write(b"cdefg")
    equal(task.join(), b"abcde", "read_exactly(5)")
    equal(near.read_exactly(2), b"fg", "the rest")
    equal(near.read_exactly(0), b"", "read_exactly(0)")
    raises(ValueError, near.read_exactly, -1)


@stream_check
def read_exactly_keeps_a_short_end(near: Stream, far: Stream) -> None:
    """An end that comes too early is ``EndOfStream``, with what came."""
    far.write(b"abc")
    far.shutdown_write()
    equal(raises(EndOfStream, near.read_exactly, 5).partial, b"abc", "partial")
    equal(near.read(), b"", "read() at the end")


@stream_check
def read_until_finds_a_separator_in_pieces(near: Stream, far: Stream) -> None:
    """A separator that arrives in two pieces is found; what follows it stays."""
    far.write(b"head\r\n\r")
    task = door.spawn(near.read_until, b"\r\n\r\n")
    inside(near)
    far.write(b"\nbody")
    equal(task.join(), b"head\r\n\r\n", "read_until")
    equal(near.read(), b"body", "what follows")
    raises(ValueError, near.read_until, b"")


@stream_check
def read_until_keeps_a_short_end(near: Stream, far: Stream) -> None:
    """An end without the separator is ``EndOfStream``, with what came."""
    far.write(b"no end")
    far.shutdown_write()
    equal(raises(EndOfStream, near.read_until, b"\n").partial, b"no end", "partial")


@stream_check
def limits_bound_what_is_gathered(near: Stream, far: Stream) -> None:
    """More than the limit is ``LimitExceeded``, and what came stays readable."""
    far.write(b"0123456789\nrest")
    raises(LimitExceeded, near.read_line, 10)
    equal(near.read_line(11), b"0123456789", "a line exactly as long as its limit")
    far.shutdown_write()
    raises(LimitExceeded, near.read_all, 3)
    equal(near.read_all(4), b"rest", "read_all(4)")


@stream_check
def lines_end_with_lf_or_crlf(near: Stream, far: Stream) -> None:
    """``read_line`` takes both ends off; a CR elsewhere is data; the last line may lack its end."""
    far.write(b"one\ntwo\r\n\na\rb\nkept\r\nlast\r")
    far.shutdown_write()
    got = [near.read_line() for _ in range(4)]
    equal(got, [b"one", b"two", b"", b"a\rb"], "lines")
    equal(near.read_line(keep_end=True), b"kept\r\n", "read_line(keep_end=True)")
    equal(near.read_line(), b"last\r", "the last line")
    equal(raises(EndOfStream, near.read_line).partial, b"", "no line left")


@stream_check
def iteration_gives_lines_with_their_ends(near: Stream, far: Stream) -> None:
    """Iterating ends with the stream."""
    far.write(b"one\ntwo\r\nlast")
    far.shutdown_write()
    equal(list(near), [b"one\n", b"two\r\n", b"last"], "lines")


@stream_check
def read_into_fills_a_buffer(near: Stream, far: Stream) -> None:
    """``read_into`` fills what there is, from its own buffer first, and gives 0 at the end."""
    far.write(b"abcdef")
    far.shutdown_write()
    near.peek(6)
    buffer = bytearray(4)
    equal((near.read_into(buffer), bytes(buffer)), (4, b"abcd"), "read_into")
    equal((near.read_into(memoryview(buffer)[1:]), bytes(buffer)), (2, b"aefd"), "read_into a part")
    equal(near.read_into(buffer), 0, "read_into at the end")
    raises(TypeError, near.read_into, memoryview(b"read-only"))


@stream_check
def read_all_gathers_until_the_end(near: Stream, far: Stream) -> None:
    """``read_all`` gives everything up to the end, however much."""
    data = bytes(range(256)) * 2000
    task = door.spawn(near.read_all)
    far.write(data)
    far.shutdown_write()
    equal(task.join(), data, "read_all")
    equal(near.read_all(), b"", "read_all at the end")


@stream_check
def peek_takes_nothing(near: Stream, far: Stream) -> None:
    """``peek`` shows what the next read gives; fewer bytes only at the end."""
    far.write(b"abc")
    far.shutdown_write()
    equal((near.peek(), near.peek(2), near.peek(10)), (b"a", b"ab", b"abc"), "peek")
    equal(near.read_exactly(3), b"abc", "read_exactly after peek")
    equal(near.peek(), b"", "peek at the end")


@stream_check
def unread_bytes_come_first(near: Stream, far: Stream) -> None:
    """``unread`` puts bytes in front of everything."""
    far.write(b"world")
    equal(near.read(1), b"w", "read(1)")
    near.unread(b"hello w")
    equal(near.read_exactly(11), b"hello world", "read_exactly")


@stream_check
def try_read_never_waits(near: Stream, far: Stream) -> None:
    """``try_read`` gives ``None`` while nothing is there, ``b""`` at the end."""
    equal(near.try_read(), None, "try_read of nothing")
    true(not near.readable, "readable with nothing there")
    far.write(b"abc")
    wait_any([near])
    true(near.readable, "not readable with bytes there")
    equal((near.try_read(0), near.try_read(2), near.try_read()), (b"", b"ab", b"c"), "try_read")
    far.shutdown_write()
    wait_any([near])
    true(near.readable, "not readable at the end")
    equal((near.try_read(), near.try_read()), (b"", b""), "try_read at the end")


@stream_check
def wait_any_tells_who_is_ready(near: Stream, far: Stream) -> None:
    """``wait_any`` gives the readable and the writable ones, and wakes for what comes later."""
    equal(wait_any([near], [far]), ([], [far]), "wait_any")
    task = door.spawn(wait_any, [near, far])
    inside(near)
    far.write(b"x")
    equal(task.join(), ([near], []), "wait_any")


@stream_check
def one_reader_at_a_time(near: Stream, far: Stream) -> None:
    """A second reader gets ``StreamBusy``, at once; the first one is not disturbed."""
    task = door.spawn(near.read_line)
    inside(near)
    for read in (near.read, near.read_line, near.read_all, near.peek, near.try_read):
        raises(StreamBusy, read)
    raises(StreamBusy, near.unread, b"x")
    near.write(b"a writer is no reader")
    far.write(b"line\n")
    equal(task.join(), b"line", "the first reader's line")


@stream_check
def bytes_one_by_one_make_no_difference(near: Stream, far: Stream) -> None:
    """A peer that dribbles is understood as one that does not."""
    data = b"".join(b"line %d\r\n" % number for number in range(DRIBBLE // 10))

    def dribble() -> None:
        for at in range(len(data)):
            far.write(data[at : at + 1])
        far.shutdown_write()

    task = door.spawn(dribble)
    lines = [near.read_line() for _ in range(50)]
    equal(lines, data.split(b"\r\n")[:50], "lines")
    equal(near.read_until(b"99\r\n"), data[data.index(b"line 50") : data.index(b"line 100")], "read_until")
    rest = data[data.index(b"line 100") :]
    equal(near.read_exactly(len(rest)), rest, "read_exactly")
    task.join()
