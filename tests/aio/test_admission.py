"""Who may connect to a server on an asyncio loop."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest

from portico import Address, Admission, Limits, aio
from portico.errors import ConfigError, ConnectError, ConnectionLost, EndOfStream
from tests.engines.loops import LOOPS, Run, run_on
from tests.engines.serving import SECONDS

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of loop."""
    return partial(run_on, request.param)


async def hello(stream: aio.Stream) -> None:
    await stream.write(b"hello\n")
    await stream.read()


async def greeted(server: aio.Server) -> bool:
    try:
        async with await aio.connect(server.addresses[0]) as client:
            return await client.read_line() == b"hello"
    except (
        ConnectError,
        ConnectionLost,
        EndOfStream,
    ):  # it may be cut off before or after connect() is through
        return False


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"deny": ["127.0.0.0/8"]}, "deny"),
        ({"allow": ["10.0.0.0/8"]}, "allow"),
        ({"admit": lambda peer: False}, "admit"),
        ({"admit": lambda peer: 1 / 0}, "admit_failed"),
    ],
)
def test_who_is_not_wanted_is_cut_off_and_counted(run: Run, rules: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        async with aio.Server(hello, "tcp://127.0.0.1:0", admission=Admission(**rules)) as server:
            assert not await greeted(server)
            assert not await greeted(server)
            assert server.refused == {reason: 2}
            assert server.connections == 0

    run(main())


def test_places_are_given_back(run: Run) -> None:
    async def main() -> None:
        rules = Admission(max_per_peer=2)
        async with aio.Server(hello, "tcp://127.0.0.1:0", admission=rules) as server:
            for _ in range(3):
                clients = [await aio.connect(server.addresses[0]) for _ in range(2)]
                for client in clients:
                    assert await client.read_line() == b"hello"
                assert not await greeted(server)
                for client in clients:
                    client.close()
                while server.connections:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            assert server.refused == {"max_per_peer": 3}

    run(main())


def test_an_admit_that_blocks_holds_up_nobody_else(run: Run) -> None:
    gate, asked = threading.Event(), threading.Event()
    first: list[Address] = []

    def admit(peer: Address) -> bool:
        first.append(peer)
        if len(first) == 1:
            asked.set()
            gate.wait(SECONDS)
        return True

    async def main() -> None:
        async with aio.Server(hello, "tcp://127.0.0.1:0", admission=Admission(admit=admit)) as server:
            slow = asyncio.create_task(greeted(server))
            await asyncio.to_thread(asked.wait, SECONDS)
            assert await greeted(server)
            assert not slow.done()
            gate.set()
            assert await slow

    run(main())


def test_an_answer_that_does_not_come_in_time_is_a_no(run: Run) -> None:
    gate = threading.Event()

    async def main() -> None:
        limits, rules = Limits(handshake=0.1), Admission(admit=lambda peer: gate.wait(SECONDS))
        async with aio.Server(hello, "tcp://127.0.0.1:0", admission=rules, limits=limits) as server:
            assert not await greeted(server)
            assert server.refused == {"admit_failed": 1}
            gate.set()

    run(main())


def test_a_stop_does_not_wait_for_an_answer(run: Run) -> None:
    gate = threading.Event()

    async def main() -> float:
        rules = Admission(admit=lambda peer: gate.wait(SECONDS))
        server = await aio.Server(hello, "tcp://127.0.0.1:0", admission=rules).start()
        async with await aio.connect(server.addresses[0]):
            while not server.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            began = time.monotonic()
            await server.stop(0.05)
            gate.set()
            return time.monotonic() - began

    assert run(main()) < SECONDS / 2


def test_rules_that_can_never_apply_are_refused() -> None:
    with pytest.raises(ConfigError, match="nobody would be refused"):
        aio.Server(hello, "tcp://127.0.0.1:0", admission=Admission(max_connections=10**9))
