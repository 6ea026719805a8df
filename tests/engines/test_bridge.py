"""Blocking code on an asyncio loop: what travels across the bridge, and what ends a wait there."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import greenlet
import pytest

from portico import Timeout, aio, timeout
from portico.engines import door
from portico.engines.call import IDLE
from portico.errors import (
    Cancelled,
    LocalProtocolError,
)
from tests.engines.loops import LOOPS, Run, run_on, streams

pytestmark = pytest.mark.usefixtures("no_leaks")

SOON = 0.05
LONG = 1000.0


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of loop."""
    return partial(run_on, request.param)


# -- run


def test_the_value_comes_back(run: Run) -> None:
    async def main() -> None:
        assert await aio.run(divmod, 7, 3) == (7 // 3, 7 % 3)
        assert await aio.run(int, "ff", base=16) == 255
        assert await aio.run(lambda: None) is None

    run(main())


def test_others_go_on_while_a_function_waits(run: Run) -> None:
    async def main() -> None:
        order: list[str] = []

        def slow() -> None:
            order.append("begins")
            door.sleep(SOON)
            order.append("ends")

        task = asyncio.create_task(aio.run(slow))
        await asyncio.sleep(0.001)
        order.append("meanwhile")
        await task
        assert order == ["begins", "meanwhile", "ends"]

    run(main())


def test_a_function_that_never_waits_costs_no_future_and_no_turn() -> None:
    coroutine = aio.run(divmod, 7, 3)
    loop = asyncio.new_event_loop()
    turns: list[int] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(turns.append, 1)
        assert await coroutine == (2, 1)
        assert turns == []

    loop.run_until_complete(main())
    loop.close()


def test_an_exception_comes_back_with_its_traceback(run: Run) -> None:
    def inner() -> None:
        door.sleep(0.001)
        raise KeyError("deep")

    def outer() -> None:
        inner()

    async def main() -> None:
        with pytest.raises(KeyError, match="deep") as caught:
            await aio.run(outer)
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names[0] == "main"
        assert names[-2:] == ["outer", "inner"]

    run(main())


@pytest.mark.parametrize("raised", [SystemExit(3), StopIteration("x")])
def test_exceptions_of_every_kind_come_back(raised: BaseException) -> None:
    def fail() -> None:
        raise raised

    async def main() -> BaseException:
        try:
            await aio.run(fail)
        except BaseException as error:  # noqa: BLE001
            return error
        raise AssertionError

    error = asyncio.run(main())
    # PEP 479: a StopIteration cannot leave a coroutine.
    assert error is raised or isinstance(error, RuntimeError)


def test_context_variables_are_shared_with_the_awaiting_task(run: Run) -> None:
    word = contextvars.ContextVar[str]("word", default="default")

    def function() -> str:
        seen = word.get()
        word.set("set inside")
        door.sleep(0.001)
        assert word.get() == "set inside"
        return seen

    async def other() -> str:
        return await aio.run(function)

    async def main() -> None:
        word.set("set outside")
        assert await aio.run(function) == "set outside"
        assert word.get() == "set inside"
        word.set("again")
        assert await asyncio.create_task(other()) == "again"
        assert word.get() == "again"  # another task's context is its own

    run(main())


def test_the_deadline_of_a_coroutine_holds_inside_and_of_a_function_too(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(Timeout, match="while sleeping"), timeout(SOON):
            await aio.run(door.sleep, LONG)

        def inside() -> None:
            with timeout(SOON):
                door.sleep(LONG)

        with pytest.raises(Timeout, match="while sleeping"):
            await aio.run(inside)
        await aio.run(door.sleep, 0.001)

    run(main())


def test_concurrent_tasks_have_deadlines_of_their_own(run: Run) -> None:
    async def bounded(seconds: float) -> str:
        try:
            with timeout(seconds):
                await aio.run(door.sleep, 0.1)
        except Timeout:
            return "late"
        return "in time"

    async def main() -> None:
        got = await asyncio.gather(bounded(0.01), bounded(LONG), bounded(0.02))
        assert got == ["late", "in time", "late"]

    run(main())


def test_one_alarm_serves_many_waits_with_moving_deadlines(run: Run) -> None:
    def many() -> str:
        for _ in range(20):
            with timeout(0.5):
                door.sleep(0.005)
        with timeout(SOON), pytest.raises(Timeout):
            door.sleep(LONG)
        with timeout(None):
            door.sleep(0.005)
        return "done"

    assert run(aio.run(many)) == "done"


def test_a_timeout_in_a_generator_does_not_leak_to_its_consumer(run: Run) -> None:
    def lines() -> Iterator[int]:
        with timeout(SOON):
            yield 1
            with pytest.raises(Timeout):
                door.sleep(LONG)
            yield 2

    def consume() -> str:
        source = lines()
        next(source)
        door.sleep(2 * SOON)
        assert next(source) == 2
        door.sleep(0.001)
        source.close()
        return "no leak"

    async def main() -> None:
        assert await aio.run(consume) == "no leak"
        source = lines()
        assert await aio.run(next, source) == 1  # the generator itself is what runs
        assert await aio.run(next, source) == 2
        source.close()

    run(main())


def test_a_thousand_calls_at_once(run: Run) -> None:
    async def main() -> None:
        near, far = zip(*(streams() for _ in range(150)), strict=True)

        def ask(number: int) -> bytes:
            stream = near[number % 150]
            door.sleep(0.01)
            return bytes([stream.options is not None]) if number >= 150 else stream.read_line()

        with timeout(20):
            calls = [asyncio.create_task(aio.run(ask, number)) for number in range(1000)]
            await asyncio.sleep(0.1)
            for stream in far:
                await aio.run(stream.write, b"answer\n")
            answers = await asyncio.gather(*calls)
        assert answers.count(b"answer") == 150
        for stream in (*near, *far):
            stream.close()

    run(main())


def test_several_loops_may_take_turns_in_one_thread() -> None:
    first, second = (make() for make in LOOPS.values())
    try:
        sleeping = first.create_task(aio.run(door.sleep, SOON))
        first.run_until_complete(asyncio.sleep(0.001))
        assert second.run_until_complete(aio.run(int, "1")) == 1
        second.run_until_complete(aio.run(door.sleep, 0.001))
        assert first.run_until_complete(aio.run(int, "2")) == 2
        first.run_until_complete(sleeping)
    finally:
        first.close()
        second.close()


def test_outside_the_bridge_a_blocking_call_says_what_to_do(run: Run) -> None:
    async def main() -> None:
        await aio.run(door.sleep, 0.001)
        with pytest.raises(LocalProtocolError, match=r"use `await portico\.aio\.run\(function, …\)`"):
            door.sleep(0.001)

    run(main())


def test_the_door_is_in_place_only_while_the_function_runs(run: Run) -> None:
    async def main() -> None:
        task = asyncio.create_task(aio.run(door.sleep, SOON))
        await asyncio.sleep(0.001)
        assert door.current() is door.THREADS
        assert await aio.run(door.current) is not door.THREADS
        await task
        assert door.current() is door.THREADS

    run(main())


def test_a_thread_started_inside_waits_at_its_own_door(run: Run) -> None:
    def function() -> door.Door:
        found: list[door.Door] = []
        thread = threading.Thread(target=lambda: (door.sleep(0.001), found.append(door.current())))
        thread.start()
        thread.join()
        return found[0]

    assert run(aio.run(function)) is door.THREADS


def test_a_greenlet_of_somebody_else_cannot_wait(run: Run) -> None:
    from greenlet import greenlet

    def function() -> None:
        with pytest.raises(LocalProtocolError, match=r"a greenlet that portico\.aio\.run\(\) did not make"):
            greenlet(door.sleep).switch(1)

    run(aio.run(function))


# -- the other way round


def test_a_blocking_function_waits_for_a_coroutine(run: Run) -> None:
    async def twice(number: int) -> int:
        await asyncio.sleep(0.001)
        return 2 * number

    def function() -> int:
        return aio.result(twice(aio.result(twice(10))))

    assert run(aio.run(function)) == 40


def test_run_inside_run(run: Run) -> None:
    word = contextvars.ContextVar[str]("word")

    async def between(depth: int) -> str:
        return await aio.run(blocking, depth - 1)

    def blocking(depth: int) -> str:
        door.sleep(0.001)
        return word.get() if depth == 0 else aio.result(between(depth))

    async def main() -> None:
        word.set("deep")
        assert await aio.run(blocking, 5) == "deep"

    run(main())


def test_the_error_of_a_coroutine_is_raised_inside(run: Run) -> None:
    async def fail() -> None:
        raise KeyError("x")

    def function() -> str:
        with pytest.raises(KeyError):
            aio.result(fail())
        return "caught"

    assert run(aio.run(function)) == "caught"


def test_a_deadline_or_cancellation_ends_the_coroutine_before_it_is_told(run: Run) -> None:
    seen: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            try:
                await asyncio.sleep(0.01)
            finally:
                seen.append("ended")

    def bounded() -> None:
        with timeout(SOON):
            aio.result(slow())

    async def main() -> None:
        with pytest.raises(Timeout, match="waiting for an awaitable"):
            await aio.run(bounded)
        assert seen == ["ended"]
        task = asyncio.create_task(aio.run(aio.result, slow()))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen == ["ended"] * 2

    run(main())


def test_a_cancelled_awaitable_is_cancelled_inside(run: Run) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()

        def function() -> str:
            with pytest.raises(Cancelled):
                aio.result(future)
            return "caught"

        assert await aio.run(function) == "caught"

    run(main())


def test_result_is_refused_outside_run() -> None:
    async def coroutine() -> None:
        pass

    with pytest.raises(LocalProtocolError, match=r"called by portico\.aio\.run"):
        aio.result(coroutine())


# -- ends


@pytest.mark.parametrize("make", LOOPS.values(), ids=LOOPS)
def test_a_call_whose_loop_was_closed_ends_with_its_coroutine(make: Callable[[], Any]) -> None:
    ended: list[str] = []
    near, far = streams()

    def function() -> None:
        with near, far:
            try:
                near.read()
            except Cancelled:
                ended.append("cancelled")
            try:
                door.sleep(0.001)
            except LocalProtocolError as error:
                ended.append(str(error))

    loop = make()
    task = loop.create_task(aio.run(function))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    forget(task)
    assert ended == ["cancelled", "nobody awaits this call any more: it cannot wait for anything"]
    assert near.fileno() == far.fileno() == -1


def forget(task: asyncio.Task[Any]) -> None:
    """End what a closed loop has left in the middle, without a word."""
    coroutine = task.get_coro()
    assert coroutine is not None
    coroutine.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_waking_a_call_whose_loop_is_closed_does_nothing() -> None:
    waiters: list[Any] = []

    def function() -> None:
        waiters.append(door.waiter())
        door.park(waiters[0], "parking")

    loop = asyncio.new_event_loop()
    task = loop.create_task(aio.run(function))
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    thread = threading.Thread(target=waiters[0].wake)
    thread.start()
    thread.join()
    forget(task)


def test_a_generator_of_asyncio_may_be_closed_while_it_waits(run: Run) -> None:
    async def ticks() -> AsyncIterator[int]:
        while True:
            await aio.run(door.sleep, 0.001)
            yield 1

    async def main() -> None:
        async for _ in ticks():
            break

    run(main())


def test_greenlets_that_are_not_kept_are_freed(run: Run) -> None:
    async def burst() -> None:
        await asyncio.gather(*(aio.run(door.sleep, 0.001) for _ in range(100)))

    async def main() -> int:
        await burst()
        before = greenlets()
        await burst()
        assert greenlets() == before
        return before

    def in_a_thread() -> None:
        thread = threading.Thread(target=run, args=(main(),))
        thread.start()
        thread.join()

    before = greenlets()
    for _ in range(3):
        assert run(main()) <= before + IDLE + 2
        in_a_thread()
    assert greenlets() <= before + IDLE + 2


def greenlets() -> int:
    gc.collect()
    return sum(issubclass(type(each), greenlet.greenlet) and not each.dead for each in gc.get_objects())


def test_a_call_keeps_nothing_alive(run: Run) -> None:
    class Big:
        pass

    gone: list[weakref.ref[Big]] = []

    def function(big: Big, fail: bool) -> None:
        gone.append(weakref.ref(big))
        door.sleep(0.001)
        if fail:
            raise KeyError("x")

    async def call(fail: bool) -> None:
        try:
            await aio.run(function, Big(), fail)
        except KeyError:
            pass

    async def main() -> None:
        for fail in (False, True):
            await call(fail)
        task = asyncio.create_task(call(False))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        del task
        await asyncio.sleep(0)  # asyncio lets go of it
        assert [each() for each in gone] == [None] * 3

    gc.collect()
    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_debug_mode_and_resource_warnings_find_nothing(tmp_path: Path) -> None:
    program = """
        import asyncio, logging
        from portico import Server, aio, timeout, TaskGroup, sleep

        def echo(stream):
            while data := stream.read():
                stream.write(data)

        def blocking(address):
            from portico import connect
            with connect(address) as stream, TaskGroup() as group:
                group.start(stream.write, b"x" * 1000000)
                group.start(sleep, 0.01)
                return len(stream.read_exactly(1000000))

        async def main(address):
            asyncio.get_running_loop().slow_callback_duration = 2
            async with await aio.connect(address) as stream:
                await stream.write(b"hello")
                assert await stream.read() == b"hello"
            print(await asyncio.gather(*(aio.run(blocking, address) for _ in range(5))))

        logging.basicConfig(level=logging.WARNING)
        with Server(echo, "tcp://127.0.0.1:0") as server:
            asyncio.run(main(server.addresses[0]), debug=True)
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == (f"{[1000000] * 5}\n", "")


def test_ctrl_c_ends_the_wait_inside() -> None:
    program = """
        import asyncio
        from portico import aio, sleep
        from portico.errors import Cancelled
        def function():
            print("ready", flush=True)
            try:
                sleep(1000)
            except Cancelled:
                print("cancelled")
                raise
        try:
            asyncio.run(aio.run(function))
        except KeyboardInterrupt:
            print("interrupted")
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=20)
    assert out == "cancelled\ninterrupted\n"


def test_importing_portico_loads_no_greenlet_and_no_loop() -> None:
    program = "import sys, portico; print({'asyncio', 'greenlet', 'uvloop'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "set()\n"
