"""Listeners of datagrams: errors that are not theirs, sockets shared between processes, room."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portico import Address, Limits, datagrams, timeout
from portico.engines.contract import Listening
from portico.errors import BindError, ConfigError
from portico.sockets.datagram_listener import BATCH, OVERHEAD, Arrival, DatagramListener
from portico.sockets.listen import listen
from portico.sockets.transport import READ
from tests.engines.serving import SECONDS, until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with timeout(SECONDS):
        yield


@pytest.fixture
def bound() -> Iterator[Callable[..., DatagramListener]]:
    """Listeners that are closed at the end."""
    made: list[Listening] = []

    def listening(text: str, limits: Limits | None = None) -> DatagramListener:
        found = listen(Address.parse(text), 1, limits or Limits())
        made.extend(found)
        assert isinstance(found[0], DatagramListener)
        return found[0]

    yield listening
    for each in made:
        each.close()


def arrived(listener: Listening) -> Arrival:
    found: list[Any] = []
    until(lambda: found.append(listener.accept()) or found[-1])
    assert isinstance(found[-1], Arrival)
    return found[-1]


def test_an_arrival_holds_one_datagram_and_needs_no_watching(bound: Callable[..., DatagramListener]) -> None:
    listener = bound("udp://127.0.0.1:0")
    assert listener.accept() is None
    with datagrams(listener.address) as there:
        there.send(b"x")
        arrival = arrived(listener)
        assert (arrival.datagram.data, arrival.peer, arrival.local) == (b"x", there.local, listener.address)
        assert (arrival.fileno(), arrival.ready(READ)) == (-1, READ)
        listener.close()
        listener.close()
        assert listener.fileno() == -1
        arrival.datagram.reply(b"after the listener was closed")
        assert there.receive().data == b"after the listener was closed"
        arrival.close()
        arrival.close()
        assert listener.port.fileno() == -1
    assert repr(listener) == f"<DatagramListener {listener.address} closed>"


def test_who_makes_room_is_let_in(bound: Callable[..., DatagramListener]) -> None:
    listener = bound("udp://127.0.0.1:0", Limits(datagram_memory=2 * OVERHEAD))
    with datagrams(listener.address) as there:
        for _ in range(3):
            there.send(b"x")
        first, second = arrived(listener), arrived(listener)
        until(lambda: listener.accept() is None and listener.dropped == 1)
        first.close()
        there.send(b"y")
        third = arrived(listener)
        assert third.datagram.data == b"y"
        second.close()
        third.close()


def test_many_drops_give_others_a_turn(bound: Callable[..., DatagramListener]) -> None:
    listener = bound("udp://127.0.0.1:0", Limits(datagram_memory=1))
    with datagrams(listener.address) as there:
        there.send(b"takes all the room")
        first = arrived(listener)
        for _ in range(BATCH + 1):
            there.send(b"")
        assert listener.accept() is None
        assert listener.dropped == BATCH
        assert listener.accept() is None
        assert listener.dropped == BATCH + 1
        first.close()


def test_an_error_left_by_an_earlier_datagram_is_passed_over(
    bound: Callable[..., DatagramListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an ICMP message leaves one; the next datagram is received all the same."""
    listener = bound("udp://127.0.0.1:0")
    receive, trouble = listener.port.receive, [errno.ECONNREFUSED, errno.EHOSTUNREACH]

    class Troubled:
        lost = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(original, name)

        def receive(self) -> Any:
            if trouble:
                raise OSError(trouble.pop(), "left behind")
            return receive()

    original = listener.port
    monkeypatch.setattr(listener, "port", Troubled())
    with datagrams(listener.address) as there:
        there.send(b"x")
        arrived(listener).close()
        trouble.append(errno.ENOMEM)
        with pytest.raises(OSError, match="left behind"):
            listener.accept()
    monkeypatch.undo()


def test_another_socket_at_one_address_shares_what_comes(bound: Callable[..., DatagramListener]) -> None:
    listener = bound("udp://127.0.0.1:0")
    other = listener.again()
    assert other is not listener
    assert other.address == listener.address
    with pytest.raises(BindError, match="in use"):
        listen(listener.address, 1, Limits())  # who was not asked does not get a share
    got = {listener: 0, other: 0}
    for number in range(64):
        with datagrams(listener.address) as there:
            there.send(b"%d" % number)
            until(lambda: any(_taken(each, got) for each in got))
    assert sum(got.values()) == 64
    assert all(got.values()), "the kernel deals out by the sender's address"
    other.close()


def _taken(listener: Listening, got: dict[Any, int]) -> bool:
    arrival = listener.accept()
    if arrival is not None:
        arrival.close()
        got[listener] += 1
    return arrival is not None


@pytest.mark.parametrize("text", ["udp://:0", "udp://239.255.77.9:0?interface=lo", "unixgram:{folder}/x"])
def test_where_each_socket_would_get_a_copy_processes_share_one(
    text: str, bound: Callable[..., DatagramListener], tmp_path: Path
) -> None:
    listener = bound(text.format(folder=tmp_path))
    assert listener.again() is listener


def test_a_loan_leaves_the_file_to_its_owner(bound: Callable[..., DatagramListener], tmp_path: Path) -> None:
    listener = bound(f"unixgram:{tmp_path}/x")
    assert listener.disown() is listener
    listener.close()
    assert (tmp_path / "x").is_socket()


@pytest.mark.parametrize(("query", "mode"), [("", 0o600), ("?mode=666", 0o666)])
def test_the_socket_file_is_private_and_goes(
    query: str, mode: int, bound: Callable[..., DatagramListener], tmp_path: Path
) -> None:
    path = tmp_path / "x"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))  # and stays behind
    listener = bound(f"unixgram:{path}{query}")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    listener.close()
    assert not os.path.lexists(path)


def test_a_name_with_two_addresses_is_bound_at_both_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    from portico.sockets import listen as module
    from portico.sockets.names import Found

    both = [Found(socket.AF_INET6, ("::1", 0, 0, 0)), Found(socket.AF_INET, ("127.0.0.1", 0))]
    monkeypatch.setattr(module, "resolve", lambda host, port: both)
    found = listen(Address.parse("udp://both.test:0"), 1, Limits())
    assert [each.address.host for each in found] == ["::1", "127.0.0.1"]
    assert found[0].address.port == found[1].address.port != 0
    for each in found:
        each.close()


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("udp://192.0.2.253:0", BindError, "no such address"),
        ("unixgram:/nosuch/x", BindError, "does not exist"),
        ("udp://239.255.77.9:0?interface=nosuch0", ConfigError, "no interface"),
        ("udp://127.0.0.1:0?interface=nosuch0", ConfigError, "nosuch0"),
    ],
)
def test_what_cannot_be_bound_leaves_nothing_open(text: str, error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        listen(Address.parse(text), 1, Limits())


def test_options_are_reached_by_name(bound: Callable[..., DatagramListener]) -> None:
    listener = bound("udp://127.0.0.1:0")
    listener.options.receive_buffer = 8192
    assert listener.options.receive_buffer == 16384
