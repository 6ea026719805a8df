"""Pairs in memory and ``memory:`` addresses, with every fault that can be asked for."""

from __future__ import annotations

import gc
import threading
import time
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.address import Address
from portico.errors import (
    AddressError,
    BindError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    LocalProtocolError,
    StreamClosed,
)
from portico.sockets.memory import CAPACITY, Faults, MemoryTransport, dial, listen, pair
from portico.sockets.transport import READ, WRITE

_names = (f"memory:test-{number}" for number in count())


@pytest.fixture
def name():
    return next(_names)


class Bell:
    """A waiter that counts, and can be waited for."""

    def __init__(self) -> None:
        self.rung = 0
        self.event = threading.Event()

    def wake(self) -> None:
        self.rung += 1
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(10), "nobody rang"
        self.event.clear()


def bell(transport) -> Bell:
    new = Bell()
    transport.waiters.add(new)
    return new


def read_all(end: MemoryTransport) -> bytes:
    """Everything until the end; waits for late deliveries."""
    ring, got = bell(end), b""
    while (data := end.recv(65536)) != b"":
        if data is None:
            ring.wait()
        else:
            got += data
    return got


# -- the plain pair


def test_bytes_arrive_in_order_both_ways():
    a, b = pair()
    assert a.send(b"one ") == 4
    assert a.send_parts([b"two ", bytearray(b"three"), memoryview(b"!")]) == 10
    assert b.send(b"back") == 4
    assert b.recv(6) == b"one tw"
    assert b.recv(100) == b"o three!"
    assert a.recv(100) == b"back"


def test_there_is_no_descriptor():
    assert pair()[0].fileno() == -1


def test_reading_nothing_would_block():
    a, _ = pair()
    assert a.recv(10) is None
    assert a.recv_into(memoryview(bytearray(10))) is None
    assert a.ready(READ | WRITE) == WRITE


def test_recv_into_fills_what_there_is():
    a, b = pair()
    a.send(b"abc")
    room = bytearray(b"......")
    assert b.recv_into(memoryview(room)) == 3
    assert room == b"abc..."


def test_a_buffer_is_bounded_and_writing_then_would_block():
    a, b = pair()
    assert a.send(bytes(CAPACITY + 1)) == CAPACITY
    assert a.send(b"x") == 0
    assert a.ready(WRITE) == 0
    assert b.recv(1) == b"\0"
    assert a.ready(WRITE) == WRITE
    assert a.send(b"xy") == 1


def test_a_capacity_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="capacity"):
        pair(capacity=0)


def test_the_reader_is_woken_by_bytes_and_the_writer_by_room():
    a, b = pair(capacity=4)
    at_a, at_b = bell(a), bell(b)
    a.send(b"1234")
    assert (at_a.rung, at_b.rung) == (0, 1)
    b.recv(1)
    assert at_a.rung == 1


def test_half_close_ends_one_direction_only():
    a, b = pair()
    a.send(b"last")
    ring = bell(b)
    assert a.shutdown_write()
    assert a.shutdown_write(), "ending twice is harmless"
    assert ring.rung == 1
    assert b.recv(10) == b"last"
    assert b.recv(10) == b""
    assert b.recv(10) == b""
    assert b.send(b"still") == 5
    assert a.recv(10) == b"still"
    with pytest.raises(LocalProtocolError):
        a.send(b"more")


def test_close_delivers_what_was_sent_and_then_the_end():
    a, b = pair()
    a.send(b"bye")
    a.close()
    a.close()
    assert a.closed
    assert b.ready(READ | WRITE) == READ | WRITE
    assert b.recv(10) == b"bye"
    assert b.recv(10) == b""


def test_writing_to_a_closed_peer_is_an_error_and_not_a_wait():
    a, b = pair(capacity=1)
    b.send(b"x")  # its line is full, too
    ring = bell(b)
    a.close()
    assert ring.rung
    with pytest.raises(ConnectionLost, match="closed the connection while writing"):
        b.send(b"y")


def test_closing_wakes_this_side_too_and_forbids_use():
    a, _ = pair()
    ring = bell(a)
    a.close()
    assert ring.rung == 1
    for use in (lambda: a.recv(1), lambda: a.send(b"x"), a.shutdown_write):
        with pytest.raises(StreamClosed):
            use()


def test_abort_resets_both_directions_and_drops_what_was_under_way():
    a, b = pair()
    a.send(b"lost")
    ring = bell(b)
    a.abort()
    assert ring.rung
    assert b.ready(READ | WRITE) == READ | WRITE
    for use in (lambda: b.recv(10), lambda: b.send(b"x")):
        with pytest.raises(ConnectionLost, match="reset"):
            use()
    b.close()


def test_abort_after_half_close_is_still_a_reset():
    a, b = pair()
    a.shutdown_write()
    a.abort()
    with pytest.raises(ConnectionLost):
        b.recv(10)


def test_repr_shows_the_state(name):
    address = Address.parse(name)
    a, b = pair(addresses=(address, None))
    a.send(b"abc")
    assert repr(b) == f"<MemoryTransport None ⇄ {name}, open, 3 B to read>"
    a.shutdown_write()
    assert "ended" in repr(a)
    a.abort()
    assert "closed" in repr(a)
    assert "reset" in repr(b)


def test_two_threads_each_way_lose_no_byte():
    a, b = pair(capacity=1000)
    message = bytes(range(256)) * 2000
    results = {}

    def write(end):
        ring, at = bell(end), 0
        while at < len(message):
            taken = end.send(memoryview(message)[at : at + 777])
            at += taken
            if not taken and not end.ready(WRITE):
                ring.wait()
        end.shutdown_write()

    def read(end, key):
        results[key] = read_all(end)

    threads = [
        threading.Thread(target=work, args=args)
        for work, args in ((write, (a,)), (write, (b,)), (read, (a, "a")), (read, (b, "b")))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == {"a": message, "b": message}


def test_time_is_linear_in_many_small_pieces():
    """A million one-byte reads of a full buffer: quadratic copying would take minutes."""
    a, b = pair(capacity=1 << 20, faults=Faults(fragment=1))
    assert a.send(bytes(1 << 20)) == 1 << 20
    started = time.process_time()
    for _ in range(200_000):
        b.recv(65536)
    assert time.process_time() - started < 20


@given(
    writes=st.lists(st.binary(max_size=40), max_size=30),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=5),
    capacity=st.integers(1, 64),
    fragment=st.none() | st.integers(1, 9),
    accept=st.none() | st.integers(1, 9),
)
def test_any_fragmentation_gives_the_same_bytes(writes, sizes, capacity, fragment, accept):
    a, b = pair(capacity=capacity, faults=Faults(fragment=fragment, accept=accept))
    got, turn = bytearray(), count()
    for data in writes:
        rest = memoryview(data)
        while rest:
            rest = rest[a.send(rest) :]
            got += b.recv(sizes[next(turn) % len(sizes)]) or b""
    a.close()
    while data := b.recv(7):
        got += data
    assert got == b"".join(writes)


# -- faults


@pytest.mark.parametrize(
    "wrong", [{"delay": -1}, {"fragment": 0}, {"accept": 0}, {"reset_after": -1}, {"stall_after": -5}]
)
def test_impossible_faults_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Faults(**wrong)


def test_faults_of_each_direction_are_its_own():
    a, b = pair(faults=(Faults(accept=1), Faults(fragment=2)))
    assert a.send(b"abc") == 1
    assert b.send(b"abc") == 3
    assert a.recv(10) == b"ab"
    assert b.recv(10) == b"a"


@pytest.mark.parametrize("limit", [0, 1, 5, 9])
def test_reset_after_so_many_bytes(limit):
    a, b = pair(faults=(Faults(reset_after=limit), None))
    message = b"0123456789"
    if limit:
        assert a.send(message) == 10
    at_limit = b.recv(100) if limit else b""
    assert at_limit == message[:limit]
    for end in (a, b):
        assert end.ready(READ | WRITE) == READ | WRITE
        for use in (lambda end=end: end.recv(10), lambda end=end: end.send(b"x")):
            with pytest.raises(ConnectionLost):
                use()


def test_a_reset_wakes_both_ends():
    a, b = pair(faults=(Faults(reset_after=1), None))
    at_a, at_b = bell(a), bell(b)
    a.send(b"xy")
    assert at_a.rung
    assert at_b.rung


@pytest.mark.parametrize("limit", [0, 4])
def test_a_premature_end_is_clean_and_the_writer_notices_nothing(limit):
    a, b = pair(faults=(Faults(end_after=limit), None))
    assert a.send(b"01234567") == 8
    assert b.recv(100) == b"01234567"[:limit]
    assert b.recv(100) == b""
    assert a.send(b"more") == 4
    assert b.send(b"the other way works") == 19
    assert a.recv(100) == b"the other way works"
    a.close()


def test_a_stalled_line_is_silent_to_the_end_and_fills_up():
    a, b = pair(capacity=8, faults=(Faults(stall_after=3), None))
    assert a.send(b"0123456789") == 8
    assert b.recv(100) == b"012"
    assert b.recv(100) is None
    assert a.send(b"abcd") == 3
    assert a.send(b"e") == 0
    a.close()
    assert b.recv(100) is None
    assert b.ready(READ) == 0


def test_of_several_faults_the_first_one_strikes():
    a, b = pair(faults=Faults(reset_after=5, end_after=2))
    a.send(b"abcdefgh")
    assert b.recv(10) == b"ab"
    assert b.recv(10) == b""


def test_delayed_bytes_come_later_in_order_and_wake_the_reader(no_leaks):
    a, b = pair(faults=Faults(delay=0.03))
    ring = bell(b)
    a.send(b"first ")
    a.send(b"second")
    assert b.recv(100) is None
    assert ring.rung == 0
    a.close()
    assert b.recv(100) is None
    assert read_all(b) == b"first second"


def test_delayed_bytes_count_against_the_capacity():
    a, b = pair(capacity=4, faults=Faults(delay=0.02))
    assert a.send(b"123456") == 4
    assert a.send(b"56") == 0
    assert a.ready(WRITE) == 0
    ring = bell(b)
    ring.wait()
    assert b.recv(10) == b"1234"
    assert a.send(b"56") == 2
    a.close()
    assert read_all(b) == b"56"


def test_a_shorter_delay_overtakes_a_longer_one_on_another_line():
    slow, _ = pair(faults=Faults(delay=30))
    quick, end = pair(faults=Faults(delay=0.01))
    slow.send(b"x")
    ring = bell(end)
    quick.send(b"y")
    ring.wait()
    assert end.recv(10) == b"y"
    slow.abort()


def test_reset_after_delayed_bytes():
    a, b = pair(faults=(Faults(delay=0.01, reset_after=2), None))
    at_a = bell(a)
    a.send(b"abcd")
    at_a.wait()
    assert b.recv(10) == b"ab"
    with pytest.raises(ConnectionLost):
        b.recv(10)


# -- addresses


def test_dial_and_accept(name):
    listener = listen(name)
    assert listener.fileno() == -1
    assert listener.address == Address.parse(name)
    assert listener.accept() is None
    assert listener.ready(READ) == 0
    ring = bell(listener)
    mine = dial(name)
    assert ring.rung == 1
    assert listener.ready(READ) == READ
    theirs = listener.accept()
    assert mine.peer == theirs.local == listener.address
    mine.send(b"hello")
    assert theirs.recv(10) == b"hello"
    listener.close()
    mine.send(b"again")
    assert theirs.recv(10) == b"again", "closing a listener leaves its connections alone"


def test_dial_takes_faults(name):
    listener = listen(name)
    mine = dial(name, (Faults(accept=1), Faults(fragment=1)))
    theirs = listener.accept()
    assert mine.send(b"abc") == 1
    assert theirs.send(b"abc") == 3
    assert mine.recv(10) == b"a"
    listener.close()


def test_nobody_listens(name):
    with pytest.raises(ConnectError, match="nobody listens") as caught:
        dial(name)
    assert caught.value.failures == ((name, "nobody listens there"),)


def test_a_name_in_use_is_refused_and_released_by_close(name):
    listener = listen(name)
    with pytest.raises(BindError, match="in use"):
        listen(name)
    listener.close()
    listener.close()
    with pytest.raises(ConnectError):
        dial(name)
    listen(name).close()


def test_a_second_close_does_not_take_the_name_from_its_new_owner(name):
    first = listen(name)
    first.close()
    second = listen(name)
    first.close()
    dial(name).close()
    second.close()


def test_a_full_backlog_refuses(name):
    listener = listen(name, backlog=2)
    dial(name)
    dial(name)
    with pytest.raises(ConnectError, match="backlog of 2"):
        dial(name)
    assert listener.accept() is not None
    dial(name)
    listener.close()


def test_closing_a_listener_resets_who_was_not_accepted_and_wakes_waiters(name):
    listener = listen(name)
    mine = dial(name)
    ring = bell(listener)
    listener.close()
    assert ring.rung
    assert listener.closed
    with pytest.raises(ConnectionLost):
        mine.recv(1)
    with pytest.raises(StreamClosed):
        listener.accept()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "unix:/nowhere"])
def test_other_schemes_are_refused(address):
    for use in (dial, listen):
        with pytest.raises(ConfigError, match="memory:name"):
            use(address)


def test_an_unreadable_address_is_refused():
    with pytest.raises(AddressError):
        dial("memory:")


def test_nothing_is_kept_of_connections_that_are_gone(name):
    listener = listen(name)
    for _ in range(1000):
        mine, theirs = dial(name), listener.accept()
        mine.send(bytes(1000))
        mine.close()
        theirs.close()
    listener.close()
    mine = theirs = None
    gc.collect()
    here = Address.parse(name)
    assert not [each for each in gc.get_objects() if type(each) is MemoryTransport and each.local == here]
