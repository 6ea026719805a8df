"""The awaitable face: streams, listeners and the server on the loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import portico
from portico import Limits, Server, Timeout, aio, timeout
from portico.errors import (
    BindError,
    ConfigError,
    ConnectError,
    EndOfStream,
    ResolveError,
    StreamClosed,
)
from portico.sockets import names
from tests.engines.loops import LOOPS, Run, run_on, streams
from tests.engines.serving import KINDS, address_of_kind, client_tls, dial, server_tls

pytestmark = pytest.mark.usefixtures("no_leaks")

SOON = 0.05
LONG = 1000.0


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on each kind of loop."""
    return partial(run_on, request.param)


# -- the awaitable stream


def _public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_public_name_of_the_stream_is_there() -> None:
    assert _public(portico.Stream) - _public(aio.Stream) == set()
    assert _public(portico.Listener) - _public(aio.Listener) == set()


@pytest.mark.parametrize("name", sorted(_public(portico.Stream) - {"from_socket"}))
def test_names_arguments_and_docstrings_are_the_same(name: str) -> None:
    blocking, awaited = getattr(portico.Stream, name), getattr(aio.Stream, name)
    if name != "as_file":
        assert awaited.__doc__ == blocking.__doc__
    if callable(blocking):
        theirs, ours = inspect.signature(blocking), inspect.signature(awaited)
        assert [str(each) for each in ours.parameters.values()] == [
            str(each) for each in theirs.parameters.values()
        ]


def test_connect_has_the_arguments_of_the_blocking_one() -> None:
    for name in ("connect", "listen"):
        blocking, awaited = inspect.signature(getattr(portico, name)), inspect.signature(getattr(aio, name))
        assert list(awaited.parameters) == list(blocking.parameters)


def echo(stream: portico.Stream) -> None:
    while data := stream.read():
        stream.write(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dialogue_over_every_kind_of_stream(run: Run, kind: str, tmp_path: Path) -> None:
    address = address_of_kind(kind, tmp_path)
    secure = {"tls": client_tls(), "server_name": "localhost"} if kind == "tls" else {}

    async def main(where: portico.Address) -> None:
        async with await aio.connect(where, **secure) as stream:
            assert (stream.tls is not None) is (kind == "tls")
            assert stream.peer is not None
            await stream.write(b"one\r\ntwo\nthree")
            assert await stream.read_line() == b"one"
            assert await stream.read_until(b"\n") == b"two\n"
            assert await stream.peek(2) == b"th"
            assert await stream.read_exactly(5) == b"three"
            await stream.write_many([b"a", b"b"])
            buffer = bytearray(2)
            filled = await stream.read_into(buffer)
            stream.unread(bytes(buffer[:filled]))
            assert await stream.read_exactly(2) == b"ab"
            assert stream.try_read() is None
            big = os.urandom(300_000)
            writing = asyncio.create_task(stream.write(big))
            assert await stream.read_exactly(len(big)) == big
            await writing
            await stream.write(b"1\n2\n3")
            await stream.shutdown_write()
            assert [line async for line in stream] == [b"1\n", b"2\n", b"3"]
            with pytest.raises(EndOfStream):
                await stream.read_line()
            assert repr(stream).startswith("<aio.Stream")
        assert stream.closed
        with pytest.raises(StreamClosed):
            await stream.read()

    tls = server_tls() if kind == "tls" else None
    with Server(echo, address, engine="threads", tls=tls) as server:
        run(main(server.addresses[0]))


def test_a_name_is_looked_up_without_holding_the_loop(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *args: Any) -> Any:
        if host != "slow.test":
            return real(host, *args)
        asked.set()
        go.wait(10)
        return real("127.0.0.1", *args)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(names, "IDLE", 0.01)

    async def main(port: int) -> None:
        connecting = asyncio.create_task(aio.connect(f"tcp://slow.test:{port}"))
        while not asked.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        go.set()
        async with await connecting as stream:
            await stream.write(b"x")
            assert await stream.read() == b"x"

    with Server(echo, "tcp://127.0.0.1:0") as server:
        run(main(server.addresses[0].port))


def test_happy_eyeballs_on_the_loop(run: Run) -> None:
    async def main(port: int) -> None:
        both = {"both.test": ["::1", "127.0.0.1"]}  # nobody listens on the first
        async with await aio.connect(f"tcp://both.test:{port}", resolve=both) as stream:
            assert stream.peer.host == "127.0.0.1"  # type: ignore[union-attr]
        with pytest.raises(ConnectError):
            await aio.connect(f"tcp://[::1]:{port}")
        with pytest.raises(ResolveError):
            await aio.connect("tcp://none.test:1", resolve={"none.test": []})

    with Server(echo, "tcp://127.0.0.1:0") as server:
        run(main(server.addresses[0].port))


def test_connecting_ends_with_the_deadline_and_with_the_task(run: Run) -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = []

    async def main() -> None:
        port = full.getsockname()[1]
        for _ in range(3):  # the kernel takes one more than was asked for, and then lets others wait
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            filling.append(sock)
        with pytest.raises(Timeout), timeout(SOON):
            await aio.connect(("127.0.0.1", port))
        task = asyncio.create_task(aio.connect(("127.0.0.1", port)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    try:
        run(main())
    finally:
        for sock in (full, *filling):
            sock.close()


def test_start_tls_on_both_sides(run: Run) -> None:
    async def main() -> None:
        near, far = (aio.Stream(stream) for stream in streams())
        async with near, far:
            server = asyncio.create_task(far.start_tls(server_tls()))
            await near.start_tls(client_tls(), "localhost")
            await server
            await near.write(b"secret")
            assert await far.read() == b"secret"

    run(main())


def test_a_file_is_sent(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = os.urandom(500_000)
    path.write_bytes(content)

    async def main() -> None:
        near, far = (aio.Stream(stream) for stream in streams())
        async with near, far:
            with path.open("rb") as file:
                sending = asyncio.create_task(near.send_file(file))
                assert await far.read_exactly(len(content)) == content
                assert await sending == len(content)

    run(main())


def test_a_listener_gives_streams_until_it_is_closed(run: Run) -> None:
    async def main() -> None:
        async with await aio.listen("tcp://127.0.0.1:0") as listener:
            peers: list[bytes] = []

            async def serve() -> None:
                async for stream in listener:
                    async with stream:
                        peers.append(await stream.read_line())

            serving = asyncio.create_task(serve())
            for number in range(3):
                async with await aio.connect(listener.addresses[0]) as client:
                    await client.write(b"%d\n" % number)
                    assert await client.read() == b""
            assert repr(listener).startswith("<aio.Listener tcp://127.0.0.1")
        await serving
        assert peers == [b"0", b"1", b"2"]

    run(main())


# -- the server on the loop


async def upper(stream: aio.Stream) -> None:
    async for line in stream:
        await stream.write(line.upper())


@pytest.mark.parametrize("kind", KINDS)
def test_an_async_handler_is_served(run: Run, kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        tls = server_tls() if kind == "tls" else None
        async with aio.Server(upper, address_of_kind(kind, tmp_path), tls=tls) as server:

            def ask() -> bytes:
                with dial(server.addresses[0]) as stream:
                    stream.write(b"hello\n")
                    return stream.read_line()

            assert await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(5))) == [b"HELLO"] * 5
            assert await asyncio.gather(*(aio.run(ask) for _ in range(20))) == [b"HELLO"] * 20
        assert server.connections == 0

    run(main())


def test_stopping_waits_then_cancels_and_names(run: Run) -> None:
    ended: list[str] = []

    async def handler(stream: aio.Stream) -> None:
        try:
            await stream.read()
            await asyncio.sleep(LONG)
        finally:
            ended.append("ended")

    async def main() -> None:
        server = await aio.Server(handler, "tcp://127.0.0.1:0").start()
        async with await aio.connect(server.addresses[0]) as client:
            await client.write(b"x")
            while not server.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            cut = await server.stop(0.01)
            assert len(cut) == 1
            assert "<Stream tcp://127.0.0.1" in cut[0]
            assert await client.read() == b""
        with pytest.raises(ConnectError):
            await aio.connect(server.addresses[0])

    run(main())
    assert ended == ["ended"]


def test_a_failing_handler_costs_its_connection_only(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(stream: aio.Stream) -> None:
        if await stream.read_line() == b"fail":
            raise KeyError("a bug")
        await stream.write(b"fine")

    async def main() -> None:
        async with aio.Server(handler, "tcp://127.0.0.1:0") as server:
            for word, answer in ((b"fail", b""), (b"work", b"fine")):
                async with await aio.connect(server.addresses[0]) as client:
                    await client.write(word + b"\n")
                    assert await client.read() == answer

    with caplog.at_level(logging.INFO, "portico.server"):
        run(main())
    assert ["KeyError('a bug')" in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()


def test_more_connections_than_the_limit_wait_their_turn(run: Run) -> None:
    most: list[int] = []

    async def main() -> None:
        async def handler(stream: aio.Stream) -> None:
            most.append(server.connections)
            await stream.write(await stream.read())

        server = aio.Server(handler, "tcp://127.0.0.1:0", limits=Limits(connections=2))
        async with server:

            async def ask() -> bytes:
                async with await aio.connect(server.addresses[0]) as client:
                    await client.write(b"x")
                    return await client.read()

            assert await asyncio.gather(*(ask() for _ in range(10))) == [b"x"] * 10

    run(main())
    assert max(most) <= 2


def test_a_full_server_stops_in_time(run: Run) -> None:
    async def main() -> None:
        async def handler(stream: aio.Stream) -> None:
            begun.set()
            await stream.read()

        begun = asyncio.Event()
        server = await aio.Server(handler, "tcp://127.0.0.1:0", limits=Limits(connections=1)).start()
        async with await aio.connect(server.addresses[0]):
            await begun.wait()
            async with asyncio.timeout(10):
                assert len(await server.stop(0.01)) == 1

    run(main())


def test_a_silent_handshake_is_cut(run: Run) -> None:
    async def main() -> None:
        limits = Limits(handshake=SOON)
        async with aio.Server(upper, "tls://127.0.0.1:0", tls=server_tls(), limits=limits) as server:
            where = server.addresses[0]
            async with await aio.connect((where.host, where.port)) as client:
                assert await client.read() == b""

    run(main())


def test_a_server_that_cannot_be_is_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="needs an address"):
        aio.Server(upper)
    with pytest.raises(ConfigError, match="needs a certificate"):
        aio.Server(upper, "tls://127.0.0.1:0")

    async def main() -> None:
        async with aio.Server(upper, "tcp://127.0.0.1:0") as server:
            with pytest.raises(ConfigError, match="started before"):
                await server.start()
            with pytest.raises(BindError):
                await aio.Server(upper, "tcp://127.0.0.1:0", server.addresses[0]).start()

    run(main())
