"""The reverse proxy against upstreams that behave, on every engine: what goes across, and what does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.errors import AddressError, ConfigError
from portico.http.exchange import Exchange
from portico.server import Server
from portico.sockets.tls import ClientTLS, ServerTLS
from portico.web.mounts import Mounts
from portico.web.proxy import Deadlines, Proxy
from tests.http.served import Answer, Client, Gate, chunked, get, post, serving
from tests.web.proxy.upstreams import Scripted, Upside, keeping, once, whole

pytestmark = pytest.mark.usefixtures("no_leaks")

ENGINES = ("inline", "threads", "events")


@contextmanager
def proxied(*upstreams: Any, engine: str = "threads", mount: str = "", **options: Any) -> Iterator[Server]:
    """A server whose only gateway is a proxy to ``upstreams``."""
    server_options = {name: options.pop(name) for name in ("limits", "address") if name in options}
    proxy = Proxy(*(each.url if isinstance(each, Scripted) else each for each in upstreams), **options)
    handler = Mounts([(mount, proxy)]) if mount else proxy
    server = Server(
        handler,
        server_options.get("address", "http://127.0.0.1:0"),
        engine=engine,
        limits=server_options.get("limits"),
        grace=2.0,
    )
    with server:
        yield server
    proxy.close()


def asked(upstream: Scripted, number: int = -1) -> dict[str, str]:
    """The fields of a request that an upstream has had; one that came twice fails the test."""
    lines = upstream.heads[number].decode("latin-1").split("\r\n")[1:-2]
    pairs = [line.partition(": ")[::2] for line in lines]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), lines
    return {name.lower(): value for name, value in pairs}


# -- what goes across


@pytest.mark.parametrize("engine", ENGINES)
def test_requests_and_answers_go_across_and_the_connection_is_kept(engine: str) -> None:
    with (
        Scripted(keeping(whole(b"hello", "201 Made", "X-A: 1", "X-A: 2"))) as up,
        proxied(up, engine=engine) as server,
        Client(server) as client,
    ):
        for _ in range(3):
            answer = client.ask(get("/a%2Fb/../c?x=%20&"))
            assert (answer.status, answer.reason, answer.body) == (201, "Made", b"hello")
            assert [value for name, value in answer.headers if name == "x-a"] == ["1", "2"]
        assert client.ask(post(b"body", "/p")).status == 201
        assert client.ask(chunked([b"a", b"bc"])).status == 201
    assert up.connections == 1
    assert up.bodies == [b"", b"", b"", b"body", b"abc"]
    assert up.heads[0].startswith(b"GET /a%2Fb/../c?x=%20& HTTP/1.1\r\n")


def test_what_belongs_to_one_hop_stays_there() -> None:
    answer = whole(
        b"ok", "200 OK", "Connection: X-Secret, Content-Length", "X-Secret: 1", "Keep-Alive: 5", "X-Kept: 1",
        "Proxy-Authenticate: Basic",
    )  # fmt: skip
    with Scripted(keeping(answer)) as up, proxied(up) as server, Client(server) as client:
        got = client.ask(
            get(
                "/",
                "Connection: X-Own, Host, close",
                "X-Own: 1",
                "Keep-Alive: 1",
                "Proxy-Connection: x",
                "Proxy-Authorization: Basic eDp5",
                "TE: gzip",
                "Upgrade: h2c",
                "X-Kept: 1",
                "X_Kept: 2",
                "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
            )
        )
    sent = asked(up)
    gone = {"connection", "x-own", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"}
    assert not gone & set(sent)
    assert "x_kept" not in sent
    assert (sent["x-kept"], sent["host"]) == ("1", "test")
    assert got.body == b"ok"
    assert (got["x-kept"], got["connection"]) == ("1", "close")
    assert {"x-secret", "keep-alive", "proxy-authenticate"}.isdisjoint(name for name, _ in got.headers)


def test_the_upstream_is_told_of_the_client_and_nothing_that_a_client_made_up() -> None:
    lies = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6",
            "X-Real-IP: 6.6.6.6",
            "X-Forwarded-Anything: x", "X_Forwarded_For: 6.6.6.6", "Via: 1.0 other"]  # fmt: skip
    with Scripted(keeping(whole())) as up, proxied(up, forwarded="both") as server, Client(server) as client:
        client.ask(get("/", *lies))
    sent = asked(up)
    assert sent["x-forwarded-for"] == "127.0.0.1"
    assert (sent["x-forwarded-proto"], sent["x-forwarded-host"]) == ("http", "test")
    assert sent["forwarded"] == "for=127.0.0.1;proto=http;host=test"
    assert sent["via"] == "1.0 other, 1.1 portico"
    assert not {"x-real-ip", "x-forwarded-anything", "x_forwarded_for", "x-forwarded-prefix"} & set(sent)
    assert "6.6.6.6" not in str(up.heads)


def test_a_trusted_client_is_believed_and_its_chain_goes_on() -> None:
    with (
        Scripted(keeping(whole())) as up,
        proxied(up, trusted=["127.0.0.0/8"]) as server,
        Client(server) as client,
    ):
        client.ask(get("/", "X-Forwarded-For: 9.9.9.9", "X-Real-IP: 9.9.9.9"))
    sent = asked(up)
    assert sent["x-forwarded-for"] == "9.9.9.9, 127.0.0.1"
    assert sent["x-real-ip"] == "9.9.9.9"


@pytest.mark.parametrize(
    ("options", "path", "expected"),
    [
        ({}, "/app/x?q", "/app/x?q"),
        ({"strip": True}, "/app/x?q", "/x?q"),
        ({"strip": True}, "/app", "/"),
        ({"strip": True}, "/app?", "/?"),
        ({"strip": True}, "/%61pp/x/%2e%2e/%78", "/x/%2e%2e/%78"),
        ({"strip": True}, "http://test/app/y", "/y"),
        ({"strip": True, "base": "/base"}, "/app/x", "/base/x"),
        ({"strip": True, "base": "/base/"}, "/app", "/base"),
        ({"base": "/base"}, "/app/x", "/base/app/x"),
    ],
)
def test_paths_are_mapped(options: dict[str, Any], path: str, expected: str) -> None:
    base = options.pop("base", "")
    with (
        Scripted(keeping(whole())) as up,
        proxied(up.url + base, mount="/app", **options) as server,
        Client(server) as client,
    ):
        assert client.ask(get(path)).status == 200
    assert up.heads[0].split(b" ")[1].decode() == expected
    assert asked(up).get("x-forwarded-prefix") == ("/app" if options else None)


@pytest.mark.parametrize("mount", ["", "/app"])
def test_no_path_leads_out_of_what_is_proxied(mount: str) -> None:
    with (
        Scripted(keeping(whole())) as up,
        proxied(up.url + "/base", mount=mount, strip=True) as server,
        Client(server) as client,
    ):
        for path in ("/../x", "/x/../..", "/%2e%2e/x", "/x%2F..%2F..%2Fy", "/.//../x"):
            assert client.ask(get(mount + path)).status == 404
        assert client.ask(get(mount + "/x/../y")).status == 200
    assert [head.split(b" ")[1] for head in up.heads] == [b"/base/x/../y"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/login", "/app/login"),
        ("{url}/login?x", "/app/login?x"),
        ("{url}", "/app/"),
        ("http://elsewhere/x", "http://elsewhere/x"),
        ("//elsewhere/x", "//elsewhere/x"),
        ("relative", "relative"),
    ],
)
def test_redirects_to_the_upstream_lead_back_here(location: str, expected: str) -> None:
    def answer(up: Upside) -> bytes:
        return whole(b"", "302 Found", f"Location: {location.format(url=up.upstream.url)}")

    with (
        Scripted(keeping(answer)) as up,
        proxied(up, mount="/app", strip=True) as server,
        Client(server) as client,
    ):
        assert client.ask(get("/app/x"))["location"] == expected


@pytest.mark.parametrize(
    ("host", "expected"), [("keep", "test"), ("upstream", None), ("a.example", "a.example")]
)
def test_the_host_is_kept_or_changed(host: str, expected: str | None) -> None:
    with (
        Scripted(keeping(whole())) as up,
        proxied(up, host=host, headers={"X-Key": "secret"}) as server,
        Client(server) as client,
    ):
        client.ask(get("/", "X-Key: guess"))
    assert asked(up)["host"] == (expected or f"127.0.0.1:{up.port}")
    assert asked(up)["x-key"] == "secret"


@pytest.mark.parametrize(
    ("method", "raw", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", "12345"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 5\r\n\r\n", "5"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    ],
)
def test_answers_without_a_body_end_where_they_end(method: str, raw: bytes, length: str | None) -> None:
    with Scripted(keeping(raw)) as up, proxied(up) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(get(method=method), method)["content-length"] == length
    assert up.connections == 1


def test_a_body_that_ends_with_its_connection_is_framed_anew() -> None:
    with once(b"HTTP/1.0 200 OK\r\n\r\nto the end") as up, proxied(up) as server, Client(server) as client:
        answer = client.ask(get())
        assert (answer["transfer-encoding"], answer.body) == ("chunked", b"to the end")


def test_trailers_go_both_ways_where_they_are_wanted() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw += b"1\r\na\r\n0\r\nX-Sum: 7\r\nX_Sum: 8\r\n\r\n"
    seen = []

    def talk(up: Upside) -> None:
        up.request()
        up.until(b"\r\n0\r\n")
        seen.append(up.until(b"\r\n\r\n"))
        up.say(raw)
        up.request()
        up.say(raw)

    with Scripted(talk) as up, proxied(up) as server, Client(server) as client:
        wanted = ("TE: trailers", "Connection: TE")
        client.send(chunked([b"x"], "/", *wanted, tail=b"0\r\nX-Up: 1\r\nX_Up: 2\r\n\r\n"))
        assert client._head()["trailer"] == "X-Sum"
        assert client._until(b"\r\n\r\n") == b"1\r\na\r\n0\r\nx-sum: 7"
        assert asked(up)["te"] == "trailers"
        answer = client.ask(get())
        assert (answer["trailer"], answer.body) == (None, b"a")
    assert seen == [b"x-up: 1"]


@pytest.mark.parametrize("engine", ENGINES)
def test_early_hints_are_passed_on_at_once(engine: str) -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n")
        up.body()
        time.sleep(0.2)
        up.say(whole())

    with Scripted(talk) as up, proxied(up, engine=engine) as server, Client(server) as client:
        client.send(get())
        assert client.interim() == 103
        assert client.answer().status == 200
        assert client.ask(get(version="1.0")).interim == []


# -- streaming


@pytest.mark.parametrize("engine", ENGINES)
def test_events_pass_as_they_come(engine: str) -> None:
    told = []

    def talk(up: Upside) -> None:
        up.request()
        up.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            up.say(b"data: %d\n\n" % number)
            told.append(number)
            deadline = time.monotonic() + 10
            while len(heard) <= number and time.monotonic() < deadline:
                time.sleep(0.002)

    heard: list[bytes] = []
    with Scripted(talk) as up, proxied(up, engine=engine) as server, Client(server) as client:
        client.send(get())
        head = client._head()
        assert head["content-type"] == "text/event-stream"
        for number in range(3):
            size = int(client._until(b"\r\n"), 16)
            assert client._exactly(size + 2) == b"data: %d\n\n\r\n" % number
            assert len(told) <= number + 1  # the next is not sent before this one has come
            heard.append(b"")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_large_upload_and_download_pass_whole(engine: str) -> None:
    def talk(up: Upside) -> None:
        up.request()
        body = up.body()
        # It says that it closes: else the second upload may be sent to a connection about to end.
        up.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        up.say(b"Content-Length: %d\r\n\r\n" % len(body))
        up.say(body)

    body = bytes(range(256)) * 40_000  # 10 MB
    with Scripted(talk) as up, proxied(up, engine=engine) as server, Client(server) as client:
        assert client.ask(post(body)).body == body
        assert client.ask(chunked([body[:100], body[100:]])).body == body


@pytest.mark.parametrize("engine", ENGINES)
def test_an_early_answer_comes_while_the_upload_goes_on(engine: str) -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.until(b"first")
        up.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nA1\r\n")
        up.until(b"second")
        up.say(b"2\r\nA2\r\n0\r\n\r\n")

    with Scripted(talk) as up, proxied(up, engine=engine) as server, Client(server) as client:
        client.send(chunked([b"first"], tail=b""))
        client._head()
        assert client._until(b"\r\n") + client._until(b"\r\n") == b"2A1"
        client.send(b"6\r\nsecond\r\n0\r\n\r\n")
        assert client._until(b"\r\n") + client._until(b"\r\n") == b"2A2"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_refusal_comes_although_the_upload_never_ends(engine: str) -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.say(whole(b"too much", "413 Content Too Large", "Connection: close"))
        up.sock.shutdown(socket.SHUT_WR)
        while up.sock.recv(1 << 16):
            pass

    with Scripted(talk) as up, proxied(up, engine=engine) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 500000000", method="POST"), b"x" * 100_000)
        answer = client.answer()
        assert (answer.status, answer.body, answer["connection"]) == (413, b"too much", "close")


# -- Expect


@pytest.mark.parametrize("engine", ENGINES)
def test_a_client_that_waits_to_be_asked_is_asked_when_the_upstream_asks(engine: str) -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        up.body()
        up.say(whole())

    with Scripted(talk) as up, proxied(up, engine=engine) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
        assert client.interim() == 100
        client.send(b"body")
        assert client.answer().status == 200
    assert asked(up)["expect"] == "100-continue"
    assert up.bodies == [b"body"]


def test_a_client_that_waits_to_be_asked_is_not_when_the_upstream_says_no() -> None:
    def talk(up: Upside) -> None:
        up.request()
        up.say(whole(b"no", "403 Forbidden"))
        with pytest.raises(EOFError):
            up.more()

    with Scripted(talk) as up, proxied(up) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
        answer = client.answer()
        assert (answer.status, answer.interim, answer["connection"]) == (403, [], "close")


def test_an_upstream_that_knows_no_100_gets_the_body_after_a_while() -> None:
    with Scripted(keeping(whole())) as up, proxied(up) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
        assert client.interim() == 100
        client.send(b"body")
        assert client.answer().status == 200


# -- switching protocols


def switching(up: Upside) -> None:
    up.request()
    up.say(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"X-Key: k\r\n\r\nearly"
    )
    while data := up.buffer or up.sock.recv(1 << 16):
        up.buffer = b""
        up.say(data.upper())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_switch_of_protocols_becomes_a_tunnel(engine: str) -> None:
    with Scripted(switching) as up, proxied(up, engine=engine) as server, Client(server) as client:
        client.send(get("/", "Connection: keep-alive, Upgrade", "Upgrade: websocket"), b"pipelined ")
        head = client._head()
        assert (head.status, head["upgrade"], head["x-key"]) == (101, "websocket", "k")
        got = client._exactly(15)
        assert got in (b"earlyPIPELINED ", b"PIPELINED early")
        client.send(b"more")
        assert client._exactly(4) == b"MORE"
        client.end()
        assert client.rest() == b""
    sent = asked(up)
    assert (sent["connection"], sent["upgrade"]) == ("Upgrade", "websocket")


def test_only_protocols_that_are_allowed_are_offered() -> None:
    with Scripted(keeping(whole())) as up, proxied(up) as server, Client(server) as client:
        client.ask(get("/", "Connection: Upgrade", "Upgrade: h2c, WebSocket"))
        assert asked(up)["upgrade"] == "websocket"
        client.ask(get("/", "Connection: Upgrade", "Upgrade: h2c"))
        assert "upgrade" not in asked(up)


def test_a_switch_that_nobody_asked_for_is_a_bad_answer() -> None:
    raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    with once(raw) as up, proxied(up) as server, Client(server) as client:
        assert client.ask(get()).status == 502


# -- kinds of upstreams


def hello(exchange: Exchange) -> None:
    exchange.respond(200, [], f"{exchange.scheme} {exchange.header('x-forwarded-for')}".encode())


def test_an_upstream_on_a_unix_socket(tmp_path: Path) -> None:
    with (
        serving(hello, address=f"unix:{tmp_path}/app.sock"),
        proxied(f"unix:{tmp_path}/app.sock") as server,
        Client(server) as client,
    ):
        assert client.ask(get()).body == b"http 127.0.0.1"


def test_an_upstream_over_tls_is_verified(tmp_path: Path) -> None:
    tls = ServerTLS.self_signed(directory=None)
    with serving(hello, address="https://127.0.0.1:0", tls=tls) as up:
        url = f"https://127.0.0.1:{up.addresses[0].port}"
        with proxied(url, tls=ClientTLS(tls.certificate_pem)) as server, Client(server) as client:
            for _ in range(2):
                assert client.ask(get()).body == b"https 127.0.0.1"
        assert up.accepted == 1
        with proxied(url) as server, Client(server) as client:
            assert client.ask(get()).status == 502


def test_a_proxy_that_is_its_own_upstream_notices() -> None:
    proxy = Proxy("http://127.0.0.1:1")
    with Server(proxy, "http://127.0.0.1:0") as server:
        proxy.balancer.upstreams[0].address = server.addresses[0]
        with Client(server) as client:
            assert client.ask(get()).status == 508
    proxy.close()


@pytest.mark.parametrize(
    ("upstreams", "options"),
    [
        ((), {}),
        (("ftp://x",), {}),
        (("udp://127.0.0.1:1",), {}),
        (("http://",), {}),
        (("http://a",), {"balance": "random"}),
        (("http://a",), {"forwarded": "yes"}),
        (("http://a",), {"trusted": ["nowhere"]}),
        (("http://a",), {"host": "a b"}),
        (("http://a",), {"via": "a b"}),
        (("http://a",), {"headers": {"Host": "x"}}),
        (("http://a",), {"headers": {"X": "a\r\nY: b"}}),
        (("http://a",), {"keep": -1}),
        (("http://a",), {"connections": 0}),
        (("http://a",), {"pause": float("nan")}),
    ],
)
def test_a_setting_that_cannot_work_is_refused(upstreams: tuple[str, ...], options: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, AddressError)):
        Proxy(*upstreams, **options)


def test_a_deadline_that_cannot_work_is_refused() -> None:
    for value in (0, -1, float("nan"), True):
        with pytest.raises(ConfigError, match="between"):
            Deadlines(between=value)


def test_other_gateways_are_served_while_the_proxy_waits() -> None:
    """Not even its first request may hold whoever serves the others."""

    def slow(up: Upside) -> None:
        up.request()
        up.sock.settimeout(20)
        up.sock.recv(1)

    def quick(exchange: Exchange) -> None:
        exchange.respond(200, [], b"quick")

    with Scripted(slow) as up:
        proxy = Proxy(up.url)
        mounts = Mounts([("/slow", proxy), ("/", Gate(quick))])
        with Server(mounts, "http://127.0.0.1:0", grace=0.0) as server, Client(server) as waiting:
            waiting.send(get("/slow"))
            answers: list[Answer] = []
            for _ in range(50):
                with Client(server) as client:
                    answers.append(client.ask(get("/")))
            assert {answer.body for answer in answers} == {b"quick"}
            waiting.sock.close()


def test_on_a_hub_requests_that_wait_hold_no_thread() -> None:
    """A hundred event streams and a hundred silent requests, where requests have one thread."""
    many = 100

    def talk(up: Upside) -> None:
        request = up.request()
        if b"/events" in request:
            up.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            up.say(b"data: 1\n\n")
            up.sock.recv(1)
        elif b"/later" in request:
            while not release.wait(20):
                pass
            up.say(whole(b"late"))
            keeping(whole(b"again"))(up)
        else:
            up.say(whole(b"quick"))

    release = threading.Event()
    with Scripted(talk) as up, proxied(up, engine="events:1") as server, ExitStack() as stack:
        streams = [stack.enter_context(Client(server)) for _ in range(many)]
        waiting = [stack.enter_context(Client(server)) for _ in range(many)]
        for client in streams:
            client.send(get("/events"))
        for client in waiting:
            client.send(get("/later"))
        for client in streams:
            assert client._head().status == 200
            assert client._until(b"\n\n").endswith(b"data: 1")
        with Client(server) as client:
            assert client.ask(get("/quick")).body == b"quick"
        release.set()
        for client in waiting:
            assert client.answer().body == b"late"
        for client in waiting:  # parked in between, and on
            client.send(get("/later"), get("/later"))
        for client in waiting:
            assert {client.answer().body for _ in range(2)} <= {b"again", b"late"}
