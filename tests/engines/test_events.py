"""The engine ``events``: what holds a greenlet and what does not, who is blamed, who gets a turn."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import time

import pytest

from portico import Limits, Server, Stream, timeout
from portico.engines import blame
from portico.engines.events import Events
from portico.engines.strand import Strand
from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.sync import TaskGroup, run_blocking, sleep
from tests.engines.serving import SECONDS, Gateway, Peer, ask, dial, get, until

pytestmark = pytest.mark.usefixtures("no_leaks")


_LEFT_BEHIND: list[Strand] = []
"""By tests before, on purpose: such a one stays for ever."""


@pytest.fixture(autouse=True)
def strangers() -> None:
    _LEFT_BEHIND[:] = _alive()


def strands() -> int:
    return sum(all(each is not other for other in _LEFT_BEHIND) for each in _alive())


def _alive() -> list[Strand]:
    return [each for each in gc.get_objects() if type(each) is Strand and not each.dead]


def echo(stream: Stream) -> None:
    while data := stream.read():
        stream.write(data)


def test_a_conversation_is_a_greenlet_and_all_are_in_one_thread() -> None:
    threads = set()

    def talk(stream: Stream) -> None:
        threads.add(threading.get_ident())
        echo(stream)

    with Server(talk, "tcp://127.0.0.1:0", engine="events") as server, timeout(SECONDS):
        streams = [dial(server) for _ in range(50)]
        for stream in streams:
            stream.write(b"x")
        assert [stream.read_exactly(1) for stream in streams] == [b"x"] * 50
        assert len(threads) == 1
        assert strands() == 50
        for stream in streams:
            stream.close()
        until(lambda: server.connections == 0)
        until(lambda: strands() == 0)


def test_parked_requests_hold_neither_a_greenlet_nor_a_thread() -> None:
    engine = Events()
    with Server(Gateway(lambda exchange: b"ok"), "http://127.0.0.1:0", engine=engine) as server:
        peers = [Peer(server.addresses[0], b"GET / HTTP/1.1\r\nHo") for _ in range(50)]
        kept = [Peer(server.addresses[0], get()) for _ in range(50)]
        for peer in kept:
            assert peer.answer().endswith(b"ok")
        until(lambda: engine._pool.busy == 0)
        assert server.connections == 100
        assert strands() == 0
        for peer in peers:
            peer.send(b"st: x\r\n\r\n")
            assert peer.answer().endswith(b"ok")
        for peer in peers + kept:
            peer.close()


def test_requests_run_in_the_pool_and_do_not_hold_up_conversations_or_each_other() -> None:
    gate = threading.Event()
    threads = set()

    def answer(exchange: Exchange) -> bytes:
        threads.add(threading.current_thread().name)
        if exchange.path == "/block":
            assert gate.wait(SECONDS)
        return exchange.path.encode()

    with Server(Gateway(answer), "http://127.0.0.1:0", engine="events:4") as server:
        blocked = [Peer(server.addresses[0], get("/block")) for _ in range(3)]
        for number in range(20):
            assert ask(server.addresses[0], f"/{number}") == b"/%d" % number
        gate.set()
        for peer in blocked:
            assert peer.answer().endswith(b"/block")
            peer.close()
    assert not {name for name in threads if "events" in name}


def test_all_request_threads_busy_a_bounded_queue_then_503() -> None:
    gate = threading.Event()
    limits = Limits().but(queue=2)
    engine = Events(1)
    with Server(Gateway(lambda exchange: b"%d" % gate.wait(SECONDS)), "http://127.0.0.1:0", engine=engine,
                limits=limits) as server:  # fmt: skip
        waiting = [Peer(server.addresses[0], get())]
        until(lambda: engine._pool.busy == 1)
        waiting += [Peer(server.addresses[0], get()) for _ in range(2)]
        until(lambda: len(engine._pool._waiting) == 2)
        with Peer(server.addresses[0], get()) as peer:
            assert peer.answer().startswith(b"HTTP/1.1 503 ")
        gate.set()
        for peer in waiting:
            assert peer.answer().startswith(b"HTTP/1.1 200 ")
            peer.close()


def test_a_handler_that_blocks_the_hub_is_named_with_its_stack(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blame, "HELD", 0.02)

    def sleeper(stream: Stream) -> None:
        stream.read_line()
        _hold(caplog)
        stream.write(b"done")

    server = Server(sleeper, "tcp://127.0.0.1:0", engine="events")
    with timeout(SECONDS), server, dial(server) as stream:
        stream.write(b"\n")
        assert stream.read_all() == b"done"
        assert f"the conversation with {stream.local}" in caplog.text
    assert "in _hold" in caplog.text
    assert "asleep; all others wait" in caplog.text
    assert "run_blocking" in caplog.text


def _hold(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(1000):
        if "has held the hub" in caplog.text:
            return
        time.sleep(0.01)


def test_blame_is_said_once_in_a_while_and_not_for_what_waits_properly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(blame, "HELD", 0.2)

    def proper(stream: Stream) -> None:
        sleep(0.5)
        run_blocking(time.sleep, 0.5)
        stream.write(b"done")

    def block(stream: Stream) -> None:
        for _ in range(3):
            time.sleep(0.5)
            sleep(0)
        stream.write(b"done")

    with caplog.at_level(logging.WARNING, "portico.events"), timeout(SECONDS):
        with Server(proper, "tcp://127.0.0.1:0", engine="events") as server, dial(server) as stream:
            assert stream.read_all() == b"done"
        assert "has held the hub" not in caplog.text
        with Server(block, "tcp://127.0.0.1:0", engine="events") as server, dial(server) as stream:
            assert stream.read_all() == b"done"
    assert caplog.text.count("has held the hub") == 1


def test_one_peer_that_sends_without_pause_starves_nobody() -> None:
    swallowed = 0

    def talk(stream: Stream) -> None:
        nonlocal swallowed
        while data := stream.read():
            swallowed += len(data)
            if data.endswith(b"?"):
                stream.write(b"!")

    over = threading.Event()

    def flood(address: tuple[str, int]) -> None:
        with socket.create_connection(address) as sock:
            while not over.is_set():
                sock.sendall(bytes(1 << 18))

    with Server(talk, "tcp://127.0.0.1:0", engine="events") as server, timeout(SECONDS):
        place = "127.0.0.1", server.addresses[0].port
        floods = [threading.Thread(target=flood, args=(place,)) for _ in range(2)]
        for thread in floods:
            thread.start()
        try:
            with dial(server) as stream:
                for _ in range(20):
                    before = swallowed
                    stream.write(b"?")
                    assert stream.read_exactly(1) == b"!"
                    until(lambda: swallowed > before)  # noqa: B023
        finally:
            over.set()
            for thread in floods:
                thread.join()


def test_a_handler_may_serve_many_upstreams_at_once() -> None:
    def upstream(stream: Stream) -> None:
        name = stream.read_line()
        sleep(0.05)
        stream.write(name.upper())

    with Server(upstream, "memory:upstream", engine="events") as up:

        def fetch(number: int) -> bytes:
            with dial(up) as stream:
                stream.write(b"name %d\n" % number)
                return stream.read_all()

        def gather(stream: Stream) -> None:
            with TaskGroup() as group:
                tasks = [group.start(fetch, number) for number in range(200)]
            stream.write(b",".join(task.join() for task in tasks))

        server = Server(gather, "tcp://127.0.0.1:0", engine="events")
        with timeout(SECONDS), server, dial(server) as stream:
            assert stream.read_all() == b",".join(b"NAME %d" % number for number in range(200))


def test_stopping_calls_off_what_waits_and_says_what() -> None:
    ends = []

    def stay(stream: Stream) -> None:
        try:
            sleep(3600)
        finally:
            ends.append("ended")

    with Server(stay, "tcp://127.0.0.1:0", engine="events") as server, timeout(SECONDS):
        streams = [dial(server) for _ in range(3)]
        until(lambda: strands() == 3)
        assert len(server.stop(0.05)) == 3
        assert ends == ["ended"] * 3
        for stream in streams:
            stream.close()
    until(lambda: strands() == 0)


def test_a_server_may_live_inside_run_and_stop_there() -> None:
    from portico import run

    def main() -> bytes:
        with Server(echo, "memory:inside", engine="events") as server, dial(server) as stream:
            stream.write(b"hello")
            return stream.read_exactly(5)

    with timeout(SECONDS):
        assert run(main) == b"hello"


def test_sizes_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one thread"):
        Events(0)
    with pytest.raises(ConfigError, match="expected a number above zero"):
        Server(echo, "memory:x", engine="events:0")
