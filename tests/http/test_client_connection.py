"""The client's side of HTTP/1.1 over a stream: a dialogue with a scripted peer, and with our own server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from portico import Stream, connect, timeout
from portico.errors import (
    EndOfStream,
    LimitExceeded,
    LocalProtocolError,
    ProtocolError,
    StreamClosed,
    Timeout,
)
from portico.http.client_connection import ClientConnection
from portico.http.messages import END, End, ResponseHead
from portico.limits import Limits
from portico.sockets.memory import pair
from tests.http.served import serving

pytestmark = pytest.mark.usefixtures("no_leaks")

HOST = [("Host", "x")]


@contextmanager
def talking(limits: Limits | None = None) -> Iterator[tuple[ClientConnection, Stream]]:
    ours, theirs = (Stream(each) for each in pair())
    with timeout(20), ClientConnection(ours, limits) as connection, theirs:
        yield connection, theirs


def test_a_request_and_its_answer_and_then_another() -> None:
    with talking() as (client, server):
        for number in range(2):
            client.send_head("GET", f"/{number}", HOST)
            assert server.read_until(b"\r\n\r\n") == b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number
            server.write(b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX: y\r\n\r\nok")
            head = client.read_final_head()
            assert (head.status, head.reason, head.get("x")) == (200, "Fine", "y")
            assert not client.reusable
            assert b"".join(client.read_body()) == b"ok"
            assert client.reusable
            assert not client.stale
            client.start_next_cycle()
        assert client.cycle == 2


def test_bodies_are_framed_and_trailers_go_both_ways() -> None:
    with talking() as (client, server):
        client.send_head("POST", "/", HOST, body_length=None)
        client.send_data(b"abc")
        client.send_end([("X-Sum", "1")])
        assert server.read_until(b"X-Sum: 1\r\n\r\n").endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        server.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nX-Sum: 2\r\n\r\n")
        client.read_final_head()
        assert b"".join(client.read_body()) == b"de"
        assert client.trailers == (("x-sum", "2"),)


def test_informational_heads_come_first() -> None:
    with talking() as (client, server):
        client.send_head("GET", "/", HOST)
        server.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 None\r\n\r\n")
        first, second, last = client.read_event(), client.read_event(), client.read_event()
        assert isinstance(first, ResponseHead)
        assert isinstance(second, ResponseHead)
        assert (first.status, second.status, last) == (103, 204, END)
        with pytest.raises(LocalProtocolError):
            client.read_event()


def test_both_directions_at_once_without_waiting() -> None:
    with talking() as (client, server):
        client.put_head("POST", "/", HOST, body_length=3)
        assert client.try_event() is None
        assert client.flush()
        assert not client.request_sent
        server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        assert isinstance(client.try_event(), ResponseHead)
        assert client.try_event() is None
        client.put(b"abc")
        client.put_end()
        assert client.unsent == 3
        assert client.flush()
        assert client.request_sent
        server.write(b"x")
        assert [client.try_event(), type(client.try_event())] == [b"x", End]
        assert client.reusable


def test_an_answer_before_the_request_is_complete_ends_the_connection() -> None:
    with talking() as (client, server):
        client.send_head("POST", "/", HOST, body_length=10)
        server.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        assert client.read_final_head().status == 413
        assert list(client.read_body()) == []
        assert not client.reusable
        with pytest.raises(LocalProtocolError):
            client.start_next_cycle()


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", EndOfStream),
        (b"HTTP/1.1 200 OK\r\n", EndOfStream),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", EndOfStream),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", EndOfStream),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", ProtocolError),
        (b"nonsense\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, LimitExceeded),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", ProtocolError),
    ],
)
def test_an_answer_that_is_broken_is_an_error(raw: bytes, error: type[Exception]) -> None:
    with talking() as (client, server):
        client.send_head("GET", "/", HOST)
        writer = threading.Thread(target=lambda: (server.write(raw), server.shutdown_write()))
        writer.start()
        with pytest.raises(error):
            list(client.read_body()) if client.read_final_head() else None
        writer.join()
        assert not client.reusable


def test_what_was_not_asked_for_makes_a_connection_stale() -> None:
    with talking() as (client, server):
        client.send_head("GET", "/", HOST)
        server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        client.read_final_head()
        list(client.read_body())
        client.start_next_cycle()
        assert not client.stale
        server.write(b"HTTP/1.1 200 OK\r\n")
        assert client.stale
    with talking() as (client, server):
        server.close()
        assert client.stale


def test_a_request_that_cannot_be_sent_leaves_nothing_behind() -> None:
    with talking() as (client, server):
        for method, target, headers in (
            ("GET", "/ x", HOST),
            ("GET", "/", []),
            ("GET", "/", [*HOST, ("X", "a\r\nY: b")]),
            ("BAD METHOD", "/", HOST),
        ):
            with pytest.raises(LocalProtocolError):
                client.send_head(method, target, headers)
        client.send_head("GET", "/fine", HOST)
        assert server.read_line() == b"GET /fine HTTP/1.1"


def test_a_deadline_cuts_a_wait() -> None:
    with talking() as (client, _):
        client.send_head("GET", "/", HOST)
        with pytest.raises(Timeout), timeout(0.05):
            client.read_event()


def test_a_switch_gives_the_stream_and_what_came_early() -> None:
    with talking() as (client, server):
        client.send_head("GET", "/", [*HOST, ("Connection", "Upgrade"), ("Upgrade", "echo")])
        with pytest.raises(LocalProtocolError):
            client.switch()
        server.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
        assert client.read_final_head().status == 101
        stream = client.switch()
        assert stream.read_exactly(5) == b"early"
        stream.write(b"late")
        assert server.read_until(b"late").endswith(b"late")


def test_a_body_until_the_close_ends_there() -> None:
    with talking() as (client, server):
        client.send_head("GET", "/", HOST)
        server.write(b"HTTP/1.0 200 OK\r\n\r\nall")
        server.shutdown_write()
        client.read_final_head()
        assert b"".join(client.read_body()) == b"all"
        assert not client.reusable


def test_it_talks_with_our_own_server() -> None:
    with timeout(20), serving() as server:
        stream = connect(f"tcp://127.0.0.1:{server.addresses[0].port}")
        with ClientConnection(stream) as client:
            for _ in range(3):
                client.send_head("POST", "/x", HOST, body_length=4)
                client.send_data(b"body")
                client.send_end()
                assert client.read_final_head().status == 200
                assert b"".join(client.read_body()) == b"POST /x body"
                client.start_next_cycle()
            client.abort()
            with pytest.raises(StreamClosed):
                client.send_head("GET", "/", HOST)
