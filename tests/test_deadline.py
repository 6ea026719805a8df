"""One deadline over everything inside the ``with``."""

from __future__ import annotations

import contextlib
import contextvars
import math
import re
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from portico.deadline import check, expiry, settle, timeout
from portico.engines import door
from portico.errors import PorticoError, Timeout
from portico.sockets.transport import Waiter


def left() -> float:
    return expiry() - monotonic()


def test_no_deadline_is_in_force_outside() -> None:
    assert expiry() == math.inf
    check("nothing")


def test_the_nearer_deadline_wins_in_either_order() -> None:
    with timeout(10):
        with timeout(1000):
            assert left() <= 10
        with timeout(1):
            assert left() <= 1
        assert 1 < left() <= 10
    assert expiry() == math.inf


def test_none_sets_no_bound_of_its_own() -> None:
    with timeout(None) as alone:
        assert alone.remaining == math.inf
    with timeout(10), timeout(None) as inner:
        assert inner.remaining <= 10
    with timeout(math.inf) as endless:
        assert endless.remaining == math.inf


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, -math.inf])
def test_what_is_no_span_of_time_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected seconds, zero or more"):
        timeout(seconds)
    with timeout(5) as t, pytest.raises(ValueError, match="expected seconds"):
        t.reschedule(seconds)


def test_zero_is_over_at_once() -> None:
    with timeout(0) as t:
        assert t.expired
        assert t.remaining == 0
        with pytest.raises(Timeout):
            t.check()
        with pytest.raises(Timeout):
            door.sleep(0)


def test_expiry_names_what_was_waited_for() -> None:
    with timeout(0) as t, pytest.raises(Timeout) as caught:
        t.check("counting sheep")
    assert caught.value.doing == "counting sheep"
    assert caught.value.seconds == 0
    assert caught.value.sent is None
    assert str(caught.value) == "timed out after 0 s while counting sheep"
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, PorticoError)


def test_expiry_gives_the_length_of_the_deadline_that_passed() -> None:
    with timeout(100), timeout(0), timeout(50), pytest.raises(Timeout, match=r"^timed out after 0 s while"):
        check("x")


def test_a_shield_hides_the_outer_deadline() -> None:
    with timeout(0):
        with timeout(5, shield=True) as cleanup:
            assert 0 < cleanup.remaining <= 5
            cleanup.check()
            with timeout(1):
                assert 0 < left() <= 1
        with pytest.raises(Timeout):
            check("after the shield")


def test_leaving_late_without_a_call_does_not_raise() -> None:
    with timeout(0):
        pass


def test_a_block_that_was_left_is_over() -> None:
    with timeout(0) as t:
        pass
    t.check()
    assert t.remaining == math.inf
    assert not t.expired
    t.reschedule(0)
    check("outside")


def test_a_block_is_entered_once() -> None:
    t = timeout(5)
    with t, pytest.raises(RuntimeError, match="already entered"):
        t.__enter__()
    with pytest.raises(RuntimeError, match="already entered"):
        t.__enter__()


def test_an_error_in_the_block_passes_and_ends_the_deadline() -> None:
    with pytest.raises(KeyError), timeout(5):
        raise KeyError("x")
    assert expiry() == math.inf


def test_a_deadline_can_be_moved() -> None:
    with timeout(1000) as t:
        t.reschedule(1)
        assert left() <= 1
        t.reschedule(None)
        assert expiry() == math.inf
        t.reschedule(0)
        with pytest.raises(Timeout, match="after 0 s"):
            check("x")


def test_moving_a_deadline_ends_a_wait_in_another_thread() -> None:
    known = threading.Event()
    waiting: list[tuple[timeout, Waiter]] = []

    def wait() -> None:
        with timeout(1000) as t:
            me = door.waiter()
            waiting.append((t, me))
            known.set()
            while True:
                door.park(me, "waiting for nobody")

    task = door.spawn(wait)
    known.wait()
    scope, waiter = waiting[0]
    scope.reschedule(0)
    waiter.wake()
    with pytest.raises(Timeout, match="waiting for nobody"):
        task.join()


def test_repr_shows_what_is_left() -> None:
    t = timeout(5)
    assert repr(t) == "timeout(5)"
    with t:
        assert re.fullmatch(r"<timeout 5 s, [0-5]\.\d+ s left>", repr(t))
    assert repr(t) == "timeout(5)"


# -- threads


def test_each_thread_has_its_own() -> None:
    seen: list[float] = []
    with timeout(5):
        thread = threading.Thread(target=lambda: seen.append(expiry()))
        thread.start()
        thread.join()
    assert seen == [math.inf]


def test_a_copied_context_inherits() -> None:
    with timeout(5):
        context = contextvars.copy_context()
        assert context.run(left) <= 5
    assert context.run(expiry) == math.inf


def test_settled_work_keeps_its_deadline_when_the_block_is_left() -> None:
    with timeout(50), timeout(5):
        context = contextvars.copy_context()
        context.run(settle)
    assert 0 < context.run(left) <= 5
    assert expiry() == math.inf
    bare = contextvars.copy_context()
    bare.run(settle)
    assert bare.run(expiry) == math.inf


# -- generators


def numbers(seconds: float) -> Iterator[float]:
    with timeout(seconds):
        while True:
            yield left()


def test_a_generator_does_not_leak_its_deadline() -> None:
    held = numbers(5)
    assert next(held) <= 5
    assert expiry() == math.inf
    assert next(held) <= 5
    held.close()
    assert expiry() == math.inf


def test_a_generators_consumer_bounds_it() -> None:
    held = numbers(50)
    assert 5 < next(held) <= 50
    with timeout(5):
        assert next(held) <= 50
        assert left() <= 5
    held.close()


def test_generators_exit_in_any_order() -> None:
    first, second = numbers(1), numbers(2)
    next(first)
    next(second)
    first.close()
    assert expiry() == math.inf
    assert 1 < next(second) <= 2
    second.close()
    assert expiry() == math.inf


def test_a_generator_closed_late_leaves_the_consumers_block_alone() -> None:
    held = numbers(5)
    next(held)
    with timeout(10):
        held.close()
        assert 5 < left() <= 10
    assert expiry() == math.inf


def test_a_generator_closed_inside_a_block_entered_before_it() -> None:
    with timeout(10):
        held = numbers(5)
        next(held)
        assert left() > 5
    held.close()
    assert expiry() == math.inf


def test_a_dropped_generator_takes_its_deadline_along() -> None:
    held = numbers(0)
    next(held)
    del held
    check("nothing in force")


def test_inner_generators_do_not_leak_either() -> None:
    def outer() -> Iterator[float]:
        yield from numbers(5)

    held = outer()
    assert next(held) <= 5
    assert expiry() == math.inf
    held.close()


def test_a_shield_in_a_suspended_generator_hides_nothing() -> None:
    def shielded() -> Iterator[None]:
        with timeout(100, shield=True):
            yield

    with timeout(0):
        held = shielded()
        next(held)
        with pytest.raises(Timeout):
            check("outside the shield")
        held.close()


def test_a_suspended_generator_does_not_name_the_deadline() -> None:
    held = numbers(0)
    next(held)
    with timeout(0) as t, pytest.raises(Timeout) as caught:
        t.check()
    assert caught.value.seconds == 0
    held.close()


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    with timeout(seconds):
        yield


def test_a_context_manager_made_of_a_generator_covers_its_body() -> None:
    with bounded(5):
        assert left() <= 5
        with bounded(1):
            assert left() <= 1
    assert expiry() == math.inf


def test_an_exit_stack_covers_what_follows() -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(timeout(5))
        assert left() <= 5
    assert expiry() == math.inf


@pytest.mark.parametrize("how", ["stack", "manager", "both"])
def test_a_generator_does_not_leak_through_contextlib(how: str) -> None:
    def held() -> Iterator[float]:
        with contextlib.ExitStack() as stack:
            if how == "manager":
                with bounded(5):
                    yield left()
                return
            stack.enter_context(timeout(5) if how == "stack" else bounded(5))
            yield left()

    generator = held()
    assert next(generator) <= 5
    assert expiry() == math.inf
    generator.close()
    assert expiry() == math.inf


def test_a_decorator_made_of_a_generator_covers_the_call() -> None:
    @bounded(5)
    def call() -> float:
        return left()

    assert call() <= 5
    assert expiry() == math.inf
