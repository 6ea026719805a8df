"""Tasks of handlers: inside as the handler is, and at a stop what was left ends as handlers do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import uvloop

from portico import Server, Stream, TaskGroup, timeout
from portico.errors import Cancelled
from portico.sync import Event, sleep, spawn
from tests.engines.process_handlers import leave_tasks
from tests.engines.serving import SECONDS, dial, until

pytestmark = pytest.mark.usefixtures("no_leaks")

GRACE = 300.0
uvloop.new_event_loop().close()  # what libuv opens once, and keeps, is no leak


@pytest.mark.parametrize("way", ["group", "spawn", "deep"])
def test_a_stop_by_a_task_that_the_handler_waits_for_does_not_wait_for_itself(engine: str, way: str) -> None:
    def stop() -> None:
        server.stop()

    def deep() -> None:
        spawn(spawn, stop).join().join()

    def talk(stream: Stream) -> None:
        if way == "group":
            with TaskGroup() as group:
                group.start(stop)
        else:
            spawn(stop if way == "spawn" else deep).join()
        stream.write(b"stopped\n")

    server = Server(talk, "tcp://127.0.0.1:0", engine=engine, grace=GRACE)
    with timeout(SECONDS), server, dial(server) as stream:
        assert stream.read_line() == b"stopped"
        server.wait()
        assert server.cut == []


def test_a_stop_of_another_server_by_a_task_waits_for_its_drain(engine: str) -> None:
    begun, cut = Event(), []

    def slow(stream: Stream) -> None:
        begun.set()
        sleep(0.2)
        stream.write(b"finished\n")

    def talk(stream: Stream) -> None:
        spawn(lambda: cut.append(other.stop(GRACE))).join()
        stream.write(b"%d\n" % other.connections)

    other = Server(slow, "tcp://127.0.0.1:0").start()
    with Server(talk, "tcp://127.0.0.1:0", engine=engine) as server, timeout(SECONDS), dial(other) as far:
        begun.wait()
        with dial(server) as stream:
            assert stream.read_line() == b"0"
        assert far.read_line() == b"finished"
    assert cut == [[]]


def test_what_a_handler_has_left_finishes_within_the_grace(engine: str) -> None:
    done: list[str] = []

    def late(said: Event) -> None:
        said.set()
        sleep(0.3)
        done.append("late")

    def talk(stream: Stream) -> None:
        said = Event()
        spawn(late, said)
        said.wait()
        stream.write(b"left\n")

    with timeout(SECONDS), Server(talk, "tcp://127.0.0.1:0", engine=engine, grace=GRACE) as server:
        with dial(server) as stream:
            assert stream.read_line() == b"left"
        until(lambda: server.connections == 0)
        assert server.stop() == []
        assert done == ["late"]


def test_after_the_grace_it_is_cancelled_and_named(engine: str) -> None:
    ended: list[str] = []

    def endless(said: Event) -> None:
        said.set()
        try:
            sleep(1000)
        except Cancelled:
            ended.append("cancelled")
            raise

    def talk(stream: Stream) -> None:
        said = Event()
        spawn(endless, said, name="the endless one")
        said.wait()
        stream.write(b"left\n")

    server = Server(talk, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS):
        with dial(server) as stream:
            assert stream.read_line() == b"left"
        until(lambda: server.connections == 0)
        began = monotonic()
        assert server.stop(0.2) == ["the task the endless one, which a handler had left"]
        assert monotonic() - began >= 0.2
        assert ended == ["cancelled"]


def test_a_second_stop_with_less_grace_shortens_the_wait_for_tasks(engine: str) -> None:
    def talk(stream: Stream) -> None:
        spawn(sleep, 1000)
        stream.write(b"left\n")

    server = Server(talk, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS):
        with dial(server) as stream:
            assert stream.read_line() == b"left"
        until(lambda: server.connections == 0)
        first = spawn(server.stop, GRACE)
        until(lambda: server.listeners[0].closed)
        assert server.stop(0.0)
        first.join()


@pytest.mark.parametrize("grace", [GRACE, 0.2])
def test_tasks_that_a_coroutine_has_left_are_drained_and_then_cancelled(grace: float) -> None:
    ended: list[str] = []

    async def late() -> None:
        try:
            await asyncio.sleep(0.5 if grace == GRACE else 1000)
            ended.append("finished")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    kept: set[asyncio.Task[None]] = set()

    async def talk(stream: Any) -> None:
        kept.add(asyncio.create_task(late(), name="late"))
        await stream.write(b"left\n")

    server = Server(talk, "tcp://127.0.0.1:0", engine="events").start()
    with timeout(SECONDS):
        with dial(server) as stream:
            assert stream.read_line() == b"left"
        until(lambda: server.connections == 0)
        cut = server.stop(grace)
    assert (ended, cut) == (
        (["finished"], []) if grace == GRACE else (["cancelled"], ["the task late, which a handler had left"])
    )


@pytest.mark.parametrize("engine", ["workers:1/threads", "workers:1/inline", "workers:1/events", "forks"])
def test_in_processes_too(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "late"
    server = Server(leave_tasks, "tcp://127.0.0.1:0", engine=engine, grace=SECONDS)
    with timeout(60), server, dial(server) as stream:
        stream.write(f"{path}\n".encode())
        assert stream.read_line() == b"left"
    assert path.exists()
