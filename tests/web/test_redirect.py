"""Redirects keep what was asked for, and never lead to a server that the target does not name."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico import Mounts
from portico.errors import ConfigError
from portico.web.redirect import Redirect
from tests.http.served import Client, get, post, serving
from tests.web.recording import RecordingExchange


def location(target, asked, *, mount="", host="here.example", status=307):
    gateway = Redirect(target, status)
    exchange = RecordingExchange("GET", asked, [("Host", host)], mount=mount).run(gateway)
    head = RecordingExchange("HEAD", asked, [("Host", host)], mount=mount).run(gateway)
    assert (exchange.status, head.sent_headers) == (status, exchange.sent_headers)
    return exchange.sent_header("Location")


@pytest.mark.parametrize(
    ("target", "asked", "mount", "expected"),
    [
        ("/new", "/old/x?y", "/old", "/new"),
        ("/new{path}", "/old/x%20y?z", "/old", "/new/x%20y"),
        ("/new{path}{query}", "/old/x?z=1&z=2", "/old", "/new/x?z=1&z=2"),
        ("/new{path}{query}", "/old", "/old", "/new"),
        ("/new{path}{query}", "/old?", "/old", "/new"),
        ("/new?a=b{query}", "/old?c=d", "/old", "/new?a=b&c=d"),
        ("/find?from={path}", "/old/x", "/old", "/find?from=/x"),
        ("https://example.org{uri}", "/old/x?y", "/old", "https://example.org/old/x?y"),
        ("https://example.org/base{path}", "/x", "", "https://example.org/base/x"),
        ("https://{host}{uri}", "/x?y", "", "https://here.example/x?y"),
        ("https://{host}:8443{uri}", "/x", "", "https://here.example:8443/x"),
        ("https://[::1]:8443{path}", "/x", "", "https://[::1]:8443/x"),
        ("{path}", "/old/x", "/old", "/x"),
        ("{path}", "/old", "/old", "/"),
        ("/", "/x", "", "/"),
    ],
)
def test_holes_are_filled_with_what_was_asked_for(target, asked, mount, expected):
    assert location(target, asked, mount=mount) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("other.example:8080", "https://other.example/"),
        ("OTHER.example", "https://OTHER.example/"),
        ("[2001:db8::1]:80", "https://[2001:db8::1]/"),
        ("[2001:db8::1]", "https://[2001:db8::1]/"),
        ("127.0.0.1:80", "https://127.0.0.1/"),
    ],
)
def test_the_host_that_was_asked_for_is_kept_without_its_port(host, expected):
    assert location("https://{host}/", "/", host=host) == expected


@pytest.mark.parametrize("host", ["", "a@evil.example", "evil.example/x", "a b", "x?y", "a\\b", "[::1"])
def test_a_host_that_is_none_is_refused(host):
    exchange = RecordingExchange("GET", "/", [("Host", host)]).run(Redirect("https://{host}/"))
    assert exchange.status == 400
    assert exchange.sent_header("Location") is None


@pytest.mark.parametrize("target", ["{path}", "/{path}", "{uri}", "/x{path}", "https://good.example{path}"])
@pytest.mark.parametrize(
    "asked",
    ["//evil.example", "///evil.example/x", "/\\evil.example", "/\\/evil.example", "/%2F/evil.example",
     "/.evil.example", "/@evil.example", "/:80@evil.example", "//evil.example/%2e%2e"],
)  # fmt: skip
def test_what_a_client_writes_does_not_choose_the_server(target, asked):
    leads = urlsplit(urljoin("https://good.example/start", location(target, asked).replace("\\", "/")))
    assert (leads.scheme, leads.hostname) == ("https", "good.example")


@given(
    asked=st.text(alphabet="/\\.@:?#%ea\x7f\xe9", max_size=12),
    target=st.sampled_from(["{path}", "/{path}{query}", "{uri}", "https://good.example{uri}"]),
)
def test_no_path_at_all_leads_elsewhere(asked, target):
    found = location(target, "/" + asked.replace("#", ""))
    assert found.isascii()
    leads = urlsplit(urljoin("https://good.example/start", found.replace("\\", "/")))
    assert (leads.scheme, leads.hostname) == ("https", "good.example")


def test_a_target_that_is_no_path_is_not_joined_to_a_host():
    # OPTIONS * has no path; what a browser would make of "https://good.example*" is another host.
    exchange = RecordingExchange("OPTIONS", "*").run(Redirect("https://good.example{uri}"))
    assert exchange.sent_header("Location") == "https://good.example"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "expected a path"),
        ("new", "expected a path"),
        ("//evil.example", "expected a path"),
        ("/\\evil.example", "expected a path"),
        ("javascript:alert(1)", "expected a path"),
        ("ftp://example.org", "expected a path"),
        ("https://", "expected a path"),
        ("https://user@example.org", "expected a path"),
        ("/x{pth}", "there are: host, path, query, uri"),
        ("/x{path", "not a URL"),
        ("/a b", "not a URL"),
        ("/gr\xfc\xdfe", "not a URL"),
        ("/x\r\nSet-Cookie: a=b", "not a URL"),
        ("/to/{host}", "{host} stands for a host"),
        ("https://example.org/{host}", "{host} stands for a host"),
        ("https://{host}.evil.example/", "expected a path"),
    ],
)
def test_a_target_that_cannot_be_is_refused(target, says):
    with pytest.raises(ConfigError) as caught:
        Redirect(target)
    assert says in str(caught.value)


@pytest.mark.parametrize("status", [200, 300, 304, 305, 404])
def test_only_redirects_redirect(status):
    with pytest.raises(ConfigError, match="301, 302, 303, 307, 308"):
        Redirect("/x", status)


def test_a_body_is_not_waited_for():
    with serving(Mounts([("/old", Redirect("/new{path}{query}", 308))]), plain=True) as server:
        with Client(server) as client:
            answer = client.ask(get("/old/a?b"))
            assert (answer.status, answer["location"], answer.body) == (308, "/new/a?b", b"")
            assert client.ask(post(b"x" * 100, "/old/a"), "POST").status == 308
            assert client.ask(get("/old")).status == 308
        with Client(server) as client:
            client.send(b"POST /old/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
            assert client.answer("POST").status == 308
