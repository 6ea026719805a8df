"""Parked states hold no thread: a hundred slow peers of each kind against two threads; their deadlines."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from portico import Limits, Server, Stream, timeout
from portico.engines.threads import Threads
from portico.http.exchange import Exchange
from tests.engines.serving import (
    HELLO,
    SECONDS,
    Gateway,
    Peer,
    ask,
    dial,
    engine_threads,
    get,
    server_tls,
    until,
)

pytestmark = pytest.mark.usefixtures("no_leaks")

MANY = 100
LARGE = 458 << 16  # 30 MB


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "file"
    path.write_bytes(os.urandom(1 << 16) * 458)
    return path


BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab"

STAGES: dict[str, tuple[str, bytes]] = {
    "silence": ("http", b""),
    "silence before TLS": ("https", b""),
    "half a TLS hello": ("https", HELLO[: len(HELLO) // 2]),
    "half a TLS handshake": ("https", HELLO),
    "half a request line": ("http", b"GET / HT"),
    "half a head": ("http", b"GET / HTTP/1.1\r\nHost: x\r\nX-Half"),
    "no body": ("http", BODY),
    "half a body": ("http", BODY + b"x" * 500),
    "half a chunk": ("http", CHUNKED),
    "a slow reader of bytes": ("http", get("/bytes")),
    "a slow reader of a file": ("http", get("/file")),
}


def gateway(large: Path) -> Gateway:
    payload = b"x" * LARGE

    def answer(exchange: Exchange) -> bytes:
        return payload if exchange.path == "/bytes" else exchange.path.encode()

    class Filing(Gateway):
        def __call__(self, exchange: Exchange) -> None:
            if exchange.path == "/file":
                exchange.start(200, [("Content-Length", str(LARGE))])
                exchange.send_file(large.open("rb"), 0, LARGE)
                exchange.finish()
            else:
                super().__call__(exchange)

    return Filing(answer)


def serving(large: Path, engine: Any, **limits: object) -> Server:
    bounds = Limits().but(**limits)
    return Server(
        gateway(large),
        "http://127.0.0.1:0",
        "https://127.0.0.1:0",
        engine=engine,
        limits=bounds,
        tls=server_tls(),
    )


@contextmanager
def opened(server: Server, stage: str, many: int) -> Iterator[list[Peer]]:
    scheme, data = STAGES[stage]
    address = next(address for address in server.addresses if address.scheme == scheme)
    with ExitStack() as stack:
        small = 4096 if "reader" in stage else 0
        yield [stack.enter_context(Peer(address, data, receive_buffer=small)) for _ in range(many)]


@pytest.mark.parametrize("stage", STAGES)
def test_a_hundred_slow_peers_hold_no_thread(stage: str, large: Path) -> None:
    before = list(engine_threads())
    with serving(large, Threads(2)) as server, timeout(SECONDS):
        with opened(server, stage, MANY):
            until(lambda: server.connections == MANY)
            for turn in range(5):
                assert ask(server.addresses[0], f"/{turn}") == f"/{turn}".encode()
            assert len(list(engine_threads(before))) <= 5
            until(lambda: server.connections == MANY, "nobody else to be there, and nobody given up")
        until(lambda: server.connections == 0)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_conversations_begin_after_the_handshake(transport: str) -> None:
    def greet(stream: Stream) -> None:
        stream.write(b"hello")

    before = list(engine_threads())
    with Server(greet, f"{transport}://127.0.0.1:0", engine="threads:2", tls=server_tls()) as server:
        many = MANY if transport == "tls" else 1
        with ExitStack() as stack:
            for _ in range(many):
                stack.enter_context(Peer(server.addresses[0], HELLO))
            until(lambda: server.accepted == many)
            with timeout(SECONDS), dial(server) as stream:
                assert stream.read_all() == b"hello"
            assert len(list(engine_threads(before))) <= 5
        until(lambda: server.connections == 0)


SHORT = {
    "silence": {"head": 0.1},
    "silence before TLS": {"handshake": 0.1},
    "half a TLS hello": {"handshake": 0.1},
    "half a TLS handshake": {"handshake": 0.1},
    "half a request line": {"head": 0.1},
    "half a head": {"head": 0.1},
    "no body": {"body_grace": 0.1, "body_rate": 10**6},
    "half a body": {"body_grace": 0.1, "body_rate": 10**6},
    "half a chunk": {"body_grace": 0.1, "body_rate": 10**6},
    "a slow reader of bytes": {"write_stall": 0.1},
    "a slow reader of a file": {"write_stall": 0.1},
}
SAID = {
    "half a request line": 408,
    "half a head": 408,
    "no body": 408,
    "half a body": 408,
    "half a chunk": 408,
}


def check_farewell(stage: str, got: bytes) -> None:
    if stage in SAID:
        assert got.startswith(b"HTTP/1.1 %d " % SAID[stage])
    elif "reader" in stage:
        assert 0 < len(got) < LARGE
    elif stage != "half a TLS handshake":  # there it is the server's half
        assert got == b""


@pytest.mark.parametrize("stage", STAGES)
def test_each_parked_state_has_a_deadline(stage: str, engine: str, large: Path) -> None:
    many = 1 if engine == "inline" else 20
    with serving(large, engine, linger=0.1, **SHORT[stage]) as server, timeout(SECONDS):
        with opened(server, stage, many) as peers:
            until(lambda: server.accepted == many)
            until(lambda: server.connections == 0)
            for peer in peers:
                check_farewell(stage, peer.rest())
        assert ask(server.addresses[0], "/after") == b"/after"


def test_an_idle_kept_connection_is_closed_after_its_time(engine: str, large: Path) -> None:
    with serving(large, engine, idle=0.1) as server, Peer(server.addresses[0], get("/1")) as peer:
        assert peer.answer().endswith(b"/1")
        assert peer.rest() == b""
        until(lambda: server.connections == 0)


def test_a_trickle_of_bytes_does_not_put_off_the_deadline_of_a_head(engine: str, large: Path) -> None:
    with serving(large, engine, head=0.2, linger=0.1) as server, Peer(server.addresses[0], b"GET / ") as peer:
        began = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012
            while time.monotonic() < began + SECONDS:
                peer.send(b"x")
                time.sleep(0.01)
        until(lambda: server.connections == 0)


def test_a_reader_that_goes_on_slowly_is_served_to_the_end(engine: str, large: Path) -> None:
    with (
        serving(large, engine, write_stall=1.0) as server,
        Peer(server.addresses[0], get("/file"), receive_buffer=1 << 16) as peer,
    ):
        total = 0
        for _ in range(5):
            time.sleep(0.05)
            total += len(peer.sock.recv(1 << 12))
        while total < LARGE:
            data = peer.sock.recv(1 << 20)
            assert data
            total += len(data)


def test_a_fast_reader_of_a_large_file_does_not_hold_up_others(large: Path) -> None:
    """Its socket always takes more; others get their turn all the same."""
    with serving(large, Threads(2)) as server, timeout(SECONDS):
        done: list[int] = []

        def swallow() -> None:
            for _ in range(6):
                with Peer(server.addresses[0], get("/file", extra="Connection: close\r\n")) as peer:
                    done.append(sum(map(len, iter(lambda: peer.sock.recv(1 << 20), b""))))

        swallowing = threading.Thread(target=swallow)
        swallowing.start()
        slowest = 0.0
        while swallowing.is_alive():
            began = time.monotonic()
            assert ask(server.addresses[0], "/other") == b"/other"
            slowest = max(slowest, time.monotonic() - began)
        swallowing.join()
        assert all(size > LARGE for size in done)
        assert slowest < 2.0


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_who_is_watched_is_known_before_anything_can_be_told_of_it(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool thread that parks a connection may be overtaken by the leader, who polls meanwhile."""
    seen: list[bool] = []

    def blocks(exchange: Exchange) -> bytes:
        time.sleep(0.01)
        return b"done"

    with Server(Gateway(blocks), "http://127.0.0.1:0", engine=engine, grace=2.0) as server:
        lot: Any = server._engine
        watch = lot._poller.watch

        def watched(descriptor: int, wanted: int, before: int, **options: Any) -> None:
            if wanted and not options.get("level"):
                seen.append(descriptor in lot._table)
            watch(descriptor, wanted, before, **options)

        monkeypatch.setattr(lot, "_poller", _Watching(lot._poller, watched))
        for _ in range(20):
            with Peer(server.addresses[0], get()) as peer:  # which is kept, and so parked after its answer
                assert peer.answer().endswith(b"done")
    assert len(seen) >= 10
    assert all(seen)


class _Watching:
    """A poller of which one method is another."""

    def __init__(self, poller: Any, watch: Any) -> None:
        self._poller = poller
        self.watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)
