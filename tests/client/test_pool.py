"""The pool: what is dropped is counted, and a fork leaves its parent's connections alone."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from portico.client.pool import Pool, PoolSize, _Turn
from portico.client.session import Session
from portico.errors import Cancelled, StreamClosed
from portico.sockets.stream import Stream
from portico.sync import sleep, spawn
from portico.web.wsgi import WSGI
from tests.client.hostile import Hostile, Script, answer, every, read, void
from tests.client.places import Place, app
from tests.engines.serving import client_tls, server_tls
from tests.http.served import serving


@pytest.fixture(scope="module", params=["plain", "tls"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    secure = request.param == "tls"
    address = "https://127.0.0.1:0" if secure else "http://127.0.0.1:0"
    with serving(WSGI(app), address=address, tls=server_tls() if secure else None) as server:
        yield Place(str(server.addresses[0]))


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(env=False, verify=client_tls(), timeout=20) as one:
        yield one


def in_child(function: Callable[[], object]) -> int:
    """The exit status of a fork that calls ``function``: 0, or 1 for whatever it raised."""
    child = os.fork()
    if not child:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_trace_that_raises_at_the_end_of_a_connection_takes_no_place_away(place):
    def trace(name: str, facts: dict[str, object]) -> None:
        if name == "close":
            raise RuntimeError("heard enough")

    with Session(env=False, verify=client_tls(), trace=trace, pool=PoolSize(per_host=1), timeout=20) as one:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="heard enough"):
                one.get(place / "stream/100000", stream=True).close()
        assert one._carrier._caller._pool.open == 0
        one._carrier._caller._pool.close()


def test_what_has_rested_too_long_is_not_used_although_nobody_has_swept(place):
    reused: list[bool] = []

    def trace(name: str, facts: dict[str, object]) -> None:
        if name == "request":
            reused.append(bool(facts["reused"]))

    size = PoolSize(idle=1000)
    with Session(env=False, verify=client_tls(), trace=trace, pool=size, timeout=20) as one:
        pool = one._carrier._caller._pool
        for rested in (0, 900, 1100, 0):
            for host in pool._hosts.values():
                for connection in host.resting:
                    connection.rested_at -= rested
            one.get(place / "echo")
        assert reused == [False, True, False, True]
        assert pool.open == pool.resting == 1


def test_a_fork_makes_connections_of_its_own_and_its_parent_keeps_those_it_has(place, session):
    local = session.get(place / "echo").request
    assert local is not None
    pool = session._carrier._caller._pool

    def child() -> None:
        assert pool.open == 0
        assert session.get(place / "echo").status == 200
        session.close()

    assert in_child(child) == 0
    (resting,) = (each for host in pool._hosts.values() for each in host.resting)
    assert session.get(place / "echo").status == 200
    assert (resting.reused, pool.open) == (True, 1)


def test_a_fork_that_closes_an_open_answer_does_not_close_its_parents(place, session):
    with session.get(place / "bytes/3000000", stream=True) as answer:
        begun = answer.read(1000)
        assert in_child(answer.close) == 0
        assert in_child(session.close) == 0
        assert len(begun + answer.read()) == 3_000_000


# -- who waits for a connection, and what it gets


def pool_of(session: Session) -> Pool:
    return session._carrier._caller._pool


def wait_for_line(session: Session) -> None:
    while not any(host.line for host in pool_of(session)._hosts.values()):
        sleep(0.001)


def one_at_a_time() -> Session:
    return Session(env=False, timeout=20, pool=PoolSize(per_host=1))


def as_long_as_a_read() -> bytes:
    """An answer after which everything else is still with the kernel when it has been read."""
    return answer(b"x" * (65536 - len(answer(b"x" * 60000)) + 60000))


GOOD: Script = [every(answer(b"good"))]


@pytest.mark.usefixtures("door")
def test_what_came_behind_an_answer_is_never_taken_for_the_next_one():
    surplus = [read, as_long_as_a_read() + answer(b"evil"), read, answer(b"evil")]
    with Hostile(surplus, GOOD) as server, one_at_a_time() as session:
        assert len(session.get(server.url).content) > 60_000
        assert session.get(server.url).content == b"good"


@pytest.mark.usefixtures("door")
def test_what_came_behind_an_answer_is_not_handed_to_who_waits_for_its_connection():
    waited, sent = threading.Event(), threading.Event()
    head, body = b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n", b"x" * 65536
    surplus = [
        *(read, head, lambda peer: void(waited.wait(10))),
        *(body + answer(b"evil"), lambda peer: sent.set(), read, answer(b"evil")),
    ]
    with Hostile(surplus, GOOD) as server, one_at_a_time() as session:
        first = session.get(server.url, stream=True)
        other = spawn(session.get, server.url)
        wait_for_line(session)
        waited.set()
        assert sent.wait(10)
        assert first.content == body
        assert other.join().content == b"good"


@pytest.mark.usefixtures("door")
def test_a_place_that_becomes_free_belongs_to_who_waits_and_not_to_who_comes():
    closing = answer(b"x" * (1 << 20), b"Connection: close")
    with Hostile([read, closing]) as server, one_at_a_time() as session:
        first = session.get(f"{server.url}/first", stream=True)
        second = spawn(session.get, f"{server.url}/second")
        wait_for_line(session)
        first.close()
        session.get(f"{server.url}/third")
        second.join()
        assert [head.split()[1] for head in server.requests] == [b"/first", b"/second", b"/third"]


@pytest.mark.usefixtures("door")
def test_a_session_that_is_closed_closes_what_was_handed_to_who_waited(place):
    session = Session(env=False, verify=client_tls(), timeout=20, pool=PoolSize(per_host=1))
    first = session.get(place / "stream/10", stream=True)
    other = spawn(session.get, place / "echo")
    wait_for_line(session)
    _ = first.content
    session.close()
    try:
        other.join()
    except StreamClosed:
        pass  # its turn had come, and nothing had been asked
    assert (pool_of(session).open, pool_of(session).resting) == (0, 0)


@pytest.mark.timeout(20)
def test_an_answer_that_is_forgotten_while_a_place_is_handed_on_gives_its_own_up(place, monkeypatch):
    """The collector of garbage runs where it likes, also in the middle of what the pool does."""
    with (
        warnings.catch_warnings(action="ignore", category=ResourceWarning),
        Session(env=False, verify=client_tls(), timeout=20, pool=PoolSize(per_host=2)) as session,
    ):
        circle = [session.get(place / "stream/100000", stream=True)]
        circle.append(circle)
        kept = session.get(place / "stream/100000", stream=True)
        other = spawn(session.get, place / "echo")
        wait_for_line(session)
        real = _Turn.set

        def set_(turn: _Turn) -> None:
            gc.collect()
            real(turn)

        monkeypatch.setattr(_Turn, "set", set_)
        del circle
        kept.close()
        assert other.join().status == 200
        until = monotonic() + 10
        while pool_of(session).open != pool_of(session).resting and monotonic() < until:
            gc.collect()  # while another thread collects, it does nothing
            sleep(0.01)
        assert pool_of(session).open == pool_of(session).resting


def test_who_is_called_off_while_looking_at_a_connection_takes_no_place_away(place, session, monkeypatch):
    session.get(place / "echo")

    def called_off(self: Stream) -> bool:
        raise Cancelled("called off")

    monkeypatch.setattr(Stream, "readable", property(called_off))
    with pytest.raises(Cancelled):
        session.get(place / "echo")
    assert pool_of(session).open == 0


def test_who_is_called_off_while_giving_up_an_answer_takes_no_place_away(place, session, monkeypatch):
    response = session.get(place / "stream/100000", stream=True)

    def called_off(self: Stream, size: int) -> bytes:
        raise Cancelled("called off")

    monkeypatch.setattr(Stream, "try_read", called_off)
    with pytest.raises(Cancelled):
        response.close()
    assert pool_of(session).open == 0
