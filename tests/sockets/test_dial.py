"""Connecting: Happy Eyeballs, deadlines, and that the losers of a race are closed."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from portico import ClientTLS, Server, Stream, connect, timeout
from portico.address import Address
from portico.engines import door
from portico.errors import (
    AddressError,
    Cancelled,
    CertificateError,
    ConfigError,
    ConnectError,
    ResolveError,
    Timeout,
    TLSError,
)
from portico.sockets import dial as module
from tests.engines.serving import SECONDS, client_tls, server_tls, until
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

SOON = 0.1


@contextmanager
def listener(host: str, port: int = 0) -> Iterator[tuple[socket.socket, int]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as sock:
        sock.settimeout(SECONDS)
        yield sock, sock.getsockname()[1]


@contextmanager
def black_hole(host: str, port: int) -> Iterator[socket.socket]:
    """An address that never answers: its listener's queue is full."""
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            client.setblocking(False)
            client.connect_ex(sock.getsockname())
        yield sock


class Attempts:
    """Which addresses were tried, when, as seconds since the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: list[str] = []
        self.times: list[float] = []
        begin = module._Attempts.begin

        def noting(race: Any, family: int, name: tuple[Any, ...]) -> Any:
            self.hosts.append(name[0])
            self.times.append(time.monotonic())
            return begin(race, family, name)

        monkeypatch.setattr(module._Attempts, "begin", noting)


# -- one address


def test_a_stream_knows_both_its_ends() -> None:
    with listener("127.0.0.1") as (sock, port), connect(("127.0.0.1", port)) as stream:
        peer, name = sock.accept()
        with peer:
            assert str(stream.peer) == f"tcp://127.0.0.1:{port}"
            assert stream.local is not None
            assert (stream.local.host, stream.local.port) == name
            assert stream.options.nodelay


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_ipv6_literal_is_connected_to() -> None:
    with listener("::1") as (sock, port), connect(f"tcp://[::1]:{port}") as stream:
        sock.accept()[0].close()
        assert str(stream.peer) == f"tcp://[::1]:{port}"
        assert stream.read_all() == b""


def test_a_refusal_names_the_address_and_the_reason() -> None:
    port = free_port()
    with pytest.raises(ConnectError) as caught:
        connect(("127.0.0.1", port))
    assert str(caught.value) == f"cannot connect to tcp://127.0.0.1:{port}: Connection refused"
    assert caught.value.failures == ((f"tcp://127.0.0.1:{port}", "Connection refused"),)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("tcp://:80", ConnectError),
        ("tcp://127.0.0.1", AddressError),
        ("tcp://127.0.0.1:0", ConnectError),
        ("udp://127.0.0.1:53", ConfigError),
        ("tcp://127.0.0.1:99999", AddressError),
        ("tcp://no-such-name.invalid:80", ResolveError),
    ],
)
def test_what_cannot_be_connected_to_is_refused(address: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        connect(address, resolve={"no-such-name.invalid": []})


def test_options_are_set_before_the_connection_is_made() -> None:
    with listener("127.0.0.1") as (_, port):
        with connect(("127.0.0.1", port), options={"keepalive": None, "receive_buffer": 8192}) as stream:
            assert stream.options.receive_buffer == 16384
        with pytest.raises(ConfigError, match="no socket option is called"):
            connect(("127.0.0.1", port), options={"no_such": 1})


# -- where from


def test_the_local_end_can_be_chosen() -> None:
    with listener("127.0.0.1") as (sock, port):
        for local in (("127.0.0.3", 0), ("", 0), ("localhost", 0)):
            with connect(("127.0.0.1", port), local=local) as stream:
                peer, name = sock.accept()
                with peer:
                    assert name[0] == ("127.0.0.3" if local[0] == "127.0.0.3" else "127.0.0.1")
                    assert stream.local is not None
                    assert stream.local.host == name[0]
        chosen = free_port()
        with connect(("127.0.0.1", port), local=("127.0.0.1", chosen)) as stream:
            assert stream.local is not None
            assert stream.local.port == chosen
            stream.options.linger = 0


def test_a_local_end_that_is_not_ours_or_of_another_family_is_told() -> None:
    with listener("127.0.0.1") as (_, port):
        with pytest.raises(ConnectError, match="Cannot assign requested address"):
            connect(("127.0.0.1", port), local=("192.0.2.1", 0))
        with pytest.raises(ConnectError, match="another address family"):
            connect(("127.0.0.1", port), local=("::1", 0))


def test_what_has_no_local_end_or_no_options_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="local= is for TCP"):
        connect(f"unix:{tmp_path}/x", local=("127.0.0.1", 0))
    with pytest.raises(ConfigError, match="no socket options"):
        connect("memory:nowhere", options={"nodelay": True})


# -- several addresses

NAME = "several.test"


def test_the_next_address_is_tried_at_once_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGGER", 60.0)
    attempts = Attempts(monkeypatch)
    with (
        listener("127.0.0.2") as (sock, port),
        timeout(SECONDS),
        connect((NAME, port), resolve={NAME: ["127.0.0.1", "127.0.0.2", "127.0.0.3"]}) as stream,
    ):
        sock.accept()[0].close()
        assert stream.peer is not None
        assert stream.peer.host == "127.0.0.2"
    assert attempts.hosts == ["127.0.0.1", "127.0.0.2"]


def test_a_silent_address_is_joined_by_the_next_after_the_stagger(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch)
    port = free_port("127.0.0.1", "127.0.0.2")
    with (
        black_hole("127.0.0.1", port),
        listener("127.0.0.2", port) as (sock, _),
        timeout(SECONDS),
        connect((NAME, port), resolve={NAME: ["127.0.0.1", "127.0.0.2"]}) as stream,
    ):
        sock.accept()[0].close()
        assert stream.peer is not None
        assert stream.peer.host == "127.0.0.2"
    assert attempts.hosts == ["127.0.0.1", "127.0.0.2"]
    assert attempts.times[1] - attempts.times[0] >= module.STAGGER * 0.95


def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch)
    port = free_port()
    with pytest.raises(ConnectError):
        connect((NAME, port), resolve={NAME: ["::1", "::1", "127.0.0.1", "127.0.0.2"]})
    assert attempts.hosts == ["::1", "127.0.0.1", "::1", "127.0.0.2"]


def test_a_silent_first_may_still_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue gets free while the second is silent too."""
    monkeypatch.setattr(module, "STAGGER", 0.05)
    port = free_port("127.0.0.1", "127.0.0.2")
    with black_hole("127.0.0.1", port) as first, black_hole("127.0.0.2", port), timeout(SECONDS):
        task = door.spawn(lambda: connect((NAME, port), resolve={NAME: ["127.0.0.1", "127.0.0.2"]}))
        time.sleep(0.2)
        first.setblocking(False)
        while not task.done:
            try:
                first.accept()[0].close()
            except BlockingIOError:
                door.sleep(0.01)
        with task.join() as stream:
            assert stream.peer is not None
            assert stream.peer.host == "127.0.0.1"


def test_when_all_fail_each_is_listed_in_the_order_it_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGGER", 0.01)
    port = free_port("127.0.0.1", "127.0.0.2", "127.0.0.3")
    begin = module._Attempts.begin

    def first_hangs(race: Any, family: int, name: tuple[Any, ...]) -> Any:
        result = begin(race, family, name)
        if name[0] == "127.0.0.3":
            race._pending[0][0].sock.shutdown(socket.SHUT_RDWR)  # now the first fails too, after the others
        return result

    monkeypatch.setattr(module, "_verdict", lambda sock: errno.EHOSTUNREACH)
    monkeypatch.setattr(module._Attempts, "begin", first_hangs)
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    with black_hole("127.0.0.1", port), timeout(SECONDS), pytest.raises(ConnectError) as caught:
        connect((NAME, port), resolve={NAME: hosts})
    assert [place for place, _ in caught.value.failures] == [f"tcp://{host}:{port}" for host in hosts]
    assert f"cannot connect to tcp://{NAME}:{port}; tried 3 addresses: tcp://127.0.0.1:{port}: " in str(
        caught.value
    )


def test_one_bad_source_address_does_not_end_the_race() -> None:
    with (
        listener("127.0.0.1") as (_, port),
        timeout(SECONDS),
        connect((NAME, port), resolve={NAME: ["::1", "127.0.0.1"]}, local=("127.0.0.1", 0)) as stream,
    ):
        assert stream.peer is not None
        assert stream.peer.host == "127.0.0.1"


# -- deadlines and cancellation


def test_a_deadline_while_connecting_names_the_address() -> None:
    port = free_port()
    with black_hole("127.0.0.1", port), timeout(SOON), pytest.raises(Timeout) as caught:
        connect((NAME, port), resolve={NAME: ["127.0.0.1"]})
    assert f"connecting to tcp://{NAME}:{port}" in str(caught.value)


def test_a_deadline_shorter_than_the_stagger_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGGER", 60.0)
    port = free_port("127.0.0.1", "127.0.0.2")
    with (
        black_hole("127.0.0.1", port),
        listener("127.0.0.2", port),
        timeout(SOON),
        pytest.raises(Timeout, match="connecting to"),
    ):
        connect((NAME, port), resolve={NAME: ["127.0.0.1", "127.0.0.2"]})


def test_a_past_deadline_connects_nowhere() -> None:
    with listener("127.0.0.1") as (sock, port):
        with timeout(0), pytest.raises(Timeout):
            connect(("127.0.0.1", port))
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_connecting_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STAGGER", 0.01)
    attempts = Attempts(monkeypatch)
    port = free_port("127.0.0.1", "127.0.0.2")
    with black_hole("127.0.0.1", port), black_hole("127.0.0.2", port), timeout(SECONDS):
        task = door.spawn(lambda: connect((NAME, port), resolve={NAME: ["127.0.0.1", "127.0.0.2"]}))
        until(lambda: len(attempts.hosts) == 2)
        task.cancel()
        with pytest.raises(Cancelled):
            task.join()


# -- TLS


def test_tls_is_implied_by_the_address_and_made_by_name() -> None:
    with Server(lambda stream: stream.write(b"hi"), "tls://127.0.0.1:0", tls=server_tls()) as server:
        port = server.addresses[0].port or 0
        where = {"localhost": ["127.0.0.1"]}
        with timeout(SECONDS), connect(f"tls://localhost:{port}", tls=client_tls(), resolve=where) as stream:
            assert stream.tls.server_name == "localhost"
            assert stream.read_all() == b"hi"
        with (
            timeout(SECONDS),
            connect(("127.0.0.1", port), tls=client_tls(), server_name="localhost") as stream,
        ):
            assert stream.read_all() == b"hi"
        with timeout(SECONDS), connect(("127.0.0.1", port), tls=client_tls()) as stream:
            assert stream.read_all() == b"hi"


def test_tls_verifies_unless_told_otherwise() -> None:
    with Server(lambda stream: stream.write(b"hi"), "tls://127.0.0.1:0", tls=server_tls()) as server:
        port = server.addresses[0].port or 0
        with timeout(SECONDS), pytest.raises(CertificateError):
            connect(f"tls://127.0.0.1:{port}")
        with timeout(SECONDS), pytest.raises(CertificateError):
            connect(("127.0.0.1", port), tls=True)
        with timeout(SECONDS), pytest.raises(CertificateError):
            connect(("127.0.0.1", port), tls=client_tls(), server_name="other.test")
        with timeout(SECONDS), connect(("127.0.0.1", port), tls=ClientTLS(verify=False)) as stream:
            assert stream.read_all() == b"hi"


def test_a_tls_failure_does_not_fall_through_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(monkeypatch)
    with Server(lambda stream: stream.write(b"no TLS here"), "tcp://127.0.0.1:0") as plain, timeout(SECONDS):
        port = plain.addresses[0].port or 0
        with Server(lambda stream: None, f"tls://127.0.0.2:{port}", tls=server_tls()) as secure:
            with pytest.raises(TLSError):
                connect(f"tls://{NAME}:{port}", tls=client_tls(), resolve={NAME: ["127.0.0.1", "127.0.0.2"]})
            assert secure.accepted == 0
    assert attempts.hosts == ["127.0.0.1"]


def test_a_deadline_covers_the_handshake() -> None:
    tls = ClientTLS(
        ssl.create_default_context()
    )  # its making takes a while, which is none of the handshake's
    with (
        listener("127.0.0.1") as (_, port),
        timeout(5 * SOON),
        pytest.raises(Timeout, match="making TLS with"),
    ):
        connect(f"tls://127.0.0.1:{port}", tls=tls)


# -- Unix sockets, memory, descriptors


def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    with Server(lambda stream: stream.write(b"hi"), f"unix:{tmp_path}/x.sock") as server, timeout(SECONDS):
        for where in (server.addresses[0], f"unix:{tmp_path}/x.sock", tmp_path / "x.sock"):
            with connect(where) as stream:
                assert stream.read_all() == b"hi"


def test_unix_sockets_that_cannot_be_reached_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match=r"x\.sock: No such file"):
        connect(f"unix:{tmp_path}/x.sock")
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(f"{tmp_path}/dead.sock")
    dead.close()
    with pytest.raises(ConnectError, match=r"dead\.sock: Connection refused"):
        connect(f"unix:{tmp_path}/dead.sock")
    with pytest.raises((ConnectError, ValueError), match="long"):
        connect(f"unix:{tmp_path}/{'x' * 200}")


@contextmanager
def full_unix(path: str) -> Iterator[socket.socket]:
    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        busy.bind(path)
        busy.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.setblocking(False)
            client.connect_ex(path)
        yield busy


def test_a_unix_listener_whose_queue_is_full_is_waited_for(tmp_path: Path) -> None:
    path = f"{tmp_path}/x.sock"
    with full_unix(path) as busy, timeout(SECONDS):
        with timeout(SOON), pytest.raises(Timeout, match="connecting to unix:"):
            connect(f"unix:{path}")
        task = door.spawn(connect, f"unix:{path}")
        time.sleep(0.03)
        assert not task.done
        busy.accept()[0].close()
        task.join().close()


def test_waiting_for_a_unix_listener_can_be_cancelled(tmp_path: Path) -> None:
    path = f"{tmp_path}/x.sock"
    with full_unix(path), timeout(SECONDS):
        task = door.spawn(connect, f"unix:{path}")
        time.sleep(0.03)
        task.cancel()
        with pytest.raises(Cancelled):
            task.join()


def test_tls_works_over_every_transport(tmp_path: Path) -> None:
    def secure(stream: Stream) -> None:
        stream.start_tls(server_tls())
        stream.write(b"secret")

    for address in (f"unix:{tmp_path}/x.sock", "memory:secure"):
        with (
            Server(secure, address) as server,
            timeout(SECONDS),
            connect(server.addresses[0], tls=client_tls(), server_name="localhost") as stream,
        ):
            assert stream.read_all() == b"secret"


def test_an_inherited_connection_is_used() -> None:
    near, far = socket.socketpair()
    with near, far:
        with connect(f"fd://{near.fileno()}") as stream:
            assert stream.local == Address.of_socket("unix", "")
            far.sendall(b"hello")
            assert stream.read() == b"hello"
        near.setblocking(True)
        far.sendall(b"still open")
        assert near.recv(100) == b"still open"


def test_only_connected_stream_sockets_are_taken_over(tmp_path: Path) -> None:
    with listener("127.0.0.1") as (idle, _), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.connect(("127.0.0.1", 9))
        with pytest.raises(ConnectError, match="not a connected socket"):
            connect(f"fd://{idle.fileno()}")
        with pytest.raises(ConnectError, match="not a stream socket"):
            connect(f"fd://{datagram.fileno()}")
    with open(tmp_path / "file", "wb") as file, pytest.raises(ConnectError, match="no socket was passed"):
        connect(f"fd://{file.fileno()}")
    with pytest.raises(ConnectError, match="no socket was passed"):
        connect("fd://9999")


def test_an_attempt_without_descriptors_is_a_failure_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*args: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(module.socket, "socket", none_left)
    with pytest.raises(ConnectError, match="Too many open files"):
        connect(("127.0.0.1", 1))
