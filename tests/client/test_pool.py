"""The pool: what is dropped is counted, and a fork leaves its parent's connections alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from portico.client.pool import PoolSize
from portico.client.session import Session
from portico.web.wsgi import WSGI
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
                one.get(place / "stream/1000", stream=True).close()
        assert one._carrier._caller._pool.open == 0
        one._carrier._caller._pool.close()


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
