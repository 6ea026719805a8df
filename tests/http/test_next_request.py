"""The next request of a kept connection, when it comes while the gateway of the one before still runs."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from portico.http.exchange import Exchange
from tests.http.served import Client, get, serving

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("engine", ["threads:2", "events:2"])
def test_it_is_not_lost_when_others_stand_in_line(engine: str) -> None:
    """The answer has left before the gateway returns, and its thread is then wanted by others."""

    def answer(exchange: Exchange) -> None:
        exchange.start(200, [("Content-Length", "2")])
        exchange.write(b"ok")
        exchange.finish()
        time.sleep(0.002)

    with serving(answer, engine=engine) as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(16)]
        for _ in range(20):
            for client in clients:
                client.send(get())
            for client in clients:
                assert client.answer().body == b"ok"
