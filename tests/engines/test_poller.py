"""Pollers: the fast one and the fallback tell the same, and the engine works with either."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portico import Server, Stream, timeout
from portico.engines import lot
from portico.engines import poller as module
from portico.engines.poller import HANGUP, EpollPoller, Poller, SelectPoller, make_poller
from portico.engines.threads import Threads
from portico.http.exchange import Exchange
from portico.sockets.transport import READ, WRITE
from tests.engines.serving import (
    KINDS,
    SECONDS,
    Gateway,
    Peer,
    address_of_kind,
    ask,
    dial,
    get,
    reset,
    server_tls,
    until,
)

pytestmark = pytest.mark.usefixtures("no_leaks")

SELECTORS = [
    name for name in ("PollSelector", "SelectSelector", "EpollSelector") if hasattr(module.selectors, name)
]


@pytest.fixture(params=["epoll", *SELECTORS])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Poller]:
    if request.param != "epoll":
        monkeypatch.setattr(module.selectors, "DefaultSelector", getattr(module.selectors, request.param))
    elif not hasattr(select, "epoll"):
        pytest.skip("no epoll here")
    made: Poller = EpollPoller() if request.param == "epoll" else SelectPoller()
    yield made
    made.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_readiness_is_told(poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    poller.watch(near.fileno(), READ, 0)
    assert poller.poll(0.0) == []
    far.send(b"x")
    assert [(fd, events & (READ | WRITE)) for fd, events in poller.poll(SECONDS)] == [(near.fileno(), READ)]
    poller.watch(near.fileno(), READ | WRITE, READ)
    assert [(fd, events & (READ | WRITE)) for fd, events in poller.poll(SECONDS)] == [
        (near.fileno(), READ | WRITE)
    ]
    poller.watch(near.fileno(), 0, READ | WRITE)
    assert poller.poll(0.0) == []


def test_the_end_is_told_apart_from_mere_data(
    poller: Poller, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    poller.watch(near.fileno(), READ, 0)
    far.close()
    [(descriptor, events)] = poller.poll(SECONDS)
    assert descriptor == near.fileno()
    assert events & READ
    assert events & HANGUP


def test_a_wake_ends_a_poll_without_bound(poller: Poller) -> None:
    timer = threading.Timer(0.05, poller.wake)
    timer.start()
    began = time.monotonic()
    assert poller.poll(-1.0) == []
    assert time.monotonic() - began > 0.03, "it waited"
    timer.join()
    for _ in range(100_000):
        poller.wake()
    assert poller.poll(SECONDS) == []


def test_a_wake_after_the_end_touches_nobody_s_descriptor(poller: Poller) -> None:
    poller.close()
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        more = [os.dup(writing) for _ in range(8)]  # take the numbers that were given back
        poller.wake()
        with pytest.raises(BlockingIOError):
            os.read(reading, 100)
        for descriptor in more:
            os.close(descriptor)
    finally:
        os.close(reading)
        os.close(writing)
        poller.close = lambda: None  # type: ignore[method-assign]


def test_unwatching_what_was_closed_is_no_fault(poller: Poller) -> None:
    near, far = socket.socketpair()
    poller.watch(near.fileno(), READ, 0)
    descriptor = near.detach()
    os.close(descriptor)
    poller.watch(descriptor, 0, READ)
    far.close()


def test_a_reused_descriptor_can_be_watched(poller: Poller) -> None:
    near, far = socket.socketpair()
    number = near.fileno()
    poller.watch(number, READ, 0)
    near.close()
    far.close()
    near, far = socket.socketpair()
    with near, far:
        os.dup2(near.fileno(), number) if near.fileno() != number else None
        poller.watch(number, READ, 0)
        far.send(b"x")
        found = [fd for fd, events in poller.poll(SECONDS) if events & READ]
        assert number in found
        if near.fileno() != number:
            os.close(number)


def test_what_is_watched_meanwhile_is_seen(poller: Poller, ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    far.send(b"x")
    found: list[tuple[int, int]] = []

    def loop() -> None:
        while not found:
            found.extend(poller.poll(SECONDS))

    thread = threading.Thread(target=loop)
    thread.start()
    time.sleep(0.02)
    poller.watch(near.fileno(), READ, 0)
    thread.join(SECONDS / 2)
    assert found
    assert found[0][0] == near.fileno()


def test_a_listener_is_told_until_it_was_accepted_from(poller: Poller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        poller.watch(listener.fileno(), READ, 0, level=True)
        for _ in range(3):
            assert [fd for fd, _ in poller.poll(SECONDS)] == [listener.fileno()]
        listener.accept()[0].close()
        assert poller.poll(0.0) == []
        poller.watch(listener.fileno(), 0, READ)


def test_the_best_poller_of_this_platform_is_taken() -> None:
    made = make_poller()
    assert isinstance(made, EpollPoller if hasattr(select, "epoll") else SelectPoller)
    made.close()


# -- the engine on the fallback


@pytest.fixture(params=SELECTORS)
def _fallback(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.selectors, "DefaultSelector", getattr(module.selectors, request.param))
    monkeypatch.setattr(lot, "make_poller", SelectPoller)


@pytest.mark.usefixtures("_fallback")
@pytest.mark.parametrize("kind", KINDS)
def test_conversations_work_on_the_fallback(kind: str, tmp_path: Path) -> None:
    def echo(stream: Stream) -> None:
        for line in stream:
            stream.write(line)

    with (
        Server(echo, address_of_kind(kind, tmp_path), engine="threads", tls=server_tls()) as server,
        timeout(SECONDS),
    ):
        for turn in range(10):
            with dial(server) as stream:
                stream.write(b"%d\n" % turn)
                assert stream.read_line() == b"%d" % turn
        until(lambda: server.connections == 0)


@pytest.mark.usefixtures("_fallback")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_work_on_the_fallback(scheme: str) -> None:
    def mixed(exchange: Exchange) -> bytes:
        if exchange.path.endswith("7"):
            time.sleep(0.012)
        body = exchange.body.read()
        return b"%d %s" % (len(body), exchange.path.encode()) + b"." * (
            300_000 if exchange.path == "/5" else 0
        )

    engine = Threads(4)
    server = Server(Gateway(mixed), f"{scheme}://127.0.0.1:0", engine=engine, tls=server_tls())

    def client(number: int) -> None:
        with timeout(SECONDS), dial(server) as stream:
            for turn in range(10):
                stream.write(b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n" % turn)
                stream.write(b"x" * 4)
                stream.write(b"x" * 5)
                head = stream.read_until(b"\r\n\r\n").lower()
                size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                assert stream.read_exactly(size).startswith(b"9 /%d" % turn)

    with server, ThreadPoolExecutor(8) as clients:
        list(clients.map(client, range(16)))
        for _ in range(20):
            reset(Peer(server.addresses[0], get()[:10]).sock)
        until(lambda: server.connections == 0)


@pytest.mark.usefixtures("_fallback")
def test_an_idle_server_does_not_spin_on_the_fallback() -> None:
    with Server(Gateway(lambda exchange: b"ok"), "http://127.0.0.1:0", engine="threads") as server:
        assert ask(server.addresses[0]) == b"ok"
        with Peer(server.addresses[0], get()) as peer:
            peer.answer()
            time.sleep(0.15)  # the watchdog goes to rest
            before = time.process_time()
            time.sleep(0.3)
            assert time.process_time() - before < 0.1
