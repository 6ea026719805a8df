"""``async def`` handlers on ``events``: the same server, with the conversation on an asyncio loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path

import pytest

from portico import Server, timeout
from portico.aio import Stream
from portico.engines import blame, loop_thread
from portico.errors import ConfigError
from tests.engines import loops  # noqa: F401  (what libuv opens once is no leak)
from tests.engines.serving import KINDS, SECONDS, address_of_kind, dial, server_tls, until

pytestmark = pytest.mark.usefixtures("no_leaks")


async def echo(stream: Stream) -> None:
    async for line in stream:
        await stream.write(line)


@pytest.mark.parametrize("kind", KINDS)
def test_an_async_handler_talks_over_every_transport(kind: str, tmp_path: Path) -> None:
    address = address_of_kind(kind, tmp_path)
    with Server(echo, address, engine="events", tls=server_tls()) as server, timeout(SECONDS):
        streams = [dial(server) for _ in range(20)]
        for number, stream in enumerate(streams):
            stream.write(b"line %d\n" % number)
        for number, stream in enumerate(streams):
            with stream:
                assert stream.read_line() == b"line %d" % number
        until(lambda: server.connections == 0)


def test_all_conversations_share_one_loop_that_is_not_the_hub() -> None:
    seen = set()

    async def tell(stream: Stream) -> None:
        seen.add((threading.get_ident(), id(asyncio.get_running_loop())))
        await asyncio.sleep(0)
        await stream.write(b"x")

    with Server(tell, "tcp://127.0.0.1:0", engine="events") as server, timeout(SECONDS):
        for _ in range(3):
            with dial(server) as stream:
                assert stream.read_all() == b"x"
    assert len(seen) == 1
    assert threading.get_ident() not in {thread for thread, _ in seen}


def test_a_handler_class_may_have_an_async_handle() -> None:
    class Greeter:
        stream: Stream

        def setup(self) -> None:
            self.greeting = b"hello "

        async def handle(self) -> None:
            await self.stream.write(self.greeting + await self.stream.read_line())

    with (
        Server(Greeter, "tcp://127.0.0.1:0", engine="events") as server,
        timeout(SECONDS),
        dial(server) as stream,
    ):
        stream.write(b"you\n")
        assert stream.read_all() == b"hello you"


def test_an_async_handler_that_blocks_the_loop_is_named_with_its_stack(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blame, "HELD", 0.02)

    async def talk(stream: Stream) -> None:
        await stream.read_line()
        await asyncio.sleep(0.3)  # waits, and holds nobody
        assert "has held" not in caplog.text
        _hold(caplog)
        await stream.write(b"done")

    server = Server(talk, "tcp://127.0.0.1:0", engine="events")
    with timeout(SECONDS), server, dial(server) as stream:
        stream.write(b"\n")
        assert stream.read_all() == b"done"
        assert f"the conversation with {stream.local} has held the asyncio loop" in caplog.text
    assert "in _hold" in caplog.text
    assert "asleep; all others wait. Put the call into asyncio.to_thread()" in caplog.text


def _hold(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(1000):
        if "has held the asyncio loop" in caplog.text:
            return
        time.sleep(0.01)


def test_an_async_handler_that_raises_is_reported_and_costs_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(stream: Stream) -> None:
        raise ValueError("on purpose")

    with Server(fail, "tcp://127.0.0.1:0", engine="events") as server, timeout(SECONDS):
        with caplog.at_level(logging.ERROR, "portico.server"), dial(server) as stream:
            assert stream.read_all() == b""
        until(lambda: server.connections == 0)
    assert "on purpose" in caplog.text


@pytest.mark.parametrize("module", ["uvloop", "asyncio"])
@pytest.mark.parametrize("leaving", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_an_async_handler_that_wants_to_end_the_program_costs_its_connection_only(
    module: str, leaving: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module == "asyncio":
        monkeypatch.setattr(loop_thread, "_new_loop", asyncio.new_event_loop)

    async def leave() -> None:
        raise leaving

    async def leave_or_echo(stream: Stream) -> None:
        line = await stream.read_line()
        if line == b"leave":
            raise leaving
        if line == b"leave in a task":
            await asyncio.create_task(leave())
        await stream.write(line)

    with Server(leave_or_echo, "tcp://127.0.0.1:0", engine="events") as server, timeout(SECONDS):
        for line in (b"a", b"leave", b"b", b"leave in a task", b"c"):
            with dial(server) as stream:
                stream.write(line + b"\n")
                assert stream.read_all() == (b"" if line.startswith(b"leave") else line)
        until(lambda: server.connections == 0)


def test_stopping_waits_for_async_handlers_and_then_calls_them_off() -> None:
    ends = []

    async def stay(stream: Stream) -> None:
        try:
            await stream.write(b"x")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def finish(stream: Stream) -> None:
        await stream.write(b"x")
        ends.append(await stream.read_line())

    with (
        Server(stay, "tcp://127.0.0.1:0", engine="events") as server,
        timeout(SECONDS),
        dial(server) as stream,
    ):
        assert stream.read_exactly(1) == b"x"
        assert len(server.stop(0.05)) == 1
    assert ends == ["cancelled"]
    with (
        Server(finish, "tcp://127.0.0.1:0", engine="events") as server,
        timeout(SECONDS),
        dial(server) as stream,
    ):
        assert stream.read_exactly(1) == b"x"
        stopping = threading.Thread(target=server.stop, args=(SECONDS,))
        stopping.start()
        stream.write(b"done\n")
        stopping.join()
    assert ends == ["cancelled", b"done"]


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_other_engines_refuse_an_async_handler_and_say_what_to_do(engine: str) -> None:
    with pytest.raises(ConfigError, match='async function: serve it with engine="events"'):
        Server(echo, "tcp://127.0.0.1:0", engine=engine).start()
