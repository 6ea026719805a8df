"""Each reason for which a server refuses a request: the status, and that it is counted, once."""

from __future__ import annotations

import threading

import pytest

from portico import admission
from portico.engines import door
from portico.engines.workers.scoreboard import Scoreboard
from portico.refusals import REASONS, REFUSALS, Refusals
from tests.engines.serving import server_tls, until
from tests.http.served import Client, chunked, echo, get, post, serving

LIMITS = {
    "request_line": 100,
    "headers": 5,
    "header_bytes": 500,
    "body": 50,
    "chunk_extension_bytes": 20,
    "head": 0.3,
    "body_grace": 0.3,
    "request": 30.0,
    "linger": 0.1,
}
STREAMED, GATHERED = "/streamed", "/gathered"

REFUSED = [
    ("malformed", get("/", "a b: c")),
    ("malformed", chunked([b"abc"], GATHERED, tail=b"x\r\n")),
    ("malformed", chunked([b"abc"], STREAMED, tail=b"x\r\n")),
    ("chunk_extension_bytes", chunked([b"abc"], tail=b"0;" + b"a" * 30 + b"\r\n\r\n")),
    ("head", b"GET / HTTP/1.1\r\nHost: test\r\n"),
    ("body_rate", post(b"abc", GATHERED)[:-1]),
    ("body_rate", post(b"abc", STREAMED)[:-1]),
    ("body", post(b"a" * 51, GATHERED)),
    ("body", post(b"a" * 51, STREAMED)[:-51]),  # before any of it has come
    ("body", chunked([b"a" * 30] * 2, GATHERED)),
    ("body", chunked([b"a" * 30] * 2, STREAMED)),
    ("request_line", get("/" + "a" * 100)),
    ("expectation", get("/", "Expect: miracles")),
    ("headers", get("/", *["X: y"] * 5)),
    ("header_bytes", get("/", "X: " + "y" * 500)),
    ("coding", get("/", "Transfer-Encoding: zip, chunked", method="POST")),
    ("method", b"CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n"),
    ("version", get("/", version="2.0")),
]


class Gate:
    name = "test:refusing"

    def streams(self, request):
        return request.target == STREAMED

    def __call__(self, exchange):
        if exchange.path == "/not-allowed":
            exchange.refuse_method(["GET", "HEAD"])
        else:
            echo(exchange)


@pytest.fixture(scope="module", params=["inline", "threads"])
def server(request):
    with serving(Gate(), engine=request.param, limits=LIMITS) as server:
        yield server


@pytest.mark.parametrize(("reason", "raw"), REFUSED)
def test_a_request_is_refused_for(server, reason, raw):
    before = server.refusals
    with Client(server) as client:
        assert client.ask(raw).status == REFUSALS[reason]
        assert client.is_closed()
    assert server.refusals - before == {reason: 1}


def test_a_method_that_is_not_allowed_is_counted_and_no_reason_to_close(server):
    before = server.refusals
    with Client(server) as client:
        for method, status in (("POST", 405), ("MKCOL", 405), ("MKCOFFEE", 501), ("post", 501)):
            answer = client.ask(get("/not-allowed", method=method))
            assert (answer.status, answer["allow"]) == (status, "GET, HEAD")
        assert client.ask(get("/")).status == 200
    assert server.refusals - before == {"not_allowed": 2, "method": 2}


def test_what_is_served_is_not_counted(server):
    before = server.refusals
    with Client(server) as client:
        for raw in (get("/"), post(b"abc", GATHERED), chunked([b"abc"], STREAMED), get("/", method="X")):
            assert client.ask(raw).status == 200
    assert server.refusals == before


def test_a_request_that_takes_too_long():
    def slow(exchange):
        exchange.body.read()

    with serving(slow, streams=True, limits={"request": 0.2}) as server, Client(server) as client:
        assert client.ask(post(b"abc")[:-1]).status == 408  # the client's fault, not the gateway's
        assert server.refusals == {"body_rate": 1}


def test_a_gateway_that_takes_too_long():
    limits = {"request": 0.2}
    with serving(lambda exchange: door.sleep(30), limits=limits) as server, Client(server) as client:
        assert client.ask(get("/")).status == 503
        until(lambda: server.refusals == {"request": 1})


def test_no_thread_is_free():
    inside, leave = threading.Event(), threading.Event()

    def waits(exchange):
        inside.set()
        leave.wait(20)
        exchange.respond(200, [])

    with serving(waits, engine="threads:1", limits={"queue": 1}) as server:
        clients = [Client(server) for _ in range(4)]
        try:
            clients[0].send(get("/"))
            assert inside.wait(20)
            for client in clients[1:]:
                client.send(get("/"))
            until(lambda: server.refusals["busy"] >= 1)
        finally:
            leave.set()
        statuses = sorted(client.answer().status for client in clients)
        assert statuses.count(503) == server.refusals["busy"] == 4 - statuses.count(200)
        for client in clients:
            client.sock.close()


def test_a_handshake_that_does_not_come():
    tls = server_tls()
    with serving(echo, address="https://127.0.0.1:0", tls=tls, limits={"handshake": 0.2}) as server:
        with Client(server) as client:
            assert client.is_closed()
        assert server.refusals == {"handshake": 1}


def test_no_room_for_a_body(monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("portico.http.body.Spool.add", full)
    with serving(echo) as server, Client(server) as client:
        # Chunked: a small body of known length that comes with its head is not kept anywhere.
        assert client.ask(chunked([b"abc"])).status == 503
        assert server.refusals == {"room": 1}


def test_a_reader_that_takes_nothing():
    def large(exchange):
        exchange.respond(200, [], b"x" * (8 << 20))

    with serving(large, limits={"write_stall": 0.2}) as server, Client(server, SO_RCVBUF=4096) as client:
        client.send(get("/"))
        until(lambda: server.refusals == {"write_stall": 1})


def test_a_reader_that_takes_nothing_of_an_answer_that_is_still_made():
    def endless(exchange):
        exchange.start(200, [])
        while True:
            exchange.write(b"x" * 65536)

    with serving(endless, limits={"write_stall": 0.2}) as server, Client(server, SO_RCVBUF=4096) as client:
        client.send(get("/"))
        until(lambda: server.refusals == {"write_stall": 1})


@pytest.mark.parametrize("spec", ["forks", "workers:2/threads", "workers:1/events"])
def test_what_processes_refuse_is_added_up(spec):
    with serving(Gate(), engine=spec, limits=LIMITS) as server:
        for _ in range(2):
            for reason, raw in (REFUSED[0], REFUSED[0], REFUSED[7], REFUSED[-1]):
                with Client(server) as client:
                    assert client.ask(raw).status == REFUSALS[reason]
            with Client(server) as client:
                assert client.ask(get("/")).status == 200
            assert server.reload() is None  # what those that have ended did is not forgotten
        until(lambda: server.refusals.total() == 8)
        assert server.refusals == {"malformed": 4, "body": 2, "version": 2}
        assert server.refused == {}
    assert server.refusals == {"malformed": 4, "body": 2, "version": 2}


def test_there_is_room_for_every_reason_in_the_table_that_processes_share():
    assert len(admission.REASONS) + len(REASONS) <= len(Scoreboard().totals.refused)


def test_what_is_no_reason_cannot_be_counted():
    refusals = Refusals()
    with pytest.raises(KeyError, match="whim"):
        refusals.count("whim")
    assert refusals.counts == {}


def test_every_reason_is_tried_here():
    tried = {reason for reason, _ in REFUSED}
    elsewhere = {"not_allowed", "busy", "request", "room", "write_stall", "handshake"}
    elsewhere |= {"proxy_header"}  # tests/test_proxy_protocol_served.py
    assert tried | elsewhere == set(REASONS)
