"""Datagrams by hand: whole, bounded, from whom they should be, and given back."""

from __future__ import annotations

import array
import asyncio
import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portico import Address, Limits, connect, datagrams, listen, sleep, timeout
from portico.engines import door
from portico.engines.run import run
from portico.errors import (
    AddressError,
    BindError,
    Cancelled,
    ConfigError,
    ConnectError,
    DatagramTooLong,
    LocalProtocolError,
    PorticoError,
    ResolveError,
    StreamBusy,
    StreamClosed,
    Timeout,
)
from portico.sockets import dial_datagrams
from portico.sockets.datagram import Datagrams
from portico.sockets.datagram_port import failed
from tests.descriptors import none_left_open
from tests.engines.serving import SECONDS, until
from tests.peers import need
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

HOSTS = ("127.0.0.1", "[::1]")


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with timeout(SECONDS):
        yield


@pytest.fixture(params=["udp4", "udp6", "unix", "abstract"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "udp4": "udp://127.0.0.1:0",
        "udp6": "udp://[::1]:0",
        "unix": f"unixgram:{tmp_path}/here",
        "abstract": f"unixgram:@portico-{os.getpid()}-{request.node.name}"[:100],
    }[request.param]


def test_two_sockets_talk(place: str) -> None:
    with datagrams(local=place) as here, datagrams(here.local) as there:
        there.send(b"hello")
        got = here.receive()
        assert (got.data, got.peer, got.local, got.truncated, got.size) == (
            b"hello", there.local, here.local, False, 5,
        )  # fmt: skip
        got.reply(b"hi")
        answer = there.receive()
        assert (answer.data, answer.peer) == (b"hi", here.local)
        answer.reply(b"again")
        here.send_to(b"third", there.local)
        assert (here.receive().data, there.receive().data) == (b"again", b"third")
    assert repr(there) == f"<Datagrams {there.local} → {here.local}, closed>"
    assert repr(got) == f"<Datagram from {there.local}, 5 B>"


def test_an_empty_datagram_is_a_datagram(place: str) -> None:
    with datagrams(local=place) as here, datagrams(here.local) as there:
        there.send(b"")
        got = here.receive()
        assert got.data == b""
        got.reply(b"")
        assert there.receive().data == b""


def test_the_longest_datagram_arrives_whole() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here, datagrams(here.local) as there:
        there.send(bytes(65507))
        assert len(here.receive().data) == 65507


@pytest.mark.parametrize("size", [65508, 70000])
def test_what_is_too_long_to_send_is_an_error_that_says_so(size: int) -> None:
    with datagrams(local="udp://127.0.0.1:0") as here, datagrams(here.local) as there:
        with pytest.raises(LocalProtocolError, match=f"sending to {here.local}: the datagram is longer"):
            there.send(bytes(size))
        there.send(b"still there")
        assert here.receive().data == b"still there"


def test_a_truncated_datagram_is_an_error_with_what_came(place: str) -> None:
    short = Limits(datagram=10)
    with datagrams(local=place, limits=short) as here, datagrams(here.local) as there:
        there.send(b"0123456789")
        assert here.receive().data == b"0123456789"
        there.send(b"0123456789a")
        with pytest.raises(DatagramTooLong, match="a datagram of 11 bytes; 10 are taken") as caught:
            here.receive()
        assert (caught.value.partial, caught.value.size, caught.value.limit) == (
            b"0123456789",
            11,
            "datagram",
        )
        there.send(b"next")
        assert here.receive().data == b"next"


def test_a_truncated_datagram_is_given_to_who_asks_for_it() -> None:
    with (
        datagrams(local="udp://127.0.0.1:0", limits=Limits(datagram=3), truncated=True) as here,
        datagrams(here.local) as there,
    ):
        there.send(b"abcdef")
        got = here.receive()
        assert (got.data, got.truncated, got.size) == (b"abc", True, 6)
        assert repr(got).endswith(", 3 of 6 B>")


# -- deadlines, closing, cancelling, threads


def test_the_deadline_covers_receiving_and_sending() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        with timeout(0.02), pytest.raises(Timeout, match=f"after 0.02 s while receiving at {here.local}"):
            here.receive()
        here.send_to(b"there already", here.local)
        with timeout(0):
            with pytest.raises(Timeout, match="receiving"):
                here.receive()
            with pytest.raises(Timeout, match="sending to"):
                here.send_to(b"", here.local)
        assert here.receive().data == b"there already"


def test_closing_from_another_thread_ends_a_wait(place: str) -> None:
    here = datagrams(local=place)
    waiting = door.spawn(here.receive)
    until(lambda: here._port.waiters)
    here.close()
    here.close()
    with pytest.raises(StreamClosed):
        waiting.join()
    assert here.fileno() == -1


def test_cancelling_ends_a_wait() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        waiting = door.spawn(here.receive)
        until(lambda: here._port.waiters)
        waiting.cancel()
        with pytest.raises(Cancelled):
            waiting.join()


def test_iterating_ends_when_the_socket_is_closed() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        got = []
        for number in range(3):
            here.send_to(b"%d" % number, here.local)
        for each in here:
            got.append(each.data)
            if len(got) == 3:
                here.close()
    assert got == [b"0", b"1", b"2"]


def test_one_may_receive_at_a_time_and_many_send() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        waiting = door.spawn(here.receive)
        until(lambda: here._port.waiters)
        with pytest.raises(StreamBusy, match="somebody else is receiving"):
            here.receive()
        with pytest.raises(StreamBusy):
            here.try_receive()
        here.send_to(b"x", here.local)
        assert waiting.join().data == b"x"
        assert here.try_receive() is None
        senders = [door.spawn(here.send_to, b"y", here.local) for _ in range(8)]
        for each in senders:
            each.join()
        assert sum(here.receive().data == b"y" for _ in range(8)) == 8


@pytest.mark.parametrize(
    "call",
    [
        lambda here: here.receive(),
        lambda here: here.try_receive(),
        lambda here: here.send(b""),
        lambda here: here.send_to(b"", "udp://127.0.0.1:9"),
        lambda here: here.join("224.1.1.7"),
        lambda here: here.leave("224.1.1.7"),
    ],
)
def test_nothing_goes_on_after_close(call: Callable[[Datagrams], Any]) -> None:
    here = datagrams(local="udp://127.0.0.1:0")
    here.close()
    with pytest.raises(StreamClosed):
        call(here)


def test_a_reply_after_close_is_refused_and_reaches_nobody_else() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here, datagrams(here.local) as there:
        there.send(b"x")
        got = here.receive()
        here.close()
        with pytest.raises(StreamClosed):
            got.reply(b"y")


def test_a_socket_that_was_left_open_is_named() -> None:
    here = datagrams(local="udp://127.0.0.1:0")
    with pytest.warns(ResourceWarning, match="unclosed <Datagrams udp://127.0.0.1"):
        del here


def test_a_full_unix_receiver_makes_the_sender_wait(tmp_path: Path) -> None:
    with datagrams(local=f"unixgram:{tmp_path}/here") as here, datagrams(here.local) as there:
        with timeout(0.05), pytest.raises(Timeout, match="sending to"):
            _flood(there)
        with datagrams(local=f"unixgram:{tmp_path}/third") as third:
            with timeout(0.05), pytest.raises(Timeout, match="sending to"):
                third.send_to(b"more", here.local)
            tasks = [door.spawn(there.send, b"last"), door.spawn(third.send_to, b"last", here.local)]
            got = [here.receive().data for _ in range(1)]
            while got.count(b"last") < 2:
                got.append(here.receive().data)
            for task in tasks:
                task.join()


def test_closing_ends_a_sender_that_waits(tmp_path: Path) -> None:
    with datagrams(local=f"unixgram:{tmp_path}/here") as here, datagrams(here.local) as there:
        task = door.spawn(_flood, there)
        until(lambda: there._port.waiters)
        there.close()
        with pytest.raises(StreamClosed):
            task.join()


def _flood(there: Datagrams) -> None:
    while True:
        there.send(b"more")


# -- who is heard


def test_only_the_peer_of_a_connected_socket_is_heard() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here, datagrams(here.local) as there:
        there.send(b"")
        client = here.receive().peer
        with datagrams(local="udp://127.0.0.1:0") as stranger:
            stranger.send_to(b"believe me", client)
        here.send_to(b"the truth", client)
        assert there.receive().data == b"the truth"
        assert there.try_receive() is None


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_what_a_stranger_sent_before_a_socket_was_connected_is_not_taken_for_the_peer_s(family: int) -> None:
    with (
        socket.socket(family, socket.SOCK_DGRAM) as server,
        socket.socket(family, socket.SOCK_DGRAM) as stranger,
    ):
        client = socket.socket(family, socket.SOCK_DGRAM)
        for each in (server, stranger, client):
            each.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")
        stranger.sendto(b"believe me", client.getsockname())
        client.connect(server.getsockname())
        with Datagrams.from_socket(client) as there:
            server.sendto(b"the truth", client.getsockname())
            assert there.receive().data == b"the truth"
            assert there.peer is not None


def test_nobody_there_is_said_on_the_next_operation() -> None:
    port = free_port(kind=socket.SOCK_DGRAM)
    with datagrams(f"udp://127.0.0.1:{port}") as there:
        there.send(b"anybody?")
        with pytest.raises(ConnectError, match=f"nobody receives at udp://127.0.0.1:{port}") as caught:
            there.receive()
        assert caught.value.failures[0][0] == f"udp://127.0.0.1:{port}"
        there.send(b"still?")
        until(lambda: _refused(there))


def _refused(there: Datagrams) -> bool:
    try:
        there.try_receive()
    except ConnectError:
        return True
    return False


def test_a_wildcard_socket_answers_from_the_address_that_was_asked() -> None:
    with datagrams(local="udp://:0") as here:
        port = here.local.port
        for host in ("127.0.0.1", "127.0.0.9", "[::1]"):
            with datagrams(f"udp://{host}:{port}") as there:  # hears nothing from elsewhere
                there.send(b"who are you?")
                got = here.receive()
                assert str(got.local) == f"udp://{host}:{port}"
                got.reply(b"the one you asked")
                assert there.receive().data == b"the one you asked"


def test_a_dual_stack_socket_sends_to_both_families() -> None:
    with datagrams(local="udp://:0") as here:
        for host in HOSTS:
            with datagrams(local=f"udp://{host}:0") as there:
                here.send_to(b"x", there.local)
                assert there.receive().data == b"x"
                here.send_to(b"y", str(there.local))
                here.send_to(b"z", str(there.local))
                assert [there.receive().data, there.receive().data] == [b"y", b"z"]


def test_link_local_addresses_keep_their_zone() -> None:
    found = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
    links = [(words[0], words[5]) for words in found if words[0].startswith("fe80")]
    if not links:
        pytest.skip("no link-local address here")
    number, name = links[0]
    host = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(number))
    with datagrams(local="udp://:0") as here, datagrams(f"udp://[{host}%{name}]:{here.local.port}") as there:
        there.send(b"x")
        got = here.receive()
        assert got.local.host == f"{host}%{name}" or got.local.host.startswith(f"{host}%")
        assert "%" in got.peer.host
        got.reply(b"y")
        assert there.receive().data == b"y"


# -- addresses that cannot be


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({}, ConfigError, "name a peer"),
        ({"address": "tcp://127.0.0.1:1"}, ConfigError, r"streams: connect\(\)"),
        ({"address": "unix:/tmp/x"}, ConfigError, r"streams: connect\(\)"),
        ({"address": "udp://127.0.0.1:1", "local": "unixgram:/tmp/x"}, ConfigError, "do not go together"),
        ({"address": "fd://0", "local": "fd://0"}, ConfigError, "do not go together"),
        ({"address": "udp://:9"}, ConnectError, "name a host"),
        ({"address": "udp://127.0.0.1:0"}, ConnectError, "name a port"),
        ({"address": "udp://127.0.0.1:x y"}, AddressError, "port"),
        ({"address": "udp://nowhere.invalid:9"}, ResolveError, "nowhere.invalid"),
        ({"address": "udp://[::1]:9", "local": "udp://127.0.0.1:0"}, ConnectError, "no IPv6 address"),
        ({"local": "udp://192.0.2.254:0"}, BindError, "no such address"),
        ({"address": "udp://127.0.0.1:9", "hops": 256}, ConfigError, "hops=256"),
        ({"address": "udp://127.0.0.1:9", "interface": "nosuch0"}, ConfigError, "no interface 'nosuch0'.*lo"),
        ({"address": "unixgram:/tmp/x", "broadcast": True}, ConfigError, "are for UDP"),
        ({"address": "fd://987654"}, ConnectError, "no socket was passed"),
        ({"local": "udp://127.0.0.1:0", "options": {"nodelay": True}}, ConfigError, "no option nodelay"),
        ({"address": "unixgram:/nosuch/x"}, ConnectError, "nobody receives"),
        ({"local": "unixgram:/nosuch/x"}, BindError, "does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_clear_error(options: Any, error: type[PorticoError], why: str) -> None:
    with pytest.raises(error, match=why):
        datagrams(**options)


@pytest.mark.parametrize("address", ["udp://127.0.0.1:9", "unixgram:/tmp/x"])
def test_streams_say_what_to_use_instead(address: str) -> None:
    with pytest.raises(ConfigError, match=r"use datagrams\("):
        connect(address)
    with pytest.raises(ConfigError, match=r"use datagrams\("):
        listen(address)


def test_without_a_peer_there_is_nobody_to_send_to(tmp_path: Path) -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        with pytest.raises(LocalProtocolError, match=r"use send_to\(\)"):
            here.send(b"")
        with pytest.raises(ConfigError, match="cannot send to unixgram"):
            here.send_to(b"", f"unixgram:{tmp_path}/x")
        with pytest.raises(ConnectError, match="name a port"):
            here.send_to(b"", "udp://127.0.0.1:0")


def test_plain_forms_of_addresses_are_understood(tmp_path: Path) -> None:
    with datagrams(local=("127.0.0.1", 0)) as here:
        port = here.local.port
        for form in (f"127.0.0.1:{port}", ("127.0.0.1", port), Address.parse(f"udp://127.0.0.1:{port}")):
            with datagrams(form) as there:
                there.send(b"x")
                assert here.receive().data == b"x"
    with datagrams(local=tmp_path / "x") as here, datagrams(str(tmp_path / "x")) as there:
        there.send(b"x")
        assert here.receive().data == b"x"


def test_a_name_is_looked_up_and_own_answers_come_first() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        with datagrams(
            f"udp://service.test:{here.local.port}", resolve={"service.test": "127.0.0.1"}
        ) as there:
            there.send(b"x")
            assert here.receive().data == b"x"
        with datagrams(local="udp://127.0.0.1:0") as there:
            there.send_to(b"y", f"udp://localhost:{here.local.port}")
            assert here.receive().data == b"y"


def test_an_address_without_a_way_there_gives_its_turn_to_the_next() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        both = {"service.test": ["::1", "127.0.0.1"]}
        with datagrams(
            f"udp://service.test:{here.local.port}", local="udp://127.0.0.1:0", resolve=both
        ) as there:
            there.send(b"x")
            assert here.receive().data == b"x"


def test_options_are_set_before_the_socket_is_bound() -> None:
    with datagrams(local="udp://127.0.0.1:0", options={"receive_buffer": 8192, "hops": 7}) as here:
        assert here.options.receive_buffer == 16384
        assert here.options.hops == 7
        assert here.options.kind == "udp"


def test_the_kernel_tells_how_many_it_had_no_room_for() -> None:
    with (
        datagrams(local="udp://127.0.0.1:0", options={"receive_buffer": 4096}) as here,
        datagrams(here.local) as there,
    ):
        for _ in range(200):
            there.send(bytes(1000))
        count = 0
        while here.try_receive() is not None:
            count += 1
        there.send(b"the next one tells")
        here.receive()
        if sys.platform == "linux":
            assert here.lost == 200 - count > 0


# -- inherited and given sockets


def test_an_inherited_socket_is_used() -> None:
    with datagrams(local="udp://127.0.0.1:0") as here:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
            given.connect(("127.0.0.1", here.local.port))
            with datagrams(f"fd://{given.fileno()}") as there:
                there.send(b"x")
                assert there.peer == here.local
                assert here.receive().peer == there.local
            given.send(b"it stays open")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
            given.bind(("127.0.0.1", 0))
            with datagrams(local=f"fd://{given.fileno()}") as there:
                here.send_to(b"x", there.local)
                assert there.receive().data == b"x"


@pytest.mark.parametrize(
    "wrong", [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_SEQPACKET)]
)
def test_a_socket_of_another_kind_is_refused(wrong: tuple[int, int]) -> None:
    with socket.socket(*wrong) as given:
        with pytest.raises(ConfigError, match="expected a datagram socket"):
            Datagrams.from_socket(given)
        with pytest.raises(ConfigError, match="expected a datagram socket"):
            datagrams(f"fd://{given.fileno()}")


# -- Unix sockets


def test_a_unix_client_can_be_answered_and_leaves_no_file(tmp_path: Path) -> None:
    with datagrams(local=tmp_path / "server") as here, datagrams(tmp_path / "server") as there:
        there.send(b"x")
        got = here.receive()
        got.reply(b"y")
        assert there.receive().data == b"y"
        assert [each.name for each in tmp_path.iterdir()] == ["server"]
    assert not list(tmp_path.iterdir())


def test_where_the_system_gives_no_names_a_private_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial_datagrams, "_AUTOBIND", False)
    with datagrams(local=tmp_path / "server") as here:
        with datagrams(tmp_path / "server") as there:
            own = Path(there.local.path)
            assert stat.S_IMODE(own.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(own.stat().st_mode) == 0o600
            there.send(b"x")
            here.receive().reply(b"y")
            assert there.receive().data == b"y"
        assert not own.parent.exists()
        with pytest.raises(ConnectError):
            datagrams(tmp_path / "nobody")


@pytest.mark.parametrize(("query", "mode"), [("", 0o600), ("?mode=660", 0o660)])
def test_the_socket_file_is_private_until_told_otherwise(tmp_path: Path, query: str, mode: int) -> None:
    with datagrams(local=f"unixgram:{tmp_path}/x{query}"):
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode
    assert not (tmp_path / "x").exists()


def test_a_stale_file_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    with datagrams(local=path):
        with pytest.raises(BindError, match="another program is listening there"):
            datagrams(local=path)
        with pytest.raises(BindError, match="another program is listening there"):
            listen(f"unix:{path}")
    path.write_text("precious")
    with pytest.raises(BindError, match="not a socket"):
        datagrams(local=path)
    assert path.read_text() == "precious"


def test_a_stream_socket_is_not_taken_for_a_datagram_one(tmp_path: Path) -> None:
    with (
        listen(f"unix:{tmp_path}/x"),
        pytest.raises(ConnectError, match="a stream socket is there, not a datagram one"),
    ):
        datagrams(tmp_path / "x")
    with (
        datagrams(local=tmp_path / "y"),
        pytest.raises(BindError, match="another program is listening there"),
    ):
        listen(f"unix:{tmp_path}/y")


def test_a_sender_without_an_address_cannot_be_answered(tmp_path: Path) -> None:
    with (
        datagrams(local=tmp_path / "x") as here,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bare,
    ):
        bare.sendto(b"x", str(tmp_path / "x"))
        got = here.receive()
        if sys.platform == "linux":
            assert got.credentials is not None
            assert got.credentials[:2] == (os.getpid(), os.getuid())
        if not got.peer.path:
            with pytest.raises(LocalProtocolError, match="has no address"):
                got.reply(b"")


def test_a_unix_receiver_that_has_gone_is_reported(tmp_path: Path) -> None:
    here = datagrams(local=tmp_path / "x")
    with datagrams(tmp_path / "x") as there:
        there.send(b"x")
        here.close()
        with pytest.raises(ConnectError, match="nobody receives at unixgram:"):
            there.send(b"y")


def test_descriptors_sent_along_do_not_stay_open(tmp_path: Path) -> None:
    """The leak check of every test here would see them."""
    with (
        datagrams(local=tmp_path / "x") as here,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as attacker,
        open(os.devnull) as sent,
    ):
        attacker.connect(str(tmp_path / "x"))
        many = array.array("i", [sent.fileno()] * 100)
        with none_left_open():
            attacker.sendmsg([b"have these"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
            assert here.receive().data == b"have these"


# -- broadcast


def test_broadcast_has_to_be_asked_for() -> None:
    with pytest.raises(ConfigError, match="broadcast=True"):
        datagrams("udp://255.255.255.255:9")
    with datagrams(local="udp://127.0.0.1:0") as here, pytest.raises(ConfigError, match="broadcast=True"):
        here.send_to(b"", "udp://255.255.255.255:9")


def test_a_broadcast_is_heard_and_anybody_may_answer() -> None:
    """127.255.255.255 is the broadcast address of the loopback network."""
    with (
        datagrams(local="udp://0.0.0.0:0") as here,
        datagrams(
            f"udp://127.255.255.255:{here.local.port}", local="udp://127.0.0.1:0", broadcast=True
        ) as all_,
    ):
        all_.send(b"who is there?")
        got = here.receive()
        assert got.local.host == "127.255.255.255"
        got.reply(b"I")
        answer = all_.receive()
        assert (answer.data, answer.peer.port) == (b"I", here.local.port)
        assert answer.peer.host.startswith("127.")


def test_a_dual_stack_socket_answers_a_broadcast_from_an_address_of_its_own() -> None:
    with (
        datagrams(local="udp://:0") as here,
        datagrams(
            f"udp://127.255.255.255:{here.local.port}", local="udp://127.0.0.1:0", broadcast=True
        ) as all_,
    ):
        all_.send(b"who is there?")
        here.receive().reply(b"I")
        assert all_.receive().data == b"I"


# -- on every door


def test_on_a_hub_one_thread_talks_to_many_and_a_flood_starves_nobody() -> None:
    def echo(here: Datagrams) -> None:
        for each in here:
            each.reply(each.data)

    def ask(where: Address, number: int) -> bytes:
        with datagrams(where) as there:
            there.send(b"%d" % number)
            return there.receive().data

    def flood(where: Address, over: list[bool]) -> None:
        with datagrams(where) as there:
            while not over:
                there.send(b"flood")

    def main() -> list[bytes]:
        over: list[bool] = []
        with datagrams(local="udp://127.0.0.1:0") as deaf, datagrams(local="udp://127.0.0.1:0") as here:
            echoing = door.spawn(echo, here)
            flooding = door.spawn(flood, deaf.local, over)
            asking = [door.spawn(ask, here.local, number) for number in range(50)]
            answers = [each.join() for each in asking]
            over.append(True)
            flooding.join()
            here.close()
            echoing.join()
        return answers

    assert run(main, engine="events") == [b"%d" % number for number in range(50)]


def test_inside_asyncio_the_same_code_is_awaited() -> None:
    from portico import aio

    def ask(where: Address, data: bytes) -> bytes:
        with datagrams(where) as there:
            there.send(data)
            return there.receive().data

    def echo(here: Datagrams) -> None:
        for each in here:
            each.reply(each.data)

    async def main() -> list[bytes]:
        with datagrams(local="udp://127.0.0.1:0") as here:
            echoing = asyncio.create_task(aio.run(echo, here))
            asked = [aio.run(ask, here.local, b"%d" % number) for number in range(20)]
            answers = await asyncio.gather(*asked)
            here.close()
            await echoing
        return answers

    assert asyncio.run(main()) == [b"%d" % number for number in range(20)]


# -- a foreign peer


@pytest.mark.parametrize(
    ("kind", "sender"),
    [
        ("udp://127.0.0.1:0", "UDP4-SENDTO:127.0.0.1:{port}"),
        ("udp://[::1]:0", "UDP6-SENDTO:[::1]:{port}"),
        ("unixgram:{tmp}/x", "UNIX-SENDTO:{tmp}/x,bind={tmp}/socat"),
    ],
)
def test_socat_is_heard_and_answered(kind: str, sender: str, tmp_path: Path) -> None:
    socat = need("socat")
    with datagrams(local=kind.format(tmp=tmp_path)) as here:
        target = sender.format(tmp=tmp_path, port=here.local.port)
        with subprocess.Popen(
            [socat, "-t", "10", "STDIO", target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"from socat\n")
            process.stdin.flush()
            got = here.receive()
            assert got.data == b"from socat\n"
            got.reply(b"from portico\n")
            assert process.stdout.readline() == b"from portico\n"
            process.terminate()


@pytest.mark.parametrize("kind", ["udp", "unix"])
def test_socat_hears_us(kind: str, tmp_path: Path) -> None:
    socat = need("socat")
    port = free_port(kind=socket.SOCK_DGRAM)
    here, where = {
        "udp": (f"UDP4-RECVFROM:{port},bind=127.0.0.1", f"udp://127.0.0.1:{port}"),
        "unix": (f"UNIX-RECVFROM:{tmp_path}/socat", f"unixgram:{tmp_path}/socat"),
    }[kind]
    with subprocess.Popen([socat, here, "EXEC:cat"]) as process:
        assert _asked_until_answered(where) == b"hello"
        process.wait(SECONDS)


def _asked_until_answered(where: str) -> bytes:
    """The other program needs a moment until it listens; until then it refuses."""
    while True:
        try:
            with datagrams(where) as there:
                there.send(b"hello")
                with timeout(2):
                    return there.receive().data
        except (ConnectError, Timeout):
            sleep(0.02)


# -- odds and ends


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ECONNREFUSED, "ConnectError"),
        (errno.ENETUNREACH, "ConnectError"),
        (errno.EMSGSIZE, "LocalProtocolError"),
        (errno.EDESTADDRREQ, "LocalProtocolError"),
        (errno.EBADF, "StreamClosed"),
        (errno.EIO, "ConnectionLost"),
    ],
)
def test_errors_of_the_system_are_ours(number: int, kind: str) -> None:
    error = failed(OSError(number, os.strerror(number)), "sending", None)
    assert type(error).__name__ == kind


def test_threads_and_datagrams_end_together() -> None:
    """Many threads use and close one socket at the same time: nothing but our errors, and no leak."""
    here = datagrams(local="udp://127.0.0.1:0")
    wrong: list[BaseException] = []

    def use() -> None:
        while not here.closed:
            try:
                here.send_to(b"x", here.local)
                here.try_receive()
            except (StreamBusy, StreamClosed):
                continue
            except BaseException as error:  # noqa: BLE001
                wrong.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for each in threads:
        each.start()
    sleep(0.05)
    here.close()
    for each in threads:
        each.join(SECONDS)
    assert not wrong
