"""An answer that may leave only when its gateway has returned: for engines that send several together."""

from __future__ import annotations

import pytest

from portico.engines.contract import DONE, RUN, WAIT_READ, WAIT_WRITE
from portico.http.exchange import Mount
from portico.http.server import HTTPConnection, Service
from portico.limits import Limits
from portico.sockets.memory import pair
from tests.http.served import Gate, get

BODY = b"x" * 1000


class Wire:
    """A connection whose request has been run; the gateway held its answer, and then did something."""

    def __init__(self, then=lambda: None, *, capacity=1 << 20):
        def answer(exchange):
            exchange.respond(200, [], BODY, hold=True)
            then()

        self.ours, self.theirs = pair(capacity=capacity)
        mount, access = Mount(Gate(answer)), lambda exchange, seconds: self.logged.append(exchange.status)
        self.logged = []
        self.connection = HTTPConnection(self.ours, Service(lambda exchange: mount, Limits(), access))
        self.theirs.send(get("/"))
        assert self.connection.advance() == RUN
        self.connection.run()

    def close(self):
        self.theirs.close()
        assert self.connection.advance() == DONE


def test_it_leaves_when_the_connection_is_gone_on_with():
    wire = Wire()
    assert wire.theirs.recv(1 << 20) is None
    assert wire.connection.advance() == WAIT_READ
    assert wire.theirs.recv(1 << 20).endswith(b"\r\n\r\n" + BODY)
    assert wire.logged == [200]
    wire.close()


def test_what_a_peer_does_not_take_at_once_follows():
    wire, said = Wire(capacity=300), b""
    while wire.connection.advance() == WAIT_WRITE:
        said += wire.theirs.recv(1 << 20)
    said += wire.theirs.recv(1 << 20)
    assert said.endswith(b"\r\n\r\n" + BODY)
    assert len(said) < len(BODY) + 300
    wire.close()


def test_a_gateway_that_fails_afterwards_does_not_take_it_back(caplog):
    def fail():
        raise LookupError("too late")

    wire = Wire(fail)
    assert wire.connection.advance() == WAIT_READ
    assert wire.theirs.recv(1 << 20).endswith(b"\r\n\r\n" + BODY)
    assert wire.theirs.recv(1 << 20) is None
    assert [record.exc_info[1].args for record in caplog.records] == [("too late",)]
    wire.close()


def test_a_connection_that_is_cut_first_sends_nothing():
    wire = Wire()
    wire.connection.cut()
    assert wire.connection.advance() == DONE
    assert wire.theirs.recv(1 << 20) == b""
    assert wire.logged == [200]


@pytest.mark.parametrize("gone", ["close", "abort"])
def test_a_peer_that_has_gone_meanwhile_costs_its_connection_only(gone):
    wire = Wire()
    getattr(wire.theirs, gone)()
    assert wire.connection.advance() == DONE
    assert wire.connection.advance() == DONE


def test_a_server_that_begins_to_stop_meanwhile_sends_it_and_keeps_the_connection_no_longer():
    wire = Wire()
    wire.connection.drain(0.0)
    assert wire.connection.advance() == WAIT_READ
    assert wire.connection.deadline == 0.0
    assert wire.theirs.recv(1 << 20).endswith(b"\r\n\r\n" + BODY)
    wire.close()
