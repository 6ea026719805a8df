"""The engine ``threads``: who runs what, who waits, and that nothing is lost when leadership changes."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest

from portico import Limits, Server, Stream, timeout
from portico.engines import lot, threads
from portico.engines.contract import RUN, WAIT_READ, Connection, Load
from portico.engines.pool import Pool
from portico.engines.threads import Threads
from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.sockets.memory import pair
from portico.sockets.transport import READ
from portico.web.wsgi import WSGI
from tests.engines.serving import SECONDS, Gateway, Peer, ask, dial, engine_threads, get, reset, until
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")


class Gate:
    """A gateway whose handlers stop at a gate, by the path they were asked for."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = 0
        self.seen: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> bytes:
        with self._lock:
            self.seen.append(exchange.path)
        if exchange.path.startswith("/block"):
            with self._lock:
                self.inside += 1
            assert self.open.wait(SECONDS)
        return exchange.path.encode()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def http(gateway: object, engine: Threads, **limits: object) -> Server:
    return Server(Gateway(gateway), "http://127.0.0.1:0", engine=engine, limits=Limits().but(**limits))  # type: ignore[arg-type]


# -- conversations


def test_conversations_run_up_to_the_bound_and_the_rest_waits_in_order() -> None:
    begun: list[bytes] = []

    def talk(stream: Stream) -> None:
        begun.append(stream.read_line())
        stream.write(b"begun\n")
        stream.read_line()

    with Server(talk, "tcp://127.0.0.1:0", engine="threads:3") as server, timeout(SECONDS):
        streams = []
        for number in range(8):
            streams.append(dial(server))
            streams[-1].write(b"%d\n" % number)
            until(lambda: server.accepted == len(streams))
        until(lambda: len(begun) == 3)
        assert set(begun) == {b"0", b"1", b"2"}
        for left, stream in enumerate(streams, 1):
            assert stream.read_line() == b"begun"
            stream.close()
            until(lambda: len(begun) == min(3 + left, 8))  # noqa: B023
        until(lambda: server.connections == 0)
    assert begun[3:] == [b"3", b"4", b"5", b"6", b"7"]


def test_a_thousand_conversations_may_talk_at_once() -> None:
    arrived = threading.Barrier(201, timeout=SECONDS)

    def talk(stream: Stream) -> None:
        arrived.wait()
        stream.write(b"all here")

    with Server(talk, "memory:many", engine="threads") as server, timeout(SECONDS):
        streams = [dial(server) for _ in range(200)]
        arrived.wait()
        assert all(stream.read_all() == b"all here" for stream in streams)
        for stream in streams:
            stream.close()


def test_a_conversation_in_line_that_is_cut_is_never_begun() -> None:
    begun = []
    leave = threading.Event()
    before = list(engine_threads())

    def talk(stream: Stream) -> None:
        begun.append(stream)
        leave.wait(SECONDS)

    server = Server(talk, "tcp://127.0.0.1:0", engine="threads:1").start()
    with dial(server), dial(server):
        until(lambda: server.accepted == 2 and begun)
        stopper = threading.Thread(target=server.stop, args=(0.0,))
        stopper.start()
        until(lambda: len(server.cut) == 2 or not stopper.is_alive())
        leave.set()
        stopper.join(SECONDS)
    until(lambda: not list(engine_threads(before)))
    assert len(begun) == 1
    assert len(server.cut) == 2


# -- requests: inline, handed, rescued


def test_requests_that_do_not_block_are_run_by_one_thread(gate: Gate) -> None:
    who: Counter[int] = Counter()

    def quick(exchange: Exchange) -> bytes:
        who[threading.get_ident()] += 1
        return b"ok"

    engine = Threads(8)
    with http(quick, engine) as server, Peer(server.addresses[0]) as peer:
        for _ in range(300):
            peer.send(get())
            assert peer.answer().endswith(b"ok")
    assert who.most_common(1)[0][1] >= 290, f"the leader answers by itself: {who}"


def test_others_are_answered_while_one_request_blocks(gate: Gate) -> None:
    engine = Threads(4)
    with http(gate, engine) as server, Peer(server.addresses[0], get("/block")) as stuck:
        until(lambda: gate.inside == 1)
        for _ in range(20):
            assert ask(server.addresses[0], "/free") == b"/free"
        assert engine.promotions >= 1
        gate.open.set()
        assert stuck.answer().endswith(b"/block")
        stuck.send(get("/again"))
        assert stuck.answer().endswith(b"/again")


def test_what_blocks_by_habit_is_handed_on_beforehand() -> None:
    def sleeper(exchange: Exchange) -> bytes:
        time.sleep(0.02)
        return b"slept"

    engine = Threads(16)
    with http(sleeper, engine) as server, ThreadPoolExecutor(16) as clients:
        assert ask(server.addresses[0]) == b"slept"
        assert ask(server.addresses[0]) == b"slept"
        before = engine.promotions
        answers = list(clients.map(lambda _: ask(server.addresses[0]), range(64)))
        assert answers == [b"slept"] * 64
        assert engine.promotions - before <= 2, "no rescue is needed for what is known to block"


def test_a_deposed_leader_that_returns_leaves_its_successor_alone(gate: Gate) -> None:
    """The successor's own blocking request is rescued too."""
    engine = Threads(8)
    second = threading.Event()

    def two(exchange: Exchange) -> bytes:
        if exchange.path == "/second":
            second.set()
        return gate(exchange) if exchange.path != "/second" else _wait(third)

    third = threading.Event()
    with http(two, engine) as server, Peer(server.addresses[0], get("/block")) as first:
        until(lambda: gate.inside == 1)
        until(lambda: engine.promotions == 1)
        with Peer(server.addresses[0], get("/second")) as other:
            assert second.wait(SECONDS)
            gate.open.set()
            assert first.answer().endswith(b"/block")
            assert ask(server.addresses[0], "/free") == b"/free"
            third.set()
            assert other.answer().endswith(b"waited")


def _wait(event: threading.Event) -> bytes:
    assert event.wait(SECONDS)
    return b"waited"


def test_pipelined_requests_wait_for_the_one_before_them(gate: Gate) -> None:
    engine = Threads(4)
    with (
        http(gate, engine) as server,
        Peer(server.addresses[0], get("/block") + get("/2") + get("/3")) as peer,
    ):
        until(lambda: gate.inside == 1)
        assert ask(server.addresses[0], "/other") == b"/other"
        peer.send(get("/4"))
        assert ask(server.addresses[0], "/other") == b"/other"
        assert gate.seen.count("/2") == 0
        gate.open.set()
        assert [peer.answer().rpartition(b"\r\n")[2] for _ in range(4)] == [
            b"/block",
            b"/2",
            b"/3",
            b"/4",
        ]


def test_events_that_a_stuck_leader_had_not_delivered_are_served(gate: Gate) -> None:
    engine = Threads(4)
    with http(gate, engine) as server:
        peers = [Peer(server.addresses[0]) for _ in range(40)]
        until(lambda: server.accepted == 40)
        for number, peer in enumerate(peers):  # many of these are in one batch with the one that blocks
            peer.send(get("/block" if number == 3 else f"/{number}"))
        for number, peer in enumerate(peers):
            if number != 3:
                assert peer.answer().endswith(b"/%d" % number)
        gate.open.set()
        assert peers[3].answer().endswith(b"/block")
        for peer in peers:
            peer.close()


# -- answers that leave together


class Brief(Connection):
    """A connection with one request, that writes down when it is run and when it is gone on with."""

    def __init__(self, name: str, told: list[str]) -> None:
        super().__init__(pair()[0], Load())
        self.name, self.told, self.left = name, told, 1

    def advance(self) -> int:
        if self.left:
            self.left -= 1
            return RUN
        self.told.append(f"{self.name} leaves")
        return WAIT_READ

    def run(self) -> None:
        self.told.append(f"{self.name} runs")

    def expire(self) -> None: ...
    def refuse(self) -> None: ...
    def drain(self, until: float) -> None: ...
    def cut(self) -> None: ...
    def describe(self) -> str:
        return self.name


@pytest.mark.parametrize(
    ("tick", "told"),
    [
        (0.0, ["1 runs", "2 runs", "3 runs", "1 leaves", "2 leaves", "3 leaves"]),
        # The clock is read before a request and after it, and before the next event of the batch.
        (threads.HOLD / 4, ["1 runs", "2 runs", "1 leaves", "2 leaves", "3 runs", "3 leaves"]),
        (threads.HOLD, ["1 runs", "1 leaves", "2 runs", "2 leaves", "3 runs", "3 leaves"]),
    ],
)
def test_answers_leave_together_unless_that_makes_one_wait(
    monkeypatch: pytest.MonkeyPatch, tick: float, told: list[str]
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(threads, "monotonic", lambda: next(clock) * tick)
    engine, seen = Threads(2), list[str]()
    engine._pool = Pool(2, 2)
    for number in (1, 2, 3):
        engine._table[number] = Brief(str(number), seen)
        engine._batch.append((number, READ))
    assert engine._go_through(engine._term)
    assert seen == told


def test_answers_wait_for_no_request_that_blocks(gate: Gate) -> None:
    def app(environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/block":
            assert gate.open.wait(SECONDS)
        return [str(environ["PATH_INFO"]).encode()]

    with Server(WSGI(app), "http://127.0.0.1:0", engine=Threads(4)) as server:
        peers = [Peer(server.addresses[0]) for _ in range(20)]
        until(lambda: server.accepted == 20)
        for number, peer in enumerate(peers):
            peer.send(get("/block" if number == 10 else f"/{number}"))
        for number, peer in enumerate(peers):
            if number != 10:
                assert peer.answer().endswith(b"/%d" % number)
        gate.open.set()
        assert peers[10].answer().endswith(b"/block")
        for peer in peers:
            peer.close()


def test_an_answer_does_not_wait_for_what_its_gateway_does_afterwards(gate: Gate) -> None:
    class Afterwards(Gateway):
        def __call__(self, exchange: Exchange) -> None:
            super().__call__(exchange)
            assert gate.open.wait(SECONDS)

    server = Server(Afterwards(lambda exchange: b"ok"), "http://127.0.0.1:0", engine=Threads(4))
    with server, Peer(server.addresses[0], get()) as peer:
        assert peer.answer().endswith(b"ok")
        gate.open.set()


# -- bounds


def test_beyond_threads_and_queue_requests_are_refused_and_the_queue_keeps_its_order(gate: Gate) -> None:
    engine = Threads(2)
    with http(gate, engine, queue=3) as server:
        stuck = [Peer(server.addresses[0], get(f"/block{number}")) for number in range(2)]
        until(lambda: gate.inside == 2)
        queued = []
        for number in range(3):
            queued.append(Peer(server.addresses[0], get(f"/{number}")))
            until(lambda: len(engine._pool._waiting) == len(queued))
        with Peer(server.addresses[0], get("/refused")) as refused:
            answer = refused.answer()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After:" in answer
            assert refused.rest() == b""
        gate.open.set()
        assert [peer.answer().rpartition(b"\r\n")[2] for peer in queued] == [b"/0", b"/1", b"/2"]
        assert ask(server.addresses[0], "/after") == b"/after"
        for peer in stuck + queued:
            peer.close()
    assert gate.seen == ["/block0", "/block1", "/0", "/1", "/2", "/after"]


def test_nothing_is_lost_or_doubled_whatever_handlers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers sleep, compute, and do both by turns, while leaders are deposed."""
    monkeypatch.setattr(Load, "MEMORY", 0.0)  # each block is a surprise
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def moody(exchange: Exchange) -> bytes:
        with lock:
            seen[exchange.path] += 1
        kind = exchange.path[1]
        if kind in "sb":
            time.sleep(0.012)
        if kind in "cb":
            until_then = time.perf_counter() + 0.012
            while time.perf_counter() < until_then:
                pass
        return exchange.path.encode()

    engine = Threads(6)

    def client(seed: int) -> int:
        chance = random.Random(seed)
        asked = 0
        with Peer(server.addresses[0]) as peer:
            while asked < 60:
                burst = [
                    f"/{chance.choice('sbcqqqqqqq')}/{seed}/{asked + more}"
                    for more in range(chance.randint(1, 4))
                ]
                peer.send(b"".join(map(get, burst)))
                for target in burst:
                    assert peer.answer().endswith(b"\r\n" + target.encode())
                asked += len(burst)
        return asked

    with http(moody, engine) as server, ThreadPoolExecutor(12) as clients:
        asked = sum(clients.map(client, range(12)))
        until(lambda: server.connections == 0)
    assert engine.promotions > 5, "the test is about rescues"
    assert sum(seen.values()) == asked
    assert set(seen.values()) == {1}


def test_a_request_that_ends_while_the_watchdog_is_about_it_keeps_its_leader(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Threads(4)
    looks: list[bool] = []

    def look(native_id: int) -> bool:
        """In the middle of deposing: the request ends before the watchdog can take it."""
        gate.open.set()
        until(lambda: not engine._term.inside)
        looks.append(True)
        return True

    monkeypatch.setattr(threads, "is_waiting", look)
    with http(gate, engine) as server, Peer(server.addresses[0], get("/block")) as peer:
        assert peer.answer().endswith(b"/block")
        until(lambda: looks)
        assert ask(server.addresses[0], "/free") == b"/free"
        assert engine.promotions == 0
        assert engine._pool.busy == 0


def test_requests_that_end_about_when_they_would_be_rescued_are_answered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Leader and watchdog reach for the same request, again and again."""
    monkeypatch.setattr(Load, "MEMORY", 0.0)
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def brief(exchange: Exchange) -> bytes:
        with lock:
            seen[exchange.path] += 1
        time.sleep(random.uniform(0.5, 2.5) * threads.TICK)
        return exchange.path.encode()

    def client(number: int) -> None:
        with Peer(server.addresses[0]) as peer:
            for turn in range(30):
                peer.send(get(f"/{number}/{turn}"))
                assert peer.answer().endswith(f"/{number}/{turn}".encode())

    engine = Threads(4)
    with http(brief, engine) as server, ThreadPoolExecutor(6) as clients:
        list(clients.map(client, range(6)))
        until(lambda: server.connections == 0)
        until(lambda: engine._pool.busy == 0)
    assert engine.promotions > 0, "the test is about rescues"
    assert set(seen.values()) == {1}
    assert len(seen) == 180


def test_each_of_many_in_one_batch_that_block_is_rescued(gate: Gate) -> None:
    """One leader after the other gets stuck; whatever the last one finds is delivered."""
    engine = Threads(12)
    with http(gate, engine) as server:
        peers = [Peer(server.addresses[0]) for _ in range(40)]
        until(lambda: server.accepted == 40)
        for number, peer in enumerate(peers):
            peer.send(get(f"/block{number}" if number % 4 == 0 else f"/{number}"))
        for number, peer in enumerate(peers):
            if number % 4:
                assert peer.answer().endswith(b"/%d" % number)
        until(lambda: gate.inside == 10)
        gate.open.set()
        for number, peer in enumerate(peers):
            if number % 4 == 0:
                assert peer.answer().endswith(b"/block%d" % number)
            peer.close()
        until(lambda: engine._pool.busy == 0)


def test_a_peer_that_resets_with_more_pipelined_behind_a_stuck_request_leaves_nothing(gate: Gate) -> None:
    engine = Threads(4)
    with http(gate, engine) as server:
        peer = Peer(server.addresses[0], get("/block") + get("/2"))
        until(lambda: gate.inside == 1)
        peer.send(get("/3"))
        reset(peer.sock)
        assert ask(server.addresses[0], "/free") == b"/free"
        gate.open.set()
        until(lambda: server.connections == 0)
        until(lambda: engine._pool.busy == 0)
        assert ask(server.addresses[0], "/free") == b"/free"
    assert "/3" not in gate.seen


def test_the_number_of_threads_stays_within_the_bound() -> None:
    most = 0
    before = list(engine_threads())

    def look(exchange: Exchange) -> bytes:
        nonlocal most
        most = max(most, len(list(engine_threads(before))))
        time.sleep(0.003)
        return b""

    with http(look, Threads(4)) as server, ThreadPoolExecutor(16) as clients:
        list(clients.map(lambda _: ask(server.addresses[0]), range(160)))
    assert most <= 4 + 2 + 1, "four at work, a leader, one just deposed, a watchdog"


def test_descriptors_reused_within_a_batch_go_to_the_right_connection(gate: Gate) -> None:
    """Connections end and begin in the same round, so that a number stands for two of them."""
    with http(lambda exchange: exchange.path.encode(), Threads(2)) as server:
        for turn in range(60):
            peers = [Peer(server.addresses[0], get(f"/{turn}/{number}")) for number in range(6)]
            for number, peer in enumerate(peers):
                if number % 2:
                    assert peer.answer().endswith(f"/{turn}/{number}".encode())
                    peer.close()
                else:
                    reset(peer.sock)
            with Peer(server.addresses[0], get("/next")) as after:
                assert after.answer().endswith(b"/next")
        until(lambda: server.connections == 0)


# -- the watchdog, and threads that cannot be had


def test_the_watchdog_sleeps_while_nothing_runs_and_wakes_for_the_next_request(gate: Gate) -> None:
    engine = Threads(4)
    with http(gate, engine) as server:
        for _ in range(3):
            assert ask(server.addresses[0], "/free") == b"/free"
            until(lambda: engine._watchdog.resting, "the watchdog to rest")
        with Peer(server.addresses[0], get("/block")):
            until(lambda: gate.inside == 1)
            assert ask(server.addresses[0], "/free") == b"/free"
            gate.open.set()


def test_without_a_thread_to_take_over_the_leader_leads_on(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Threads(4)
    with http(gate, engine) as server:
        assert ask(server.addresses[0], "/free") == b"/free"
        refused = no_more_threads(monkeypatch)
        with Peer(server.addresses[0], get("/block")) as stuck:
            until(lambda: gate.inside == 1 and refused)
            gate.open.set()
            assert stuck.answer().endswith(b"/block")
        assert ask(server.addresses[0], "/free") == b"/free"


def test_a_thread_that_comes_late_takes_over(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Threads(4)
    with http(gate, engine) as server:
        assert ask(server.addresses[0], "/free") == b"/free"
        with monkeypatch.context() as patch:
            refused = no_more_threads(patch)
            stuck = Peer(server.addresses[0], get("/block"))
            until(lambda: gate.inside == 1 and refused)
        assert ask(server.addresses[0], "/free") == b"/free"
        gate.open.set()
        assert stuck.answer().endswith(b"/block")
        stuck.close()
        assert ask(server.addresses[0], "/free") == b"/free"


def test_conversations_without_a_thread_wait_for_one_or_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(stream: Stream) -> None:
        stream.write(stream.read_line() + b"\n")

    engine = Threads(4)
    with Server(talk, "tcp://127.0.0.1:0", engine=engine) as server, timeout(SECONDS):
        with monkeypatch.context() as patch:
            refused = no_more_threads(patch)
            with contextlib.suppress(ConnectionResetError), Peer(server.addresses[0]) as peer:
                assert peer.rest() == b""
            until(lambda: refused)
        with dial(server) as first:
            until(lambda: engine._pool.busy == 1)
            no_more_threads(monkeypatch)
            with dial(server) as second:
                second.write(b"two\n")
                until(lambda: server.accepted == 3)
                first.write(b"one\n")
                assert first.read_all() == b"one\n"
                assert second.read_all() == b"two\n"


def test_a_server_without_threads_says_so_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    no_more_threads(monkeypatch)
    port = free_port()
    with pytest.raises(ConfigError, match="no more threads"):
        Server(lambda stream: None, f"tcp://127.0.0.1:{port}").start()
    socket.create_server(("127.0.0.1", port)).close()


def no_more_threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on none can be started; the attempts."""
    tried: list[str] = []

    def start(self: threading.Thread) -> None:
        tried.append(self.name)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    return tried


# -- what is expected of a kind of work


def test_one_slow_request_is_noise_and_two_are_a_habit() -> None:
    load = Load()
    load.slow(100.0)
    assert load.until < 100.0
    load.slow(100.1)
    assert load.until > 101.0
    rare = Load()
    rare.slow(100.0)
    rare.slow(100.0 + Load.HABIT + 1)
    assert rare.until < 100.0


def test_a_rescue_from_sleep_is_enough() -> None:
    load = Load()
    load.rescued(100.0, waiting=True)
    assert load.until > 100.0
    busy = Load()
    busy.rescued(100.0, waiting=False)
    assert busy.until < 100.0


def test_deadlines_are_looked_at_often_enough_for_the_shortest() -> None:
    assert lot._sweep_interval(Limits().but(linger=0.4)) == pytest.approx(0.1)
    assert lot._sweep_interval(Limits().but(linger=0.001)) == pytest.approx(0.02)
    assert lot._sweep_interval(Limits().but(head=1, linger=1)) == pytest.approx(0.25)
    slow = {field.name: 60 for field in fields(Limits) if "float" in str(field.type)}
    assert lot._sweep_interval(Limits().but(**slow)) == 1.0
