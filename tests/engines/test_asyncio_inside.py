"""A handler that runs an asyncio loop of its own: to block in there is one clear error, on every engine."""

from __future__ import annotations

import asyncio

import pytest

from portico import Server, run, timeout
from portico.errors import LocalProtocolError
from portico.sync import sleep
from tests.engines.process_handlers import BLOCKING, block_a_loop
from tests.engines.serving import ENGINES, SECONDS, dial

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("engine", [*ENGINES, "workers:1/threads", "workers:1/events", "forks"])
def test_a_blocking_call_in_a_loop_of_the_handlers_own_is_refused_and_nothing_else_is_harmed(
    engine: str,
) -> None:
    server = Server(block_a_loop, "tcp://127.0.0.1:0", engine=engine)
    with server, timeout(SECONDS), dial(server) as stream:
        for what in BLOCKING:
            stream.write(what.encode() + b"\n")
            said = stream.read_line().decode()
            assert "would block the asyncio loop of this thread" in said, what
            assert "portico.aio.run" in said
        stream.write(b"over\n")
        assert stream.read_all() == b"and still here\n"


@pytest.mark.parametrize("engine", ["events", "threads"])
def test_in_a_run_too(engine: str) -> None:
    async def blocks() -> None:
        sleep(0.001)

    def main() -> str:
        with pytest.raises(LocalProtocolError, match="would block the asyncio loop") as error:
            asyncio.run(blocks())
        sleep(0.001)
        return str(error.value)

    assert "portico.aio.run" in run(main, engine=engine)
