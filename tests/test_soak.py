"""Connections opened, used and broken at every stage: everything ends where it began.

A couple of thousand in the suite; ``PORTICO_SOAK=100000`` makes it as many as wanted, an engine.
"""

from __future__ import annotations

import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil
import pytest

from portico import Limits, Server, Stream
from portico.http.exchange import Exchange
from tests.engines.serving import (
    ENGINES,
    HELLO,
    SECONDS,
    Gateway,
    Peer,
    client_tls,
    get,
    reset,
    server_tls,
    until,
)

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.timeout(60 + int(os.environ.get("PORTICO_SOAK", "0"))),
]

MANY = int(os.environ.get("PORTICO_SOAK", "1200"))
LARGE = b"x" * 2_000_000
GROWTH = 8 << 20
"""Bytes that a process may have grown by, its allocator's own reserve included."""
CONTEXT = client_tls().context


class Target:
    """The servers under attack, by what they speak."""

    def __init__(self, engine: str, folder: Path) -> None:
        limits = Limits().but(linger=0.2)
        tls = server_tls()
        http = "http://127.0.0.1:0", "https://127.0.0.1:0"
        raw = "tcp://127.0.0.1:0", "tls://127.0.0.1:0", f"unix:{folder}/talk.sock"
        self.http = Server(Gateway(self.answer), *http, engine=engine, limits=limits, tls=tls)
        self.talk = Server(self.converse, *raw, engine=engine, limits=limits, tls=tls)

    def answer(self, exchange: Exchange) -> bytes:
        if exchange.path == "/raise":
            raise ValueError("on purpose")
        return LARGE if exchange.path == "/large" else exchange.body.read()

    @staticmethod
    def converse(stream: Stream) -> None:
        for line in stream:
            if line == b"raise\n":
                raise ValueError("on purpose")
            stream.write(line)

    def __enter__(self) -> Self:
        self.http.start()
        self.talk.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.http.stop()
        self.talk.stop()

    @property
    def open(self) -> int:
        return self.http.connections + self.talk.connections

    def to_http(self, data: bytes = b"", **options: int) -> Peer:
        return Peer(self.http.addresses[0], data, **options)

    def to_talk(self, data: bytes = b"", where: int = 0) -> Peer:
        return Peer(self.talk.addresses[where], data)


# -- the stages


def connect_and_close(target: Target) -> None:
    target.to_http().close()


def connect_and_reset(target: Target) -> None:
    reset(target.to_http().sock)


def half_a_head_then_end(target: Target) -> None:
    target.to_http(b"GET / HTTP/1.1\r\nHo").close()


def half_a_head_then_reset(target: Target) -> None:
    reset(target.to_http(b"GET / HTTP/1.1\r\nHo").sock)


def half_a_body_then_reset(target: Target) -> None:
    reset(
        target.to_http(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n" + b"b" * 300_000).sock
    )


def half_a_chunk_then_end(target: Target) -> None:
    target.to_http(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").close()


def reset_in_the_answer(target: Target) -> None:
    peer = target.to_http(get("/large"), receive_buffer=4096)
    peer.sock.recv(100)
    reset(peer.sock)


def end_in_the_answer(target: Target) -> None:
    peer = target.to_http(get("/large"), receive_buffer=4096)
    peer.sock.shutdown(socket.SHUT_WR)
    peer.sock.recv(100)
    peer.close()


def an_error_then_close(target: Target) -> None:
    with target.to_http(b"NONSENSE\r\n\r\n") as peer:
        assert peer.rest().startswith(b"HTTP/1.1 400")


def used_kept_and_reset(target: Target) -> None:
    peer = target.to_http(get())
    peer.answer()
    peer.send(get())
    peer.answer()
    reset(peer.sock)


def pipelined_and_reset(target: Target) -> None:
    peer = target.to_http(get() * 20)
    peer.answer()
    reset(peer.sock)


def half_a_tls_hello(target: Target) -> None:
    Peer(target.http.addresses[1], HELLO[:100]).close()


def a_tls_hello_and_reset(target: Target) -> None:
    peer = Peer(target.http.addresses[1], HELLO)
    peer.sock.recv(100)
    reset(peer.sock)


def tls_used_and_reset(target: Target) -> None:
    peer = Peer(target.http.addresses[1])
    with CONTEXT.wrap_socket(peer.sock, server_hostname="localhost") as secure:
        secure.sendall(get())
        assert secure.recv(10)
        secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def no_tls_at_all(target: Target) -> None:
    with Peer(target.http.addresses[1], get()) as peer:
        peer.rest()


def talk_and_reset(target: Target) -> None:
    peer = target.to_talk(b"hello\n")
    assert peer.sock.recv(6)
    peer.send(b"half")
    reset(peer.sock)


def talk_and_end(target: Target) -> None:
    with target.to_talk(b"hello\nhalf") as peer:
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.rest() == b"hello\nhalf"


def talk_over_unix(target: Target) -> None:
    with target.to_talk(b"hello\n", where=2) as peer:
        assert peer.sock.recv(6)


def talk_over_tls_and_vanish(target: Target) -> None:
    peer = target.to_talk(where=1)
    with CONTEXT.wrap_socket(peer.sock, server_hostname="localhost") as secure:
        secure.sendall(b"hello\n")
        assert secure.recv(6)


STAGES: list[Callable[[Target], None]] = [
    connect_and_close,
    connect_and_reset,
    half_a_head_then_end,
    half_a_head_then_reset,
    half_a_body_then_reset,
    half_a_chunk_then_end,
    reset_in_the_answer,
    end_in_the_answer,
    an_error_then_close,
    used_kept_and_reset,
    pipelined_and_reset,
    half_a_tls_hello,
    a_tls_hello_and_reset,
    tls_used_and_reset,
    no_tls_at_all,
    talk_and_reset,
    talk_and_end,
    talk_over_unix,
    talk_over_tls_and_vanish,
]


def attack(target: Target, many: int) -> None:
    for number in range(many):
        try:
            STAGES[number % len(STAGES)](target)
        except (ConnectionError, ssl.SSLError):
            pass  # some stages race with the server's own end; what counts is what is left behind


def attacks(target: Target, clients: int, many: int) -> None:
    threads = [threading.Thread(target=attack, args=(target, many // clients)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settled(target)
    gc.collect()


def settled(target: Target) -> None:
    until(lambda: target.open == 0, "every connection to be given back")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("engine", ENGINES)
def test_everything_ends_where_it_began(engine: str, tmp_path: Path) -> None:
    process = psutil.Process()
    with Target(engine, tmp_path) as target:
        clients = 4 if engine == "threads" else 1
        attacks(target, clients, 400)  # pools, caches and the allocator's reserve are made now
        before, memory = descriptors(), process.memory_info().rss
        attacks(target, clients, MANY)
        until(lambda: descriptors() <= before + 2 * clients, "descriptors to be given back")
        assert process.memory_info().rss - memory < GROWTH
        assert not process.children()
        assert target.http.accepted + target.talk.accepted >= MANY


@pytest.mark.parametrize("engine", ENGINES)
def test_every_stage_alone_leaves_nothing(engine: str, tmp_path: Path) -> None:
    with Target(engine, tmp_path) as target:
        for stage in STAGES:
            for _ in range(3):
                attempt(stage, target)
            until(lambda: target.open == 0, f"{stage.__name__} to leave nothing")


def attempt(stage: Callable[[Target], None], target: Target) -> None:
    try:
        stage(target)
    except (ConnectionError, ssl.SSLError):
        pass  # as above


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the attackers' own, given up within a stage
def test_a_server_that_stops_under_attack_leaves_nothing(tmp_path: Path) -> None:
    stop = threading.Event()

    def client(target: Target) -> None:
        while not stop.is_set():
            for stage in STAGES:
                try:
                    stage(target)
                except (OSError, AssertionError):
                    time.sleep(0.001)  # it has stopped

    for _ in range(3):
        stop.clear()
        target = Target("threads", tmp_path)
        target.__enter__()
        clients = [threading.Thread(target=client, args=(target,)) for _ in range(3)]
        for each in clients:
            each.start()
        until(lambda: target.http.accepted > 50)  # noqa: B023
        target.http.stop(0.05)
        target.talk.stop(0.05)
        stop.set()
        for each in clients:
            each.join(SECONDS)
        assert target.open == 0
