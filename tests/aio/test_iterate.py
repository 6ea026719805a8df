"""``aio.iterate``: what blocking functions give, item by item, awaited."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import aclosing, suppress
from time import monotonic

import pytest

import portico
from portico import aio
from portico.data import read


@pytest.fixture
def halting() -> Iterator[tuple[str, threading.Event]]:
    """A server of two lines of JSON, the second of which is sent when the event is set."""
    go = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nContent-Length: 16\r\n\r\n"
            connection.sendall(head + b'{"n":1}\n')
            go.wait(20)
            with suppress(OSError):
                connection.sendall(b'{"n":2}\n')

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", go
    finally:
        go.set()
        listener.close()
        thread.join()


def test_the_loop_goes_on_while_records_are_waited_for(halting: tuple[str, threading.Event]) -> None:
    url, go = halting
    told: list[object] = []

    async def main() -> None:
        async def other() -> None:
            await first.wait()
            await asyncio.sleep(0.01)
            told.append("the loop goes on")
            go.set()

        first = asyncio.Event()
        waiting = asyncio.create_task(other())
        async for record in aio.iterate(read, url):
            told.append(record)
            first.set()
        await waiting

    asyncio.run(main())
    assert told == [{"n": 1}, "the loop goes on", {"n": 2}]


def test_a_deadline_covers_all_of_it(halting: tuple[str, threading.Event]) -> None:
    async def main() -> None:
        records = aio.iterate(read, halting[0])
        with portico.timeout(0.2):
            assert await anext(records) == {"n": 1}
            with pytest.raises(portico.Timeout):
                await anext(records)

    asyncio.run(main())


def test_cancelled_while_it_waits(halting: tuple[str, threading.Event]) -> None:
    closed: list[bool] = []

    def records() -> Iterator[object]:
        try:
            yield from read(halting[0])
        finally:
            closed.append(True)

    async def main() -> None:
        async def taking() -> None:
            async for _ in aio.iterate(records):
                begun.set()

        begun = asyncio.Event()
        task = asyncio.create_task(taking())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed == [True]


def test_who_stops_early_closes_it_and_errors_come_out() -> None:
    closed: list[str] = []

    def failing() -> Iterator[int]:
        try:
            yield 1
            raise KeyError("broken")
        finally:
            closed.append("failing")

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("endless")

    async def main() -> None:
        with pytest.raises(KeyError, match="broken"):
            async for _ in aio.iterate(failing):
                pass
        async with aclosing(aio.iterate(endless)) as items:
            async for _ in items:
                break
        assert closed == ["failing", "endless"]
        assert [item async for item in aio.iterate(iter, [1, 2])] == [1, 2]
        with pytest.raises(TypeError):
            await anext(aio.iterate(abs, 3))  # type: ignore[arg-type]

    asyncio.run(main())


def test_what_never_waits_leaves_turns_to_others() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def busy() -> Iterator[int]:
        until = monotonic() + 0.1
        while monotonic() < until:
            yield 1

    async def main() -> None:
        task = asyncio.create_task(other())
        async for _ in aio.iterate(busy):
            pass
        task.cancel()

    asyncio.run(main())
    assert turns >= 3
