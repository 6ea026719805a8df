"""Which gateway answers which path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.http.messages import RequestHead
from portico.web.mounts import Mounts, read_prefix
from tests.http.served import Client, Gate, get, post, serving


def named(name):
    def answer(exchange):
        said = f"{name}|{exchange.mount}|{exchange.path_info}|{exchange.raw_path_info}"
        exchange.respond(200, [], said.encode("latin-1"))

    return Gate(answer)


def site(*prefixes):
    return Mounts([(prefix, named(prefix)) for prefix in prefixes])


@pytest.fixture(scope="module")
def client():
    mounts = site("/", "/app", "/app/deep", "/a%20b", "/caf\u00e9", "/%25")
    with serving(mounts, plain=True) as server, Client(server) as client:
        yield client


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/", "/||/|/"),
        ("/x", "/||/x|/x"),
        ("/app", "/app|/app||"),
        ("/app/", "/app|/app|/|/"),
        ("/app/x%20y", "/app|/app|/x y|/x%20y"),
        ("/apple", "/||/apple|/apple"),
        ("/App", "/||/App|/App"),
        ("/app/deep", "/app/deep|/app/deep||"),
        ("/app/deep/er?q", "/app/deep|/app/deep|/er|/er"),
        ("/app/deeper", "/app|/app|/deeper|/deeper"),
        ("/%61%70p/%78", "/app|/app|/x|/%78"),
        ("/app%2Fdeep%2fx", "/app/deep|/app/deep|/x|%2fx"),
        ("//app", "/||//app|//app"),
        ("/app/../x", "/app|/app|/../x|/../x"),
        ("/a%20b/c", "/a%20b|/a b|/c|/c"),
        ("/caf%c3%a9/c%C3%A9", "/caf\u00e9|/caf\xc3\xa9|/c\xc3\xa9|/c%C3%A9"),
        ("/%25/x", "/%25|/%|/x|/x"),
        ("/%/x", "/%25|/%|/x|/x"),
        ("http://other.example/app/x", "/app|/app|/x|/x"),
        ("http://other.example", "/||/|/"),
    ],
)
def test_the_longest_prefix_of_whole_segments_answers(client, target, said):
    name, _, rest = said.partition("|")
    assert client.ask(get(target)).body == name.encode("latin-1") + b"|" + rest.encode("latin-1")


def test_what_is_mounted_nowhere_is_a_404():
    with serving(site("/app"), plain=True) as server, Client(server) as client:
        for target in ("/", "/x", "/apple"):
            assert client.ask(get(target)).status == 404
        assert client.ask(get("/app")).status == 200
        answer = client.ask(post(b"x" * 10, "/x"))
        assert (answer.status, answer["connection"]) == (404, "close")


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("/", ""),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a/b", "/a/b"),
        ("/a%20b", "/a b"),
        ("/%C3%A9", "/\xc3\xa9"),
        ("/\u00e9", "/\xc3\xa9"),
        ("/a%2Fb/", "/a/b"),
    ],
)
def test_a_prefix_is_kept_decoded(text, prefix):
    assert read_prefix(text) == prefix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a/b",
        "/a b",
        "/a?b",
        "/a#b",
        "/a\n",
        "/a\x7f",
        "/a//b",
        "//a",
        "/./a",
        "/a/..",
        "/%2e%2e",
        "/a%2F..",
        "/%2F%2Fa",
        "http://a",
    ],
)
def test_a_prefix_that_is_no_plain_path_is_refused(text):
    with pytest.raises(ConfigError):
        read_prefix(text)


def test_two_targets_at_one_place_are_refused():
    with pytest.raises(ConfigError, match="/a"):
        site("/a", "/a/")
    with pytest.raises(ConfigError):
        Mounts([])


def test_a_set_of_mounts_shows_itself():
    mounts = site("/", "/app")
    assert repr(mounts) == "<Mounts /app, />"
    assert [mount.prefix for mount in mounts] == ["", "/app"]


class Connection:
    """As much of one as an exchange needs to be made."""

    cycle = 0


@given(
    raw=st.lists(st.sampled_from(["a", "b", "%61", "%2F", "/", ".", "%", "%2", "%zz", "%C3%A9"]), max_size=8)
)
def test_mount_and_rest_are_the_whole_path_however_it_is_escaped(raw):
    exchange = Exchange(Connection(), RequestHead.of("GET", "/" + "".join(raw)))
    mount = site("/", "/a", "/a/b", "/%25", "/%C3%A9", "/%25zz").find(exchange)
    exchange.mount = mount.prefix
    assert exchange.mount + exchange.path_info == exchange.path
    assert exchange.raw_path.endswith(exchange.raw_path_info)
    inner = Exchange(Connection(), RequestHead.of("GET", "/" + exchange.raw_path_info))
    assert inner.path == "/" + exchange.path_info


# Another answers instead


def test_a_request_may_be_answered_as_another_would_be():
    seen = []

    def inner(exchange):
        seen.append((exchange.method, exchange.path, exchange.query, exchange.headers, exchange.body.read()))
        exchange.start(200, [])
        exchange.write(b"inner")

    mounts = []
    gateways = [
        ("/in", Gate(inner)),
        ("/out", Gate(lambda exchange: mounts[0].redispatch(exchange, exchange.query))),
    ]
    mounts.append(Mounts(gateways))
    with serving(mounts[0], plain=True) as server, Client(server) as client:
        for _ in range(2):
            answer = client.ask(post(b"body", "/out?/in/%61?q", "Content-Type: x", "If-Match: y"))
            assert (answer.status, answer.body) == (200, b"inner")
        assert client.ask(get("/out?/nowhere")).status == 404
        assert client.ask(get("/out?/in", method="HEAD"), "HEAD").status == 200
        assert client.ask(get("/in")).status == 200
    assert seen[0] == ("GET", "/in/a", "q", [("host", "test"), ("if-match", "y")], b"")
