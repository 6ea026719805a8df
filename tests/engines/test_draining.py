"""Stopping: what is begun is finished, who waits is served, what takes too long is cut and named."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from portico import Limits, Server, Stream, sleep, timeout
from portico.engines import inline, lot
from portico.errors import ConnectError
from portico.http.exchange import Exchange
from portico.sync import Lock
from tests.engines.serving import SECONDS, Gateway, Peer, client_tls, dial, get, server_tls, until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(autouse=True)
def _short_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "LAST_WORDS", 0.2)
    monkeypatch.setattr(lot, "LAST_WORDS", 0.2)


class Stopping:
    """``stop()`` in a thread of its own, as a signal does it."""

    def __init__(self, server: Server, grace: float, quiet: float = 0.0) -> None:
        self.cut: list[str] | None = None
        self.took = 0.0
        self._thread = threading.Thread(target=self._stop, args=(server, grace, quiet))
        self._thread.start()

    def _stop(self, server: Server, grace: float, quiet: float) -> None:
        began = time.monotonic()
        self.cut = list(server.stop(grace, quiet))
        self.took = time.monotonic() - began

    def join(self) -> list[str]:
        self._thread.join(SECONDS)
        assert self.cut is not None, "stop() does not come back"
        return self.cut


class Slow:
    """A gateway that answers when told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun = 0

    def __call__(self, exchange: Exchange) -> bytes:
        if exchange.path == "/slow":
            self.begun += 1
            assert self.go_on.wait(SECONDS)
        return exchange.path.encode()


@contextmanager
def http(engine: str, gateway: object = lambda exchange: exchange.path.encode()) -> Iterator[Server]:
    server = Server(Gateway(gateway), "http://127.0.0.1:0", engine=engine).start()  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop(0.0)


def refuses(server: Server) -> bool:
    try:
        socket.create_connection((server.addresses[0].host, server.addresses[0].port or 0), SECONDS).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it closed while we were connecting
        return True
    return False


def test_a_request_under_way_is_answered_and_its_connection_closed(engine: str) -> None:
    slow = Slow()
    with http(engine, slow) as server, Peer(server.addresses[0], get("/slow")) as peer:
        until(lambda: slow.begun)
        stopping = Stopping(server, SECONDS)
        if engine == "threads":
            until(lambda: refuses(server))
        slow.go_on.set()
        answer = peer.answer()
        assert answer.endswith(b"/slow")
        assert peer.rest() == b""
        assert stopping.join() == []
    if engine == "threads":  # it knew before the head was made
        assert b"\r\nconnection: close\r\n" in answer.lower()


def test_an_idle_kept_connection_gets_one_more_answer_that_says_close(engine: str) -> None:
    with http(engine) as server, Peer(server.addresses[0], get("/1")) as peer:
        assert b"connection: close" not in peer.answer().lower()
        stopping = Stopping(server, SECONDS, SECONDS)
        until(lambda: engine == "inline" or refuses(server))
        time.sleep(0.1 if engine == "inline" else 0)  # there nothing shows that it knows
        peer.send(get("/2"))
        answer = peer.answer()
        assert answer.endswith(b"/2")
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert peer.rest() == b""
        assert stopping.join() == []
        assert stopping.took < SECONDS / 2


def test_an_idle_kept_connection_is_closed_after_the_quiet_time(engine: str) -> None:
    with http(engine) as server, Peer(server.addresses[0], get("/1")) as peer:
        peer.answer()
        stopping = Stopping(server, SECONDS, 0.2)
        assert peer.rest() == b""
        assert stopping.join() == []
        assert 0.2 <= stopping.took < SECONDS / 2


def test_without_a_quiet_time_idle_connections_are_closed_at_once(engine: str) -> None:
    with http(engine) as server, Peer(server.addresses[0], get("/1")) as peer:
        peer.answer()
        stopping = Stopping(server, SECONDS)
        assert stopping.join() == []
        assert stopping.took < SECONDS / 2
        assert peer.rest() == b""


def test_a_request_that_was_sent_before_the_stop_is_answered(engine: str) -> None:
    """Even without a quiet time: it was in the kernel, on a kept connection or on one not yet accepted."""
    for _ in range(20):
        with http(engine) as server, Peer(server.addresses[0], get("/1")) as peer:
            peer.answer()
            peer.send(get("/2"))
            stopping = Stopping(server, SECONDS)
            assert peer.answer().endswith(b"/2")
            assert stopping.join() == []


def test_half_a_head_may_be_finished_while_draining(engine: str) -> None:
    with http(engine) as server, Peer(server.addresses[0], b"GET /late HT") as peer:
        until(lambda: server.connections == 1)
        time.sleep(0.05)  # let it be read
        stopping = Stopping(server, SECONDS)
        time.sleep(0.05)
        peer.send(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert peer.answer().endswith(b"/late")
        assert stopping.join() == []


def test_an_answer_that_is_leaving_leaves_whole(engine: str) -> None:
    size = 8 << 20
    with (
        http(engine, lambda exchange: b"x" * size) as server,
        Peer(server.addresses[0], get("/"), receive_buffer=4096) as peer,
    ):
        until(lambda: server.connections == 1)
        peer.sock.recv(100)
        stopping = Stopping(server, SECONDS)
        assert len(peer.rest()) > size - 200
        assert stopping.join() == []


def test_a_conversation_is_finished(engine: str) -> None:
    def talk(stream: Stream) -> None:
        for line in stream:
            stream.write(line)

    server = Server(talk, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS), dial(server) as stream:
        stream.write(b"1\n")
        assert stream.read_line() == b"1"
        stopping = Stopping(server, SECONDS)
        if engine == "threads":
            until(lambda: refuses(server))
        stream.write(b"2\n")
        assert stream.read_line() == b"2"
        stream.shutdown_write()
        assert stream.read_all() == b""
        assert stopping.join() == []


def test_who_waits_to_be_accepted_is_served_before_the_end(engine: str) -> None:
    """More of them than one round takes."""
    go_on = threading.Event()

    def talk(stream: Stream) -> None:
        if stream.read_line() == b"first":
            assert go_on.wait(SECONDS)
        stream.write(b"served\n")

    server = Server(talk, "tcp://127.0.0.1:0", engine=engine).start()
    hold = hold_leader(server) if engine == "threads" else go_on
    with ExitStack() as stack:
        first = stack.enter_context(Peer(server.addresses[0], b"first\n"))
        peers = [stack.enter_context(Peer(server.addresses[0])) for _ in range(150)]
        stopping = Stopping(server, SECONDS)
        time.sleep(0.02)
        hold.set()
        go_on.set()
        for peer in peers:
            peer.send(b"hello\n")
            assert peer.rest() == b"served\n"
        assert first.rest() == b"served\n"
    assert stopping.join() == []


def test_a_handshake_that_has_begun_may_end_while_draining() -> None:
    server = Server(lambda stream: stream.write(b"hi"), "tls://127.0.0.1:0", tls=server_tls()).start()
    context = client_tls().context
    with socket.create_connection(("127.0.0.1", server.addresses[0].port or 0), SECONDS) as sock:
        until(lambda: server.connections == 1)
        stopping = Stopping(server, SECONDS)
        until(lambda: refuses(server))
        with context.wrap_socket(sock, server_hostname="localhost") as secure:
            assert secure.recv(10) == b"hi"
            assert stopping.join() == []


def hold_leader(server: Server) -> threading.Event:
    """Keep the leader from accepting until the event is set."""
    hold = threading.Event()
    engine = server._engine
    poll = engine._poller.poll  # type: ignore[attr-defined]

    def held(seconds: float) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = poll(seconds)
        hold.wait(SECONDS)
        return found

    engine._poller.poll = held  # type: ignore[attr-defined]
    with socket.create_connection(("127.0.0.1", server.addresses[0].port or 0)):
        until(lambda: server.accepted == 1)
    server.accepted = 0
    return hold


def test_what_exceeds_the_grace_is_cut_and_named(engine: str) -> None:
    ended: list[BaseException] = []

    def talk(stream: Stream) -> None:
        stream.write(b"x")
        try:
            stream.read_line()
        except BaseException as error:
            ended.append(error)
            raise

    server = Server(talk, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS), dial(server) as stream:
        stream.read(1)
        cut = Stopping(server, 0.1).join()
        assert len(cut) == 1
        assert str(stream.local) in cut[0]
        with pytest.raises(ConnectionError):
            stream.read_all()
    assert len(ended) == 1
    assert server.connections == 0


def test_a_cut_request_is_named_with_its_target(engine: str) -> None:
    slow = Slow()
    with http(engine, slow) as server, Peer(server.addresses[0], get("/slow")) as peer:
        until(lambda: slow.begun)
        stopping = Stopping(server, 0.05)
        until(lambda: server.cut or stopping.cut)
        slow.go_on.set()
        cut = stopping.join()
        assert len(cut) == 1
        assert "GET /slow" in cut[0]
        peer.rest()


def test_a_second_stop_shortens_the_first(engine: str) -> None:
    slow = Slow()
    with http(engine, slow) as server, Peer(server.addresses[0], get("/slow")) as peer:
        until(lambda: slow.begun)
        stopping = Stopping(server, 300)
        time.sleep(0.05)
        again = Stopping(server, 0.0)
        again.join()
        slow.go_on.set()
        stopping.join()
        assert "GET /slow" in server.cut[0]
        peer.rest()


def test_a_handler_that_does_not_come_back_keeps_nobody_waiting(engine: str) -> None:
    leave = threading.Event()

    def stuck(stream: Stream) -> None:
        stream.write(b"x")
        leave.wait(SECONDS)

    server = Server(stuck, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS), dial(server) as stream:
        stream.read(1)
        stopping = Stopping(server, 0.0)
        assert len(stopping.join()) == 1
        assert stopping.took < 5
        with pytest.raises(ConnectError):
            dial(server)
        leave.set()


def test_a_gateway_that_comes_back_after_the_end_leaves_nothing_open(engine: str) -> None:
    slow = Slow()
    with http(engine, slow) as server, Peer(server.addresses[0], get("/slow") + get("/2")) as peer:
        until(lambda: slow.begun)
        Stopping(server, 0.0).join()
        slow.go_on.set()
        peer.rest()


def test_many_idle_connections_are_closed_when_the_server_stops_at_once() -> None:
    server = Server(
        Gateway(lambda exchange: b""), "http://127.0.0.1:0", "https://127.0.0.1:0", tls=server_tls()
    )
    server.start()
    peers = [Peer(address) for address in server.addresses for _ in range(50)]
    until(lambda: server.connections == 100)
    server.stop(0.0)
    assert server.connections == 0
    for peer in peers:
        assert peer.rest() == b""
        peer.close()


# -- by signal, in a program of its own

PROGRAM = """
import sys
import portico
def handler(stream):
    stream.write(b"begun\\n")
    for line in stream:
        stream.write(line)
cut = portico.serve(handler, "tcp://127.0.0.1:0", engine=sys.argv[1], grace=float(sys.argv[2]),
                    ready=lambda server: print(server.addresses[0].port, flush=True))
print("cut", len(cut), flush=True)
"""


@contextmanager
def program(engine: str, grace: float) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, engine, str(grace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("engine", "number"), [("inline", signal.SIGINT), ("threads", signal.SIGTERM)], ids=["inline", "threads"]
)
def test_a_signal_drains(engine: str, number: int) -> None:
    with (
        program(engine, 30) as (process, port),
        socket.create_connection(("127.0.0.1", port), SECONDS) as sock,
    ):
        file = sock.makefile("rwb", buffering=0)
        assert file.readline() == b"begun\n"
        process.send_signal(number)
        file.write(b"still served\n")
        assert file.readline() == b"still served\n"
        sock.shutdown(socket.SHUT_WR)
        assert file.read() == b""
        file.close()
        out, err = process.communicate(timeout=SECONDS)
        assert (out, err, process.returncode) == ("cut 0\n", "", 0)


def test_a_second_signal_stops_now(engine: str) -> None:
    with (
        program(engine, 300) as (process, port),
        socket.create_connection(("127.0.0.1", port), SECONDS) as sock,
    ):
        assert sock.recv(10) == b"begun\n"
        process.send_signal(signal.SIGTERM)
        if engine == "threads":
            until(lambda: _refused(port))
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
        assert (out, process.returncode) == ("cut 1\n", 0)
        assert err.startswith("cut the conversation with tcp://127.0.0.1:")


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def test_what_is_left_of_the_limits_bounds_the_quiet_time() -> None:
    limits = Limits().but(drain_quiet=0.1)
    server = Server(Gateway(lambda exchange: b""), "http://127.0.0.1:0", limits=limits).start()
    with Peer(server.addresses[0], get()) as peer:
        peer.answer()
        stopping = Stopping(server, SECONDS, server.limits.drain_quiet)
        assert stopping.join() == []
        assert stopping.took >= 0.1


@pytest.mark.parametrize("wait", ["sleep", "lock", "another stream"])
def test_a_handler_that_waits_for_something_else_is_called_off(
    engine: str, wait: str, caplog: pytest.LogCaptureFixture
) -> None:
    left = threading.Event()
    mine, other = socket.socketpair()

    def busy(stream: Stream) -> None:
        stream.write(b"x")
        try:
            if wait == "sleep":
                sleep(3600)
            elif wait == "lock":
                lock.acquire()
            else:
                with Stream.from_socket(mine) as upstream:
                    upstream.read()
        finally:
            left.set()

    lock = Lock()
    lock.acquire()
    server = Server(busy, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS), dial(server) as stream, mine, other:
        stream.read(1)
        assert len(Stopping(server, 0.05).join()) == 1
        assert left.wait(SECONDS)
    assert "Traceback" not in caplog.text


def test_a_gateway_that_sleeps_is_called_off(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    begun = threading.Event()

    def sleeper(exchange: Exchange) -> bytes:
        begun.set()
        sleep(3600)
        return b""

    with http(engine, sleeper) as server, Peer(server.addresses[0], get("/sleep")) as peer:
        assert begun.wait(SECONDS)
        assert len(Stopping(server, 0.0).join()) == 1
        assert peer.rest()[:12] in (b"", b"HTTP/1.1 500", b"HTTP/1.1 503")
    caplog.clear()  # a traceback would keep what its frames hold
