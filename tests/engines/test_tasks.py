"""A group of tasks, on every door there is."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portico import TaskGroup, Timeout, timeout
from portico.engines import door
from portico.errors import Cancelled, LocalProtocolError
from portico.sockets.stream import Stream
from portico.sync import Event, Queue, Task, spawn

SOON = 0.05
LONG = 1000.0

pytestmark = pytest.mark.usefixtures("no_leaks", "on")
On = Callable[[Callable[[], Any]], Any]


def _threads(body: Callable[[], Any]) -> Any:
    return body()


def _bridge(body: Callable[[], Any]) -> Any:
    from portico import aio

    return asyncio.run(aio.run(body))


def _hub(body: Callable[[], Any]) -> Any:
    from portico.engines.run import run

    return run(body, engine="events")


DOORS = {"threads": _threads, "bridge": _bridge, "hub": _hub}


@pytest.fixture(params=DOORS, name="on")
def _on(request: pytest.FixtureRequest) -> On:
    return DOORS[request.param]


def sleeper(ended: list[str], name: str = "task") -> None:
    try:
        door.sleep(LONG)
    finally:
        ended.append(name)


def fail(error: BaseException) -> None:
    raise error


def test_a_block_waits_for_its_tasks(on: On) -> None:
    def body() -> list[int]:
        done: list[int] = []

        def work(number: int) -> None:
            door.sleep(0.001 * number)
            done.append(number)

        with TaskGroup() as group:
            for number in range(10):
                group.start(work, number)
        assert group.errors == ()
        return sorted(done)

    assert on(body) == list(range(10))


def test_a_task_gives_its_value_also_after_the_block(on: On) -> None:
    def body() -> tuple[int, int]:
        with TaskGroup() as group:
            task = group.start(divmod, 7, 3, name="division")
        assert task.name == "division"
        return task.join()

    assert on(body) == (2, 1)


def test_map_gives_results_in_order(on: On) -> None:
    def slow(number: int) -> int:
        door.sleep(0.002 * (5 - number))
        return number * number

    def body() -> list[int]:
        with TaskGroup(limit=3) as group:
            return group.map(slow, range(5))

    assert on(body) == [0, 1, 4, 9, 16]


def test_the_first_error_ends_the_others_and_comes_out_itself(on: On) -> None:
    ended: list[str] = []
    error = ValueError("the first")

    def body() -> None:
        with TaskGroup() as group:
            for name in "abc":
                group.start(sleeper, ended, name)
            group.start(fail, error)

    with timeout(10), pytest.raises(ValueError, match="the first") as caught:
        on(body)
    assert caught.value is error
    assert sorted(ended) == ["a", "b", "c"] or len(ended) < 3  # one that had not begun never slept


def test_a_failure_ends_the_wait_of_the_block_itself(on: On) -> None:
    def body() -> None:
        with TaskGroup() as group:
            group.start(fail, ValueError("from a task"))
            door.sleep(LONG)

    with timeout(10), pytest.raises(ValueError, match="from a task"):
        on(body)


def test_what_ended_the_block_does_not_reach_the_next_wait(on: On) -> None:
    def body() -> str:
        try:
            with TaskGroup() as group:
                task = group.start(fail, ValueError("from a task"))
                while not task.done:
                    try:
                        door.sleep(0.001)
                    except Cancelled:
                        pass  # a stubborn block
        except ValueError:
            door.sleep(0.001)
            return "went on"
        return "no error"

    assert on(body) == "went on"


def test_a_failure_after_the_last_wait_of_the_block_does_not_reach_the_next(on: On) -> None:
    def body() -> str:
        failed = threading.Event()

        def late() -> None:
            failed.set()
            raise ValueError("late")

        for _ in range(50):
            try:
                with TaskGroup() as group:
                    group.start(late)
            except ValueError:
                door.sleep(0)
                door.sleep(0.0001)
        return "went on"

    assert on(body) == "went on"


def test_later_errors_are_notes_and_kept(on: On) -> None:
    def stubborn(number: int) -> None:
        try:
            door.sleep(LONG)
        except Cancelled:
            raise OSError(f"failed when called off: {number}") from None

    groups: list[TaskGroup] = []

    def body() -> None:
        with TaskGroup() as group:
            groups.append(group)
            begun = [group.start(stubborn, number) for number in range(7)]
            door.sleep(SOON)  # all wait
            assert len(begun) == 7
            raise KeyError("the first")

    with timeout(10), pytest.raises(KeyError) as caught:
        on(body)
    notes = caught.value.__notes__
    assert len(notes) == 6
    assert "OSError: failed when called off" in notes[0]
    assert notes[-1] == "and 2 more"
    assert {type(error) for error in groups[0].errors} == {OSError}
    assert len(groups[0].errors) == 7


def test_an_error_of_the_block_calls_the_tasks_off(on: On) -> None:
    ended: list[str] = []

    def body() -> None:
        with TaskGroup() as group:
            group.start(sleeper, ended)
            door.sleep(SOON)
            raise KeyError("block")

    with timeout(10), pytest.raises(KeyError, match="block"):
        on(body)
    assert ended == ["task"]


def test_a_deadline_in_the_block_calls_the_tasks_off(on: On) -> None:
    ended: list[str] = []

    def body() -> None:
        with TaskGroup() as group:
            with timeout(None, shield=True):
                group.start(sleeper, ended)
            with timeout(SOON):
                door.sleep(LONG)

    with timeout(10), pytest.raises(Timeout, match="while sleeping"):
        on(body)
    assert ended == ["task"]


def test_a_deadline_while_joining_calls_the_tasks_off(on: On) -> None:
    ended: list[str] = []

    def unbounded() -> None:
        with timeout(None, shield=True):
            sleeper(ended)

    def body() -> None:
        with timeout(SOON), TaskGroup() as group:
            group.start(unbounded)

    with timeout(10), pytest.raises(Timeout, match="waiting for the tasks of a group"):
        on(body)
    assert ended == ["task"]


def test_what_is_called_off_may_clean_up_although_the_deadline_has_passed(on: On) -> None:
    cleaned: list[str] = []

    def careful() -> None:
        try:
            with timeout(None, shield=True):
                door.sleep(LONG)
        finally:
            with timeout(10, shield=True):
                door.sleep(SOON)
                cleaned.append("cleaned")

    def body() -> None:
        with timeout(SOON), TaskGroup() as group:
            group.start(careful)
            group.start(careful)

    with timeout(10), pytest.raises(Timeout):
        on(body)
    assert cleaned == ["cleaned"] * 2


def test_cancelling_the_owner_calls_the_tasks_off(on: On) -> None:
    ended: list[str] = []

    def owner(in_block: bool) -> None:
        with TaskGroup() as group:
            group.start(sleeper, ended)
            if in_block:
                door.sleep(LONG)

    def body() -> None:
        for in_block in (True, False):
            task = door.spawn(owner, in_block)
            door.sleep(SOON)
            task.cancel()
            with pytest.raises(Cancelled):
                task.join()

    with timeout(10):
        on(body)
    assert ended == ["task"] * 2


def test_a_second_cancellation_does_not_leave_a_task_behind(on: On) -> None:
    ended: list[str] = []
    go = Event()

    def slow_to_end() -> None:
        try:
            door.sleep(LONG)
        finally:
            with timeout(10, shield=True):
                go.wait()
            ended.append("task")

    def owner() -> None:
        with TaskGroup() as group:
            group.start(slow_to_end)
            door.sleep(LONG)

    def body() -> list[str]:
        task = door.spawn(owner)
        for _ in range(3):
            door.sleep(0.02)
            task.cancel()
        door.sleep(0.02)
        assert not task.done
        go.set()
        with pytest.raises(Cancelled):
            task.join()
        return list(ended)

    with timeout(10):
        assert on(body) == ["task"]


def test_what_is_called_off_is_cancelled_once(on: On) -> None:
    cleaned: list[str] = []

    def careful(group: TaskGroup) -> None:
        try:
            door.sleep(LONG)
        finally:
            door.sleep(0.02)
            cleaned.append("cleaned")

    def body() -> None:
        with TaskGroup() as group:
            for _ in range(3):
                group.start(careful, group)
            door.sleep(SOON)
            for number in range(3):
                group.start(fail, KeyError(number))
            door.sleep(LONG)

    for _ in range(3):
        with timeout(10), pytest.raises(KeyError):
            on(body)
    assert cleaned == ["cleaned"] * 9


def test_nested_groups_end_inside_out(on: On) -> None:
    ended: list[str] = []

    def body() -> None:
        with TaskGroup() as outer:
            with TaskGroup() as inner:
                inner.start(sleeper, ended, "inner")
                door.sleep(0.01)
                outer.start(fail, ValueError("outer's"))
                door.sleep(LONG)
            ended.append("never")

    with timeout(10), pytest.raises(ValueError, match="outer's"):
        on(body)
    assert ended == ["inner"]


def test_an_inner_group_that_fails_is_an_error_of_the_outer_block(on: On) -> None:
    ended: list[str] = []

    def body() -> None:
        with TaskGroup() as outer:
            outer.start(sleeper, ended, "outer")
            door.sleep(0.01)
            with TaskGroup() as inner:
                inner.start(fail, ValueError("inner's"))

    with timeout(10), pytest.raises(ValueError, match="inner's"):
        on(body)
    assert ended == ["outer"]


def test_a_group_inside_a_task_ends_with_it(on: On) -> None:
    ended: list[str] = []

    def task() -> None:
        with TaskGroup() as inner:
            inner.start(sleeper, ended, "inner")

    def body() -> None:
        with TaskGroup() as outer:
            outer.start(task)
            door.sleep(SOON)
            raise KeyError("x")

    with timeout(10), pytest.raises(KeyError):
        on(body)
    assert ended == ["inner"]


def test_a_limit_bounds_how_many_run(on: On) -> None:
    running: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        running.append(number)
        most.append(len(running))
        door.sleep(0.001)
        running.remove(number)

    def body() -> int:
        with TaskGroup(limit=4) as group:
            for number in range(40):
                group.start(work, number)
        return len(most)

    with timeout(20):
        assert on(body) == 40
    assert 1 < max(most) <= 4


def test_waiting_for_room_ends_with_the_deadline(on: On) -> None:
    def body() -> None:
        with TaskGroup(limit=1) as group:
            with timeout(None, shield=True):
                group.start(door.sleep, LONG)
            with timeout(SOON):
                group.start(door.sleep, LONG)

    with timeout(10), pytest.raises(Timeout, match="waiting for room in a group of tasks"):
        on(body)


def test_waiting_for_room_ends_with_a_failure(on: On) -> None:
    def late() -> None:
        door.sleep(0.01)
        raise ValueError("late")

    def body() -> None:
        with TaskGroup(limit=1) as group:
            for _ in range(3):
                group.start(late)

    with timeout(10), pytest.raises(ValueError, match="late"):
        on(body)


def test_tasks_may_start_more_tasks(on: On) -> None:
    seen: list[int] = []

    def tree(group: TaskGroup, depth: int) -> None:
        seen.append(depth)
        if depth:
            group.start(tree, group, depth - 1)
            group.start(tree, group, depth - 1)

    def body() -> int:
        with TaskGroup() as group:
            group.start(tree, group, 4)
        return len(seen)

    with timeout(20):
        assert on(body) == 31


def test_a_group_that_is_called_off_takes_no_more_tasks(on: On) -> None:
    def starter(group: TaskGroup) -> str:
        try:
            door.sleep(LONG)
        except Cancelled:
            pass
        try:
            group.start(door.sleep, LONG)
        except Cancelled:
            return "refused"
        return "started"

    def body() -> str:
        with TaskGroup() as group:
            task = group.start(starter, group)
            door.sleep(0.01)
            group.cancel()
            assert "called off" in repr(group)
        return task.join()

    with timeout(10):
        assert on(body) == "refused"


def test_cancel_ends_the_tasks_and_the_block_goes_on(on: On) -> None:
    def body() -> str:
        with TaskGroup() as group:
            answers: Queue[str] = Queue()
            group.start(door.sleep, LONG)
            group.start(answers.put, "the quickest")
            answer = answers.get()
            group.cancel()
        return answer

    with timeout(10):
        assert on(body) == "the quickest"


def test_a_block_that_starts_more_when_its_group_was_cancelled_ends_without_an_error(on: On) -> None:
    ended: list[str] = []

    def body() -> str:
        with TaskGroup(limit=2) as group:
            group.start(sleeper, ended)
            while True:
                with TaskGroup() as inner:
                    inner.start(int)
                    group.start(group.cancel)
                    door.sleep(0.001)
        return "ended"

    with timeout(10):
        assert on(body) == "ended"


def test_a_failure_while_the_block_starts_tasks_strays_to_no_later_wait(on: On) -> None:
    def body() -> str:
        for _ in range(200):
            with pytest.raises(ValueError, match="x"), TaskGroup(limit=2) as group:  # noqa: PT012
                while True:
                    group.start(fail, ValueError("x"))
            door.sleep(0)
        door.sleep(0.001)
        return "went on"

    with timeout(30):
        assert on(body) == "went on"


def test_a_task_cancelled_by_hand_is_no_failure(on: On) -> None:
    def body() -> str:
        with TaskGroup() as group:
            group.start(door.sleep, LONG).cancel()
            other = group.start(door.sleep, 0.01)
        return repr(other)

    with timeout(10):
        assert on(body) == "<Task sleep: done>"


def test_start_before_and_after_the_block_is_a_clear_error(on: On) -> None:
    def body() -> None:
        group = TaskGroup()
        assert repr(group) == "<TaskGroup new: 0 tasks>"
        with pytest.raises(LocalProtocolError, match="not before it"):
            group.start(int)
        with group:
            pass
        with pytest.raises(LocalProtocolError, match="not after it"):
            group.start(int)
        with pytest.raises(LocalProtocolError, match="entered before"), group:
            pass
        assert repr(group) == "<TaskGroup over: 0 tasks>"

    on(body)


def test_an_error_keeps_its_own_context(on: On) -> None:
    def task() -> None:
        try:
            raise KeyError("the cause")
        except KeyError:
            raise ValueError("the effect")  # noqa: B904

    def body() -> None:
        with TaskGroup() as group:
            group.start(task)
            door.sleep(LONG)

    with timeout(10), pytest.raises(ValueError, match="the effect") as caught:
        on(body)
    assert isinstance(caught.value.__context__, KeyError)


def test_a_join_inside_the_block_raises_the_same_error_once(on: On) -> None:
    error = ValueError("x")

    def body() -> None:
        with TaskGroup() as group:
            group.start(fail, error).join()

    with timeout(10), pytest.raises(ValueError, match="x") as caught:
        on(body)
    assert caught.value is error
    assert not hasattr(error, "__notes__")


def test_system_exit_and_the_like_come_out_too(on: On) -> None:
    def body() -> None:
        with TaskGroup() as group:
            group.start(sys.exit, 3)
            door.sleep(LONG)

    with timeout(10), pytest.raises(SystemExit):
        on(body)


def test_tasks_inherit_context_and_deadline(on: On) -> None:
    word = contextvars.ContextVar[str]("word", default="")

    def body() -> str:
        word.set("inherited")
        with TaskGroup() as group, timeout(SOON):
            task = group.start(word.get)
            with pytest.raises(Timeout):
                group.start(door.sleep, LONG).join()
        return task.join()

    with timeout(10), pytest.raises(Timeout):
        on(body)


def test_a_generator_that_is_closed_ends_its_group(on: On) -> None:
    ended: list[str] = []

    def generator() -> Iterator[int]:
        with TaskGroup() as group:
            group.start(sleeper, ended)
            door.sleep(0.01)
            yield 1

    def body() -> None:
        source = generator()
        assert next(source) == 1
        source.close()

    with timeout(10):
        on(body)
    assert ended == ["task"]


def test_a_generator_may_be_closed_by_another_task(on: On) -> None:
    ended: list[str] = []

    def generator() -> Iterator[int]:
        with TaskGroup() as group:
            group.start(sleeper, ended)
            group.start(fail, ValueError("x"))
            yield 1

    def body() -> str:
        source = generator()
        assert next(source) == 1
        with pytest.raises((ValueError, Cancelled)):
            door.sleep(LONG)  # the failure reaches whoever opened the group
        with pytest.raises(ValueError, match="x"):
            door.spawn(source.close).join()
        door.sleep(0.001)
        return "closed"

    with timeout(10):
        assert on(body) == "closed"


def test_reading_tasks_are_called_off(on: On) -> None:
    import socket

    def body() -> None:
        pairs = [socket.socketpair() for _ in range(3)]
        streams = [Stream.from_socket(end) for pair in pairs for end in pair]
        try:
            with TaskGroup() as group:
                for stream in streams:
                    group.start(stream.read)
                door.sleep(0.01)
                raise KeyError("x")
        finally:
            for stream in streams:
                stream.close()

    with timeout(10), pytest.raises(KeyError):
        on(body)


def test_a_group_keeps_nothing_alive(on: On) -> None:
    class Big:
        pass

    gone: list[weakref.ref[Big]] = []

    def work(big: Big) -> None:
        raise ValueError("x")

    def body() -> None:
        big = Big()
        gone.append(weakref.ref(big))
        try:
            with TaskGroup() as group:
                group.start(work, big)
                del big
        except ValueError:
            pass

    gc.collect()
    gc.disable()
    try:
        on(body)
        with timeout(5) as t:  # a thread may take a moment to let go
            while gone[0]() is not None:
                t.check()
                door.sleep(0.001)
    finally:
        gc.enable()


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_leaves_room(limit: int) -> None:
    with pytest.raises(ValueError, match="room for at least one"):
        TaskGroup(limit=limit)


def test_a_thousand_tasks(on: On) -> None:
    def body() -> int:
        with TaskGroup(limit=200) as group:
            return sum(group.map(lambda number: (door.sleep(0.001), number)[1], range(1000)))

    with timeout(50):
        assert on(body) == 499500


# -- tasks without a group


def test_a_failed_task_that_nobody_joins_is_logged(on: On, caplog: pytest.LogCaptureFixture) -> None:
    def body() -> None:
        def lonely() -> None:
            raise ValueError("nobody listens")

        task: Task[None] | None = spawn(lonely)
        while not task.done:
            door.sleep(0.001)
        del task
        door.sleep(SOON)

    with caplog.at_level(logging.ERROR, "portico.engines"):
        on(body)
        gc.collect()
    assert [record.getMessage() for record in caplog.records] == [
        "the task lonely failed, and nobody joined it: ValueError('nobody listens')"
    ]


def test_what_was_joined_or_cancelled_is_not_logged(on: On, caplog: pytest.LogCaptureFixture) -> None:
    def body() -> None:
        task = spawn(fail, ValueError("told"))
        with pytest.raises(ValueError, match="told"):
            task.join()
        other = spawn(door.sleep, LONG)
        other.cancel()
        while not other.done:
            door.sleep(0.001)
        with pytest.raises(KeyError), TaskGroup() as group:
            group.start(fail, KeyError("told by the group"))

    on(body)
    gc.collect()
    assert caplog.records == []


def test_ctrl_c_ends_the_block_and_its_tasks() -> None:
    code = """
        import os, signal
        from portico import TaskGroup, sleep
        begun, ended = [], []
        def task():
            try:
                begun.append(1)
                sleep(1000)
            finally:
                ended.append(1)
        try:
            with TaskGroup() as group:
                for _ in range(3):
                    group.start(task)
                while len(begun) < 3:
                    sleep(0.01)
                print("ready", flush=True)
                IN_BLOCK and sleep(1000)
        except KeyboardInterrupt:
            print("interrupted", len(ended))
    """
    for in_block in ("True", "False"):
        program = textwrap.dedent(code).replace("IN_BLOCK", in_block)
        command = [sys.executable, "-W", "error", "-c", program]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            os.kill(child.pid, signal.SIGINT)
            out, _ = child.communicate(timeout=20)
        assert out == "interrupted 3\n"


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_nothing_is_left_and_no_cancellation_strays(on: On, seed: int) -> None:
    chance = random.Random(seed)
    running: set[int] = set()

    def work(number: int, depth: int) -> None:
        running.add(number)
        try:
            what = chance.random()
            if what < 0.15:
                raise KeyError(number)
            if what < 0.5 or not depth:
                door.sleep(chance.random() * 0.01)
            else:
                with TaskGroup(limit=chance.choice((None, 1, 3))) as group:
                    for _ in range(3):
                        group.start(work, chance.random(), depth - 1)
                    if chance.random() < 0.1:
                        group.cancel()
        finally:
            running.discard(number)

    def body() -> int:
        failed = 0
        for number in range(20):
            owner = door.spawn(work, number, 3)
            if chance.random() < 0.4:
                door.sleep(chance.random() * 0.01)
                owner.cancel()
            try:
                with timeout(chance.choice((None, 0.005, 10))):
                    owner.join()
            except (KeyError, Cancelled, Timeout):
                failed += 1
                owner.cancel()
                try:
                    owner.join()
                except (KeyError, Cancelled):
                    pass
            assert not running
            door.sleep(0.0001)  # would raise what had strayed
        return failed

    with timeout(40):
        assert on(body) > 0
