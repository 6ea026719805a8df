"""The hub: the rules of the door for greenlets, its clock, its fairness, and its end."""

from __future__ import annotations

import contextvars
import gc
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from greenlet import greenlet

from portico import Stream, connect, timeout
from portico.engines import door, poller
from portico.engines import hub as module
from portico.engines import run as runs
from portico.engines.hub import Hub
from portico.engines.poller import SelectPoller
from portico.engines.run import run
from portico.engines.strand import Strand
from portico.errors import Cancelled, ConfigError, LocalProtocolError, StreamBusy, StreamClosed, Timeout
from portico.sockets import memory
from portico.sockets.pipe import PipeTransport
from portico.sockets.stream import wait_any
from portico.sockets.transport import READ, WRITE
from portico.sync import Event, Lock, Queue, TaskGroup, run_blocking, sleep, spawn
from tests.engines.serving import client_tls, server_tls

SECONDS = 20.0
pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=["best", "select"], autouse=True)
def pollers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule holds with events as edges and with events as levels."""
    if request.param == "select":
        monkeypatch.setattr(module, "make_poller", SelectPoller)


@pytest.fixture
def streams() -> Iterator[tuple[Stream, Stream]]:
    near, far = (Stream.from_socket(end) for end in _tcp_pair())
    with near, far:
        yield near, far


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def _unix_pair() -> tuple[Stream, Stream]:
    near, far = socket.socketpair()
    return Stream.from_socket(near), Stream.from_socket(far)


def _memory_pair() -> tuple[Stream, Stream]:
    near, far = memory.pair()
    return Stream(near), Stream(far)


def bounded(function: Callable[..., Any], *args: Any) -> Any:
    with timeout(SECONDS):
        return run(function, *args)


# -- run()


def test_run_returns_what_the_function_returns_and_raises_what_it_raises() -> None:
    assert run(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)
    assert run(threading.get_ident) == threading.get_ident()
    assert run(lambda: 7, engine="threads") == 7


def test_run_refuses_other_engines_and_to_be_nested() -> None:
    with pytest.raises(ConfigError, match="expected 'events' or 'threads'"):
        run(lambda: None, engine="inline")
    with pytest.raises(LocalProtocolError, match="inside another run"):
        bounded(lambda: run(lambda: None))


def test_what_still_runs_when_the_function_returns_is_called_off() -> None:
    ends: list[str] = []

    def stay() -> None:
        try:
            sleep(3600)
        except Cancelled:
            ends.append("cancelled")
            raise
        finally:
            ends.append("finally")

    def main() -> None:
        spawn(stay)
        sleep(0)

    bounded(main)
    assert ends == ["cancelled", "finally"]


def test_a_task_that_swallows_every_cancellation_cannot_wait_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.02)
    tries = []

    def stubborn() -> None:
        for _ in range(3):
            try:
                sleep(3600)
            except Cancelled:
                tries.append(1)

    bounded(lambda: (spawn(stubborn), sleep(0)))
    assert len(tries) == 3


def test_a_task_that_gives_way_without_end_is_left_behind_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.02)
    enough: list[bool] = []

    def stubborn() -> None:
        while not enough:
            try:
                sleep(0)
            except Cancelled:
                pass

    assert bounded(lambda: (spawn(stubborn), sleep(0), "done")[2]) == "done"
    assert "stubborn is left behind" in caplog.text


def test_what_gives_way_at_the_very_end_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.02)
    ends: list[str] = []

    def slow_to_hear() -> None:
        refused = 0
        try:
            while refused < 3:
                try:
                    sleep(0)
                except Cancelled:
                    refused += 1
        finally:
            ends.append("end")

    bounded(lambda: (spawn(slow_to_hear), sleep(0)))
    assert ends == ["end"]


def test_a_task_that_is_started_at_the_very_end_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.02)
    ends: list[str] = []

    def last_wish(name: str) -> None:
        try:
            for _ in range(2):
                try:
                    sleep(3600)
                except Cancelled:
                    pass
            spawn(sleep, 3600)
        finally:
            ends.append(name)

    def main() -> str:
        for name in "abc":
            spawn(last_wish, name)
        sleep(0)
        return "value"

    assert bounded(main) == "value"
    assert sorted(ends) == ["a", "b", "c"]


def test_a_task_that_never_began_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.0)
    tasks: list[Any] = []

    def again() -> None:
        tasks.append(spawn(again))

    bounded(again)
    assert len(tasks) >= 2
    assert all(task.done for task in tasks)


def test_calling_off_does_not_spin() -> None:
    def at_its_end() -> float:
        turns.append(1)
        return 0.0

    def main() -> None:
        spawn(cleaning)
        sleep(0)
        hub = door.current()
        assert isinstance(hub, Hub)
        hub.turn = at_its_end

    def cleaning() -> None:
        try:
            sleep(3600)
        finally:
            sleep(0.05)

    turns: list[int] = []
    bounded(main)
    assert len(turns) <= 2


def test_a_press_of_the_keyboard_loses_no_event() -> None:
    """It comes while the hub goes through what the kernel has told it, which it tells only once."""
    pairs = [_tcp_pair() for _ in range(20)]

    def listen(end: socket.socket) -> bytes:
        with Stream.from_socket(end) as stream:
            return stream.read()

    def main() -> list[bytes]:
        hub = door.current()
        assert isinstance(hub, Hub)
        poll = hub.poller.poll

        def told(seconds: float) -> list[tuple[int, int]]:
            found = poll(seconds)
            if len(found) > 1:
                signal.raise_signal(signal.SIGINT)
            return found

        tasks = [spawn(listen, near) for near, _ in pairs]
        sleep(0)
        sleep(0)
        monkeypatch.setattr(hub.poller, "poll", told)
        for _, far in pairs:
            far.send(b"x")
        with pytest.raises(KeyboardInterrupt):
            sleep(SECONDS)
        monkeypatch.undo()
        with timeout(2):
            return [task.join() for task in tasks]

    with pytest.MonkeyPatch.context() as monkeypatch:
        assert bounded(main) == [b"x"] * len(pairs)
    for _, far in pairs:
        far.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_press_of_the_keyboard_that_comes_after_the_last_wait_is_heard() -> None:
    def main() -> str:
        root = door.waiter()
        assert isinstance(root, Strand)
        root.interrupt(KeyboardInterrupt())
        return "value"

    with pytest.raises(KeyboardInterrupt):
        run(main)


def test_with_threads_too_what_still_runs_is_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LAST_WORDS", 0.1)
    ends: list[str] = []
    free = threading.Event()

    def stay(deeper: int) -> None:
        if deeper:
            spawn(stay, deeper - 1)
        try:
            sleep(3600)
        except Cancelled:
            ends.append("cancelled")
            raise

    def main() -> str:
        spawn(stay, 2)
        spawn(free.wait, name="deaf")
        while threading.active_count() < before + 4:
            sleep(0.001)
        return "value"

    before = threading.active_count()
    with timeout(SECONDS):
        assert run(main, engine="threads") == "value"
    assert ends == ["cancelled"] * 3
    free.set()


def test_the_keyboard_interrupts_the_function_wherever_the_hub_is() -> None:
    def interrupted_while_polling() -> None:
        timer = threading.Timer(0.05, press)
        timer.start()
        try:
            sleep(SECONDS)
        finally:
            timer.join()

    def interrupted_in_another_task() -> None:
        def compute() -> None:
            while True:
                os.kill(os.getpid(), signal.SIGINT)

        with TaskGroup() as group:
            group.start(compute)
            sleep(SECONDS)

    for main in (interrupted_while_polling, interrupted_in_another_task):
        with pytest.raises(KeyboardInterrupt):
            run(main)


def press() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


# -- waiting


def test_many_conversations_take_turns_in_one_thread() -> None:
    threads = set()

    def echo(stream: Stream) -> None:
        with stream:
            threads.add(threading.get_ident())
            while data := stream.read():
                stream.write(data)

    def ask(stream: Stream, number: int) -> bytes:
        with stream:
            for part in range(5):
                stream.write(b"%d-%d\n" % (number, part))
                assert stream.read_line() == b"%d-%d" % (number, part)
            return b"%d" % number

    def main() -> list[bytes]:
        with TaskGroup() as group:
            asking = []
            for number in range(100):
                near, far = _memory_pair() if number % 2 else _unix_pair()
                group.start(echo, near)
                asking.append(group.start(ask, far, number))
        return [task.join() for task in asking]

    assert bounded(main) == [b"%d" % number for number in range(100)]
    assert threads == {threading.get_ident()}


def test_a_write_waits_for_its_reader_and_nothing_is_lost(streams: tuple[Stream, Stream]) -> None:
    near, far = streams
    data = random.Random(1).randbytes(3 << 20)

    def send() -> None:
        near.write(data)
        near.shutdown_write()

    def main() -> bytes:
        with TaskGroup() as group:
            group.start(send)
            return far.read_all()

    assert bounded(main) == data


def test_both_directions_of_a_stream_are_waited_for_at_once(streams: tuple[Stream, Stream]) -> None:
    near, far = streams
    big = bytes(2 << 20)

    def main() -> tuple[int, int]:
        with TaskGroup() as group:
            group.start(near.write, big)
            group.start(far.write, big)
            got = group.start(near.read_exactly, len(big)), group.start(far.read_exactly, len(big))
        return len(got[0].join()), len(got[1].join())

    assert bounded(main) == (len(big), len(big))


def test_over_tls_in_memory_a_writer_waits_for_room_below() -> None:
    """Its plaintext could be taken, its ciphertext not: trying again would hold the hub for ever."""
    near, far = _memory_pair()

    def main() -> bytes:
        with near, far, TaskGroup() as group:
            group.start(near.start_tls, client_tls(), "localhost")
            far.start_tls(server_tls())
            group.start(near.write, bytes(1 << 19))
            return far.read_exactly(1 << 19)

    assert bounded(main) == bytes(1 << 19)


def test_what_comes_while_nobody_waits_is_not_lost(streams: tuple[Stream, Stream]) -> None:
    near, far = streams

    def main() -> bytes:
        far.write(b"one")
        assert near.read() == b"one"  # short: the next read waits first
        far.write(b"two")
        sleep(0.02)  # the event comes now, and nobody waits for it
        assert near.read() == b"two"
        far.write(b"three")
        far.shutdown_write()
        sleep(0.02)
        return near.read() + near.read() + near.read()

    assert bounded(main) == b"three"


def test_an_end_that_comes_with_the_last_bytes_is_seen(streams: tuple[Stream, Stream]) -> None:
    near, far = streams

    def main() -> list[bytes]:
        reading = spawn(lambda: [near.read(), near.read()])
        sleep(0.01)
        far.write(b"last")
        far.close()
        return reading.join()

    assert bounded(main) == [b"last", b""]


def test_urgent_data_does_not_hide_what_follows_it() -> None:
    near, far = _tcp_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def main() -> bytes:
        with Stream.from_socket(near) as stream:
            reading = spawn(stream.read_exactly, 9)
            sleep(0.01)
            far.sendall(b"abc")
            far.send(b"!", socket.MSG_OOB)
            far.sendall(b"after")
            return reading.join()

    with far:
        assert bounded(main) == b"abc!after"


def test_a_second_reader_is_refused_and_a_listener_may_have_many(streams: tuple[Stream, Stream]) -> None:
    near, far = streams

    def main() -> None:
        reading = spawn(near.read)
        sleep(0)
        with pytest.raises(StreamBusy):
            near.read()
        far.write(b"x")
        assert reading.join() == b"x"
        waits = [spawn(door.wait, near.transport, READ, "waiting") for _ in range(3)]
        sleep(0)
        far.write(b"y")
        assert [task.join() for task in waits] == [READ] * 3

    bounded(main)


def test_closing_from_anywhere_wakes_whoever_waits(streams: tuple[Stream, Stream]) -> None:
    near, _ = streams

    def main() -> None:
        reading, writing = spawn(near.read), spawn(near.write, bytes(8 << 20))
        sleep(0.01)
        closer = threading.Thread(target=near.close)
        closer.start()
        for task in (reading, writing):
            with pytest.raises(StreamClosed):
                task.join()
        closer.join()
        assert near.fileno() == -1

    bounded(main)


def test_a_reused_descriptor_number_is_another_connection() -> None:
    def main() -> None:
        for round_ in range(50):
            near, far = (Stream.from_socket(end) for end in socket.socketpair())
            with near, far:
                reading = spawn(near.read)
                sleep(0)
                far.write(b"%d" % round_)
                assert reading.join() == b"%d" % round_

    bounded(main)


def test_a_socket_that_changes_hands_is_watched_for_its_new_owner() -> None:
    def main() -> None:
        ours, far = socket.socketpair()
        with Stream.from_socket(far) as other:
            stream = Stream.from_socket(ours)
            other.write(b"a")
            assert stream.read() == b"a"
            again = Stream.from_socket(stream.detach())
            with again:
                reading = spawn(again.read)
                sleep(0.01)
                other.write(b"b")
                assert reading.join() == b"b"

    bounded(main)


def test_waiting_for_several_tells_which(streams: tuple[Stream, Stream]) -> None:
    near, far = streams
    inner, outer = _memory_pair()

    def main() -> None:
        with inner, outer:
            wanted = [(near.transport, READ), (inner.transport, READ)]
            for source, at in ((far, 0), (outer, 1), (far, 0)):
                waiting = spawn(door.wait_any, wanted, "waiting")
                sleep(0.01)
                source.write(b"x")
                ready = waiting.join()
                assert ready[at] == READ
                assert not ready[1 - at]
                (near, inner)[at].read()
            assert door.wait_any([(near.transport, WRITE)], "waiting") == [WRITE]

    bounded(main)


# -- deadlines and cancellation


def test_a_deadline_ends_every_wait_and_says_what_for(streams: tuple[Stream, Stream]) -> None:
    near, _ = streams

    def main() -> None:
        for wait in (
            near.read,
            lambda: near.write(bytes(32 << 20)),
            lambda: sleep(60),
            Event().wait,
            Queue().get,
            lambda: door.wait_any([(near.transport, READ)], "waiting"),
            lambda: run_blocking(time.sleep, 0.2),
        ):
            with pytest.raises(Timeout), timeout(0.02):
                wait()

    bounded(main)


def test_deadlines_of_many_tasks_ring_in_their_order() -> None:
    ends = []

    def nap(number: int) -> None:
        try:
            with timeout(number / 100):
                sleep(60)
        except Timeout:
            ends.append(number)

    def main() -> None:
        numbers = list(range(1, 21))
        random.Random(3).shuffle(numbers)
        with TaskGroup() as group:
            for number in numbers:
                group.start(nap, number)

    bounded(main)
    assert ends == sorted(ends)
    assert len(ends) == 20


def test_a_short_wait_after_a_long_deadline_ends_in_time_and_alarms_do_not_pile_up() -> None:
    def main() -> int:
        hub = door.current()
        assert isinstance(hub, Hub)
        for _ in range(300):
            with timeout(60):
                sleep(0)
        with pytest.raises(Timeout), timeout(0.01):
            sleep(60)
        return len(hub._alarms)

    assert bounded(main) <= 8


def test_alarms_do_not_pile_up_when_short_and_long_waits_take_turns() -> None:
    def main() -> int:
        hub = door.current()
        assert isinstance(hub, Hub)
        with timeout(3600):
            for _ in range(1000):
                ping = Event()
                spawn(ping.set)
                ping.wait()
                sleep(0.00001)
        return len(hub._alarms)

    assert bounded(main) <= 2 * module.STALE


def test_a_peer_that_sends_without_pause_can_neither_outrun_a_deadline_nor_starve_others(
    streams: tuple[Stream, Stream],
) -> None:
    near, far = streams

    def flood() -> None:
        try:
            while True:
                far.write(bytes(1 << 16))
        except (StreamClosed, Timeout):
            pass

    def swallow() -> None:
        while True:
            near.read(512)

    def main() -> int:
        turns = 0
        flooding, swallowing = spawn(flood), None
        with timeout(0.3):
            swallowing = spawn(swallow)
        while not swallowing.done:
            sleep(0)
            turns += 1
        with pytest.raises(Timeout):
            swallowing.join()
        far.close()
        flooding.join()
        return turns

    assert bounded(main) > 5


def test_lines_that_are_all_there_already_do_not_hold_the_hub() -> None:
    near, far = _memory_pair()

    def main() -> int:
        with near, far:
            far.write(b"\n" * 50000)
            counting = spawn(lambda: [near.read_line() for _ in range(50000)])
            turns = 0
            while not counting.done:
                sleep(0)
                turns += 1
            counting.join()
            return turns

    assert bounded(main) > 100


def test_cancelling_raises_at_the_wait_present_or_next(streams: tuple[Stream, Stream]) -> None:
    near, _ = streams

    def main() -> None:
        for wait in (near.read, lambda: sleep(60), Event().wait, lambda: run_blocking(time.sleep, 0.1)):
            present, next_one = spawn(wait), spawn(wait)
            next_one.cancel()  # before it has begun
            with pytest.raises((Cancelled, StreamBusy)):
                next_one.join()
            sleep(0)
            present.cancel()
            with pytest.raises(Cancelled):
                present.join()

    bounded(main)


def test_a_task_may_be_cancelled_from_another_thread() -> None:
    def main() -> None:
        task = spawn(sleep, 60)
        sleep(0)
        thread = threading.Thread(target=task.cancel)
        thread.start()
        with pytest.raises(Cancelled):
            task.join()
        thread.join()

    bounded(main)


# -- locks, context, threads


def test_locks_events_and_queues_join_tasks_and_threads() -> None:
    def main() -> list[int]:
        queue: Queue[int] = Queue(2)
        lock, order = Lock(), []

        def produce() -> None:
            for number in range(100):
                queue.put(number)
            queue.close()

        thread = threading.Thread(target=produce)
        thread.start()

        def consume() -> None:
            while True:
                try:
                    number = queue.get()
                except StreamClosed:
                    return
                with lock:
                    order.append(number)
                    sleep(0)

        with TaskGroup() as group:
            for _ in range(3):
                group.start(consume)
        thread.join()
        return sorted(order)

    assert bounded(main) == list(range(100))


def test_a_task_has_its_starters_context_and_its_own_deadlines() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")

    def child() -> str:
        before = name.get()
        name.set("child")
        sleep(0)
        return before

    def main() -> tuple[str, str]:
        name.set("starter")
        task = spawn(child)
        return task.join(), name.get()

    assert bounded(main) == ("starter", "starter")
    assert name.get() == "none"


def test_blocking_code_runs_beside_the_hub() -> None:
    def main() -> int:
        turns = 0
        blocking = spawn(run_blocking, time.sleep, 0.2)
        while not blocking.done:
            sleep(0.001)
            turns += 1
        assert run_blocking(threading.get_ident) != threading.get_ident()
        with pytest.raises(ValueError, match="on purpose"):
            run_blocking(_raise)
        return turns

    assert bounded(main) > 10


def _raise() -> None:
    raise ValueError("on purpose")


def test_more_blocking_calls_than_threads_wait_in_line() -> None:
    def main() -> list[int]:
        with TaskGroup() as group:
            tasks = [group.start(run_blocking, lambda n: (time.sleep(0.002), n)[1], n) for n in range(100)]
        return [task.join() for task in tasks]

    assert bounded(main) == list(range(100))


def test_a_deadline_that_is_set_during_a_turn_bounds_the_poll_after_it() -> None:
    polls: list[float] = []

    def main() -> None:
        hub = door.current()
        assert isinstance(hub, Hub)
        late = hub.make(lambda name: sleep(0.01), "late")
        poll = hub.poller.poll
        hub.poller.poll = lambda seconds: (polls.append(seconds), poll(seconds))[1]  # type: ignore[method-assign]
        hub.turn = lambda: (hub.resume(late), -1.0)[1] if not late else -1.0
        sleep(0.05)

    bounded(main)
    assert 0 < polls[0] <= 0.01


def test_the_loop_itself_and_foreign_greenlets_must_not_wait() -> None:
    caught = []

    def stranger() -> None:
        try:
            sleep(1)
        except LocalProtocolError as error:
            caught.append(str(error))

    def main() -> None:
        greenlet(stranger).switch()
        hub = door.current()
        assert isinstance(hub, Hub)
        hub.turn = lambda: (stranger(), -1.0)[1]
        sleep(0.01)

    bounded(main)
    assert len(caught) >= 2
    assert all("only its strands may wait" in text for text in caught)


def test_names_are_looked_up_and_connections_made_beside_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def one() -> bool:
            with connect(f"tcp://localhost:{port}"):
                return True

        def main() -> int:
            with TaskGroup() as group:
                tasks = [group.start(one) for _ in range(20)]
            return sum(task.join() for task in tasks)

        assert bounded(main) == 20


# -- nothing stays


def test_nothing_of_ten_thousand_tasks_stays() -> None:
    def main() -> int:
        hub = door.current()
        assert isinstance(hub, Hub)
        for _ in range(20):
            with TaskGroup() as group:
                for _ in range(500):
                    group.start(sleep, 0)
        sleep(0.001)
        gc.collect()
        return len(hub.strands) + len(hub._ready) + len(hub._woken)

    before = strands_alive()  # one that was left behind stays for ever
    assert bounded(main) == 1
    assert strands_alive() == before


def strands_alive() -> int:
    gc.collect()
    return sum(type(each) is Strand and not each.dead for each in gc.get_objects())


def test_a_stream_that_outlives_its_hubs_keeps_nothing_of_them(streams: tuple[Stream, Stream]) -> None:
    near, far = streams

    def main() -> None:
        spawn(far.write, b"x")
        assert near.read() == b"x"

    for _ in range(5):
        bounded(main)
    assert not near.transport.waiters


def test_files_are_always_ready(tmp_path: Path) -> None:
    def main() -> None:
        with Stream(PipeTransport(None, os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY))) as stream:
            for _ in range(3):
                assert wait_any([], [stream]) == ([], [stream])
            stream.write(b"x")

    bounded(main)


def test_the_table_of_watches_forgets_what_was_closed() -> None:
    def main() -> int:
        hub = door.current()
        assert isinstance(hub, Hub)
        for _ in range(100):
            pairs = [[Stream.from_socket(end) for end in socket.socketpair()] for _ in range(5)]
            tasks = [spawn(near.read) for near, _ in pairs]
            sleep(0)
            for _, far in pairs:
                far.write(b"x")
            for task in tasks:
                task.join()
            for near, far in pairs:
                near.close()
                far.close()
        for _ in range(3):
            sleep(0)
        return len(hub._table)

    assert bounded(main) == 0


def test_a_repr_tells_the_state() -> None:
    def main() -> None:
        hub = door.current()
        assert isinstance(hub, Hub)
        task = spawn(sleep, 60, name="napper")
        strand = next(each for each in hub.strands if each.name == "napper")
        assert repr(strand) == "<Strand napper: waiting>"
        sleep(0)
        task.cancel()
        with pytest.raises(Cancelled):
            task.join()
        assert repr(strand) == "<Strand napper: ended>"

    bounded(main)


def test_edges_and_levels_are_told_apart() -> None:
    assert SelectPoller.edge is False
    assert poller.EpollPoller.edge is True
