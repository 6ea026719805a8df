"""Upstreams that fail: refused, reset, silent, hostile; what the client sees then.

And what an upstream sees of clients that go."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from portico.limits import Limits
from portico.web.proxy import Deadlines
from tests.http.served import Client, chunked, get, post
from tests.ports import free_port
from tests.web.proxy.test_gateway import ENGINES, asked, proxied
from tests.web.proxy.upstreams import Scripted, Upside, keeping, once, whole

pytestmark = pytest.mark.usefixtures("no_leaks")


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


# -- no answer


@pytest.mark.parametrize("engine", ENGINES)
def test_nobody_there_is_502(engine: str) -> None:
    with proxied(f"http://127.0.0.1:{free_port()}", engine=engine) as server, Client(server) as client:
        for _ in range(2):
            answer = client.ask(post(b"x"))
            assert (answer.status, answer["connection"]) == (502, None)
        assert sum(server.handler.errors.values()) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200,
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_what_is_no_answer_is_502(raw: bytes, reset: bool) -> None:
    with once(raw, reset=reset) as up, proxied(up) as server, Client(server) as client:
        answer = client.ask(get())
        assert answer.status == 502
        assert b"Set-Cookie" not in answer.body
        assert client.ask(get()).status == 502  # and the client's connection goes on
    assert up.connections == 2


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ],
)
def test_an_answer_that_ends_too_early_never_looks_complete(raw: bytes, engine: str) -> None:
    with once(raw) as up, proxied(up, engine=engine) as server, Client(server) as client:
        client.send(get())
        head = client._head()
        assert head.status == 200
        with pytest.raises((ConnectionError, EOFError)):
            client._body(head)


def test_a_reset_in_a_body_without_length_is_no_end() -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.say(b"HTTP/1.1 200 OK\r\n\r\nsome")
        time.sleep(0.1)
        up.reset()

    with Scripted(talk) as up, proxied(up) as server, Client(server) as client:
        client.send(get())
        head = client._head()
        with pytest.raises((ConnectionError, EOFError)):
            client._body(head)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_silent_upstream_is_504(engine: str) -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.sock.recv(1)

    deadlines = Deadlines(first_byte=0.1)
    with (
        Scripted(talk) as up,
        proxied(up, engine=engine, deadlines=deadlines) as server,
        Client(server) as client,
    ):
        assert client.ask(get()).status == 504
        assert client.ask(get()).status == 504


def test_an_answer_that_stalls_is_cut() -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        up.sock.recv(1)

    with (
        Scripted(talk) as up,
        proxied(up, deadlines=Deadlines(between=0.1)) as server,
        Client(server) as client,
        pytest.raises((ConnectionError, EOFError)),
    ):
        client.ask(get())


def test_an_upstream_that_takes_no_more_of_an_upload_is_504() -> None:
    def talk(up: Upside) -> None:
        up.request()
        time.sleep(1)

    with (
        Scripted(talk) as up,
        proxied(up, deadlines=Deadlines(between=0.2)) as server,
        Client(server) as client,
    ):
        client.sock.settimeout(10)
        try:
            client.send(get("/", "Content-Length: 50000000", method="POST"), b"x" * 50_000_000)
        except ConnectionError:
            pass  # it was answered, and no more was read
        assert client.answer().status == 504


def test_the_whole_has_its_bound_although_each_piece_is_quick() -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.say(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(200):
            up.say(b"x")
            time.sleep(0.02)

    with (
        Scripted(talk) as up,
        proxied(up, deadlines=Deadlines(whole=0.3)) as server,
        Client(server) as client,
        pytest.raises((ConnectionError, EOFError)),
    ):
        client.ask(get())


def test_a_slow_client_is_not_the_upstreams_fault() -> None:
    with Scripted(keeping(whole())) as up:
        deadlines = Deadlines(first_byte=0.2, between=0.2)
        with proxied(up, deadlines=deadlines) as server, Client(server) as client:
            client.send(chunked([b"a"], tail=b""))
            time.sleep(0.6)
            client.send(b"1\r\nb\r\n0\r\n\r\n")
            assert client.answer().status == 200
    assert up.bodies == [b"ab"]


def test_a_body_that_comes_too_slowly_is_408_and_never_complete_for_the_upstream() -> None:
    ended = []

    def talk(up: Upside) -> None:
        up.request()
        try:
            up.body()
            ended.append("complete")
        except (EOFError, OSError):
            ended.append("cut")

    limits = Limits(body_grace=0.2, body_rate=1_000_000, linger=0.1)
    with Scripted(talk) as up, proxied(up, limits=limits) as server, Client(server) as client:
        client.send(chunked([b"a"], tail=b""))
        assert client.answer().status == 408
        until(lambda: ended)
    assert ended == ["cut"]


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_the_next_connection_with_the_descriptor_of_one_that_was_closed_is_heard(engine: str) -> None:
    """While an upstream thinks, the client is listened to. The hub must not go on with that afterwards: it
    would take what happens to the number's next owner for news of this one."""

    def slowly(up: Upside) -> bytes:
        time.sleep(0.02)  # lets it be waited for
        return whole()

    limits = Limits(head=2.0)
    with Scripted(keeping(slowly)) as up, proxied(up, engine=engine, limits=limits) as server:
        for _ in range(3):
            with ExitStack() as stack:
                ending = [stack.enter_context(Client(server)) for _ in range(4)]
                for client in ending:
                    client.send(get("/", "Connection: close"))
                for client in ending:
                    assert client.answer().status == 200
                    assert client.is_closed()
            with ExitStack() as stack:
                following = [stack.enter_context(Client(server)) for _ in range(4)]
                for client in following:
                    client.send(get()[:10])
                time.sleep(0.02)  # lets the rest be waited for
                for client in following:
                    client.send(get()[10:])
                    assert client.answer().status == 200


# -- clients that go


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stage", ["before the answer", "in the answer", "in the upload"])
def test_an_upstream_learns_at_once_that_the_client_has_gone(stage: str, engine: str) -> None:
    gone: list[float] = []

    def talk(up: Upside) -> None:
        up.request()
        if stage == "in the answer":
            up.say(b"HTTP/1.1 200 OK\r\n\r\nx")
        try:
            while up.sock.recv(1 << 16):
                pass
        except OSError:
            pass
        gone.append(time.monotonic())

    with Scripted(talk) as up, proxied(up, engine=engine) as server:
        with Client(server) as client:
            if stage == "in the upload":
                client.send(get("/", "Content-Length: 1000000", method="POST"), b"x" * 300_000)
            else:
                client.send(get())
            if stage == "in the answer":
                client._head()
            until(lambda: up.heads)
            began = time.monotonic()
        until(lambda: gone)
        assert gone[0] - began < 5


def test_requests_that_a_client_sends_ahead_are_answered_in_their_turn() -> None:
    def answer(up: Upside) -> bytes:
        time.sleep(0.05)
        return whole(up.upstream.heads[-1].split(b" ")[1])

    with Scripted(keeping(answer)) as up, proxied(up) as server, Client(server) as client:
        client.send(get("/1"))
        time.sleep(0.02)
        client.send(get("/2"), get("/3"))
        assert [client.answer().body for _ in range(3)] == [b"/1", b"/2", b"/3"]
    assert up.connections == 1


# -- connections that rest


@pytest.mark.parametrize("engine", ENGINES)
def test_a_connection_that_was_closed_while_it_rested_is_not_used(engine: str) -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.body()
        up.say(whole())

    with Scripted(talk) as up, proxied(up, engine=engine) as server, Client(server) as client:
        for number in range(3):
            assert client.ask(post(b"x")).status == 200
            until(lambda wanted=number + 1: up.connections == wanted)
            time.sleep(0.05)


def closing_on_the_second(up: Upside) -> None:
    up.request()
    up.body()
    up.say(whole())
    if up.number == 1:
        up.request()  # comes to a connection that is closed just then
        return
    keeping(whole())(up)


@pytest.mark.parametrize(
    ("raw", "status", "connections"),
    [
        (get(), 200, 2),
        (get(method="DELETE"), 200, 2),
        (post(b"body", method="PUT"), 200, 2),
        (post(b"body"), 502, 1),
        (chunked([b"body"]), 502, 1),
    ],
    ids=["GET", "DELETE", "PUT", "POST", "chunked POST"],
)
def test_what_may_be_repeated_is_sent_again_and_nothing_else(
    raw: bytes, status: int, connections: int
) -> None:
    with Scripted(closing_on_the_second) as up, proxied(up) as server, Client(server) as client:
        assert client.ask(get()).status == 200
        assert client.ask(raw).status == status
        assert up.connections == connections
    if status == 200:
        assert up.bodies[-1] == (b"body" if b"PUT" in raw else b"")


def test_what_cannot_be_repeated_gets_no_connection_that_has_rested_for_long() -> None:
    with Scripted(keeping(whole())) as up, proxied(up) as server, Client(server) as client:
        assert client.ask(get()).status == 200
        assert client.ask(post(b"x")).status == 200
        assert up.connections == 1
        time.sleep(1.1)
        assert client.ask(post(b"x")).status == 200
        assert up.connections == 2
        assert client.ask(get()).status == 200
        assert up.connections == 2


def test_an_answer_is_never_taken_for_that_to_another_request() -> None:
    """Response splitting: what came unasked may not wait for the next request of somebody else."""

    def talk(up: Upside) -> None:
        up.request()
        up.say(whole(b"mine") + (whole(b"poison") if up.number == 1 else b""))
        keeping(whole(b"fine"))(up)

    with Scripted(talk) as up, proxied(up) as server, Client(server) as client:
        assert client.ask(get()).body == b"mine"
        time.sleep(0.05)
        assert client.ask(get()).body == b"mine"
        assert client.ask(get()).body == b"fine"
    assert up.connections == 2


def test_as_many_rest_as_may_and_not_for_longer() -> None:
    closed = []

    def talk(up: Upside) -> None:
        try:
            keeping(whole())(up)
        except EOFError:
            closed.append(up.number)

    with Scripted(talk) as up, proxied(up, keep=1, idle=0.2) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        for client in clients:
            client.send(get())
        for client in clients:
            assert client.answer().status == 200
        until(lambda: len(closed) == up.connections - 1)
        before = up.connections
        time.sleep(0.3)
        assert clients[0].ask(get()).status == 200
        assert up.connections == before + 1


def test_more_connections_than_may_be_are_503() -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.sock.recv(1)

    with Scripted(talk) as up, proxied(up, connections=1) as server, Client(server) as first:
        first.send(get())
        until(lambda: up.heads)
        with Client(server) as second:
            answer = second.ask(get())
            assert (answer.status, answer["retry-after"]) == (503, "1")


# -- several upstreams


def named(name: bytes) -> Scripted:
    return Scripted(keeping(whole(name)))


def bodies(server: Any, count: int) -> list[bytes]:
    with Client(server) as client:
        return [client.ask(get()).body for _ in range(count)]


def test_upstreams_take_turns() -> None:
    with named(b"a") as a, named(b"b") as b, proxied(a, b) as server:
        assert bodies(server, 4) == [b"a", b"b", b"a", b"b"]


def test_the_one_with_the_fewest_connections_is_asked() -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.sock.recv(1)

    with (
        Scripted(talk) as busy,
        named(b"b") as free,
        proxied(busy, free, balance="least") as server,
        Client(server) as waiting,
    ):
        waiting.send(get())
        until(lambda: busy.heads)
        assert bodies(server, 3) == [b"b"] * 3


@pytest.mark.parametrize("engine", ENGINES)
def test_one_that_fails_is_left_out_and_comes_back(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portico.proxy")
    port = free_port()
    with named(b"a") as a, proxied(f"http://127.0.0.1:{port}", a, pause=60.0, engine=engine) as server:
        assert bodies(server, 6) == [b"a"] * 6  # nobody notices
        assert sum(server.handler.errors.values()) == 1
        listener = socket.create_server(("127.0.0.1", port))
        listener.close()
        back = named(b"b")
        back.__enter__()
        try:
            server.handler.balancer.upstreams[0].address = type(server.addresses[0]).parse(back.url)
            server.handler.balancer._clock = lambda: time.monotonic() + 100  # the pause is over
            assert sorted(set(bodies(server, 4))) == [b"a", b"b"]
            assert "answers again" in caplog.text
        finally:
            server.handler.close()
            back.__exit__()


def test_when_all_are_out_nobody_is_asked() -> None:
    dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    with proxied(*dead, pause=5.0) as server, Client(server) as client:
        assert client.ask(get()).status == 502
        answer = client.ask(get())
        assert (answer.status, answer["retry-after"]) == (503, "1")


def test_a_request_that_was_sent_is_not_given_to_another() -> None:
    with (
        once(b"") as first,
        named(b"b") as second,
        proxied(first, second) as server,
        Client(server) as client,
    ):
        assert client.ask(post(b"x")).status == 502
        assert client.ask(post(b"x")).body == b"b"
    assert len(second.heads) == 1


# -- smuggling


@pytest.mark.parametrize(
    "raw",
    [
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
        ),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"
        ),
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;x\n\r\n\r\n",
    ],
)
def test_what_two_parsers_read_differently_reaches_no_upstream(raw: bytes) -> None:
    with Scripted(keeping(whole())) as up, proxied(up) as server, Client(server) as client:
        client.send(raw)
        assert client.answer("POST").status in (400, 501)
    assert not up.heads or not up.bodies


def test_a_request_within_a_body_stays_a_body() -> None:
    inner = get("/evil")
    with Scripted(keeping(whole())) as up, proxied(up) as server, Client(server) as client:
        assert (
            client.ask(get("/", f"Content-Length: {len(inner)}", "Connection: Content-Length") + inner).status
            == 200
        )
        assert client.ask(chunked([inner], "/", "Connection: Transfer-Encoding")).status == 200
        # An unusual header that some servers believe in; ours frames by what it has read.
        assert client.ask(get("/", "Content_Length: 99", "X-Content-Length: 99")).status == 200
    assert up.bodies == [inner, inner, b""]
    assert "content_length" not in asked(up)
    assert up.connections == 1
