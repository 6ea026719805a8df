"""Every kind of wait at the bridge: what ends it, and whose descriptors are watched."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import portico
from portico import Timeout, aio, timeout
from portico.engines import door
from portico.errors import (
    Cancelled,
    ConnectionLost,
    StreamBusy,
    StreamClosed,
)
from portico.sockets.memory import pair
from portico.sockets.pipe import PipeTransport
from portico.sockets.transport import READ, WRITE, Waitable
from portico.sync import Event, Lock, Queue, run_blocking
from tests.engines.loops import LOOPS, Run, run_on, started, streams

pytestmark = pytest.mark.usefixtures("no_leaks")

SOON = 0.05
LONG = 1000.0


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of loop."""
    return partial(run_on, request.param)


class Bell(Waitable):
    """Something without a descriptor that is never ready."""

    __slots__ = ()

    def ready(self, events: int) -> int:
        return 0


# -- cancellation


def parking() -> None:
    while True:
        door.park(door.waiter(), "parking")


def waiting(target: Waitable, events: int = READ) -> None:
    while True:
        door.wait(target, events, "waiting")


def waiting_any(target: Waitable) -> None:
    while True:
        door.wait_any([(target, READ), (Bell(), READ)], "waiting")


def held_lock() -> None:
    lock = Lock()
    lock.acquire()
    lock.acquire()


def breathing() -> None:
    while True:
        door.breathe()


def full(stream: portico.Stream) -> None:
    while True:
        stream.write(bytes(65536))


WAITS: dict[str, Callable[[portico.Stream], object]] = {
    "sleep": lambda _: door.sleep(LONG),
    "park": lambda _: parking(),
    "wait": lambda stream: waiting(stream.transport),
    "wait without descriptor": lambda _: waiting(Bell()),
    "wait any": lambda stream: waiting_any(stream.transport),
    "read": lambda stream: stream.read(),
    "write": full,
    "lock": lambda _: held_lock(),
    "event": lambda _: Event().wait(),
    "queue": lambda _: Queue[int]().get(),
    "join": lambda _: door.spawn(door.sleep, 0.3).join(),
    "thread": lambda _: run_blocking(threading.Event().wait, 0.3),
    "breathe": lambda _: breathing(),
    "result": lambda _: aio.result(asyncio.sleep(LONG)),
}


@pytest.mark.parametrize("what", WAITS)
def test_cancelling_the_task_cancels_every_kind_of_wait(run: Run, what: str) -> None:
    near, far = streams()
    caught: list[BaseException] = []

    def function() -> None:
        try:
            WAITS[what](near)
        except BaseException as error:
            caught.append(error)
            raise

    async def main() -> None:
        task = asyncio.create_task(aio.run(function))
        await asyncio.sleep(0.02)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert task.cancelled()
        assert not near.transport.waiters
        await aio.run(door.sleep, 0.001)  # nothing is left of it

    with near, far:
        run(main())
    assert [type(error) for error in caught] == [Cancelled]
    caught.clear()


@pytest.mark.parametrize("what", WAITS)
def test_a_deadline_ends_every_kind_of_wait(run: Run, what: str) -> None:
    near, far = streams()

    def function() -> None:
        with timeout(SOON):
            if what == "breathe":
                raise Timeout("breathing")  # it does not wait
            WAITS[what](near)

    async def main() -> None:
        with pytest.raises(Timeout):
            await aio.run(function)
        assert not near.transport.waiters

    with near, far:
        run(main())


def test_a_function_that_swallows_the_cancellation_goes_on(run: Run) -> None:
    def stubborn() -> str:
        try:
            door.sleep(LONG)
        except Cancelled:
            pass
        door.sleep(0.001)
        return "done after all"

    async def main() -> None:
        task = asyncio.create_task(aio.run(stubborn))
        await asyncio.sleep(0.001)
        task.cancel()
        assert await task == "done after all"
        assert not task.cancelled()

    run(main())


def test_cancelled_before_it_began_a_function_is_not_called(run: Run) -> None:
    called: list[int] = []

    async def main() -> None:
        task = asyncio.create_task(aio.run(called.append, 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert called == []


def test_asyncios_own_means_work_across_the_bridge(run: Run) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise KeyError("x")

    async def main() -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.01):
                await aio.run(door.sleep, LONG)
        assert type(caught.value) is TimeoutError
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aio.run(door.sleep, LONG), 0.01)
        me = asyncio.current_task()
        assert me is not None
        assert me.cancelling() == 0
        with pytest.raises(BaseExceptionGroup) as group:  # noqa: PT012
            async with asyncio.TaskGroup() as tasks:
                sleeping = tasks.create_task(aio.run(door.sleep, LONG))
                tasks.create_task(fail())
        assert sleeping.cancelled()
        assert [type(error) for error in group.value.exceptions] == [KeyError]

    run(main())


def test_cleaning_up_may_wait(run: Run) -> None:
    cleaned: list[str] = []

    def function() -> None:
        try:
            door.sleep(LONG)
        finally:
            door.sleep(0.001)
            cleaned.append("cleaned")

    async def main() -> None:
        task = asyncio.create_task(aio.run(function))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert cleaned == ["cleaned"]


def test_porticos_cancel_ends_a_task_and_only_that(run: Run) -> None:
    def function() -> str:
        tasks = [door.spawn(door.sleep, LONG) for _ in range(3)]
        tasks.append(door.spawn(door.sleep, 0.001))
        for task in tasks[:3]:
            task.cancel()
            with pytest.raises(Cancelled):
                task.join()
        tasks[3].join()
        return repr(tasks[3])

    assert run(aio.run(function)) == "<Task sleep: done>"


def test_a_task_can_be_cancelled_and_joined_from_another_thread(run: Run) -> None:
    async def main() -> None:
        task = await aio.run(door.spawn, door.sleep, LONG)
        thread = threading.Timer(0.01, task.cancel)
        thread.start()
        with pytest.raises(Cancelled):
            await asyncio.to_thread(task.join)
        thread.join()

    run(main())


def test_what_was_spawned_ends_with_the_loop_and_its_joiner_knows(run: Run) -> None:
    tasks: list[door.Task[None]] = []

    async def main() -> None:
        tasks.append(await aio.run(door.spawn, door.sleep, LONG))
        tasks.append(await aio.run(door.spawn, door.sleep, LONG))
        await asyncio.sleep(0.001)
        tasks.append(await aio.run(door.spawn, door.sleep, LONG))  # the loop ends before its first turn

    run(main())
    for task in tasks:
        with timeout(5), pytest.raises(Cancelled):
            task.join()


# -- streams at the bridge


def test_two_tasks_use_one_stream_for_reading_and_writing(run: Run) -> None:
    size = 3_000_000

    async def main() -> None:
        near, far = (aio.Stream(stream) for stream in streams())
        async with near, far:

            async def back() -> None:
                while data := await far.read():
                    await far.write(data)
                await far.shutdown_write()

            async def send() -> None:
                for _ in range(30):
                    await near.write(bytes(size // 30))
                await near.shutdown_write()

            echo, sending = asyncio.create_task(back()), asyncio.create_task(send())
            assert len(await near.read_all()) == size
            await asyncio.gather(echo, sending)

    run(main())


def test_a_second_reader_is_told(run: Run) -> None:
    async def main() -> None:
        near, far = (aio.Stream(stream) for stream in streams())
        async with near, far:
            first = asyncio.create_task(near.read())
            await started(near.transport)
            with pytest.raises(StreamBusy, match="somebody else is reading"):
                await near.read()
            await far.write(b"x")
            assert await first == b"x"

    run(main())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_close_ends_a_read_and_the_number_is_free_for_others(run: Run, elsewhere: bool) -> None:
    async def main() -> None:
        for _ in range(20):
            near, far = (aio.Stream(stream) for stream in streams())
            async with near, far:
                reading = asyncio.create_task(near.read())
                await started(near.transport)
                if elsewhere:
                    await asyncio.to_thread(near.close)
                else:
                    near.close()
                with pytest.raises(StreamClosed):
                    await reading
                assert near.fileno() == -1

    run(main())


def test_a_reused_number_is_watched_for_its_new_owner(run: Run) -> None:
    """The loop's own transports get the numbers that ours have just given back."""

    async def main() -> None:
        for _ in range(20):
            near, far = streams()
            number = near.fileno()
            reading = asyncio.create_task(aio.run(near.read))
            await started(near.transport)
            near.close()
            far.close()
            with pytest.raises(StreamClosed):
                await reading
            left, right = socket.socketpair()
            assert number in (left.fileno(), right.fileno())
            reader, writer = await asyncio.open_connection(sock=left)
            _, back = await asyncio.open_connection(sock=right)
            back.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
            writer.close()
            back.close()
            await writer.wait_closed()
            await back.wait_closed()

    run(main())


def test_a_listeners_number_may_be_reused_at_once(run: Run) -> None:
    async def main() -> None:
        for elsewhere in (False, True) * 5:
            listener = await aio.listen("tcp://127.0.0.1:0")
            where = listener.addresses[0]
            accepting = asyncio.create_task(listener.accept())
            await asyncio.sleep(0.005)
            if elsewhere:
                await asyncio.to_thread(listener.close)
            else:
                listener.close()
                (await aio.listen(where)).close()  # the port is free at once
            left, right = (aio.Stream.from_socket(end) for end in socket.socketpair())
            async with left, right:
                reading = asyncio.create_task(left.read())
                await asyncio.sleep(0)
                await right.write(b"x")
                assert await reading == b"x"
            with pytest.raises(StreamClosed):
                await accepting

    run(main())


def test_several_wait_for_one_descriptor(run: Run) -> None:
    near, far = streams()

    def until(events: int) -> int:
        while not (got := door.wait(near.transport, events, "waiting")):
            pass
        return got

    async def main() -> None:
        while near.transport.send(bytes(65536)):
            pass
        readers = [asyncio.create_task(aio.run(until, READ)) for _ in range(3)]
        writers = [asyncio.create_task(aio.run(until, WRITE)) for _ in range(3)]
        await asyncio.sleep(0.01)
        readers[0].cancel()
        await aio.run(far.write, b"x")
        assert [await task for task in readers[1:]] == [READ] * 2
        reading = asyncio.create_task(aio.run(far.read_all))
        assert [await task for task in writers] == [WRITE] * 3
        reading.cancel()
        await asyncio.wait([reading, readers[0]])

    with near, far:
        run(main())


def test_a_peer_that_sends_without_pause_does_not_starve_others(run: Run) -> None:
    async def main() -> None:
        near, far = streams()
        stop = threading.Event()

        def flood() -> None:
            try:
                while not stop.is_set():
                    far.write(bytes(65536))
            except ConnectionLost:
                pass

        def swallow() -> None:
            while near.read():
                pass

        with near, far:
            flooding = threading.Thread(target=flood)
            flooding.start()
            swallowing = asyncio.create_task(aio.run(swallow))
            for _ in range(10):
                await asyncio.sleep(0.001)
            stop.set()
            swallowing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await swallowing
            near.close()
            flooding.join()

    run(main())


def test_pipes_and_files_are_waited_for(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"from a file")
    reading, writing = os.pipe()

    def ready(transport: PipeTransport) -> int:
        return door.wait(transport, READ, "reading")

    async def main() -> None:
        pipe = PipeTransport(reading, None, "a pipe")
        file = PipeTransport(os.open(path, os.O_RDONLY), None, "a file")
        try:
            waiting = asyncio.create_task(aio.run(ready, pipe))
            await started(pipe)
            os.write(writing, b"x")
            assert await waiting == READ
            assert await aio.run(ready, file) == READ  # a regular file is always ready
            assert await aio.run(ready, file) == READ
        finally:
            pipe.close()
            file.close()
            os.close(writing)

    run(main())


def test_memory_streams_are_waited_for(run: Run) -> None:
    async def main() -> None:
        near, far = (aio.Stream(portico.Stream(end)) for end in pair())
        async with near, far:
            reading = asyncio.create_task(near.read())
            await started(near.transport)
            await far.write(b"x")
            assert await reading == b"x"
            again = asyncio.create_task(near.read())
            await started(near.transport)
            await asyncio.to_thread(far.close)
            assert await again == b""

    run(main())


def test_locks_and_queues_reach_across_threads(run: Run) -> None:
    there: Queue[int] = Queue(2)
    back: Queue[int] = Queue()

    def thread() -> None:
        for _ in range(200):
            back.put(there.get() + 1)

    def function() -> int:
        total = 0
        for number in range(200):
            there.put(number)
            total += back.get()
        return total

    other = threading.Thread(target=thread)
    other.start()
    assert run(aio.run(function)) == sum(range(1, 201))
    other.join()


def test_blocking_code_runs_in_a_thread_with_its_context(run: Run) -> None:
    word = contextvars.ContextVar[str]("word")

    def function() -> str:
        word.set("inherited")
        assert run_blocking(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            run_blocking(divmod, 1, 0)
        return run_blocking(word.get)

    assert run(aio.run(function)) == "inherited"
