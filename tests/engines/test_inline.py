"""The engine ``inline``: one after the other, and nobody has the thread for ever."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque

import pytest

from portico import Server, Stream
from portico.engines.contract import Listening
from portico.engines.inline import Inline
from portico.http.exchange import Exchange
from portico.sockets.transport import Transport
from tests.engines.serving import SECONDS, Gateway, Peer, ask, dial, get, until

pytestmark = pytest.mark.usefixtures("no_leaks")


def hello(exchange: Exchange) -> bytes:
    return b"hello"


def web() -> Server:
    return Server(Gateway(hello), "http://127.0.0.1:0", engine="inline")


def test_a_kept_connection_that_talks_without_pause_lets_others_have_their_turn() -> None:
    said: list[bytes] = []
    with web() as server:

        def talk() -> None:
            with Peer(server.addresses[0]) as peer:
                while not said or b"Connection: close" not in said[-1]:
                    peer.send(get())
                    said.append(peer.answer())
                assert peer.rest() == b""

        talking = threading.Thread(target=talk)
        talking.start()
        until(lambda: len(said) > 50)
        assert ask(server.addresses[0]) == b"hello"
        talking.join(SECONDS)
        assert not talking.is_alive()


def test_one_that_pipelines_without_end_does_too() -> None:
    with web() as server, Peer(server.addresses[0]) as peer:
        over = threading.Event()
        peer.sock.settimeout(0.5)

        def push() -> None:
            while not over.is_set():
                try:
                    peer.send(get() * 100)
                    peer.sock.recv(1 << 20)
                except OSError:
                    return

        pushing = threading.Thread(target=push)
        pushing.start()
        until(lambda: server.connections == 1)
        assert ask(server.addresses[0]) == b"hello"
        over.set()
        pushing.join(SECONDS)


def test_an_idle_kept_connection_stays_until_somebody_waits() -> None:
    with web() as server, Peer(server.addresses[0], get()) as peer:
        assert peer.answer()
        peer.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.sock.recv(1)
        peer.send(get())
        assert b"Connection: close" not in peer.answer()
        assert ask(server.addresses[0]) == b"hello"
        peer.sock.settimeout(SECONDS)
        assert peer.rest() == b""


def test_who_has_asked_nothing_yet_is_not_sent_away_for_others() -> None:
    with web() as server, Peer(server.addresses[0], b"GET / HTTP/1.1\r\n") as slow:
        until(lambda: server.connections == 1)
        with Peer(server.addresses[0], get(extra="Connection: close\r\n")) as other:
            other.sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                other.sock.recv(1)
            slow.send(b"Host: x\r\n\r\n")
            assert slow.answer().endswith(b"hello")
            other.sock.settimeout(SECONDS)
            assert other.answer().endswith(b"hello")


def test_a_stop_accepts_who_waits_and_nobody_after_though_the_thread_is_busy() -> None:
    def talk(stream: Stream) -> None:
        stream.write(stream.read_line())

    server = Server(talk, "tcp://127.0.0.1:0", engine="inline").start()
    address = server.addresses[0]
    with dial(server) as busy, dial(server) as waiting:
        until(lambda: server.connections == 1)
        stopping = threading.Thread(target=server.stop, args=(SECONDS,))
        stopping.start()
        until(lambda: server.listeners[0].closed)
        assert server.connections == 2
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port)).close()
        for stream in (busy, waiting):
            stream.write(b"served\n")
            assert stream.read_line() == b"served"
        stopping.join(SECONDS)
        assert server.cut == []


def test_who_is_accepted_at_the_last_moment_is_served_though_the_thread_has_nothing_else_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take, asked = Inline._take, threading.Event()

    def slowly(engine: Inline, listener: Listening, into: deque[Transport]) -> bool | None:
        if threading.current_thread() is stopping:
            asked.set()
            time.sleep(0.2)
        return take(engine, listener, into)

    server = web().start()
    stopping = threading.Thread(target=server.stop, args=(SECONDS,))
    with Peer(server.addresses[0], get()) as peer:
        assert peer.answer()  # it waits for another request of this one
        monkeypatch.setattr(Inline, "_take", slowly)
        stopping.start()
        assert asked.wait(SECONDS)
        peer.close()
        assert ask(server.addresses[0]) == b"hello"
        stopping.join(SECONDS)


def test_what_had_not_begun_is_named_when_it_is_cut() -> None:
    server = Server(lambda stream: stream.read_line(), "tcp://127.0.0.1:0", engine="inline").start()
    with dial(server), dial(server) as waiting:
        until(lambda: server.connections == 1)
        cut = server.stop(0.1)
        assert len(cut) == 2
        assert f"the connection from {waiting.local}, which had not begun" in cut
