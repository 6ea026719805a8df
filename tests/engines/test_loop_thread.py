"""A loop in a thread of its own: what is submitted, how it ends."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
from typing import Any

import pytest

from portico import aio, timeout
from portico.engines import door, loop_thread
from portico.engines.loop_thread import LoopThread
from portico.errors import Cancelled, LocalProtocolError
from portico.sync import Queue
from tests.engines.loops import streams

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG = 1000.0
Reports = Queue[BaseException | None]


@pytest.fixture(autouse=True)
def _bounded() -> Any:
    with timeout(30):
        yield


async def nothing() -> None:
    pass


async def sleeping() -> None:
    await asyncio.sleep(LONG)


async def failing() -> None:
    raise KeyError("x")


def started() -> LoopThread:
    thread = LoopThread()
    thread.start()
    return thread


def test_each_coroutine_is_reported_once() -> None:
    loop, reports = started(), Reports()
    loop.submit(nothing, reports.put)
    assert reports.get() is None
    loop.submit(failing, reports.put)
    assert isinstance(reports.get(), KeyError)
    assert loop.tasks == 0
    assert loop.stop(10) == []
    assert len(reports) == 0


def test_what_cannot_begin_is_reported_too() -> None:
    loop, reports = started(), Reports()

    def make() -> Any:
        raise ValueError("no coroutine")

    loop.submit(make, reports.put)
    assert isinstance(reports.get(), ValueError)
    loop.stop(0)


def test_many_threads_submit_many_coroutines() -> None:
    loop, reports = started(), Reports()

    def submit() -> None:
        for _ in range(100):
            loop.submit(nothing, reports.put)

    threads = [threading.Thread(target=submit) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert [reports.get() for _ in range(500)] == [None] * 500
    for thread in threads:
        thread.join()
    loop.stop(10)


def test_coroutines_run_on_one_loop_in_one_other_thread() -> None:
    loop, reports = started(), Reports()
    seen: list[tuple[int, str, bool]] = []

    async def look() -> None:
        kind = type(asyncio.get_running_loop()).__module__
        seen.append((threading.get_ident(), kind, loop.inside))

    for _ in range(2):
        loop.submit(look, reports.put)
        reports.get()
    assert seen[0] == seen[1]
    assert seen[0][0] != threading.get_ident()
    assert seen[0][1:] == ("uvloop", True)
    assert not loop.inside
    loop.stop(0)


def test_without_uvloop_asyncio_s_own_loop_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop, reports = started(), Reports()
    kinds: list[str] = []

    async def look() -> None:
        kinds.append(type(asyncio.get_running_loop()).__module__)

    loop.submit(look, reports.put)
    reports.get()
    assert kinds == ["asyncio.unix_events"]
    loop.stop(0)


def test_coroutines_do_not_inherit_the_submitters_deadline() -> None:
    word = contextvars.ContextVar[str]("word", default="empty")
    loop, reports = started(), Reports()
    seen: list[str] = []

    async def look() -> None:
        await aio.run(door.sleep, 0.05)
        seen.append(word.get())

    word.set("submitter's")
    with timeout(0.01):
        loop.submit(look, reports.put)
    assert reports.get() is None
    assert seen == ["empty"]
    loop.stop(0)


def test_a_handler_of_awaitable_streams_is_run() -> None:
    loop, reports = started(), Reports()
    near, far = streams()

    async def handler(stream: aio.Stream) -> None:
        async with stream:
            async for line in stream:
                await stream.write(line.upper())

    with near, far:
        loop.submit(lambda: handler(aio.Stream(far)), reports.put, "a conversation")
        near.write(b"hello\n")
        assert near.read_line() == b"HELLO"
        near.shutdown_write()
        assert reports.get() is None
    loop.stop(10)


def test_stopping_waits_for_what_runs() -> None:
    loop, reports = started(), Reports()

    async def short() -> None:
        await asyncio.sleep(0.05)

    loop.submit(short, reports.put)
    assert loop.stop(20) == []
    assert reports.get() is None


def test_stopping_cancels_what_is_left_and_names_it() -> None:
    loop, reports = started(), Reports()
    cleaned: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("cleaned")

    for number in range(3):
        loop.submit(careful, reports.put, f"conversation {number}")
    assert loop.stop(0.02) == [f"conversation {number}" for number in range(3)]
    assert {type(reports.get()) for _ in range(3)} == {Cancelled}
    assert cleaned == ["cleaned"] * 3


def test_a_second_stop_shortens_the_first() -> None:
    loop, reports = started(), Reports()
    loop.submit(sleeping, reports.put, "a long one")
    first = door.spawn(loop.stop, LONG)
    door.sleep(0.01)
    assert loop.stop(0.01) == ["a long one"]
    assert first.join() == ["a long one"]
    assert loop.stop(1) == ["a long one"]  # over already
    assert isinstance(reports.get(), Cancelled)


def test_a_longer_second_stop_does_not_lengthen_the_first() -> None:
    loop, reports = started(), Reports()
    loop.submit(sleeping, reports.put, "a long one")
    first = door.spawn(loop.stop, 0.05)
    door.sleep(0.01)
    assert loop.stop(20) == ["a long one"]
    first.join()


def test_what_will_not_be_cancelled_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop_thread, "LAST_WORDS", 0.1)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop, reports = started(), Reports()

    async def stubborn() -> None:
        for _ in range(1000):
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                pass

    loop.submit(stubborn, reports.put, "a stubborn one")
    assert loop.stop(0.01) == ["a stubborn one"]
    said = [record.getMessage() for record in caplog.records if record.name == "portico.engines"]
    assert said == ["a stubborn one is left behind: it does not let itself be cancelled"]


def test_a_handler_that_blocks_the_thread_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop_thread, "LAST_WORDS", 0.02)
    loop, reports = started(), Reports()
    begun, go = threading.Event(), threading.Event()

    async def blocking() -> None:
        begun.set()
        go.wait(10)

    loop.submit(blocking, reports.put)
    begun.wait(10)
    with caplog.at_level(logging.ERROR, "portico.engines"):
        loop.stop(0.01)
    assert ["does not end: a handler blocks it" in record.getMessage() for record in caplog.records] == [True]
    go.set()
    assert reports.get() is None


def test_from_within_stopping_only_begins() -> None:
    loop, reports = started(), Reports()

    async def stop() -> None:
        assert loop.stop(5) == []

    loop.submit(stop, reports.put)
    assert reports.get() is None
    assert loop.stop(5) == []


def test_before_and_after_nothing_can_be_submitted() -> None:
    loop, reports = LoopThread(), Reports()
    with pytest.raises(LocalProtocolError, match="was not started"):
        loop.submit(nothing, reports.put)
    assert loop.stop(1) == []
    loop.start()
    with pytest.raises(LocalProtocolError, match="started before"):
        loop.start()
    loop.stop(1)
    with pytest.raises(LocalProtocolError, match="has ended"):
        loop.submit(nothing, reports.put)
