"""Other protocols on a connection that began with HTTP: ``exchange.upgrade``, on every engine."""

from __future__ import annotations

import logging
import ssl
import threading
import time

import pytest

from portico.errors import LocalProtocolError
from tests.engines.serving import ENGINES, authority, server_tls, until
from tests.http.served import Client, get, post, serving

SHOUT = ("Connection: upgrade", "Upgrade: shout/1, other")


def shouting(stream):
    """The other protocol: lines come back in capitals, until one is empty."""
    while (line := stream.read_line()) != b"":
        stream.write(line.upper() + b"\n")


def upgrading(exchange):
    if exchange.request.upgrade is None:
        exchange.respond(200, [], b"plain")
    else:
        exchange.upgrade("Shout/1", shouting, [("X-Body", exchange.body.read().decode())])


@pytest.fixture(params=[each for each in ENGINES if "forks" not in each and "workers" not in each])
def engine(request):
    return request.param


ASKED = get("/", *SHOUT)


def switched(client, raw=ASKED):
    client.send(raw)
    answer = client._head()
    assert (answer.status, answer["upgrade"], answer["connection"]) == (101, "Shout/1", "Upgrade")
    assert answer["content-length"] is answer["transfer-encoding"] is None
    return answer


def said(client, word):
    client.send(word + b"\n")
    return client._until(b"\n")


@pytest.mark.parametrize("streams", [False, True])
def test_a_gateway_takes_the_connection_over(engine, streams):
    with serving(upgrading, engine=engine, streams=streams) as server, Client(server) as client:
        assert client.ask(get("/")).body == b"plain"
        switched(client)
        for word in (b"one", b"two"):
            assert said(client, word) == word.upper()
        client.send(b"\n")
        assert client.is_closed()
        until(lambda: server.connections == 0)


@pytest.mark.parametrize("streams", [False, True])
def test_what_the_client_sent_early_is_not_lost(engine, streams):
    with serving(upgrading, engine=engine, streams=streams) as server, Client(server) as client:
        answer = switched(client, post(b"body", "/", *SHOUT) + b"early\nbir")
        assert answer["x-body"] == "body"
        assert client._until(b"\n") == b"EARLY"
        assert said(client, b"d") == b"BIRD"


def test_pipelined_requests_before_it_are_answered_first(engine):
    with serving(upgrading, engine=engine) as server, Client(server) as client:
        client.send(get("/") * 2 + get("/", *SHOUT) + b"x\n")
        assert [client.answer().body for _ in range(2)] == [b"plain"] * 2
        switched(client, b"")
        assert client._until(b"\n") == b"X"


def test_conversations_take_no_request_of_its_thread():
    """With one thread for requests, many talk, and requests go on."""
    with serving(upgrading, engine="threads:1") as server:
        clients = [Client(server) for _ in range(5)]
        for client in clients:
            switched(client)
        with Client(server) as other:
            assert other.ask(get("/")).body == b"plain"
        for client in clients:
            assert said(client, b"hello") == b"HELLO"
            client.sock.close()


def test_over_tls():
    context = ssl.create_default_context()
    authority().configure_trust(context)
    with (
        serving(upgrading, address="https://127.0.0.1:0", tls=server_tls()) as server,
        Client(server, wrap=lambda sock: context.wrap_socket(sock, server_hostname="localhost")) as client,
    ):
        switched(client, get("/", *SHOUT) + b"early\n")
        assert client._until(b"\n") == b"EARLY"
        assert said(client, b"late") == b"LATE"
        client.send(b"\n")
        assert client.is_closed()


def test_no_limit_of_http_cuts_a_conversation_short(engine):
    limits = {"idle": 0.1, "head": 0.1, "request": 0.1, "write_stall": 0.1, "body_grace": 0.1}
    with serving(upgrading, engine=engine, limits=limits) as server, Client(server) as client:
        switched(client)
        time.sleep(0.4)
        assert said(client, b"still here") == b"STILL HERE"


def test_a_server_that_stops_lets_it_finish_within_its_grace_then_cuts_it(engine):
    with serving(upgrading, engine=engine) as server, Client(server) as client:
        switched(client)
        stopping = threading.Thread(target=server.stop, args=(0.4,))
        stopping.start()
        assert said(client, b"on") == b"ON"
        stopping.join()
        assert [what.startswith("the conversation with") for what in server.cut] == [True]
        with pytest.raises((ConnectionError, EOFError)):
            said(client, b"over")


def test_one_that_ends_in_time_is_not_cut(engine):
    with serving(upgrading, engine=engine) as server, Client(server) as client:
        switched(client)
        stopping = threading.Thread(target=server.stop, args=(20,))
        stopping.start()
        client.send(b"\n")
        assert client.is_closed()
        stopping.join()
        assert server.cut == []


def test_a_handler_that_fails_is_logged_and_its_client_sees_an_end(caplog):
    def fails(stream):
        raise ValueError("what a day")

    with serving(lambda exchange: exchange.upgrade("other", fails)) as server, Client(server) as client:
        client.send(get("/", *SHOUT))
        assert client.interim() == 101
        assert client.is_closed()
        until(lambda: any("what a day" in record.getMessage() for record in caplog.records))
    assert [each.levelno for each in caplog.records if "what a day" in each.getMessage()] == [logging.ERROR]


@pytest.mark.parametrize(
    "raw",
    [
        get("/"),
        get("/", "Upgrade: shout/1"),  # without the connection option it is not for us (RFC 9110, 7.8)
        get("/", "Connection: upgrade", "Upgrade: other"),
        get("/", *SHOUT, version="1.0"),  # RFC 9110, 7.8: must be ignored
    ],
)
def test_what_the_client_did_not_offer_is_not_switched_to(raw):
    refused = []

    def tries(exchange):
        try:
            exchange.upgrade("shout/1", shouting)
        except LocalProtocolError as error:
            refused.append(str(error))
            exchange.respond(426, [("Upgrade", "shout/1"), ("Connection", "upgrade")])

    with serving(tries) as server, Client(server) as client:
        assert client.ask(raw).status == 426
    assert refused == ["the client did not offer to upgrade to 'shout/1'"]


def test_a_body_that_is_not_read_to_its_end_stands_in_the_way():
    def tries(exchange):
        with pytest.raises(LocalProtocolError, match="switch"):
            exchange.upgrade("other", shouting)
        exchange.respond(200, [], exchange.body.read())

    with serving(tries, streams=True) as server, Client(server) as client:
        assert client.ask(post(b"body", "/", *SHOUT)).body == b"body"


def test_nothing_else_can_be_answered_after_it():
    errors = []

    def twice(exchange):
        exchange.upgrade("other", shouting)
        for move in (
            lambda: exchange.upgrade("other", shouting),
            lambda: exchange.respond(200, []),
            lambda: exchange.start(200, []),
            lambda: exchange.write(b"x"),
            exchange.finish,
            lambda: exchange.inform(103),
        ):
            try:
                move()
            except LocalProtocolError as error:
                errors.append(error)

    with serving(twice) as server, Client(server) as client:
        client.send(get("/", *SHOUT))
        assert client.interim() == 101
        assert said(client, b"fine") == b"FINE"
    assert len(errors) == 6


def test_a_client_that_is_gone_before_it_begins_leaves_nothing_behind(engine):
    with serving(upgrading, engine=engine) as server:
        for _ in range(20):
            with Client(server, SO_LINGER=b"\1\0\0\0\0\0\0\0") as client:
                client.send(get("/", *SHOUT))
        until(lambda: server.connections == 0)
        with Client(server) as client:
            assert client.ask(get("/")).body == b"plain"


@pytest.mark.parametrize("engine", ["forks", "workers:1/threads", "workers:1/events"])
def test_engines_with_processes(engine):
    with serving(upgrading, engine=engine) as server, Client(server) as client:
        switched(client, get("/", *SHOUT) + b"early\n")
        assert client._until(b"\n") == b"EARLY"
        assert said(client, b"late") == b"LATE"
