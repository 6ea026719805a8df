"""Memory that all connections of a server share: a thousand slow peers must not add up."""

from __future__ import annotations

import io
import threading
import time

import pytest

from portico.http.body import Spool
from portico.http.outbox import Outbox
from portico.http.room import SMALL, Room
from portico.sockets.memory import pair
from tests.engines.serving import until
from tests.http.served import Client, chunked, echo, get, post, serving

LARGE = b"0123456789abcdef" * (1 << 16)  # more than a socket's buffers take, beside those of its peer
NARROW = {"SO_RCVBUF": 4096}


def room_of(server):
    """The room of a server's connections, found at one of them."""
    return next(iter(server._engine._all)).room


# Its parts


def test_who_is_one_of_many_makes_the_room_crowded_and_who_is_alone_or_small_does_not():
    room = Room(100 * SMALL)
    held = [room.account(0, 60 * SMALL), room.account(0, 60 * SMALL)]
    assert (room.taken, room.full) == (120 * SMALL, True)
    assert room.crowded_by(59 * SMALL)
    assert not room.crowded_by(60 * SMALL)
    assert not room.crowded_by(SMALL)
    room.account(held[0], 0)
    assert (room.taken, room.full) == (60 * SMALL, False)
    assert not room.crowded_by(10 * SMALL)


def test_a_spool_counts_while_it_is_in_memory():
    room, spool = Room(1 << 20), Spool(100)
    spool.settle(room)
    assert room.taken == 0
    for expected in (50, 100, 0):  # the third piece sends it to a file
        spool.add(b"x" * 50)
        spool.settle(room)
        assert room.taken == expected
    spool.close()


@pytest.mark.parametrize("taken", [True, False])
def test_a_spool_counts_until_whoever_took_it_has_closed_it(taken):
    room, spool = Room(1 << 20), Spool(100)
    spool.add(b"x" * 50)
    spool.settle(room)
    if taken:
        with spool.file() as file:
            assert file.read() == b"x" * 50
            assert room.taken == 50
    else:
        spool.close()
    assert room.taken == 0


def test_in_a_crowded_room_a_spool_goes_to_a_file_early():
    room, spool = Room(SMALL), Spool(1 << 20)
    room.account(0, 1 << 20)
    for _ in range(3):
        spool.add(b"x" * SMALL)
        spool.settle(room)
    assert room.taken == 1 << 20
    with spool.file() as file:
        assert not isinstance(file, io.BytesIO)
        assert file.read() == b"x" * (3 * SMALL)


def test_what_waits_in_an_outbox_can_wait_in_a_file_and_keeps_its_order():
    near, far = pair(capacity=1000)
    room, outbox = Room(1), Outbox()
    for number in range(5):
        outbox.add(bytes([number]) * 700)
    outbox.send(near)
    outbox.hold(room)
    assert room.taken == outbox.memory == 2500
    outbox.spill()
    assert room.taken == outbox.memory == 0
    outbox.add(b"the end")
    got = b""
    while outbox:
        got += far.recv(10000)
        outbox.send(near)
    assert got + far.recv(10000) == b"".join(bytes([number]) * 700 for number in range(5)) + b"the end"


def test_very_large_answers_are_left_where_they_are():
    """Their program holds them: once, perhaps, for many who read them."""
    room, outbox = Room(1), Outbox()
    outbox.add(bytes(5 << 20))
    outbox.hold(room)
    assert room.taken == outbox.spillable == 0


def test_an_outbox_that_is_dropped_holds_nothing():
    room, outbox = Room(1), Outbox()
    outbox.add(bytes(10))
    outbox.hold(room)
    outbox.close()
    assert room.taken == 0


def test_where_the_disk_is_full_an_answer_waits_in_memory(monkeypatch):
    def full(**options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("portico.http.outbox.tempfile.TemporaryFile", full)
    outbox = Outbox()
    outbox.add(b"x" * 10)
    with pytest.raises(OSError, match="No space"):
        outbox.spill()
    assert outbox.memory == 10


# A server with little of it


@pytest.mark.parametrize("hold", [True, False])
def test_answers_that_nobody_reads_go_to_files_and_still_arrive_whole(hold):
    def large(exchange):
        exchange.respond(200, [], exchange.query.encode() + LARGE * 3, hold=hold)

    with serving(large, limits={"memory": 1 << 20}) as server:
        clients = [Client(server, **NARROW) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(get(f"/?{number:02}"))
        until(lambda: server.connections == 20)
        room = room_of(server)
        until(lambda: 0 < room.taken < 4 * len(LARGE) * 3)  # twenty of them asked for 60 MiB
        for number, client in enumerate(clients):
            assert client.answer().body == b"%02d" % number + LARGE * 3
        until(lambda: room.taken == 0)
        for client in clients:
            client.sock.close()


def test_who_leaves_gives_back_what_was_held_for_it():
    with serving(lambda exchange: exchange.respond(200, [], LARGE * 3)) as server:
        clients = [Client(server, **NARROW) for _ in range(5)]
        for client in clients:
            client.send(get("/"))
        slow_head = Client(server)
        slow_head.send(get("/", "X: " + "y" * 20000)[:-4])
        slow_body = Client(server)
        slow_body.send(post(b"x" * 100_000)[:-1])
        until(lambda: server.connections == 7)
        room = room_of(server)
        until(lambda: room.taken > 100_000)
        for client in (*clients, slow_head, slow_body):
            client.sock.close()
        until(lambda: room.taken == 0)


def test_a_large_head_that_is_slow_is_refused_where_there_is_no_room_and_a_small_one_is_not():
    with serving(echo, limits={"memory": 100_000}) as server:
        slow = get("/", "X: " + "y" * 30000)
        clients = []
        for _ in range(8):
            clients.append(Client(server))
            clients[-1].send(slow[:-2])
            time.sleep(0.02)
        until(lambda: server.refusals["room"] >= 1)
        with Client(server) as small:
            small.send(get("/")[:-2])
            time.sleep(0.02)
            small.send(b"\r\n")
            assert small.answer().status == 200
        statuses = []
        for client in clients:
            try:
                client.send(b"\r\n")
            except ConnectionError:
                pass
            answer = client.answer()
            statuses.append((answer.status, answer["retry-after"]))
            client.sock.close()
        assert set(statuses) == {(200, None), (503, "1")}
        assert statuses.count((503, "1")) == server.refusals["room"]
        assert server.refusals.total() == server.refusals["room"]


@pytest.mark.parametrize("coded", [True, False])
def test_bodies_that_are_slow_go_to_files_where_there_is_no_room(coded):
    files = []

    def tells(exchange):
        files.append(type(exchange.body))
        exchange.respond(200, [], b"%d" % len(exchange.body.read()))

    body = b"x" * 100_000
    raw = chunked([body]) if coded else post(body)
    with serving(tells, limits={"memory": 250_000}) as server:
        clients = [Client(server) for _ in range(8)]
        for client in clients:
            client.send(raw[:90_000])
        until(lambda: server.connections == 8)
        room = room_of(server)
        until(lambda: room.taken > 150_000)
        for client in clients:
            client.send(raw[90_000:])
            assert client.answer().body == b"100000"
        assert sum(issubclass(each, io.BytesIO) for each in files) in range(1, 5)
        until(lambda: room.taken == 0)
        for client in clients:
            client.sock.close()


# Threads that only wait for a slow peer


def endless(exchange):
    if exchange.path == "/":
        exchange.respond(200, [], b"fine")
        return
    exchange.start(200, [])
    for _ in range(400):
        exchange.write(b"x" * 65536)


@pytest.mark.parametrize("engine", ["threads:2", "events:2"])
def test_slow_readers_of_answers_that_are_made_while_they_read_take_no_thread_of_others(engine):
    limits = {"response_memory": 1 << 16, "queue": 1}
    with serving(endless, engine=engine, limits=limits) as server:
        slow = [Client(server, **NARROW) for _ in range(10)]
        for client in slow:
            client.send(get("/endless"))
            assert client._head().status == 200
        until(lambda: server._engine._pool._aside == 10)
        assert server._engine._pool.busy == 0
        with Client(server) as client:
            for _ in range(20):
                assert client.ask(get("/")).body == b"fine"
        for client in slow:  # they get all of it, and their threads are free for others again
            client.sock.settimeout(20)
            received = sum(len(client.sock.recv(1 << 20)) for _ in range(10))
            assert received > 0
            client.sock.close()
        until(lambda: server._engine._pool._aside == server._engine._pool.busy == 0)


@pytest.mark.parametrize("engine", ["threads:2", "events:2"])
def test_nor_do_slow_bodies_that_are_read_as_they_come(engine):
    streams = lambda head: head.body_length != 0  # noqa: E731
    with serving(echo, engine=engine, streams=streams, limits={"queue": 1}) as server:
        slow = [Client(server) for _ in range(10)]
        for number, client in enumerate(slow, 1):  # one by one: the line has room for one
            client.send(post(b"body")[:-1])
            until(lambda number=number: server._engine._pool._aside == number)
        with Client(server) as client:
            for _ in range(20):
                assert client.ask(get("/")).status == 200
        for client in slow:
            client.send(b"y")
            assert client.answer().body == b"POST / body"
            client.sock.close()
        until(lambda: server._engine._pool._aside == server._engine._pool.busy == 0)


def test_a_request_that_waits_in_line_gets_the_thread_of_one_that_steps_aside():
    asked, gate = threading.Event(), threading.Event()

    def answers(exchange):
        if exchange.path == "/slow":
            asked.set()
            assert gate.wait(20)
            exchange.body.read()
        exchange.respond(200, [], exchange.path.encode())

    streams = lambda head: head.target == "/slow"  # noqa: E731
    with (
        serving(answers, engine="events:1", streams=streams) as server,
        Client(server) as slow,
        Client(server) as other,
    ):
        slow.send(post(b"body", "/slow")[:-1])
        assert asked.wait(20)
        other.send(get("/other"))
        until(lambda: len(server._engine._pool._waiting) == 1)
        gate.set()
        assert other.answer().body == b"/other"
        slow.send(b"y")
        assert slow.answer().body == b"/slow"
