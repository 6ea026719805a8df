"""Servers: begun, ended, embedded; what is refused, and what is given back."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from portico import ClientTLS, Server, Stream, serve, sleep, timeout
from portico.engines import ENGINES as KNOWN_ENGINES
from portico.engines import make_engine
from portico.engines.threads import Threads
from portico.errors import BindError, ConfigError, ConnectError
from tests.engines.serving import (
    ENGINES,
    SECONDS,
    Gateway,
    Peer,
    address_of_kind,
    ask,
    dial,
    server_tls,
    until,
)
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def echo(stream: Stream) -> None:
    for line in stream:
        stream.write(line)


def said(server: Server, text: bytes) -> bytes:
    with timeout(SECONDS), dial(server) as stream:
        stream.write(text + b"\n")
        return stream.read_line()


# -- a server's life


def test_several_servers_live_in_one_process(engine: str) -> None:
    with Server(echo, "tcp://127.0.0.1:0", engine=engine) as one, Server(echo, "tcp://127.0.0.1:0") as two:
        assert one.addresses[0].port not in (0, two.addresses[0].port)
        assert said(one, b"one") == b"one"
        assert said(two, b"two") == b"two"
    assert repr(one).endswith("stopped, 0 connections>")


def test_a_server_lives_in_any_thread(engine: str) -> None:
    servers: list[Server] = []
    ended = threading.Event()

    def elsewhere() -> None:
        serve(echo, "tcp://127.0.0.1:0", engine=engine, ready=servers.append)
        ended.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    until(lambda: servers)
    assert said(servers[0], b"hello") == b"hello"
    servers[0].stop()
    thread.join(SECONDS)
    assert ended.is_set()


def test_wait_lasts_until_somebody_stops_the_server(engine: str) -> None:
    server = Server(echo, "tcp://127.0.0.1:0", engine=engine).start()
    stopper = threading.Timer(0.05, server.stop)
    stopper.start()
    with timeout(SECONDS):
        server.wait()
    stopper.join()
    assert "stopped" in repr(server)


def test_stop_may_be_called_twice(engine: str) -> None:
    server = Server(echo, "tcp://127.0.0.1:0", engine=engine).start()
    assert server.stop() == []
    assert server.stop(0.0) == []
    with pytest.raises(ConnectError):
        dial(server)


def test_stop_may_be_called_by_several_threads_at_once(engine: str) -> None:
    server = Server(echo, "tcp://127.0.0.1:0", engine=engine).start()
    with dial(server) as stream:
        stream.write(b"x\n")
        assert stream.read_line() == b"x"
        threads = [threading.Thread(target=server.stop, args=(0.2,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert not any(thread.is_alive() for thread in threads)
    assert len(server.cut) == 1


def test_stop_before_start_is_no_fault_and_the_server_cannot_be_used(engine: str) -> None:
    server = Server(echo, "tcp://127.0.0.1:0", engine=engine)
    assert server.stop() == []
    with pytest.raises(ConfigError, match="make a new one"):
        server.start()


def test_a_server_starts_once(engine: str) -> None:
    with Server(echo, "tcp://127.0.0.1:0", engine=engine) as server:
        with pytest.raises(ConfigError, match="make a new one"):
            server.start()
        assert said(server, b"unharmed") == b"unharmed"


def test_a_handler_may_stop_its_server(engine: str) -> None:
    def last(stream: Stream) -> None:
        assert server.stop() == []
        stream.write(b"bye")

    with timeout(SECONDS), Server(last, "tcp://127.0.0.1:0", engine=engine) as server:
        with dial(server) as stream:
            assert stream.read_all() == b"bye"
        server.wait()
    assert server.cut == []


def test_a_gateway_may_stop_its_server(engine: str) -> None:
    def last(exchange: object) -> bytes:
        server.stop()
        return b"x" * (4 << 20)

    with timeout(SECONDS), Server(Gateway(last), "http://127.0.0.1:0", engine=engine) as server:
        assert len(ask(server.addresses[0])) == 4 << 20
        server.wait()
    assert server.cut == []


def test_a_deadline_in_force_shortens_the_grace(engine: str) -> None:
    server = Server(echo, "tcp://127.0.0.1:0", engine=engine, grace=300).start()
    with dial(server) as stream:
        stream.write(b"x\n")
        assert stream.read_line() == b"x"
        with timeout(0.05):
            assert len(server.stop()) == 1


def test_an_error_in_the_block_ends_the_server_at_once(engine: str) -> None:
    server = Server(echo, "tcp://127.0.0.1:0", engine=engine, grace=300)
    streams = []
    with pytest.raises(KeyError), timeout(SECONDS), server:  # noqa: PT012
        streams.append(dial(server))
        streams[0].write(b"x\n")
        streams[0].read_line()
        raise KeyError
    assert len(server.cut) == 1
    streams[0].close()


def test_a_server_that_never_starts_holds_nothing() -> None:
    for name in KNOWN_ENGINES:
        Server(echo, "tcp://127.0.0.1:0", engine=name)


# -- what is refused


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        ("thread", "no engine is called 'thread'"),
        ("threads:0", "above zero"),
        ("threads:", "above zero"),
        ("threads:two", "above zero"),
        ("threads:²", "above zero"),
        ("inline:3", "takes no number"),
    ],
)
def test_an_engine_that_cannot_be_read_is_refused(engine: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        make_engine(engine)


def test_an_engine_may_be_given_ready_made() -> None:
    engine = Threads(2)
    assert make_engine(engine) is engine
    with Server(echo, "tcp://127.0.0.1:0", engine=engine) as server:
        assert said(server, b"x") == b"x"
    with pytest.raises(ConfigError):
        Threads(0)


class NoHandle:
    pass


class Ambiguous:
    name = "neither"


@pytest.mark.parametrize(
    ("handler", "address", "why"),
    [
        (echo, (), "needs an address"),
        ("text", ("tcp://127.0.0.1:0",), "not callable"),
        (NoHandle, ("tcp://127.0.0.1:0",), "no method handle"),
        (echo, ("tls://127.0.0.1:0",), "needs a certificate"),
        (echo, ("https://127.0.0.1:0",), "needs a certificate"),
        (echo, ("ftp://127.0.0.1:0",), "no server speaks"),
        (Ambiguous(), ("http://127.0.0.1:0",), "web application"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anybody_can_connect(
    handler: object, address: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        Server(handler, *address).start()


def test_an_address_in_use_releases_every_socket_that_was_bound(engine: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = free_port()
        path = tmp_path / "made.sock"
        server = Server(
            echo, f"tcp://127.0.0.1:{first}", f"unix:{path}", "memory:made",
            f"tcp://127.0.0.1:{taken.getsockname()[1]}", engine=engine,
        )  # fmt: skip
        with pytest.raises(BindError, match="in use"):
            server.start()
        assert not path.exists()
        socket.create_server(("127.0.0.1", first)).close()
        assert server.stop() == []
        with Server(echo, "memory:made") as successor:
            assert said(successor, b"x") == b"x"


def test_one_connection_that_cannot_be_made_leaves_the_server_alive(
    engine: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tls = server_tls()
    wrap = tls.wrap
    broken = [True]

    def breaks(*args: object) -> object:
        if broken.pop() if broken else False:
            raise RuntimeError("no more memory")
        return wrap(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(tls, "wrap", breaks)
    with Server(echo, "tls://127.0.0.1:0", engine=engine, tls=tls) as server:
        with contextlib.suppress(ConnectionResetError), Peer(server.addresses[0]) as peer:
            assert peer.rest() == b""
        assert said(server, b"alive") == b"alive"
    assert "no more memory" in caplog.text


# -- where


def test_one_handler_serves_several_addresses(engine: str, tmp_path: Path) -> None:
    kinds = ["tcp", "tls", "unix", "memory"]
    asked = [address_of_kind(kind, tmp_path) for kind in kinds]
    with Server(echo, *asked, engine=engine, tls=server_tls()) as server:
        for address in server.addresses:
            with timeout(SECONDS), dial(address) as stream:
                stream.write(b"here\n")
                assert stream.read_line() == b"here"


def test_raw_streams_and_http_can_be_served_side_by_side(engine: str) -> None:
    gateway = Gateway(lambda exchange: exchange.scheme.encode())
    with Server(
        gateway,
        "http://127.0.0.1:0",
        "https://127.0.0.1:0",
        "tcp://127.0.0.1:0",
        engine=engine,
        tls=server_tls(),
    ) as server:
        plain, secure, bare = server.addresses
        assert ask(plain) == b"http"
        assert ask(bare) == b"http", "a gateway speaks http on plain stream addresses too"
        with timeout(SECONDS), dial(secure) as stream:
            stream.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert stream.read_all().endswith(b"https")


def test_real_ports_are_shown() -> None:
    with Server(echo, "tcp://localhost:0", "tcp://:0", "tcp://[::1]:0") as server:
        assert all(address.port for address in server.addresses)
        assert str(server.addresses[0]) in repr(server)


def test_connections_are_counted(engine: str) -> None:
    with Server(echo, "tcp://127.0.0.1:0", engine=engine) as server:
        with dial(server) as stream:
            stream.write(b"x\n")
            stream.read_line()
            assert server.connections == 1
        until(lambda: server.connections == 0)
        assert server.accepted == 1


def test_a_client_s_own_tls_settings_decide(engine: str) -> None:
    with Server(echo, "tls://127.0.0.1:0", engine=engine, tls=server_tls()) as server:
        with pytest.raises(Exception, match="certificate"):
            dial(server, tls=ClientTLS())
        assert said(server, b"others are served") == b"others are served"


def test_sleeping_handlers_do_not_keep_a_server_from_stopping() -> None:
    def sleeper(stream: Stream) -> None:
        stream.write(b"x")
        sleep(3600)

    server = Server(sleeper, "tcp://127.0.0.1:0", engine="inline").start()
    with dial(server) as stream:
        stream.read(1)
        with timeout(SECONDS):
            assert len(server.stop(0.0)) == 1


def test_process_engines_one_after_the_other_serve_a_handler_of_the_program() -> None:
    program = Path(__file__).parent / "engines" / "one_after_another.py"
    found = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", program], capture_output=True, text=True, timeout=50
    )
    assert (found.stdout, found.returncode) == ("served\n", 0), found.stderr
