"""What the kit cannot see from outside: linear time, sockets, partial sends, detaching."""

from __future__ import annotations

import gc
import gzip
import io
import socket
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import pytest

from portico.deadline import timeout
from portico.engines import door
from portico.engines.run import run
from portico.errors import (
    Cancelled,
    ConfigError,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    LocalProtocolError,
    StreamBusy,
    StreamClosed,
    Timeout,
)
from portico.sockets import memory
from portico.sockets.reading import MOST
from portico.sockets.stream import Stream, wait_any
from portico.sockets.transport import READ, Bytes, Transport
from portico.testing import BLOCK, ScriptedTransport, scripted

FLOOD = bytes(1 << 25)


def tcp_pair() -> tuple[Stream, Stream]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return Stream.from_socket(near), Stream.from_socket(far)


# -- linear time, told by what is moved, not by the clock


class Counting(bytearray):
    """A buffer that counts the bytes that its operations have to look at or to move."""

    cost = 0

    def find(self, what: Any, start: int = 0, *rest: int) -> int:
        self.cost += len(self) - start
        return super().find(what, start, *rest)

    def __iadd__(self, data: Any) -> Self:  # type: ignore[override, misc]
        self.cost += len(data)
        return super().__iadd__(data)  # type: ignore[return-value]


def counted(data: bytes, fragment: int) -> tuple[Stream, ScriptedTransport, Counting]:
    pieces = [data[at : at + fragment] for at in range(0, len(data), fragment)]
    stream, transport = scripted(*pieces)
    stream._buffer = buffer = Counting()
    return stream, transport, buffer


READERS: dict[str, Callable[[Stream, int], object]] = {
    "read_exactly": lambda stream, size: stream.read_exactly(size),
    "read_until": lambda stream, size: stream.read_until(b"\r\n\r\n", size),
    "read_line": lambda stream, size: stream.read_line(size),
    "read_all": lambda stream, size: stream.read_all(size),
    "peek": lambda stream, size: stream.peek(size),
}


@pytest.mark.parametrize("fragment", [1, 2, 7, 1000])
@pytest.mark.parametrize("reader", READERS)
def test_reading_takes_linear_time_at_any_fragmentation(reader: str, fragment: int) -> None:
    size = 50_000
    stream, transport, buffer = counted(b"x" * (size - 4) + b"\r\n\r\n", fragment)
    with stream:
        READERS[reader](stream, size)
    assert transport.receives <= size / fragment + 2
    assert buffer.cost <= 6 * size


def test_many_lines_of_one_buffer_take_linear_time() -> None:
    data = b"line\r\n" * 10_000
    stream, transport, buffer = counted(data, len(data))
    with stream:
        assert sum(1 for _ in stream) == 10_000
    assert transport.receives <= 3
    # find() stops at the line's end; what it may look at is not what it does look at
    assert len(buffer) == 0


def test_write_many_of_thousands_of_parts_makes_few_calls() -> None:
    calls: list[int] = []

    class Gathers(ScriptedTransport):
        def send_parts(self, parts: Any) -> int:
            calls.append(len(parts))
            return self.send(b"".join(parts))

    transport = Gathers()
    with Stream(transport) as stream:
        stream.write_many([b"x"] * 5000)
    assert bytes(transport.sent) == b"x" * 5000
    assert len(calls) == 5


def test_write_many_over_a_transport_that_cannot_gather_moves_each_byte_once() -> None:
    moved: list[int] = []

    class Narrow(ScriptedTransport):
        def send(self, data: Bytes) -> int:
            moved.append(len(data))
            return super().send(memoryview(data)[:65536])

    transport = Narrow()
    parts = [bytes(20_000)] * 400
    with Stream(transport) as stream:
        stream.write_many(parts)
    assert len(transport.sent) == 8_000_000
    assert sum(moved) <= 3 * 8_000_000


def test_a_huge_read_reserves_no_huge_memory() -> None:
    sizes: list[int] = []

    class Asked(ScriptedTransport):
        def recv(self, size: int) -> bytes | None:
            sizes.append(size)
            return super().recv(size)

    with Stream(Asked([b"abc", b"d", BLOCK, b"e"])) as stream:
        assert stream.read(1 << 40) == b"abc"
        assert stream.try_read(1 << 40) == b"d"
        with pytest.raises(EndOfStream):
            stream.read_exactly(1 << 40)
    assert max(sizes) <= MOST


# -- reading


def test_a_limit_counts_what_was_buffered_before() -> None:
    stream, _ = scripted(b"0123456789")
    with stream:
        stream.peek(10)
        with pytest.raises(LimitExceeded):
            stream.read_all(9)
        assert stream.read_all(10) == b"0123456789"


def test_a_lost_connection_never_turns_into_an_orderly_end() -> None:
    stream, _ = scripted(b"abc", ConnectionLost("gone"))
    with stream:
        with pytest.raises(ConnectionLost, match="gone"):
            stream.read_exactly(5)
        assert stream.read() == b"abc"
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="gone"):
                stream.read()
            with pytest.raises(ConnectionLost, match="gone"):
                stream.read_into(bytearray(5))
        assert "connection lost" in repr(stream)


def test_looking_whether_it_is_readable_does_not_swallow_the_loss() -> None:
    stream, _ = scripted(ConnectionLost("gone"))
    with stream:
        assert stream.readable
        assert wait_any([stream]) == ([stream], [])
        with pytest.raises(ConnectionLost, match="gone"):
            stream.read()


def test_a_reset_is_told_from_an_end_over_tcp() -> None:
    near, far = tcp_pair()
    with near, far:
        far.abort()
        for _ in range(3):
            with pytest.raises(ConnectionLost, match="closed the connection while reading"):
                near.read()


def test_read_into_a_read_only_buffer_takes_nothing() -> None:
    stream, _ = scripted(b"abc")
    with stream:
        stream.peek()
        with pytest.raises(TypeError, match="read-only"):
            stream.read_into(memoryview(b"xxx"))
        assert stream.read() == b"abc"


def test_try_read_of_nothing_is_not_the_end() -> None:
    stream, _ = scripted(b"abc")
    with stream:
        assert stream.try_read(0) == b""
        assert stream.read() == b"abc"
        with pytest.raises(ValueError, match="-1"):
            stream.try_read(-1)


def test_only_the_reader_may_unread() -> None:
    near, far = (Stream(end) for end in memory.pair())
    with near, far:
        task = door.spawn(near.read)
        while not near.transport.waiters:
            door.sleep(0.001)
        with pytest.raises(StreamBusy):
            near.unread(b"x")
        far.write(b"y")
        assert task.join() == b"y"


# -- writing


def test_what_was_sent_before_a_deadline_is_counted_to_the_byte() -> None:
    near, far = tcp_pair()
    with near, far:
        with timeout(0.05), pytest.raises(Timeout) as caught:
            near.write(FLOOD)
        near.shutdown_write()
        assert len(far.read_all()) == caught.value.sent


def test_write_many_counts_what_was_sent_over_all_parts() -> None:
    near, far = tcp_pair()
    with near, far:
        with timeout(0.05), pytest.raises(Timeout) as caught:
            near.write_many([FLOOD[: 1 << 16]] * 512)
        near.shutdown_write()
        assert len(far.read_all()) == caught.value.sent


@pytest.mark.parametrize("raw", [True, False])
def test_send_file_counts_what_was_sent(raw: bool) -> None:
    near, far = tcp_pair()
    with near, far, tempfile.TemporaryFile() as file:
        file.write(FLOOD)
        source = file if raw else io.BytesIO(FLOOD)
        with timeout(0.05), pytest.raises(Timeout) as caught:
            near.send_file(source)  # type: ignore[arg-type]
        with pytest.raises(ConnectionLost, match="cut after"):
            near.write(b"x")
        near.shutdown_write()
        assert len(far.read_all()) == caught.value.sent


@pytest.mark.parametrize(("offset", "count"), [(-1, None), (0, -1)])
def test_send_file_refuses_negative_numbers_and_the_stream_stays_usable(
    offset: int, count: int | None
) -> None:
    near, far = tcp_pair()
    with near, far, tempfile.TemporaryFile() as file:
        with pytest.raises(ValueError, match="zero or more"):
            near.send_file(file, offset, count)  # type: ignore[arg-type]
        near.write(b"x")
        assert far.read() == b"x"


def test_a_listening_socket_is_no_stream() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(ConfigError, match="listens"):
            Stream.from_socket(listener)
        assert listener.fileno() >= 0


def test_small_sends_are_put_together() -> None:
    stream, transport = scripted(accept=[1, 0, 2, 0, 3])
    with stream:
        stream.write(b"0123456789")
        stream.write_many([b"ab", b"", b"cd"])
    assert transport.sent == b"0123456789abcd"


def test_views_of_wider_items_are_written_as_bytes() -> None:
    words = memoryview(struct.pack("4I", 1, 2, 3, 4)).cast("I")
    stream, transport = scripted(accept=[5, 0])
    with stream:
        stream.write(words)
        stream.write_many([words, words])
        assert stream.try_write(words) == 16
    assert bytes(transport.sent) == words.tobytes() * 4


def test_a_cancelled_write_breaks_the_stream() -> None:
    near, far = tcp_pair()
    with near, far:
        task = door.spawn(near.write, FLOOD)
        while not near.transport.waiters:
            door.sleep(0.001)
        task.cancel()
        with pytest.raises(Cancelled):
            task.join()
        with pytest.raises(ConnectionLost, match="an earlier write was cut after"):
            near.write(b"x")


def test_a_decompressing_file_is_sent_decompressed() -> None:
    packed = io.BytesIO(gzip.compress(b"plain text"))
    with tempfile.TemporaryFile() as real:
        real.write(packed.getvalue())
        real.seek(0)
        stream, transport = scripted()
        with stream, gzip.GzipFile(fileobj=real) as file:
            assert stream.send_file(file) == 10  # type: ignore[arg-type]
    assert transport.sent == b"plain text"


def test_a_named_temporary_file_is_sent_without_a_copy() -> None:
    seen: list[int] = []

    class ZeroCopy(ScriptedTransport):
        def send_file(self, descriptor: int, offset: int, count: int) -> int:
            seen.append(descriptor)
            return -1

    with tempfile.NamedTemporaryFile() as file, Stream(ZeroCopy()) as stream:
        stream.send_file(file)  # type: ignore[arg-type]
        assert seen == [file.fileno()]


# -- the stream as a whole


def test_detach_gives_the_socket_away() -> None:
    near, far = tcp_pair()
    with far:
        sock = near.detach()
        with sock:
            near.close()
            with pytest.raises(StreamClosed):
                near.read()
            del near
            gc.collect()
            sock.send(b"still mine")
            assert far.read_exactly(10) == b"still mine"


def test_detach_refuses_to_lose_bytes() -> None:
    near, far = tcp_pair()
    with near, far:
        far.write(b"abc")
        near.peek(3)
        with pytest.raises(LocalProtocolError, match="3 bytes are buffered"):
            near.detach()
        near.read(3)
        task = door.spawn(near.read)
        while not near.transport.waiters:
            door.sleep(0.001)
        with pytest.raises(StreamBusy):
            near.detach()
        far.write(b"x")
        assert task.join() == b"x"
        near.close()
        with pytest.raises(StreamClosed):
            near.detach()


def test_a_socket_of_another_kind_is_no_stream() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(ConfigError, match="not SOCK_DGRAM"):
        Stream.from_socket(sock)


def test_detach_needs_a_socket() -> None:
    stream, _ = scripted()
    with stream, pytest.raises(LocalProtocolError, match="has no socket"):
        stream.detach()


def test_closing_during_a_handshake_wakes_it() -> None:
    class Slow(Transport):
        """A handshake that waits for a peer who never answers."""

        given_back = False

        def __init__(self) -> None:
            super().__init__()
            self.handshaking = True

        def ready(self, events: int) -> int:
            return 0

        def handshake(self) -> int:
            assert not self.given_back
            return READ

        def close(self) -> None:
            self.given_back = True

    for start in (Stream.handshake, lambda stream: stream.start_tls(Wraps())):
        transport = Slow()

        class Wraps:
            def wrap(self, lower: Transport, server_name: str | None = None) -> Transport:
                return transport  # noqa: B023

        stream = Stream(transport)
        task = door.spawn(start, stream)
        while not transport.waiters:
            door.sleep(0.001)
        stream.close()
        with timeout(5), pytest.raises(StreamClosed):
            task.join()
        assert transport.given_back


def test_closing_at_any_moment_gives_the_socket_back_once() -> None:
    for _ in range(200):
        near, far = (Stream.from_socket(end) for end in socket.socketpair())
        tasks = [door.spawn(near.read), door.spawn(near.write, FLOOD[: 1 << 20]), door.spawn(near.close)]
        for task in tasks:
            with timeout(10), suppress(StreamClosed):
                task.join()
        assert near.fileno() == -1
        far.close()


def test_the_addresses_of_the_ends_are_known() -> None:
    near, far = tcp_pair()
    with near, far:
        assert near.peer == far.local
        assert near.local == far.peer
        assert str(near.peer) in repr(near)


def test_errors_name_the_peer() -> None:
    near, far = tcp_pair()
    with near, far:
        with timeout(0.01), pytest.raises(Timeout, match=f"while reading from {near.peer}"):
            near.read()
        with timeout(0), pytest.raises(Timeout, match=f"while reading from {near.peer}"):
            near.read()
        with timeout(0), pytest.raises(Timeout, match=f"while writing to {near.peer}"):
            near.write(b"x")


# -- one long operation


class Endless(Transport):
    """Always has more, and always takes more: nobody who uses it ever waits."""

    def ready(self, events: int) -> int:
        return events

    def recv(self, size: int) -> bytes:
        return bytes(min(size, 1024))

    def send(self, data: Bytes) -> int:
        return min(len(data), 1024)

    def close(self) -> None:
        self.closed = True


def _send_file(stream: Stream) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 20)
        stream.send_file(file)


def _read_all(stream: Stream) -> None:
    with suppress(LimitExceeded):
        stream.read_all(1 << 20)


def _read_until(stream: Stream) -> None:
    with suppress(LimitExceeded):
        stream.read_until(b"\n", 1 << 20)


LONG: dict[str, Callable[[Stream], object]] = {
    "read_exactly": lambda stream: stream.read_exactly(1 << 20),
    "read_until": _read_until,
    "read_all": _read_all,
    "peek": lambda stream: stream.peek(1 << 20),
    "write": lambda stream: stream.write(bytes(1 << 20)),
    "write_many": lambda stream: stream.write_many([bytes(1 << 10)] * (1 << 10)),
    "send_file": _send_file,
}


@pytest.mark.parametrize("operation", LONG.values(), ids=LONG)
def test_one_long_operation_lets_others_go_first(operation: Callable[[Stream], object]) -> None:
    def others() -> None:
        while True:
            door.sleep(0)
            turns.append(1)

    def main() -> None:
        door.spawn(others)
        door.sleep(0)
        with Stream(Endless()) as stream:
            operation(stream)

    turns: list[int] = []
    run(main)
    assert len(turns) >= 10


@pytest.mark.parametrize("operation", LONG.values(), ids=LONG)
def test_one_long_operation_ends_when_the_stream_is_closed(operation: Callable[[Stream], object]) -> None:
    def main() -> None:
        stream = Stream(Endless())
        door.spawn(stream.close)
        with pytest.raises(StreamClosed):
            operation(stream)

    run(main)
