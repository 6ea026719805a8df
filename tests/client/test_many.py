"""Thousands of requests at once, of plain code, in one thread: none is answered before all were asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

import portico
from portico import aio
from portico.client.pool import PoolSize
from portico.client.session import Session
from portico.limits import Limits
from portico.server import Server
from portico.sockets.stream import Stream
from portico.sync import Event, Guard, TaskGroup
from tests.idle.clients import descriptors_for

MANY = 2000


class Gate:
    """Answers nobody before ``MANY`` have asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._guard = Guard()
        self._open = Event()

    def __call__(self, stream: Stream) -> None:
        head = stream.read_until(b"\r\n\r\n")
        with self._guard:
            self.asked += 1
        if self.asked == MANY:
            self._open.set()
        self._open.wait()
        path = head.split(b" ", 2)[1]
        stream.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(path), path)
        )


@pytest.fixture
def address() -> Iterator[str]:
    limits = Limits(connections=2 * MANY, backlog=MANY)
    with (
        descriptors_for(3 * MANY),
        Server(Gate(), "tcp://127.0.0.1:0", engine="events", limits=limits) as server,
    ):
        yield f"http://{server.addresses[0].host}:{server.addresses[0].port}"


def check(answers: list[str], threads: set[int]) -> None:
    assert answers == [f"/{number}" for number in range(MANY)]
    assert threads == {threading.get_ident()}


def test_in_plain_code_on_events(address):
    threads: set[int] = set()

    def one(session: Session, number: int) -> str:
        threads.add(threading.get_ident())
        return session.get(f"{address}/{number}").text

    def program() -> list[str]:
        with Session(env=False, timeout=60, pool=PoolSize(per_host=MANY)) as session:
            with TaskGroup() as group:
                tasks = [group.start(one, session, number) for number in range(MANY)]
            return [task.join() for task in tasks]

    check(portico.run(program), threads)


def test_awaited(address):
    threads: set[int] = set()

    async def program() -> list[str]:
        async with aio.Session(env=False, timeout=60, pool=PoolSize(per_host=MANY)) as session:

            async def one(number: int) -> str:
                threads.add(threading.get_ident())
                return (await session.get(f"{address}/{number}")).text

            return await asyncio.gather(*map(one, range(MANY)))

    check(asyncio.run(program()), threads)
