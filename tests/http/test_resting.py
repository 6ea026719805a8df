"""What a connection holds while nothing is asked, and that giving it back changes no answer."""

from __future__ import annotations

import time
from time import monotonic

import pytest

from portico.engines.contract import AGAIN, DONE, RUN, WAIT_READ
from portico.http.exchange import Mount
from portico.http.server import HTTPConnection, Service
from portico.limits import Limits
from portico.sockets.memory import pair
from tests.http.served import Client, Gate, echo, get, post, serving


class Wire:
    """A connection driven by hand."""

    def __init__(self, **limits):
        self.ours, self.theirs = pair(capacity=1 << 20)
        mount = Mount(Gate(echo))
        self.connection = HTTPConnection(self.ours, Service(lambda exchange: mount, Limits(**limits)))

    def go_on(self):
        while (step := self.connection.advance()) == RUN:
            self.connection.run()
        return step

    def ask(self, raw):
        self.theirs.send(raw)
        step = self.go_on()
        return step, self.theirs.recv(1 << 20)

    def close(self):
        self.theirs.close()
        assert self.go_on() == DONE


@pytest.fixture
def wire():
    made = Wire()
    yield made
    made.close()


def test_a_connection_holds_nothing_before_its_first_request_and_after_it(wire):
    assert wire.go_on() == WAIT_READ
    assert wire.connection._codec is None
    step, said = wire.ask(get("/"))
    assert step == WAIT_READ
    assert said.startswith(b"HTTP/1.1 200")
    assert wire.connection._codec is wire.connection.derived is wire.connection._outbox is None


def test_from_the_second_request_on_it_remembers_until_it_has_been_idle_for_a_while(wire):
    for _ in range(3):
        wire.ask(get("/"))
    connection = wire.connection
    assert connection._codec is not None
    assert connection.deadline < monotonic() + 10
    connection.expire()
    assert connection._codec is None
    assert wire.go_on() == WAIT_READ
    assert monotonic() + 40 < connection.deadline <= monotonic() + 60
    assert wire.ask(get("/again"))[1].endswith(b"GET /again ")
    connection.expire()
    connection.expire()
    assert connection.transport.closed


def test_requests_that_came_with_the_first_are_not_lost():
    wire = Wire(pipelined=2)
    step, said = wire.ask(get("/1") + get("/2") + get("/3") + get("/4")[:9])
    assert step == AGAIN
    wire.connection.expire()  # others took their time
    assert wire.go_on() == WAIT_READ
    said += wire.theirs.recv(1 << 20)
    said += wire.ask(get("/4")[9:])[1]
    assert [said.count(b"GET /%d " % number) for number in range(1, 5)] == [1, 1, 1, 1]
    wire.close()


def test_a_short_idle_limit_holds_as_it_is():
    wire = Wire(idle=0.5)
    for _ in range(2):
        wire.ask(get("/"))
    wire.connection.expire()
    assert wire.connection.transport.closed
    wire.close()


def test_while_draining_an_idle_connection_stays_as_long_as_it_was_told(wire):
    for _ in range(2):
        wire.ask(get("/"))
    until = monotonic() + 5
    wire.connection.drain(until)
    assert wire.connection.deadline == until
    step, said = wire.ask(get("/"))
    assert b"Connection: close" in said
    assert step == DONE


@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_a_rested_connection_answers_as_before(engine, monkeypatch, no_leaks):
    monkeypatch.setattr("portico.http.server._REST", 0.05)
    with serving(echo, engine=engine) as server, Client(server) as client:
        for _ in range(3):
            assert client.ask(get("/a")).body == b"GET /a "
        assert client.ask(post(b"body")).body.endswith(b"body")
        time.sleep(0.7)  # until deadlines have been looked at
        assert client.ask(get("/b")).body == b"GET /b "
        assert client.ask(post(b"more")).body.endswith(b"more")


def test_who_is_told_of_the_end_while_another_thread_parks_it_has_the_quiet_time_and_no_more(wire):
    wire.ask(get("/"))
    connection, until = wire.connection, monotonic() + 0.5
    connection.running = True  # the thread that has answered is about to leave
    connection.drain(until)
    assert wire.go_on() == WAIT_READ  # as it is when there is word for it
    assert connection.deadline == until
