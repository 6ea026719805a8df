"""Who really asks: ``Forwarded`` and ``X-Forwarded-*`` from trusted proxies, and from nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.address import Address
from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.http.messages import RequestHead
from portico.server import Server
from portico.web.forwarded import (
    Forwarded,
    Hop,
    Malformed,
    forwarded_element,
    read_forwarded,
    read_x_forwarded,
)
from portico.web.wsgi import WSGI
from tests.http.served import Client, Gate, get

HERE = ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"]


def at(host: str, port: int | None = None) -> Address:
    return Address("tcp", host, port)


@pytest.mark.parametrize(
    ("value", "hops"),
    [
        ("", []),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [Hop(at("192.0.2.60"), "http")]),
        ('For="[2001:db8:cafe::17]:4711"', [Hop(at("2001:db8:cafe::17", 4711))]),
        ('for="[::ffff:192.0.2.1]"', [Hop(at("192.0.2.1"))]),
        ("for=192.0.2.43, for=198.51.100.17", [Hop(at("192.0.2.43")), Hop(at("198.51.100.17"))]),
        ('for="192.0.2.43:80"', [Hop(at("192.0.2.43", 80))]),
        ("for=_gazonk", [Hop(at(""))]),
        ('for="_gazonk:_port"', [Hop(at(""))]),
        ("for=unknown, proto=HTTPS", [Hop(at("")), Hop(None, "https")]),
        ('host="a.example:81"', [Hop(None, None, "a.example:81")]),
        (r'for="192.0.2\.1"', [Hop(at("192.0.2.1"))]),
        ("for=192.0.2.1 ; proto=http", [Hop(at("192.0.2.1"), "http")]),
        (" ,, for=192.0.2.1 , ;", [Hop(at("192.0.2.1"))]),
        ('for=192.0.2.1;secret="a,b;c=\\"d\\""', [Hop(at("192.0.2.1"))]),
    ],
)
def test_forwarded_is_read_by_its_grammar(value: str, hops: list[Hop]) -> None:
    assert read_forwarded(value) == hops


@pytest.mark.parametrize(
    "value",
    [
        "for",
        "for=",
        "for =1.2.3.4",
        "for=1.2.3.4 proto=http",
        "for=192.0.2.1:80",
        "for=[2001:db8::1]",
        'for="2001:db8::1"',
        'for="[2001:db8::1"',
        'for="[192.0.2.1]"',
        "for=192.0.2.256",
        "for=192.0.2.01",
        'for="192.0.2.1:65536"',
        "for=somebody",
        "for=192.0.2.1;for=192.0.2.2",
        "proto=ftp",
        'host="a b"',
        'host="a@b"',
        'for="192.0.2.1',
        "for=192.0.2.1\x00",
        "=x",
    ],
)
def test_what_is_not_in_the_grammar_is_not_believed(value: str) -> None:
    with pytest.raises(Malformed):
        read_forwarded(value)


@given(st.text('for=;, "\\[]:._0123456789abx\t', max_size=60))
def test_any_text_is_read_or_not_believed(value: str) -> None:
    for read in (read_forwarded, lambda text: read_x_forwarded(head(x_forwarded_for=text))):
        try:
            assert all(isinstance(hop, Hop) for hop in read(value))
        except Malformed:
            pass


@given(st.ip_addresses(), st.sampled_from(["http", "https"]), st.sampled_from(["", "a.example", "[::1]:80"]))
def test_what_this_server_says_can_be_read(ip: Any, scheme: str, host: str) -> None:
    element = forwarded_element(at(str(ip)), scheme, host)
    assert read_forwarded(element) == [
        Hop(at(str(getattr(ip, "ipv4_mapped", None) or ip)), scheme, host or None)
    ]


def head(**fields: str) -> RequestHead:
    return RequestHead.of("GET", "/", [(name.replace("_", "-"), value) for name, value in fields.items()])


@pytest.mark.parametrize(
    ("fields", "hops"),
    [
        ({}, []),
        ({"x_forwarded_for": "192.0.2.1, 2001:db8::1"}, [Hop(at("192.0.2.1")), Hop(at("2001:db8::1"))]),
        (
            {"x_forwarded_for": "192.0.2.1:80,[2001:db8::1]:81"},
            [Hop(at("192.0.2.1", 80)), Hop(at("2001:db8::1", 81))],
        ),
        ({"x_forwarded_proto": "https"}, [Hop(None, "https")]),
        (
            {"x_forwarded_for": "192.0.2.1, 192.0.2.2", "x_forwarded_proto": "https, http"},
            [Hop(at("192.0.2.1"), "https"), Hop(at("192.0.2.2"), "http")],
        ),
        (
            {"x_forwarded_for": "192.0.2.1, 192.0.2.2", "x_forwarded_host": "a"},
            [Hop(at("192.0.2.1"), None, "a"), Hop(at("192.0.2.2"), None, "a")],
        ),
    ],
)
def test_x_forwarded_is_read_as_it_is_used(fields: dict[str, str], hops: list[Hop]) -> None:
    assert read_x_forwarded(head(**fields)) == hops


@pytest.mark.parametrize(
    "fields",
    [
        {"x_forwarded_for": ""},
        {"x_forwarded_for": "192.0.2.1,,192.0.2.2"},
        {"x_forwarded_for": "localhost"},
        {"x_forwarded_for": "192.0.2.1", "x_forwarded_proto": "http, https"},
        {"x_forwarded_proto": "gopher"},
        {"x_forwarded_host": "a/b"},
    ],
)
def test_x_forwarded_that_cannot_be_meant_is_not_believed(fields: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        read_x_forwarded(head(**fields))


# -- at a server


def told(exchange: Exchange) -> None:
    peer = exchange.peer
    exchange.respond(200, [], f"{peer.host if peer else ''} {exchange.scheme} {exchange.host}".encode())


def serving(forwarded: Forwarded, handler: Any = None) -> Server:
    server = Server(handler or Gate(told), "http://127.0.0.1:0", grace=1.0)
    server.forwarded = forwarded
    return server


def said(forwarded: Forwarded, *fields: str) -> str:
    with serving(forwarded) as server, Client(server) as client:
        answer = client.ask(get("/", *fields))
        return answer.body.decode() if answer.status == 200 else str(answer.status)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.0.0.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("127.0.0.1, 192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, unknown, 10.0.0.1", ""),
        ("2001:db8:2::1, 2001:db8:1::1", "2001:db8:2::1"),
        ("garbage, 192.0.2.1", "127.0.0.1"),
    ],
)
def test_the_first_from_the_right_that_is_not_trusted_is_the_client(chain: str, expected: str) -> None:
    assert said(Forwarded(HERE), f"X-Forwarded-For: {chain}") == f"{expected} http test"
    assert said(Forwarded(HERE, fields="rfc"), f"X-Forwarded-For: {chain}") == "127.0.0.1 http test"


def test_nobody_else_is_believed() -> None:
    forwarded = Forwarded(["10.0.0.0/8"], fields="both")
    fields = ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=7.7.7.7;proto=https", "X-Forwarded-Host: evil"]
    assert said(forwarded, *fields) == "127.0.0.1 http test"


def test_scheme_and_host_are_those_of_the_outermost_proxy_that_is_trusted() -> None:
    value = (
        "Forwarded: for=6.6.6.6;proto=http;host=evil, for=192.0.2.1;proto=https;host=a.example, for=10.0.0.1"
    )
    assert said(Forwarded(HERE, fields="rfc"), value) == "192.0.2.1 https a.example"


def test_two_accounts_that_differ_are_refused() -> None:
    forwarded = Forwarded(HERE, fields="both")
    assert said(forwarded, "Forwarded: for=192.0.2.1", "X-Forwarded-For: 6.6.6.6") == "400"
    assert said(forwarded, "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1") == "192.0.2.1 http test"
    assert said(forwarded, "Forwarded: for=192.0.2.1;proto=http", "X-Forwarded-Proto: https") == "400"
    assert said(forwarded, "X-Forwarded-For: 192.0.2.1") == "192.0.2.1 http test"
    assert said(forwarded, "Forwarded: for=") == "127.0.0.1 http test"
    assert forwarded.ignored == {"contradictory": 2, "malformed": 1}


def test_wsgi_sees_it_and_each_request_of_a_connection_has_its_own() -> None:
    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [])
        names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "HTTPS")
        return [" ".join(str(environ.get(name)) for name in names).encode()]

    with serving(Forwarded(HERE), WSGI(app)) as server, Client(server) as client:
        secure = get("/", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: a")
        other = get("/", "X-Forwarded-For: 192.0.2.2", "X-Forwarded-Proto: http", "X-Forwarded-Host: b")
        broken = get("/", "X-Forwarded-For: 192.0.2.x", "X-Forwarded-Proto: https", "X-Forwarded-Host: a")
        for _ in range(3):
            assert client.ask(secure).body == b"192.0.2.1 https a on"
            assert client.ask(secure).body == b"192.0.2.1 https a on"
            assert client.ask(other).body == b"192.0.2.2 http b None"
            assert client.ask(broken).body == b"127.0.0.1 http test None"
            assert client.ask(broken).body == b"127.0.0.1 http test None"


@pytest.mark.parametrize(
    ("trusted", "fields"), [([], "x"), ("127.0.0.1", "x"), (["nowhere"], "x"), (["127.0.0.1"], "any")]
)
def test_settings_that_cannot_work_are_refused(trusted: Any, fields: str) -> None:
    with pytest.raises(ConfigError, match="forwarded"):
        Forwarded(trusted, fields=fields)
