"""Who is let in: lists, places, rates, and questions that take their time, on every engine."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portico import Admission, Limits, Server, Stream, serve, sync, timeout
from portico.address import Address
from portico.admission import Gate
from portico.engines import asking
from portico.engines.contract import Connection
from portico.engines.lot import Lot
from portico.errors import ConfigError, PorticoError
from portico.sockets.transport import Transport
from tests.cli.serving import curl, mistake, serving
from tests.engines import process_handlers
from tests.engines.serving import (
    ENGINES,
    HELLO,
    SECONDS,
    Gateway,
    address_of_kind,
    ask,
    dial,
    server_tls,
    until,
)

pytestmark = pytest.mark.usefixtures("no_leaks")

CONCURRENT = [each for each in ENGINES if each != "inline"]
FAMILIAR, STRANGE = "127.0.0.1", "127.0.0.2"
QUICK = Limits().but(handshake=0.3)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=CONCURRENT)
def concurrent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def latch() -> Iterator[threading.Event]:
    """Something to be stuck on in a way that no deadline of ours can end; the end of the test opens it."""
    event = threading.Event()
    yield event
    event.set()


def echo(stream: Stream) -> None:
    for line in stream:
        stream.write(line)


@contextlib.contextmanager
def client(server: Server, source: str = FAMILIAR) -> Iterator[socket.socket]:
    """A client at an address of its own choice. A reset is seen by its first call, never by ``connect``."""
    with dialled(server.addresses[0].port or 0, source) as sock:
        yield sock


def dialled(port: int, source: str) -> socket.socket:
    sock = socket.socket()
    sock.bind((source, 0))
    sock.setblocking(False)
    assert sock.connect_ex((FAMILIAR, port)) in (0, errno.EINPROGRESS)
    sock.settimeout(SECONDS)
    return sock


def served(sock: socket.socket) -> bool:
    """Whether an echo comes back; ``False``: cut off before a byte."""
    try:
        sock.sendall(b"hello\n")
        got = sock.recv(100)
    except (ConnectionResetError, BrokenPipeError):
        return False
    assert got in (b"", b"hello\n")
    return bool(got)


def lets_in(server: Server, source: str = FAMILIAR) -> bool:
    """Whether a new client is served."""
    with client(server, source) as sock:
        return served(sock)


def resets(server: Server, source: str = FAMILIAR) -> bool:
    """Whether a new client that says nothing is cut off by a reset."""
    with client(server, source) as sock:
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            return True
    return False


def answers(server: Server) -> bool:
    """Whether a peer of any kind gets a word before it is cut off."""
    try:
        with dial(server) as stream:
            stream.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return bool(stream.read(1))
    except PorticoError:
        return False


def by_host(verdicts: dict[str, Callable[[], bool]]) -> Callable[[Address], bool]:
    return lambda peer: verdicts[peer.host]()


def tcp(host: str, port: int = 5000) -> Address:
    """A peer as a socket reports it."""
    return Address.of_socket("tcp", (host, port, 0, 0) if ":" in host else (host, port))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Callable[[], float] | None = None, limits: Limits | None = None, **rules: Any) -> Gate:
    return Gate(Admission(**rules), limits or Limits(), clock or Clock())


def spoken(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "portico.admission"]


# -- lists


def test_who_is_denied_is_reset_and_others_are_served(engine: str) -> None:
    rules = Admission(deny=[STRANGE])
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=rules) as server:
        assert resets(server, STRANGE)
        assert lets_in(server)
        assert server.refused == {"deny": 1}
        assert server.accepted == 1
        until(lambda: server.connections == 0)


def test_with_an_allow_list_everybody_else_stays_out(engine: str) -> None:
    rules = Admission(allow=["127.0.0.0/31", "10.0.0.0/8"], deny=["127.0.0.0"])
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=rules) as server:
        assert lets_in(server)
        assert not lets_in(server, STRANGE)
        assert server.refused == {"allow": 1}


def test_denied_wins_over_allowed() -> None:
    judge = gate(allow=["10.0.0.0/8"], deny=["10.1.0.0/16"])
    assert judge.refusal(tcp("10.2.0.1")) is None
    assert judge.refusal(tcp("10.1.0.1")) == "deny"
    assert judge.refusal(tcp("11.0.0.1")) == "allow"
    assert judge.refusal(tcp("::ffff:10.1.0.1")) == "deny"
    assert judge.refusal(tcp("::ffff:10.2.0.1")) is None


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6")
def test_lists_hold_for_ipv6(engine: str) -> None:
    for rules, reason in ((Admission(allow=["::1"]), None), (Admission(deny=["::/64"]), "deny")):
        with Server(echo, "tcp://[::1]:0", engine=engine, admission=rules) as server:
            assert answers(server) is (reason is None)
            assert list(server.refused) == ([] if reason is None else [reason])


@pytest.mark.parametrize("kind", ["unix", "memory"])
def test_peers_of_this_machine_are_allowed_and_denied_by_a_word(
    engine: str, kind: str, tmp_path: Path
) -> None:
    verdicts = []
    for rules in (Admission(allow=[kind]), Admission(allow=["0.0.0.0/0", "::/0"]), Admission(deny=[kind])):
        with Server(echo, address_of_kind(kind, tmp_path), engine=engine, admission=rules) as server:
            verdicts.append(answers(server))
            until(lambda: server.connections == 0)
    assert verdicts == [True, False, False]


def test_refusal_comes_before_the_handshake(engine: str) -> None:
    rules = Admission(deny=["127.0.0.0/8"])
    tls = server_tls()
    with Server(echo, "tls://127.0.0.1:0", engine=engine, tls=tls, admission=rules) as server:
        assert resets(server)
        assert not answers(server)
        assert server.refused == {"deny": 2}


def test_http_gets_no_answer_either(engine: str) -> None:
    rules = Admission(deny=[STRANGE])
    gateway = Gateway(lambda exchange: b"ok")
    with Server(gateway, "http://127.0.0.1:0", engine=engine, admission=rules) as server:
        assert resets(server, STRANGE)
        assert ask(server.addresses[0]) == b"ok"


# -- places


def test_more_connections_than_may_be_are_refused_until_one_leaves(concurrent: str) -> None:
    rules = Admission(max_connections=2)
    with Server(echo, "tcp://127.0.0.1:0", engine=concurrent, admission=rules) as server:
        with client(server) as first, client(server, STRANGE) as second:
            assert served(first)
            assert served(second)
            assert not lets_in(server)
            assert not lets_in(server, STRANGE)
            assert served(first)
            first.close()
            until(lambda: server.connections == 1)
            assert lets_in(server)
        assert server.refused == {"max_connections": 2}


def test_one_peer_may_not_take_all_places(concurrent: str) -> None:
    rules = Admission(max_per_peer=2)
    gateway = Gateway(lambda exchange: b"ok")
    with Server(gateway, "http://127.0.0.1:0", engine=concurrent, admission=rules) as server:
        with client(server), client(server):
            until(lambda: server.connections == 2)
            assert resets(server)
            with client(server, STRANGE) as other:
                other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert other.recv(5) == b"HTTP/"
        until(lambda: server.connections == 0)
        assert ask(server.addresses[0]) == b"ok"
        assert server.refused == {"max_per_peer": 1}


def test_a_peer_of_ipv6_is_a_network_of_64_bits() -> None:
    judge = gate(max_per_peer=2)
    assert [judge.enter(tcp(f"2001:db8:0:1::{n}")) for n in (1, 2, 3)] == [None, None, "max_per_peer"]
    assert judge.enter(tcp("2001:db8:0:2::1")) is None
    assert [judge.enter(tcp(host)) for host in ("10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1")] == [None] * 3
    assert judge.enter(tcp("10.0.0.1")) == "max_per_peer"
    judge.leave(tcp("2001:db8:0:1::1"))
    assert judge.enter(tcp("2001:db8:0:1:ffff::")) is None


def test_a_connection_that_could_not_be_made_gives_its_place_back(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = Admission(max_connections=1, max_per_peer=1)
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=rules) as server:
        with monkeypatch.context() as patch:
            patch.setattr(server, "_connector", lambda scheme: 1 / 0)
            assert not lets_in(server)
        assert lets_in(server)
        assert server.refused == {}


def test_places_are_counted_right_by_many_threads() -> None:
    judge = gate(max_connections=4, max_per_peer=3)
    most, inside, guard = 0, 0, threading.Lock()

    def come_and_go(host: str) -> None:
        nonlocal most, inside
        for _ in range(300):
            if judge.enter(tcp(host)) is None:
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1
                judge.leave(tcp(host))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=come_and_go, args=(f"10.0.0.{n % 2}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert most <= 4
    assert [judge.enter(tcp("10.0.0.9")) for _ in range(3)] == [None] * 3
    assert judge.enter(tcp("10.0.0.8")) is None
    assert judge.enter(tcp("10.0.0.8")) == "max_connections"


# -- rate


def test_so_many_may_come_at_once_and_then_at_their_pace() -> None:
    clock = Clock()
    judge = gate(clock, rate="10/s")
    assert [judge.refusal(tcp("10.0.0.1")) for _ in range(12)] == [None] * 10 + ["rate"] * 2
    assert judge.refusal(tcp("10.0.0.2")) is None
    clock.now += 0.1
    assert [judge.refusal(tcp("10.0.0.1")) for _ in range(2)] == [None, "rate"]
    clock.now += 0.5
    assert [judge.refusal(tcp("10.0.0.1")) for _ in range(6)] == [None] * 5 + ["rate"]
    clock.now += 100
    assert [judge.refusal(tcp("10.0.0.1")) for _ in range(11)] == [None] * 10 + ["rate"]
    assert judge.refused["rate"] == 5


@pytest.mark.parametrize(
    ("rate", "burst", "interval"),
    [("2/s", 2, 0.5), ("100/m", 100, 0.6), ("5000/h", 5000, 0.72), ("10/s:50", 50, 0.1), ("60/m:1", 1, 1)],
)
def test_units_and_bursts(rate: str, burst: int, interval: float) -> None:
    clock = Clock()
    judge = gate(clock, rate=rate)
    assert [judge.refusal(tcp("::1")) for _ in range(burst)] == [None] * burst
    assert judge.refusal(tcp("::1")) == "rate"
    clock.now += interval * 0.9
    assert judge.refusal(tcp("::1")) == "rate"
    clock.now += interval * 0.1
    assert judge.refusal(tcp("::1")) is None


def test_the_long_run_keeps_to_the_rate() -> None:
    clock = Clock()
    judge = gate(clock, rate="10/s:1")
    let_in = 0
    for _ in range(10_000):
        clock.now += 0.01
        let_in += judge.refusal(tcp("10.0.0.1")) is None
    assert 990 <= let_in <= 1002


def test_who_is_refused_for_another_reason_has_used_nothing_of_its_rate() -> None:
    judge = gate(rate="2/s", max_per_peer=1)
    assert judge.enter(tcp("10.0.0.1")) is None
    assert [judge.enter(tcp("10.0.0.1")) for _ in range(5)] == ["max_per_peer"] * 5
    judge.leave(tcp("10.0.0.1"))
    assert judge.enter(tcp("10.0.0.1")) is None


def test_a_flood_from_many_addresses_does_not_grow_the_memory() -> None:
    judge = gate(rate="1/h", limits=Limits().but(peers=100))
    assert judge._pace is not None
    for number in range(20_000):
        assert judge.refusal(tcp(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")) is None
    assert len(judge._pace) == 100
    assert not judge._open_of


def test_who_goes_on_coming_is_not_forgotten_in_a_flood() -> None:
    judge = gate(rate="1/h", limits=Limits().but(peers=100))
    assert judge.refusal(tcp("10.0.0.1")) is None
    for number in range(2000):
        judge.refusal(tcp(f"10.1.{number >> 8}.{number & 255}"))
        if number % 50 == 0:
            assert judge.refusal(tcp("10.0.0.1")) == "rate"


def test_places_leave_no_memory_behind() -> None:
    judge = gate(max_per_peer=1)
    for number in range(1000):
        assert judge.enter(tcp(f"10.0.{number >> 8}.{number & 255}")) is None
        judge.leave(tcp(f"10.0.{number >> 8}.{number & 255}"))
        assert judge.refusal(tcp("10.0.0.1")) is None
    assert not judge._open_of


def test_the_rate_of_a_server_is_counted_by_peer(engine: str) -> None:
    clock = Clock()
    rules = Admission(rate="2/m")
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=rules) as server:
        server.gate = Gate(rules, server.limits, clock)
        assert [lets_in(server) for _ in range(3)] == [True, True, False]
        assert lets_in(server, STRANGE)
        clock.now += 30
        assert [lets_in(server) for _ in range(2)] == [True, False]
        assert server.refused == {"rate": 2}


# -- admit


def test_a_function_decides(engine: str) -> None:
    asked: list[Address] = []

    def admit(peer: Address) -> bool:
        asked.append(peer)
        return peer.host == FAMILIAR

    rules = Admission(admit=admit)
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=rules) as server:
        assert lets_in(server)
        assert not lets_in(server, STRANGE)
        until(lambda: server.connections == 0)
        assert server.refused == {"admit": 1}
    assert [peer.host for peer in asked] == [FAMILIAR, STRANGE]
    assert all(peer.scheme == "tcp" and peer.port for peer in asked)


def test_who_is_on_a_list_is_not_asked_about(engine: str) -> None:
    rules = Admission(deny=[FAMILIAR], admit=lambda peer: 1 / 0)  # type: ignore[arg-type, return-value]
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=rules) as server:
        assert not lets_in(server)
        assert server.refused == {"deny": 1}


@pytest.mark.parametrize("kind", ["tls", "http", "unix", "memory"])
def test_the_question_comes_before_all_else(engine: str, kind: str, tmp_path: Path) -> None:
    """A no is a reset without a byte, also over TLS and HTTP; a yes leaves everything as it would be."""
    verdicts = [True, False]
    rules = Admission(admit=lambda peer: verdicts.pop(0))
    handler: Any = Gateway(lambda exchange: b"ok") if kind == "http" else echo
    where, tls = address_of_kind(kind, tmp_path), server_tls() if kind == "tls" else None
    with Server(handler, where, engine=engine, tls=tls, admission=rules) as server, timeout(SECONDS):
        if kind == "http":
            assert ask(server.addresses[0]) == b"ok"
        else:
            with dial(server) as stream:
                stream.write(b"hello\n")
                assert stream.read_line() == b"hello"
        assert not answers(server)
        until(lambda: server.connections == 0)
        assert server.refused == {"admit": 1}


@pytest.mark.parametrize(
    ("error", "word"),
    [(ValueError("no such list"), "ValueError"), (SystemExit(3), "SystemExit"), (None, "expected True or")],
)
def test_a_function_that_fails_refuses_and_says_why(
    engine: str, error: BaseException | None, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    def admit(peer: Address) -> bool:
        if peer.host == FAMILIAR:
            return True
        if error is not None:
            raise error
        return None  # type: ignore[return-value]

    rules = Admission(admit=admit)
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=rules) as server:
        assert not lets_in(server, STRANGE)
        assert lets_in(server)
        assert server.refused == {"admit_failed": 1}
    (line,) = spoken(caplog)
    assert line.startswith("refused tcp://127.0.0.2:")
    assert "admit() failed" in line
    assert word in line


def test_a_slow_question_delays_nobody_else(concurrent: str, latch: threading.Event) -> None:
    rules = Admission(admit=by_host({FAMILIAR: lambda: True, STRANGE: lambda: latch.wait(3600)}))
    with Server(echo, "tcp://127.0.0.1:0", engine=concurrent, admission=rules) as server:
        with client(server, STRANGE) as slow:
            slow.sendall(b"early\n")
            until(lambda: server.connections == 1)
            assert all(lets_in(server) for _ in range(20))
            latch.set()
            assert slow.recv(100) == b"early\n"
        assert server.refused == {}


def test_an_answer_that_does_not_come_is_a_no(
    concurrent: str, latch: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread is stuck where no deadline reaches; the connection is not."""
    rules = Admission(admit=by_host({FAMILIAR: lambda: True, STRANGE: lambda: latch.wait(3600)}))
    with Server(echo, "tcp://127.0.0.1:0", engine=concurrent, limits=QUICK, admission=rules) as server:
        with client(server, STRANGE) as slow:
            with pytest.raises(ConnectionResetError):
                slow.recv(1)
            until(lambda: server.connections == 0)
        assert server.refused == {"admit_failed": 1}
        latch.set()
        assert lets_in(server)
    assert server.refused == {"admit_failed": 1}
    assert "it did not answer in time" in spoken(caplog)[0]


def test_a_wait_of_ours_inside_the_question_ends_at_its_deadline(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    never = sync.Event()

    def admit(peer: Address) -> bool:
        if peer.host == STRANGE:
            never.wait()
        return True

    rules = Admission(admit=admit)
    with Server(echo, "tcp://127.0.0.1:0", engine=engine, limits=QUICK, admission=rules) as server:
        assert not lets_in(server, STRANGE)
        assert lets_in(server)
        assert server.refused == {"admit_failed": 1}
    (line,) = spoken(caplog)
    # Who asks and who waits for the answer have the same deadline: either may see it first.
    late = r"timed out after 0\.\d+ s while waiting for an event|it did not answer in time"
    assert re.search(rf"admit\(\) failed: ({late})$", line)


def test_the_time_of_the_question_is_not_taken_from_the_handshake(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Connection, float]] = []

    def admit(peer: Address) -> bool:
        sync.sleep(0.2)
        return True

    def connected(transport: Transport) -> Connection | None:
        connection = Server.connected(server, transport)
        assert connection is not None
        made.append((connection, connection.deadline))
        return connection

    rules = Admission(admit=admit)
    server = Server(echo, "tls://127.0.0.1:0", engine=engine, tls=server_tls(), admission=rules)
    monkeypatch.setattr(server, "connected", connected)
    with server, client(server) as sock:
        until(lambda: made and made[0][0].deadline != made[0][1])
        (connection, before), *_ = made
        assert connection.deadline >= before + 0.2
        sock.sendall(HELLO)
        assert sock.recv(1) == b"\x16"


def test_a_peer_that_leaves_during_the_question_leaves_nothing(
    concurrent: str, latch: threading.Event
) -> None:
    rules = Admission(admit=lambda peer: latch.wait(3600), max_connections=1)
    with Server(echo, "tcp://127.0.0.1:0", engine=concurrent, admission=rules) as server:
        with client(server):
            until(lambda: server.connections == 1)
        assert not lets_in(server), "who is asked about has a place"
        latch.set()
        until(lambda: server.connections == 0)
        assert lets_in(server)
        assert server.refused == {"max_connections": 1}


def test_stuck_questions_are_bounded(
    concurrent: str, latch: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asking, "THREADS", 2)
    inside = itertools.count()

    def admit(peer: Address) -> bool:
        next(inside)
        return latch.wait(3600)

    limits = Limits().but(queue=3)
    rules = Admission(admit=admit)
    server = Server(echo, "tcp://127.0.0.1:0", engine=concurrent, limits=limits, admission=rules)
    with server, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(client(server)) for _ in range(5)]
        until(lambda: server.connections == 5)
        for _ in range(3):
            assert not lets_in(server)
        assert next(inside) <= 2
        assert server.refused == {"admit_failed": 3}
        latch.set()
        assert all(served(sock) for sock in waiting)
    assert "too many questions are open" in spoken(caplog)[0]


def test_the_end_of_the_server_ends_open_questions(engine: str) -> None:
    """At a wait of ours: at once. The connection is cut and named."""
    never = sync.Event()

    def admit(peer: Address) -> bool:
        never.wait()
        return True

    server = Server(echo, "tcp://127.0.0.1:0", engine=engine, admission=Admission(admit=admit)).start()
    with client(server) as sock:
        until(lambda: server.connections == 1)
        with timeout(SECONDS):
            cut = server.stop(0.0)
        assert len(cut) == 1
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
    assert server.connections == 0
    assert server.refused == {}


def test_the_end_of_the_server_does_not_wait_for_a_stuck_question(
    concurrent: str, latch: threading.Event
) -> None:
    rules = Admission(admit=lambda peer: latch.wait(3600))
    server = Server(echo, "tcp://127.0.0.1:0", engine=concurrent, admission=rules).start()
    with client(server) as sock:
        until(lambda: server.connections == 1)
        with timeout(SECONDS):
            server.stop(0.0)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        until(lambda: server.connections == 0)


@pytest.mark.parametrize("answer", [True, False])
def test_who_is_asked_about_when_the_drain_begins_is_still_served(
    concurrent: str, latch: threading.Event, answer: bool
) -> None:
    rules = Admission(admit=lambda peer: latch.wait(3600) and answer)
    gateway = Gateway(lambda exchange: b"ok")
    server = Server(gateway, "http://127.0.0.1:0", engine=concurrent, admission=rules).start()
    with client(server) as sock:
        until(lambda: server.connections == 1)
        stopping = threading.Thread(target=server.stop, args=(SECONDS,))
        stopping.start()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: all(each.closed for each in server.listeners))
        latch.set()
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(5) == (b"HTTP/" if answer else b"")
        stopping.join(SECONDS)
        assert not stopping.is_alive()
    assert server.cut == []
    assert server.refused == ({} if answer else {"admit": 1})


def test_a_question_may_stop_its_server(concurrent: str) -> None:
    def admit(peer: Address) -> bool:
        server.stop(0.0)
        return True

    with timeout(SECONDS):
        server = Server(echo, "tcp://127.0.0.1:0", engine=concurrent, admission=Admission(admit=admit))
        server.start()
        with client(server) as sock:
            server.wait()
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""


def test_many_questions_under_way_lose_nobody(concurrent: str) -> None:
    """Some say yes, some no, some fail, some take a moment; every peer gets its own answer, and no answer
    waits for the next look at the deadlines."""

    def admit(peer: Address) -> bool:
        number = (peer.port or 0) % 4
        if number == 3:
            raise LookupError("nobody")
        sync.sleep(0.001 * number)
        return number != 2

    rules = Admission(admit=admit)
    with Server(echo, "tcp://127.0.0.1:0", engine=concurrent, admission=rules) as server:
        assert isinstance(server._engine, Lot)
        server._engine._tick = 3600.0
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(client(server)) for _ in range(200)]
            numbers = [sock.getsockname()[1] % 4 for sock in clients]
            assert [served(sock) for sock in clients] == [number < 2 for number in numbers]
        until(lambda: server.connections == 0)
        assert server.refused["admit"] == numbers.count(2)
        assert server.refused["admit_failed"] == numbers.count(3)


def test_an_answer_in_the_last_moment_counts_once(concurrent: str) -> None:
    """The answer and the end of its time race: a peer is served or refused, and its place is given back."""
    limits, delays = Limits().but(handshake=0.05), itertools.cycle((0.03, 0.045, 0.05, 0.055, 0.07))
    never = threading.Event()
    rules = Admission(admit=lambda peer: not never.wait(next(delays)))
    server = Server(echo, "tcp://127.0.0.1:0", engine=concurrent, limits=limits, admission=rules)
    with server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(server)) for _ in range(100)]
        lucky = sum(served(sock) for sock in clients)
        assert lucky + server.refused["admit_failed"] == 100
    until(lambda: server.connections == 0)
    assert server.gate is not None
    assert server.gate._open == 0


def test_datagrams_are_let_in_by_the_same_rules(engine: str) -> None:
    handled: list[str] = []
    rules = Admission(deny=[STRANGE], rate="3/h", admit=lambda peer: peer.host != "127.0.0.3")
    server = Server(lambda datagram: handled.append(datagram.peer.host), "udp://127.0.0.1:0",
                    engine=engine, admission=rules)  # fmt: skip
    with server:
        for source in (FAMILIAR, STRANGE, "127.0.0.3"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                for _ in range(5):
                    sock.sendto(b"x", (FAMILIAR, server.addresses[0].port or 0))
        until(lambda: server.refused.total() == 12)
        until(lambda: server.connections == 0)
    assert handled == [FAMILIAR] * 3
    assert server.refused == {"deny": 5, "rate": 4, "admit": 3}
    assert server.gate is not None
    assert server.gate._open == 0


PROGRAM = """
import sys, time
from portico import Admission, Limits, serve

def admit(peer):
    if peer.host == "127.0.0.3":
        time.sleep(3600)
    return peer.host != "127.0.0.2"

def echo(stream):
    for line in stream:
        stream.write(line)

def ready(server):
    print(server.addresses[0].port, flush=True)

if __name__ == "__main__":
    rules = Admission(admit=admit, deny=["127.0.0.9"])
    limits = Limits().but(handshake=0.3)
    serve(echo, "tcp://127.0.0.1:0", engine=sys.argv[1], limits=limits, admission=rules, ready=ready)
"""


@pytest.mark.parametrize("spec", ["threads", "events", "forks", "workers:1/threads"])
def test_a_program_is_guarded_on_engines_with_processes(spec: str, tmp_path: Path) -> None:
    """Also from code that is stuck for ever in a child. What is said is limited over all children."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", spec]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        for source in (FAMILIAR, STRANGE, STRANGE, "127.0.0.3", "127.0.0.9", FAMILIAR):
            with dialled(port, source) as sock:
                assert served(sock) is (source == FAMILIAR), source
        program.terminate()
        _, errors = program.communicate(timeout=SECONDS)
    said = [line for line in errors.decode().splitlines() if "refused" in line]
    assert sorted(line.partition("refused ")[2].partition(": ")[2] for line in said) == [
        "admit() failed: it did not answer in time",
        "admit() said no",
        "it is in a denied network",
    ]


@pytest.mark.parametrize("spec", ["forks", "workers:2/threads", "workers:2/inline", "workers:1/events"])
def test_what_processes_refuse_is_added_up(spec: str) -> None:
    rules = Admission(admit=process_handlers.only_familiar, deny=["127.0.0.9"])
    server = Server(process_handlers.echo, "tcp://127.0.0.1:0", engine=spec, admission=rules)
    with server:
        port = server.addresses[0].port or 0
        for _ in range(2):
            for source in (STRANGE, "127.0.0.9", FAMILIAR, "127.0.0.9"):
                with dialled(port, source) as sock:
                    assert served(sock) is (source == FAMILIAR)
            assert server.reload() is None  # what those that have ended did is not forgotten
        until(lambda: server.refused.total() == 6)
        assert server.refused == {"admit": 2, "deny": 4}
    assert server.refused == {"admit": 2, "deny": 4}


# -- what is told


def test_a_line_for_each_reason_once_in_a_while_with_the_number_since(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    judge = gate(clock, deny=["10.0.0.0/8"], rate="1/h")
    for _ in range(100):
        judge.refusal(tcp("10.0.0.1"))
    judge.refusal(tcp("11.0.0.1"))
    judge.refusal(tcp("11.0.0.1"))
    assert spoken(caplog) == [
        "refused tcp://10.0.0.1:5000: it is in a denied network",
        "refused tcp://11.0.0.1:5000: it comes more often than a peer may",
    ]
    clock.now += 4.9
    judge.refusal(tcp("10.0.0.1"))
    assert len(spoken(caplog)) == 2
    clock.now += 0.2
    judge.refusal(tcp("10.0.0.2"))
    assert spoken(caplog)[2:] == [
        "refused tcp://10.0.0.2:5000: it is in a denied network (100 more since the last line about this)"
    ]
    assert {each.levelno for each in caplog.records} == {logging.WARNING}
    assert judge.refused == {"deny": 102, "rate": 1}


def test_what_is_told_cannot_be_changed_from_outside() -> None:
    server = Server(echo, "tcp://127.0.0.1:0", admission=Admission(deny=["::1"]))
    server.refused["deny"] = 5
    assert server.refused == {}
    assert Server(echo, "tcp://127.0.0.1:0").refused == {}


# -- rules that cannot be meant


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"allow": []}, "allow is empty, so that nobody could connect"),
        ({"allow": ["10.0.0.0/8", "local"]}, "allow 'local' is no network"),
        ({"deny": "10.0.0.0/33"}, "deny '10.0.0.0/33': expected a number of bits"),
        ({"deny": [8]}, "deny 8 is no network"),
        ({"max_connections": 0}, "max_connections 0: expected a whole number above zero"),
        ({"max_connections": True}, "max_connections True: expected"),
        ({"max_per_peer": -1}, "max_per_peer -1: expected"),
        ({"max_per_peer": 2.5}, "max_per_peer 2.5: expected"),
        ({"admit": True}, "admit True cannot be called"),
        *[
            ({"rate": rate}, "rate .*: write how many")
            for rate in ("", "10", "10/", "/s", "0/s", "-1/s", "1.5/s", "10/d", "10/s:", "10/s:0", "١/s")
        ],
        *[({"rate": rate}, "rate .*: write how many") for rate in ("9" * 5000 + "/s", "10/s/s", " 1/s", 10)],
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Admission(**rules)
    assert "\n" not in str(caught.value)


def test_an_async_admit_would_let_everybody_in_and_is_refused() -> None:
    async def admit(peer: Address) -> bool:
        return False

    class Admit:
        async def __call__(self, peer: Address) -> bool:
            return False

    for wrong in (admit, Admit()):
        with pytest.raises(ConfigError, match="is async"):
            Admission(admit=wrong)  # type: ignore[arg-type]


def test_a_total_that_could_never_be_reached_is_refused() -> None:
    rules = Admission(max_connections=100)
    with pytest.raises(ConfigError, match="accepting pauses at the limit connections=100"):
        Server(echo, "tcp://127.0.0.1:0", limits=Limits().but(connections=100), admission=rules)
    Server(echo, "tcp://127.0.0.1:0", limits=Limits().but(connections=101), admission=rules)


def test_the_rules_are_a_value() -> None:
    networks = ["10.0.0.0/8"]
    rules = Admission(allow=networks, deny="::1")
    networks.clear()
    assert rules == Admission(allow=("10.0.0.0/8",), deny=["::1"])
    assert hash(rules) == hash(Admission(allow=["10.0.0.0/8"], deny=["::1"]))


def test_serve_takes_them_too() -> None:
    seen: list[Server] = []

    def ready(server: Server) -> None:
        seen.append(server)
        assert not lets_in(server)
        server.stop()

    serve(echo, "tcp://127.0.0.1:0", admission=Admission(deny=["127.0.0.1"]), ready=ready)
    assert seen[0].refused == {"deny": 1}


# -- the command


def test_the_options_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    rules = ["--allow", "127.0.0.0/8", "--deny", STRANGE, "--rate", "1/h", "--max-per-peer", "5"]
    with serving(tmp_path, ".", *rules, "--max-connections", "10") as server:
        assert curl(server.url) == "hello"
        for source in (STRANGE, FAMILIAR):
            with dialled(server.port, source) as sock:
                assert not served(sock)
        server.stop()
    assert [line.partition("refused ")[2].partition(": ")[2] for line in server.words] == [
        "it is in a denied network",
        "it comes more often than a peer may",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--allow", "10.0.0.0/33"], "--allow '10.0.0.0/33': expected a number of bits from 0 to 32"),
        (["--allow", "example.org"], "--allow 'example.org' is no network"),
        (["--deny", "10.1.2.3/8"], "--deny '10.1.2.3/8' is not where a network of 8 bits begins: write 10.0"),
        (["--max-connections", "0"], "--max-connections 0: expected a whole number above zero"),
        (["--max-per-peer", "-3"], "--max-per-peer -3: expected a whole number above zero"),
        (["--rate", "10"], "--rate '10': write how many"),
        (["--rate", ""], "--rate '': write how many"),
        (["--max-connections", "20000"], "accepting pauses at the limit connections=20000"),
    ],
)
def test_mistakes_of_the_command_are_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    assert words in mistake(tmp_path, *options, "--at", "http://127.0.0.1:0")
