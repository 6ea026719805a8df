"""A client that asks again before it is answered: answers in order, and nobody takes one for another."""

from __future__ import annotations

import pytest

from portico import Stream, connect
from portico.errors import EndOfStream, LocalProtocolError, ProtocolError
from portico.http.client_connection import ClientConnection
from portico.sockets import memory
from tests.http.served import serving

HOST = [("Host", "localhost")]


def test_answers_come_in_the_order_of_the_requests():
    def tell(exchange):
        exchange.respond(200, [], exchange.request.target.encode() * 10_000)

    with (
        serving(tell) as server,
        ClientConnection(connect(("127.0.0.1", server.addresses[0].port))) as connection,
    ):
        targets = [f"/{number}" for number in range(50)]
        for target in targets:
            connection.send_head("GET", target, HOST)
        assert len(connection.unanswered) == 49
        for number, target in enumerate(targets):
            assert connection.read_final_head().status == 200
            assert b"".join(connection.read_body()) == target.encode() * 10_000
            assert connection.cycle == number + 1
            connection.start_next_cycle()
        assert connection.unanswered == []
        connection.send_head("POST", "/again", HOST, body_length=2)
        connection.send_data(b"hi")
        connection.send_end()
        assert connection.read_final_head().status == 200


@pytest.fixture
def both():
    ours, theirs = (Stream(end) for end in memory.pair())
    with ClientConnection(ours) as connection, theirs:
        yield connection, theirs


def answer(body: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"Content-Length: %d" % len(body), b"", body])


def test_heads_are_told_apart_by_their_method(both):
    connection, server = both
    for method in ("GET", "HEAD", "GET"):
        connection.send_head(method, "/", HOST)
    server.write(answer(b"one") + b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + answer(b"three"))
    bodies = []
    for _ in range(3):
        connection.read_final_head()
        bodies.append(b"".join(connection.read_body()))
        connection.start_next_cycle()
    assert bodies == [b"one", b"", b"three"]


def test_informational_answers_belong_to_the_request_whose_turn_it_is(both):
    connection, server = both
    connection.send_head("GET", "/1", HOST)
    connection.send_head("GET", "/2", HOST)
    server.write(b"HTTP/1.1 103 X\r\n\r\n" + answer(b"1") + b"HTTP/1.1 103 X\r\n\r\n" + answer(b"2"))
    for body in (b"1", b"2"):
        assert connection.read_final_head().status == 200
        assert b"".join(connection.read_body()) == body
        connection.start_next_cycle()


def test_what_a_closing_server_leaves_unanswered_is_told(both):
    connection, server = both
    for target in ("/1", "/2", "/3"):
        connection.send_head("GET", target, HOST)
    server.write(answer(b"1", b"Connection: close"))
    connection.read_final_head()
    assert b"".join(connection.read_body()) == b"1"
    assert not connection.reusable
    with pytest.raises(LocalProtocolError, match="ends with"):
        connection.start_next_cycle()
    assert [target for _, target, _ in connection.unanswered] == ["/2", "/3"]


def test_a_server_that_just_goes_is_an_error(both):
    connection, server = both
    connection.send_head("GET", "/1", HOST)
    connection.send_head("GET", "/2", HOST)
    server.write(answer(b"1"))
    server.close()
    connection.read_final_head()
    list(connection.read_body())
    connection.start_next_cycle()
    with pytest.raises(EndOfStream):
        connection.read_final_head()


def test_more_answers_than_requests_are_refused(both):
    connection, server = both
    connection.send_head("GET", "/1", HOST)
    connection.send_head("GET", "/2", HOST)
    server.write(answer(b"1") + answer(b"2") + answer(b"evil"))
    for _ in range(2):
        connection.read_final_head()
        list(connection.read_body())
        if connection.unanswered:
            connection.start_next_cycle()
    assert not connection.reusable
    with pytest.raises((LocalProtocolError, ProtocolError)):
        connection.start_next_cycle()


@pytest.mark.parametrize(
    ("method", "fields", "length"),
    [
        ("POST", [], 5),
        ("POST", [], None),
        ("CONNECT", [], 0),
        ("GET", [("Connection", "close")], 0),
        ("GET", [("Connection", "upgrade"), ("Upgrade", "x")], 0),
    ],
)
def test_what_must_not_be_sent_before_its_turn_is_refused(both, method, fields, length):
    connection, server = both
    connection.send_head("GET", "/1", HOST)
    target = "h:1" if method == "CONNECT" else "/"
    with pytest.raises(LocalProtocolError):
        connection.send_head(method, target, [*HOST, *fields], body_length=length)
    assert connection.unanswered == []
    server.write(answer(b"1"))
    assert connection.read_final_head().status == 200


def test_nothing_is_sent_ahead_of_a_request_that_ends_the_connection(both):
    connection, _ = both
    connection.send_head("GET", "/1", [*HOST, ("Connection", "close")])
    with pytest.raises(LocalProtocolError):
        connection.send_head("GET", "/2", HOST)
