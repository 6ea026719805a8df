"""The PROXY protocol at a server: who is seen, who is let in, and real programs that speak it."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portico import Admission, Limits, Server, ServerTLS, Stream
from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.sockets.proxy_protocol import ProxyProtocol
from tests.http.served import Gate, get
from tests.peers import need
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

TOLD = b"PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
    + bytes([198, 51, 100, 9, 0, 0, 0, 0])
    + struct.pack("!HH", 7, 8)
)
HERE = ["127.0.0.0/8", "::1"]


def who(exchange: Exchange) -> None:
    exchange.respond(200, [], str(exchange.peer).encode())


def talk(stream: Stream) -> None:
    stream.write(f"{stream.peer} said {stream.read_line().decode()}\n".encode())


@contextmanager
def told(
    handler: Any = None,
    address: str = "http://127.0.0.1:0",
    proxy: ProxyProtocol | None = None,
    **options: Any,
) -> Iterator[Server]:
    options.setdefault("grace", 0.5)
    server = Server(handler or Gate(who), address, **options)
    server.proxy_protocol = proxy or ProxyProtocol(HERE)
    with server:
        yield server


def port_of(server: Server) -> int:
    return int(server.addresses[0].port or 0)


def say(server: Server, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the server closes; ``b"reset"`` for a reset."""
    try:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=20) as client:
            for piece in pieces:
                client.sendall(piece)
                time.sleep(pause)
            client.shutdown(socket.SHUT_WR)
            got = b""
            while data := client.recv(1 << 16):
                got += data
            return got
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno == errno.ENOTCONN:
            return b"reset"
        raise


ASK = get("/", "Connection: close")


@pytest.mark.parametrize("engine", ["inline", "threads", "events", "forks", "workers:1/threads"])
def test_who_is_told_is_who_is_seen(engine: str) -> None:
    with told(engine=engine) as server:
        assert say(server, TOLD + ASK).endswith(b"\r\n\r\nhttp://192.0.2.1:56324")
        assert say(server, *(bytes([byte]) for byte in V2 + ASK)).endswith(b"http://198.51.100.9:7")
        assert b"\r\n\r\nhttp://127.0.0.1:" in say(server, b"PROXY UNKNOWN\r\n" + ASK)


def test_bytes_that_follow_at_once_are_not_lost() -> None:
    with told(talk, "tcp://127.0.0.1:0") as server:
        assert say(server, TOLD + b"hello\n") == b"tcp://192.0.2.1:56324 said hello\n"
        assert (
            say(server, TOLD[:7], TOLD[7:], b"hel", b"lo\n", pause=0.02)
            == b"tcp://192.0.2.1:56324 said hello\n"
        )


@pytest.mark.parametrize("engine", ["inline", "threads", "events"])
def test_the_header_comes_before_tls(engine: str) -> None:
    tls = ServerTLS.self_signed(directory=None)
    context = ssl.create_default_context(cadata=tls.certificate_pem.decode())
    with told(address="https://127.0.0.1:0", tls=tls, engine=engine) as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=20) as client:
            client.sendall(TOLD)
            with context.wrap_socket(client, server_hostname="localhost") as secure:
                secure.sendall(ASK)
                got = b""
                while data := secure.recv(1 << 16):
                    got += data
        assert got.endswith(b"https://192.0.2.1:56324")


@pytest.mark.parametrize(
    "raw", [ASK, b"", b"PROXY", TOLD[:-1], TOLD.replace(b"192", b"999") + ASK, b"\x16\x03\x01"]
)
@pytest.mark.parametrize("engine", ["inline", "threads", "events"])
def test_who_sends_no_header_is_refused(raw: bytes, engine: str) -> None:
    with told(engine=engine) as server:
        assert say(server, raw) in (b"", b"reset")
        assert server.refusals == {"proxy_header": 1}
        assert say(server, TOLD + ASK).endswith(b"http://192.0.2.1:56324")


def test_who_is_no_trusted_proxy_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with told(proxy=ProxyProtocol(["10.0.0.0/8"])) as server:
        assert say(server, TOLD + ASK) in (b"", b"reset")
        assert server.refusals == {"proxy_header": 1}
    assert "no trusted proxy" in caplog.text


def test_a_header_that_does_not_come_is_not_waited_for_long() -> None:
    with (
        told(limits=Limits(handshake=0.2)) as server,
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=20) as client,
    ):
        client.sendall(TOLD[:10])
        assert client.recv(1) == b""


def test_a_thousand_who_send_half_a_header_hold_no_thread() -> None:
    with told(engine="threads:1") as server:
        clients = [socket.create_connection(("127.0.0.1", port_of(server)), timeout=20) for _ in range(200)]
        for client in clients:
            client.sendall(TOLD[:20])
        assert say(server, TOLD + ASK).endswith(b"http://192.0.2.1:56324")
        for client in clients:
            client.close()


def test_admission_judges_who_is_told() -> None:
    rules = Admission(deny=["192.0.2.0/24"], max_per_peer=1)
    with told(admission=rules) as server:
        assert say(server, TOLD + ASK) in (b"", b"reset")
        assert say(server, V2 + ASK).endswith(b"http://198.51.100.9:7")
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=20) as first:
            first.sendall(V2 + get())
            assert first.recv(100)
            assert say(server, V2 + ASK) in (b"", b"reset")
        deadline = time.monotonic() + 10
        while server.connections and time.monotonic() < deadline:
            time.sleep(0.01)
        assert say(server, V2 + ASK).endswith(b"http://198.51.100.9:7")
        assert server.refused == {"deny": 1, "max_per_peer": 1}


def test_a_function_that_admits_cannot_know_in_time() -> None:
    server = Server(Gate(who), "http://127.0.0.1:0", admission=Admission(admit=lambda peer: True))
    server.proxy_protocol = ProxyProtocol(HERE)
    with pytest.raises(ConfigError, match="PROXY"):
        server.start()


def test_only_where_it_is_on(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = Server(Gate(who), "http://127.0.0.1:0", f"unix:{path}", grace=0.5)
    server.proxy_protocol = ProxyProtocol(["unix"], on=[f"unix:{path}"])
    with server:
        assert b"http://127.0.0.1:" in say(server, ASK)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(TOLD + ASK)
            client.settimeout(20)
            got = b""
            while data := client.recv(1 << 16):
                got += data
        assert got.endswith(b"tcp://192.0.2.1:56324")


# -- real programs


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < until
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def fetch(url: str, *options: str) -> str:
    command = [need("curl"), "-s", "--max-time", "20", *options, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def test_curl_speaks_it() -> None:
    with told() as server:
        url = f"http://127.0.0.1:{port_of(server)}/"
        assert fetch(url, "--haproxy-protocol").startswith("http://127.0.0.1:")
        assert fetch(url) == ""


@pytest.mark.parametrize(
    "option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
)
def test_haproxy_speaks_it(option: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    program, port = need("haproxy"), free_port()
    with told() as server:
        (tmp_path / "haproxy.cfg").write_text(f"""
global
    maxconn 50
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend f
    bind 127.0.0.1:{port} accept-proxy
    unique-id-format %ci
    default_backend b
backend b
    server s 127.0.0.1:{port_of(server)} {option} check inter 100ms
""")
        with running([program, "-db", "-f", str(tmp_path / "haproxy.cfg")], port):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(TOLD + ASK)
                assert client.makefile("rb").read().endswith(b"http://192.0.2.1:56324")
            time.sleep(0.25)  # some health checks, which come as LOCAL or as the proxy itself
        assert not server.refusals


def test_nginx_speaks_it(tmp_path: Path) -> None:
    program, port = need("nginx"), free_port()
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    if not module.exists():
        pytest.skip("peer missing: nginx stream module")
    with told() as server:
        (tmp_path / "nginx.conf").write_text(f"""
load_module {module};
daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{ worker_connections 64; }}
stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{port_of(server)}; proxy_protocol on; }} }}
""")
        with running([program, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)], port):
            assert fetch(f"http://127.0.0.1:{port}/").startswith("http://127.0.0.1:")
