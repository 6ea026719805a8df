"""The environment of a CGI program: what is in it, and above all what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from portico.errors import ConfigError, ProtocolError
from portico.web.cgi_environ import base_environ, content_length, request_environ
from portico.web.cgi_lookup import Script
from tests.web.recording import RecordedAddress, RecordingExchange


def environ_of(exchange, *, path_info="", credentials=False, length=None):
    script = Script(Path("/srv/cgi/run"), "/run", path_info)
    return request_environ(
        exchange, script, documents=Path("/srv/docs"), credentials=credentials, length=length
    )


def test_every_variable_of_the_rfc_that_applies_is_there_and_no_other():
    exchange = RecordingExchange(
        "POST",
        "/cgi-bin/run/a%20b?q=%20x&y",
        [("Host", "www.example.org:8080"), ("Content-Type", "text/plain"), ("Content-Length", "3")],
        body=b"abc",
        mount="/cgi-bin",
    )
    assert environ_of(exchange, path_info="/a b", length=3) == {
        b"GATEWAY_INTERFACE": b"CGI/1.1",
        b"SERVER_SOFTWARE": b"portico",
        b"SERVER_NAME": b"www.example.org",
        b"SERVER_PORT": b"8000",
        b"SERVER_PROTOCOL": b"HTTP/1.1",
        b"REQUEST_SCHEME": b"http",
        b"REQUEST_METHOD": b"POST",
        b"REQUEST_URI": b"/cgi-bin/run/a%20b?q=%20x&y",
        b"QUERY_STRING": b"q=%20x&y",
        b"SCRIPT_NAME": b"/cgi-bin/run",
        b"SCRIPT_FILENAME": b"/srv/cgi/run",
        b"PATH_INFO": b"/a b",
        b"PATH_TRANSLATED": b"/srv/docs/a b",
        b"REMOTE_ADDR": b"127.0.0.1",
        b"REMOTE_PORT": b"50000",
        b"CONTENT_TYPE": b"text/plain",
        b"CONTENT_LENGTH": b"3",
        b"HTTP_HOST": b"www.example.org:8080",
    }


def test_without_a_path_a_body_and_a_host_their_variables_are_missing():
    environ = environ_of(RecordingExchange("GET", "/run"))
    for name in ("PATH_INFO", "PATH_TRANSLATED", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTPS", "HTTP_HOST"):
        assert name.encode() not in environ
    assert environ[b"QUERY_STRING"] == b""
    assert environ[b"SERVER_NAME"] == b"127.0.0.1"


def test_the_host_that_a_trusted_proxy_tells_is_the_one_that_programs_see():
    exchange = RecordingExchange("GET", "/run", [("Host", "10.0.0.7:8000")])
    exchange.host = "example.org"
    environ = environ_of(exchange)
    assert (environ[b"HTTP_HOST"], environ[b"SERVER_NAME"]) == (b"example.org", b"example.org")


def test_tls_is_told():
    environ = environ_of(RecordingExchange("GET", "/run", scheme="https"))
    assert environ[b"HTTPS"] == b"on"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("[::1]:8000", b"[::1]"),
        ("example.org", b"example.org"),
        ("example.org:", b"example.org"),
        ("bad name", b"127.0.0.1"),
        ("$(id)", b"127.0.0.1"),
    ],
)
def test_the_server_name_is_a_host_name_or_our_own_address(host, name):
    assert environ_of(RecordingExchange("GET", "/run", [("Host", host)]))[b"SERVER_NAME"] == name


def test_an_ipv6_address_of_our_own_is_bracketed():
    exchange = RecordingExchange("GET", "/run")
    exchange.local = RecordedAddress("::1", 80)
    assert environ_of(exchange)[b"SERVER_NAME"] == b"[::1]"


def test_a_client_on_a_unix_socket_has_no_address_that_could_be_trusted():
    exchange = RecordingExchange("GET", "/run", [("Host", "example.org:8080")])
    exchange.peer = exchange.local = RecordedAddress("", 0)
    environ = environ_of(exchange)
    assert environ[b"REMOTE_ADDR"] == b"unix:"
    assert b"REMOTE_PORT" not in environ
    assert environ[b"SERVER_PORT"] == b"8080"


def headers(*pairs, **options):
    environ = environ_of(RecordingExchange("GET", "/run", pairs), **options)
    return {name: value for name, value in environ.items() if name.startswith(b"HTTP_")}


def test_headers_become_variables_and_repeated_ones_are_joined():
    assert headers(("X-One", "1"), ("X-One", "2"), ("Cookie", "a=b"), ("Cookie", "c=d")) == {
        b"HTTP_X_ONE": b"1, 2",
        b"HTTP_COOKIE": b"a=b; c=d",
    }


def test_httpoxy_a_proxy_header_never_reaches_a_program():
    assert headers(("Proxy", "http://evil.example/")) == {}


def test_a_header_with_an_underscore_cannot_pose_as_one_with_a_hyphen():
    assert headers(("X-Real-IP", "10.0.0.1"), ("X_Real_IP", "6.6.6.6")) == {b"HTTP_X_REAL_IP": b"10.0.0.1"}


def test_a_name_that_a_shell_could_stumble_over_is_dropped():
    assert headers(("X'Y", "1"), ("X$Y", "2"), ("X.Y", "3")) == {}


def test_what_is_between_client_and_server_is_not_passed():
    names = ("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect")
    pairs = [(name, "x") for name in (*names, "Proxy-Connection")]
    assert headers(*pairs, ("Content-Length", "0"), ("Content-Type", "a/b")) == {}


def test_credentials_are_passed_only_when_asked_for():
    pairs = [("Authorization", "Basic eA=="), ("Proxy-Authorization", "Basic eQ==")]
    assert headers(*pairs) == {}
    assert headers(*pairs, credentials=True)[b"HTTP_AUTHORIZATION"] == b"Basic eA=="


def test_bytes_reach_the_program_as_they_were_sent():
    exchange = RecordingExchange("GET", "/run/%C3%A9%FF", [("X-Name", "\xe9\xff")])
    environ = environ_of(exchange, path_info="/\xc3\xa9\xff")
    assert environ[b"PATH_INFO"] == b"/\xc3\xa9\xff"
    assert environ[b"HTTP_X_NAME"] == b"\xe9\xff"


def test_a_nul_is_the_client_s_mistake():
    exchange = RecordingExchange("GET", "/run")
    exchange.headers.append(("x-nul", "a\0b"))
    with pytest.raises(ProtocolError) as caught:
        environ_of(exchange)
    assert caught.value.status == 400


def test_an_absolute_target_is_told_as_a_path():
    exchange = RecordingExchange("GET", "/run?a=b")
    exchange.target = "http://example.org/run?a=b"
    assert environ_of(exchange)[b"REQUEST_URI"] == b"/run?a=b"


def test_the_length_of_a_body_is_told_when_there_is_one_even_an_empty_one():
    assert content_length(RecordingExchange("GET", "/"), 0) is None
    assert content_length(RecordingExchange("POST", "/", [("Content-Length", "0")]), 0) == 0
    assert content_length(RecordingExchange("POST", "/", [("Transfer-Encoding", "chunked")]), 7) == 7


def test_the_server_s_own_environment_stays_here(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("TZ", raising=False)
    environ = base_environ({"EXTRA": "\u00e9"}, ["PATH", "TZ"])
    assert environ == {b"PATH": b"/bin", b"EXTRA": "\u00e9".encode()}


@pytest.mark.parametrize("pair", [("", "x"), ("A=B", "x"), ("A", "x\0"), ("A\0", "x")])
def test_an_impossible_variable_is_refused_at_once(pair):
    with pytest.raises(ConfigError):
        base_environ(dict([pair]), [])
