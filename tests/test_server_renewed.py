"""What a server serves is exchanged while it serves: all of it, or nothing."""

from __future__ import annotations

import socket

import pytest

from portico import Address, Limits, Mounts, Server
from portico.admission import Admission
from portico.errors import ConfigError
from portico.server import Fresh
from portico.web.respond import Respond
from tests.engines.serving import until
from tests.http.served import Client, get

ENGINES = ["threads", "events"]


def site(word: str) -> Mounts:
    return Mounts([("/", Respond(200, word))])


def said(server: Server, number: int = 0) -> bytes:
    address = server.addresses[number]
    with Client((str(address.host), int(address.port or 0))) as client:
        return client.ask(get("/")).body


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_renewed_answers_from_then_on(engine: str, no_leaks: None) -> None:
    with Server(site("one"), "http://127.0.0.1:0", engine=engine) as server:
        assert said(server) == b"one"
        server.renew = lambda: Fresh(handler=site("two"), limits=Limits(body=1))
        assert server.reload() is None
        assert said(server) == b"two"
        assert server.limits.body == 1


@pytest.mark.parametrize("error", [ConfigError("no way"), ZeroDivisionError("no way")])
def test_whatever_a_renewal_raises_leaves_all_as_it_is(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> Fresh:
        raise error

    with Server(site("one"), "http://127.0.0.1:0") as server:
        server.renew = fails
        assert "no way" in str(server.reload())
        assert said(server) == b"one"
    assert "the old configuration goes on" in caplog.text


def test_rules_that_could_not_hold_change_nothing() -> None:
    exchanged = []
    with Server(site("one"), "http://127.0.0.1:0") as server:
        server.renew = lambda: Fresh(
            handler=site("two"),
            limits=Limits(connections=5),
            admission=Admission(max_connections=5),
            exchange=lambda: exchanged.append(1),
        )
        assert "nobody would be refused" in str(server.reload())
        assert said(server) == b"one"
    assert not exchanged


@pytest.mark.parametrize("engine", ENGINES)
def test_addresses_are_exchanged_and_those_that_stay_are_not_touched(engine: str, no_leaks: None) -> None:
    anywhere = Address.parse("http://127.0.0.1:0")
    other = Address.parse("http://localhost:0")
    with Server(site("one"), anywhere, anywhere, engine=engine) as server:
        before = list(server.addresses)
        server.renew = lambda: Fresh(handler=site("two"), limits=Limits(), addresses=[anywhere, other])
        assert server.reload() is None
        assert server.addresses[:2] == before
        assert [said(server, number) for number in range(len(server.addresses))][:3] == [b"two"] * 3
        gone = server.addresses[2]
        server.renew = lambda: Fresh(handler=site("three"), limits=Limits(), addresses=[anywhere])
        assert server.reload() is None
        until(lambda: not listens(gone), "the address to be let go")
        assert [said(server, number) for number in range(2)] == [b"three"] * 2


def test_an_address_that_is_taken_changes_nothing(no_leaks: None) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Server(site("one"), "http://127.0.0.1:0") as server,
    ):
        places = [Address.parse("tcp://127.0.0.1:0")]
        places.append(Address.parse(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        before = list(server.addresses)
        server.renew = lambda: Fresh(handler=site("two"), limits=Limits(), addresses=places)
        assert "in use" in str(server.reload())
        assert server.addresses == before
        assert said(server) == b"one"


def listens(address: Address) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as sock:
        return sock.connect_ex((address.host, address.port)) == 0
