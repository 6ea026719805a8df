"""Locks, events, queues: in order, within deadlines, cancellable; nothing lost when a waiter gives up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from portico import timeout
from portico.engines import door
from portico.errors import Cancelled, StreamClosed, Timeout
from portico.sync import Event, Lock, Queue
from tests.engines.serving import SECONDS, until

pytestmark = pytest.mark.usefixtures("no_leaks")

SOON = 0.03


def spawned(count: int, function: Callable[[int], Any], waiting: Callable[[], int]) -> list[door.Task[Any]]:
    """Tasks that wait in the order of their numbers."""
    tasks = []
    for number in range(count):
        tasks.append(door.spawn(function, number, name=f"waiter {number}"))
        until(lambda: waiting() == number + 1)  # noqa: B023
    return tasks


# -- Lock


def test_a_lock_excludes_and_is_given_in_order() -> None:
    lock, order = Lock(), []

    def take(number: int) -> None:
        with lock:
            order.append(number)

    with timeout(SECONDS):
        with lock:
            assert lock.locked
            tasks = spawned(6, take, lambda: len(lock._line))
            assert order == []
        for task in tasks:
            task.join()
    assert order == [0, 1, 2, 3, 4, 5]
    assert not lock.locked


def test_a_released_lock_is_the_next_one_s_and_cannot_be_snatched() -> None:
    lock = Lock()
    lock.acquire()
    [task] = spawned(1, lambda _: lock.acquire(), lambda: len(lock._line))
    lock.release()
    with timeout(SOON), pytest.raises(Timeout):
        lock.acquire()
    with timeout(SECONDS):
        task.join()
    lock.release()


def test_a_deadline_ends_the_wait_for_a_lock() -> None:
    lock = Lock()
    with lock:
        with timeout(SOON), pytest.raises(Timeout, match="waiting for a lock"):
            lock.acquire()
        assert not lock._line
    with lock:
        pass


def test_a_past_deadline_takes_no_lock() -> None:
    lock = Lock()
    with timeout(0), pytest.raises(Timeout):
        lock.acquire()
    assert not lock.locked


def test_whoever_gives_up_in_line_leaves_the_others_their_turn() -> None:
    lock, got = Lock(), []

    def take(number: int) -> None:
        with lock:
            got.append(number)

    lock.acquire()
    tasks = spawned(3, take, lambda: len(lock._line))
    tasks[1].cancel()
    with timeout(SECONDS), pytest.raises(Cancelled):
        tasks[1].join()
    lock.release()
    with timeout(SECONDS):
        tasks[0].join()
        tasks[2].join()
    assert got == [0, 2]


def test_a_lock_given_to_somebody_cancelled_meanwhile_is_passed_on() -> None:
    for _ in range(50):
        lock = Lock()
        lock.acquire()
        first, second = spawned(2, lambda _: lock.acquire(), lambda: len(lock._line))  # noqa: B023
        lock.release()
        first.cancel()
        with timeout(SECONDS):
            try:
                first.join()
            except Cancelled:
                pass
            else:
                lock.release()
            second.join()
        assert lock.locked
        lock.release()
        assert not lock.locked


def test_a_lock_that_nobody_holds_cannot_be_released() -> None:
    with pytest.raises(RuntimeError, match="nobody holds"):
        Lock().release()


def test_a_lock_is_released_by_an_error() -> None:
    lock = Lock()
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert not lock.locked


def test_a_lock_really_excludes() -> None:
    lock, inside, most = Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        for _turn in range(200):
            with lock:
                inside += 1
                most = max(most, inside)
                inside -= 1

    with timeout(SECONDS):
        for task in [door.spawn(work, number) for number in range(5)]:
            task.join()
    assert most == 1


# -- Event


def test_an_event_wakes_everybody_who_waits_and_lets_later_ones_pass() -> None:
    event = Event()
    tasks = spawned(4, lambda _: event.wait(), lambda: len(event._line))
    assert not event.is_set()
    event.set()
    with timeout(SECONDS):
        for task in tasks:
            task.join()
        event.wait()
    assert event.is_set()
    event.clear()
    with timeout(SOON), pytest.raises(Timeout, match="waiting for an event"):
        event.wait()
    assert not event._line


def test_who_waited_is_woken_though_the_flag_was_lowered_at_once() -> None:
    event = Event()
    [task] = spawned(1, lambda _: event.wait(), lambda: len(event._line))
    event.set()
    event.clear()
    with timeout(SECONDS):
        task.join()


def test_a_wait_for_an_event_can_be_cancelled() -> None:
    event = Event()
    [task] = spawned(1, lambda _: event.wait(), lambda: len(event._line))
    task.cancel()
    with timeout(SECONDS), pytest.raises(Cancelled):
        task.join()
    assert not event._line


# -- Queue


def test_values_come_out_in_the_order_they_went_in() -> None:
    queue: Queue[int | None] = Queue()
    for value in (1, None, 3):
        queue.put(value)
    assert len(queue) == 3
    assert [queue.get() for _ in range(3)] == [1, None, 3]


def test_whoever_waits_first_gets_the_first_value() -> None:
    queue: Queue[int] = Queue()
    got: dict[int, int] = {}

    def take(number: int) -> None:
        got[number] = queue.get()

    with timeout(SECONDS):
        tasks = spawned(5, take, lambda: len(queue._getting))
        for value in range(5):
            queue.put(value)
        for task in tasks:
            task.join()
    assert got == {number: number for number in range(5)}


def test_a_value_for_who_waits_cannot_be_snatched() -> None:
    queue: Queue[int] = Queue()
    [task] = spawned(1, lambda _: queue.get(), lambda: len(queue._getting))
    queue.put(7)
    with timeout(0.01), pytest.raises(Timeout):
        queue.get()
    with timeout(SECONDS):
        assert task.join() == 7


def test_room_is_given_in_order() -> None:
    queue: Queue[int] = Queue(1)
    queue.put(-1)
    with timeout(SECONDS):
        tasks = spawned(4, queue.put, lambda: len(queue._putting))
        assert [queue.get() for _ in range(5)] == [-1, 0, 1, 2, 3]
        for task in tasks:
            task.join()
    assert len(queue) == 0


def test_deadlines_end_both_waits_and_lose_no_value() -> None:
    queue: Queue[int] = Queue(1)
    with timeout(SOON), pytest.raises(Timeout, match="a value in a queue"):
        queue.get()
    queue.put(1)
    with timeout(SOON), pytest.raises(Timeout, match="room in a queue"):
        queue.put(2)
    assert queue.get() == 1
    assert len(queue) == 0
    assert not queue._getting
    assert not queue._putting


def test_a_value_given_to_somebody_cancelled_meanwhile_is_the_next_one_s() -> None:
    for value in range(50):
        queue: Queue[int] = Queue()
        [task] = spawned(1, lambda _: queue.get(), lambda: len(queue._getting))  # noqa: B023
        queue.put(value)
        task.cancel()
        with timeout(SECONDS):
            try:
                assert task.join() == value
            except Cancelled:
                assert queue.get() == value


def test_cancelled_putters_leave_nothing_behind() -> None:
    queue: Queue[str] = Queue(1)
    queue.put("first")
    [task] = spawned(1, lambda _: queue.put("never"), lambda: len(queue._putting))
    task.cancel()
    with timeout(SECONDS), pytest.raises(Cancelled):
        task.join()
    assert queue.get() == "first"
    assert len(queue) == 0


def test_a_closed_queue_gives_what_it_has_and_then_says_so() -> None:
    queue: Queue[int] = Queue()
    queue.put(1)
    queue.close()
    with pytest.raises(StreamClosed):
        queue.put(2)
    assert queue.get() == 1
    with pytest.raises(StreamClosed):
        queue.get()


def test_closing_wakes_everybody_who_waits() -> None:
    empty: Queue[int] = Queue()
    full: Queue[int] = Queue(1)
    full.put(1)
    tasks = spawned(2, lambda _: empty.get(), lambda: len(empty._getting))
    tasks += spawned(2, full.put, lambda: len(full._putting))
    empty.close()
    full.close()
    with timeout(SECONDS):
        for task in tasks:
            with pytest.raises(StreamClosed):
                task.join()
    assert full.get() == 1
    assert len(full) == 0


def test_a_queue_needs_room_for_a_value() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Queue(0)


def test_nothing_is_lost_between_many_putters_and_getters() -> None:
    queue: Queue[int] = Queue(3)
    got: list[int] = []
    lock = threading.Lock()

    def take(_: int) -> None:
        while True:
            try:
                with timeout(0.002):
                    value = queue.get()
            except Timeout:
                continue
            except StreamClosed:
                return
            with lock:
                got.append(value)

    def give(start: int) -> None:
        for value in range(start, start + 150):
            while True:
                try:
                    with timeout(0.002):
                        queue.put(value)
                except Timeout:
                    continue
                break

    with timeout(SECONDS):
        takers = [door.spawn(take, number) for number in range(3)]
        for giver in [door.spawn(give, number * 1000) for number in range(3)]:
            giver.join()
        queue.close()
        for taker in takers:
            taker.join()
    assert sorted(got) == sorted(
        value for number in range(3) for value in range(number * 1000, number * 1000 + 150)
    )
