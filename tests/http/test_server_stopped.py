"""A gateway that is called off because the server stops is no fault of the gateway's."""

from __future__ import annotations

import socket
import threading

import pytest

from portico import Server, sleep
from portico.http.exchange import Exchange
from tests.http.served import get


class Sleeping:
    name = "sleeping"

    def __init__(self) -> None:
        self.begun = threading.Event()

    def streams(self, request: object) -> bool:
        return False

    def __call__(self, exchange: Exchange) -> None:
        self.begun.set()
        sleep(60)


def test_a_gateway_called_off_at_the_end_is_not_logged_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Sleeping()
    server = Server(gateway, "http://127.0.0.1:0", engine="threads:2")
    with (
        server,
        socket.create_connection((server.addresses[0].host, server.addresses[0].port or 0)) as client,
    ):
        client.sendall(get("/"))
        assert gateway.begun.wait(10)
        cut = server.stop(0.0)
    assert len(cut) == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
