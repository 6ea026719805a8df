"""The rules of the door, on plain threads."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import math
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator

import psutil
import pytest

from portico.deadline import expiry, timeout
from portico.engines import door
from portico.errors import Cancelled, LocalProtocolError, StreamClosed, Timeout
from portico.sockets.stream import Stream
from portico.sockets.transport import READ, WRITE, SocketTransport, Waitable, Waiter

SOON = 0.05
door.waiter()  # this thread's own descriptor, made at its first wait and kept, is no leak

Ends = tuple[SocketTransport, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    near, far = socket.socketpair()
    transport = SocketTransport(near)
    yield transport, far
    transport.close()
    far.close()


class Bell(Waitable):
    """A waitable without descriptor."""

    __slots__ = ("rung",)

    def __init__(self) -> None:
        super().__init__()
        self.rung = 0

    def ready(self, events: int) -> int:
        return self.rung & events

    def ring(self, events: int) -> None:
        self.rung = events
        self.wake()


def waiting(target: Waitable) -> None:
    """Until somebody waits for it."""
    with timeout(10):
        while not target.waiters:
            door.sleep(0.001)


def until_ready(target: Waitable, events: int) -> int:
    while not (got := door.wait(target, events, "waiting")):
        pass
    return got


# -- wait


def test_wait_tells_what_is_ready(ends: Ends) -> None:
    near, far = ends
    assert door.wait(near, WRITE, "x") == WRITE
    assert door.wait(near, READ | WRITE, "x") == WRITE
    far.send(b"x")
    assert door.wait(near, READ, "x") == READ
    assert door.wait(near, READ | WRITE, "x") == READ | WRITE
    assert not near.waiters


def test_an_end_is_something_to_read(ends: Ends) -> None:
    near, far = ends
    far.close()
    assert door.wait(near, READ, "x") == READ
    assert door.wait(near, WRITE, "x") == WRITE


def test_a_deadline_ends_a_wait(ends: Ends) -> None:
    with timeout(SOON), pytest.raises(Timeout, match="while awaiting rain"):
        door.wait(ends[0], READ, "awaiting rain")
    assert not ends[0].waiters


def test_a_past_deadline_ends_a_wait_at_once(ends: Ends) -> None:
    with timeout(0), pytest.raises(Timeout):
        door.wait(ends[0], READ, "x")


def test_a_wait_ends_early_when_its_transport_is_woken(ends: Ends) -> None:
    task = door.spawn(door.wait, ends[0], READ, "x")
    waiting(ends[0])
    ends[0].wake()
    assert task.join() == 0


def test_closing_ends_a_wait(ends: Ends) -> None:
    task = door.spawn(door.wait, ends[0], READ, "x")
    waiting(ends[0])
    ends[0].closed = True
    ends[0].wake()
    assert task.join() == 0
    assert door.wait(ends[0], READ, "x") == 0


def test_a_transport_given_back_during_a_wait_is_not_asked(ends: Ends) -> None:
    task = door.spawn(door.wait, ends[0], READ, "x")
    waiting(ends[0])
    ends[0].closed = True
    ends[0].wake()
    ends[0].close()
    assert task.join() == 0


def test_a_waitable_without_descriptor_is_waited_for() -> None:
    bell = Bell()
    with timeout(SOON), pytest.raises(Timeout):
        door.wait(bell, READ, "x")
    task = door.spawn(until_ready, bell, READ)
    waiting(bell)
    bell.ring(WRITE)
    bell.ring(READ | WRITE)
    assert task.join() == READ
    assert door.wait(bell, READ | WRITE, "x") == READ | WRITE


def test_wait_any_over_both_kinds(ends: Ends) -> None:
    near, far = ends
    bell = Bell()
    assert door.wait_any([(near, WRITE), (bell, READ)], "x") == [WRITE, 0]
    with timeout(SOON), pytest.raises(Timeout, match="for either"):
        door.wait_any([(near, READ), (bell, READ)], "waiting for either")
    far.send(b"x")
    assert door.wait_any([(bell, READ), (near, READ)], "x") == [0, READ]
    bell.ring(READ)
    assert door.wait_any([(bell, READ), (near, WRITE)], "x")[0] == READ
    assert not near.waiters
    assert not bell.waiters


def test_wait_any_takes_one_transport_twice(ends: Ends) -> None:
    near, far = ends
    assert door.wait_any([(near, READ), (near, WRITE)], "x") == [0, WRITE]
    far.send(b"x")
    assert door.wait_any([(near, READ), (near, WRITE)], "x") == [READ, WRITE]


def test_wait_any_wakes_for_the_one_without_descriptor(ends: Ends) -> None:
    bell = Bell()

    def wait() -> list[int]:
        while not any(got := door.wait_any([(ends[0], READ), (bell, READ)], "x")):
            pass
        return got

    task = door.spawn(wait)
    waiting(bell)
    bell.ring(READ)
    assert task.join() == [0, READ]


def test_reader_and_writer_wait_for_one_transport(ends: Ends) -> None:
    near, far = ends
    size = 0
    while sent := near.send(bytes(65536)):
        size += sent
    reader = door.spawn(until_ready, near, READ)
    writer = door.spawn(until_ready, near, WRITE)
    far.send(b"x")
    assert reader.join() == READ
    while size:
        size -= len(far.recv(65536))
    assert writer.join() == WRITE


# -- park


def test_park_ends_at_a_wake_from_another_thread() -> None:
    me = door.waiter()
    threading.Thread(target=me.wake).start()
    with timeout(10):
        door.park(me, "x")


def test_a_wake_before_the_wait_is_not_lost() -> None:
    me = door.waiter()
    me.wake()
    me.wake()
    with timeout(10):
        door.park(me, "x")
    with timeout(SOON), pytest.raises(Timeout, match="parked"):
        door.park(me, "parked")  # two wakes were one


def test_wakes_without_number_do_not_block_the_waker() -> None:
    me = door.waiter()
    for _ in range(70000):
        me.wake()
    with timeout(10):
        door.park(me, "x")


def test_a_waiter_outlives_its_thread_for_those_who_hold_it() -> None:
    waiters: list[Waiter] = []
    thread = threading.Thread(target=lambda: waiters.append(door.waiter()))
    thread.start()
    thread.join()
    waiters[0].wake()  # its descriptor is still its own


def test_each_thread_has_its_own_waiter() -> None:
    assert door.waiter() is door.waiter()
    assert door.spawn(door.waiter).join() is not door.waiter()


# -- sleep


def test_sleep_takes_its_time() -> None:
    task = door.spawn(door.sleep, SOON)
    assert not task.done
    with timeout(10):
        task.join()


def test_a_deadline_ends_a_sleep() -> None:
    with timeout(SOON), pytest.raises(Timeout, match="while sleeping"):
        door.sleep(1000)
    with timeout(SOON), pytest.raises(Timeout):
        door.sleep(math.inf)


def test_sleep_within_the_deadline_is_not_cut() -> None:
    with timeout(100):
        door.sleep(0.001)


def test_a_wake_does_not_end_a_sleep_early() -> None:
    door.waiter().wake()
    with timeout(SOON), pytest.raises(Timeout):
        door.sleep(1000)


@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_sleep_refuses_what_is_no_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected seconds"):
        door.sleep(seconds)


# -- spawn, join, cancel


def test_join_gives_the_value_or_the_error() -> None:
    assert door.spawn(divmod, 7, 3).join() == (2, 1)
    task = door.spawn(divmod, 7, 0, name="division")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            task.join()
    assert repr(task) == "<Task division: failed>"


def test_a_task_shows_its_state() -> None:
    me: list[Waiter] = []

    def wait() -> None:
        me.append(door.waiter())
        door.park(me[0], "x")

    task = door.spawn(wait)
    assert repr(task) == "<Task wait: running>"
    while not me:
        door.sleep(0.001)
    me[0].wake()
    task.join()
    assert repr(task) == "<Task wait: done>"


def test_a_deadline_ends_a_join() -> None:
    task = door.spawn(door.sleep, 1000, name="long one")
    with timeout(SOON), pytest.raises(Timeout, match="waiting for long one to end"):
        task.join()
    task.cancel()
    with pytest.raises(Cancelled):
        task.join()


def test_several_may_join() -> None:
    task = door.spawn(door.sleep, SOON)
    joining = [door.spawn(task.join) for _ in range(3)]
    assert [each.join() for each in joining] == [None] * 3


def test_spawn_inherits_deadline_and_context() -> None:
    word = contextvars.ContextVar[str]("word", default="")
    word.set("inherited")
    with timeout(50):
        assert door.spawn(expiry).join() == expiry()
        assert door.spawn(word.get).join() == "inherited"
        task = door.spawn(door.sleep, 1000)
        door.spawn(word.set, "changed there").join()
    assert word.get() == "inherited"
    task.cancel()


def test_a_task_keeps_its_deadline_when_its_starter_leaves_the_block() -> None:
    with timeout(SOON):
        task = door.spawn(door.sleep, 1000)
    with pytest.raises(Timeout):
        task.join()


def test_a_generators_task_keeps_its_deadline() -> None:
    def start() -> Iterator[door.Task[None]]:
        with timeout(SOON):
            yield door.spawn(door.sleep, 1000)

    generator = start()
    with pytest.raises(Timeout):
        next(generator).join()
    generator.close()


def forever(bell: Waitable) -> None:
    while True:
        door.wait(bell, READ, "x")


def parking() -> None:
    while True:
        door.park(door.waiter(), "x")


@pytest.mark.parametrize("what", ["sleep", "park", "wait", "join"])
def test_cancel_ends(what: str) -> None:
    other = door.spawn(door.sleep, 1000)
    act = {
        "sleep": lambda: door.sleep(1000),
        "park": parking,
        "wait": lambda: forever(Bell()),
        "join": other.join,
    }[what]
    task = door.spawn(act)
    task.cancel()  # before or during its wait: both must do
    with timeout(10), pytest.raises(Cancelled):
        task.join()
    other.cancel()


def test_cancel_ends_a_read() -> None:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    with near, far:
        task = door.spawn(near.read)
        waiting(near.transport)
        task.cancel()
        with pytest.raises(Cancelled):
            task.join()
        far.write(b"x")
        assert near.read() == b"x"


def test_cancel_is_raised_once() -> None:
    caught: list[str] = []

    def stubborn() -> str:
        try:
            door.sleep(1000)
        except Cancelled:
            caught.append("cancelled")
        door.sleep(0.001)
        return "done after all"

    task = door.spawn(stubborn)
    task.cancel()
    with timeout(10):
        assert task.join() == "done after all"
    assert caught == ["cancelled"]


def test_cancelling_what_is_done_does_nothing() -> None:
    task = door.spawn(int)
    task.join()
    task.cancel()
    assert task.join() == 0


def test_a_failed_task_keeps_nothing_alive() -> None:
    class Big:
        pass

    def fail(big: Big) -> None:
        raise ValueError("x")

    big = Big()
    gone = weakref.ref(big)
    task = door.spawn(fail, big)
    with pytest.raises(ValueError, match="x"):
        task.join()
    gc.disable()
    try:
        del task, big
        with timeout(10):
            while gone() is not None:  # its thread may not have left yet
                door.sleep(0.001)
    finally:
        gc.enable()


def test_run_blocking_calls() -> None:
    assert door.run_blocking(divmod, 7, 3) == (2, 1)


# -- asyncio


@pytest.mark.parametrize("what", ["read", "sleep", "park", "join"])
def test_blocking_an_asyncio_loop_is_a_clear_error(what: str) -> None:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    other = door.spawn(door.sleep, 1000)
    act = {
        "read": near.read,
        "sleep": lambda: door.sleep(0),
        "park": lambda: door.park(door.waiter(), "parking"),
        "join": other.join,
    }[what]

    async def blocks() -> None:
        act()

    with near, far, pytest.raises(LocalProtocolError, match="would block the asyncio loop of this thread"):
        asyncio.run(blocks())
    other.cancel()


def test_a_thread_of_an_asyncio_program_may_block() -> None:
    async def delegates() -> None:
        await asyncio.to_thread(door.sleep, 0.001)

    asyncio.run(delegates())


# -- resources


def test_a_thousand_threads_leave_no_descriptor() -> None:
    before = psutil.Process().num_fds()
    tasks = []
    for _ in range(20):
        some = [door.spawn(door.sleep, 0.001) for _ in range(50)]
        for task in some:
            task.join()
        tasks += some
    gc.collect()
    assert len(tasks) == 1000  # kept: a finished task holds nothing
    with timeout(10):
        while psutil.Process().num_fds() > before:
            door.sleep(0.001)


@pytest.mark.parametrize(
    "check",
    [
        test_wait_tells_what_is_ready,
        test_a_deadline_ends_a_wait,
        test_a_wait_ends_early_when_its_transport_is_woken,
        test_closing_ends_a_wait,
        test_wait_any_over_both_kinds,
        test_wait_any_wakes_for_the_one_without_descriptor,
        lambda ends: test_a_waitable_without_descriptor_is_waited_for(),
        lambda ends: test_a_wake_before_the_wait_is_not_lost(),
        lambda ends: test_cancel_ends_a_read(),
    ],
)
def test_all_is_the_same_in_a_thread_that_gets_no_descriptor_of_its_own(
    check: Callable[[Ends], None], ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*args: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "eventfd", none_left)
    before = psutil.Process().num_fds()
    task = door.spawn(check, ends)
    with timeout(10):
        task.join()
    assert psutil.Process().num_fds() <= before


def test_a_task_runs_where_no_descriptor_is_left() -> None:
    code = """
        import ctypes, os, resource
        from portico.engines import door
        try:
            ctypes.CDLL("libgcc_s.so.1")  # glibc opens it when a thread ends
        except OSError:
            pass
        door.waiter()
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        door.spawn(door.sleep, 0.01).join()
        print("slept")
    """
    assert python(code).stdout == "slept\n"


def test_pipes_serve_where_there_is_no_eventfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "eventfd")

    def check() -> str:
        me = door.waiter()
        for _ in range(70000):
            me.wake()
        door.park(me, "x")
        with timeout(SOON), pytest.raises(Timeout):
            parking()
        return "woken"

    before = psutil.Process().num_fds()
    assert door.spawn(check).join() == "woken"
    with timeout(10):
        while psutil.Process().num_fds() > before:
            door.sleep(0.001)


# -- processes and signals


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.stderr == ""
    return done


def test_a_child_of_a_fork_has_a_waiter_of_its_own() -> None:
    code = """
        import os, threading, time
        from portico.deadline import timeout
        from portico.engines import door
        from portico.errors import Timeout
        parent = door.waiter()
        child = os.fork()
        if child == 0:
            mine = door.waiter()
            mine.wake()
            door.park(mine, "x")
            os._exit(0 if mine is not parent else 1)
        _, status = os.waitpid(child, 0)
        print("child:", status)
        try:
            with timeout(0.1):
                door.park(parent, "x")
        except Timeout:
            print("parent was not woken")
    """
    assert python(code).stdout == "child: 0\nparent was not woken\n"


def test_sigint_ends_a_blocking_read() -> None:
    code = """
        import socket
        from portico.engines import door
        from portico.sockets.stream import Stream
        near, far = (Stream.from_socket(end) for end in socket.socketpair())
        def tell():
            while not near.transport.waiters:
                door.sleep(0.001)
            print("reading", flush=True)
        with near, far:
            door.spawn(tell)
            try:
                near.read()
            except KeyboardInterrupt:
                print("interrupted")
            far.write(b"x")
            print(near.read())
    """
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "reading\n"
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=20)
    assert out == "interrupted\nb'x'\n"


def test_a_wait_ends_for_what_it_is_for_and_for_nothing_of_an_earlier_one(ends: Ends) -> None:
    near, far = ends
    far.send(b"x")  # there is something to read all the time
    one, two = socket.socketpair()
    with one, two:
        silent = SocketTransport(one)
        for _ in range(2):
            assert until_ready(near, READ) == READ
            assert until_ready(near, WRITE) == WRITE
            with pytest.raises(Timeout), timeout(0.01):
                until_ready(silent, READ)
        assert door.wait_any([(near, READ), (silent, READ)], "waiting") == [READ, 0]
        with pytest.raises(Timeout), timeout(0.01):
            until_ready(silent, READ)


def test_a_number_that_another_socket_has_got_is_waited_for_anew(ends: Ends) -> None:
    near, far = ends
    far.send(b"x")
    assert until_ready(near, READ) == READ
    one, two = socket.socketpair()
    number = near.fileno()
    near.close()
    with one, two, socket.socket(fileno=os.dup2(one.fileno(), number)) as reused:
        transport = SocketTransport(reused)
        with pytest.raises(Timeout), timeout(0.01):
            until_ready(transport, READ)
        two.send(b"y")
        assert until_ready(transport, READ) == READ


def test_a_signal_handler_may_wait_in_the_middle_of_a_wait(ends: Ends) -> None:
    near, far = ends
    before = signal.signal(signal.SIGUSR1, lambda *_: (door.sleep(0.001), far.send(b"x")))
    try:
        task = door.spawn(waiting, near)
        # To this thread: the system may give a signal to any other, and nothing would wake us.
        me = threading.get_ident()
        threading.Thread(target=lambda: (task.join(), signal.pthread_kill(me, signal.SIGUSR1))).start()
        with timeout(10):
            assert until_ready(near, READ) == READ
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_closing_a_stream_ends_the_wait_before_the_descriptor_goes() -> None:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    with far:
        task = door.spawn(near.read)
        waiting(near.transport)
        near.close()
        # The number is free again, and nobody must be left who watches it.
        with pytest.raises(StreamClosed):
            task.join()
        assert not near.transport.waiters
        assert near.fileno() == -1
