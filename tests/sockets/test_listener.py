"""Accepting by hand."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from portico import connect, listen, timeout
from portico.errors import ConnectError, StreamClosed, Timeout

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=["tcp", "unix", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"tcp": "tcp://127.0.0.1:0", "unix": f"unix:{tmp_path}/s", "memory": "memory:by-hand"}[
        request.param
    ]


def test_accept_gives_the_next_peer(address: str) -> None:
    with (
        timeout(5),
        listen(address) as listener,
        connect(listener.addresses[0]) as there,
        listener.accept() as here,
    ):
        there.write(b"hello\n")
        assert here.read_line() == b"hello"


def test_accept_keeps_to_the_deadline_and_says_where(address: str) -> None:
    with listen(address) as listener, pytest.raises(Timeout, match="accepting on"), timeout(0.05):
        listener.accept()


def test_close_from_another_thread_ends_accept_and_the_loop(address: str) -> None:
    listener = listen(address)
    threading.Timer(0.05, listener.close).start()
    with timeout(5):
        assert list(listener) == []
    with pytest.raises(StreamClosed):
        listener.accept()
    listener.close()
    assert "closed" in repr(listener)


def test_every_interface_of_a_name_is_listened_on() -> None:
    with timeout(5), listen("tcp://localhost:0") as listener:
        ports = {each.port for each in listener.addresses}
        assert len(ports) == 1
        for each in listener.addresses:
            with connect(each) as there, listener.accept() as here:
                there.write(b"x")
                assert here.read(1) == b"x"


def test_nobody_is_reached_after_close(address: str) -> None:
    listener = listen(address)
    where = listener.addresses[0]
    listener.close()
    with pytest.raises(ConnectError):
        connect(where)
