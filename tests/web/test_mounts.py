"""Which gateway answers which path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico import Limits, Routes, timeout
from portico.errors import ConfigError
from portico.http.exchange import Exchange, Mount
from portico.http.messages import RequestHead
from portico.http.redispatch import redispatch
from portico.sync import Event
from portico.web.mounts import Mounts, Place, read_host, read_prefix
from tests.http.served import Client, Gate, chunked, get, post, serving


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
        ("//x", "/||//x|//x"),
        ("/x/../y", "/||/x/../y|/x/../y"),
        ("/app//x", "/app|/app|//x|//x"),
        ("/app/x/../y", "/app|/app|/x/../y|/x/../y"),
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


@pytest.mark.parametrize(
    "target",
    [
        "//app",
        "/./app/x",
        "/x/../app",
        "/x/%2e%2e/app",
        "/x%2F..%2Fapp",
        "/app/../x",
        "/app//deep",
        "/../app/x",
    ],
)
def test_a_path_that_others_may_take_for_that_of_another_mount_is_nobodys(client, target):
    assert client.ask(get(target)).status == 404


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
    if mount is None:  # the path of another mount, in other words
        return
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
        ("/out", Gate(lambda exchange: redispatch(exchange, exchange.query))),
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


# Hosts


def hosts(*places):
    return Mounts([(Place(path, host), named(f"{host or '*'}{path}")) for host, path in places])


@pytest.fixture(scope="module")
def virtual():
    mounts = hosts(
        ("", "/"),
        ("", "/shared"),
        ("example.org", "/"),
        ("example.org", "/app"),
        ("*.example.org", "/wild"),
        ("*.deep.example.org", "/"),
        ("gr\u00fc\u00dfe.example", "/"),
        ("[2001:db8::1]", "/"),
        ("127.0.0.9", "/"),
    )
    with serving(mounts, plain=True) as server, Client(server) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "target", "said"),
    [
        ("example.org", "/", "example.org/"),
        ("EXAMPLE.org:8080", "/app/x", "example.org/app"),
        ("example.org.", "/", "example.org/"),
        ("example.org:", "/", "example.org/"),
        ("example.org", "/shared", "example.org/"),  # the host decides first
        ("www.example.org", "/wild/x", "*.example.org/wild"),
        ("a.b.example.org", "/wild", "*.example.org/wild"),
        ("www.example.org", "/shared", "*/shared"),  # nothing of its own there
        ("www.example.org", "/", "*/"),
        ("x.deep.example.org", "/wild", "*.deep.example.org/"),
        ("deep.example.org", "/wild", "*.example.org/wild"),
        ("badexample.org", "/wild", "*/"),
        ("example.org.evil.example", "/app", "*/"),
        ("other.example", "/app", "*/"),
        ("xn--gre-6ka8l.example", "/", "gr\u00fc\u00dfe.example/"),
        ("[2001:DB8::1]:80", "/", "[2001:db8::1]/"),
        ("127.0.0.9:1", "/", "127.0.0.9/"),
        ("127.0.0.1", "/", "*/"),
    ],
)
def test_the_most_particular_host_answers_then_the_longest_path(virtual, host, target, said):
    raw = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    for _ in range(2):
        assert virtual.ask(raw).body.decode("latin-1").partition("|")[0] == said


def test_the_host_of_a_whole_url_counts(virtual):
    raw = b"GET http://example.org/app HTTP/1.1\r\nHost: example.org\r\n\r\n"
    assert virtual.ask(raw).body.startswith(b"example.org/app|")


def test_a_request_without_a_host_has_the_mounts_for_all():
    with serving(hosts(("", "/"), ("example.org", "/")), plain=True) as server, Client(server) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.answer().body.startswith(b"*/|")


def test_hosts_that_are_made_up_are_not_all_remembered():
    mounts = hosts(("", "/"), ("example.org", "/"))
    for number in range(2000):
        head = RequestHead.of("GET", "/", [("host", f"{number}.example")])
        assert mounts.find(Exchange(Connection(), head)).prefix == ""
    assert len(mounts._table.seen) <= 512


def test_a_host_without_a_mount_for_the_path_is_a_404():
    with serving(hosts(("example.org", "/app")), plain=True) as server, Client(server) as client:
        assert client.ask(get("/app")).status == 404
        assert client.ask(b"GET /app HTTP/1.1\r\nHost: example.org\r\n\r\n").status == 200
        assert client.ask(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").status == 404


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.ORG", "example.org"),
        ("*.Example.org", "*.example.org"),
        ("gr\u00fc\u00dfe.example", "xn--gre-6ka8l.example"),
        ("[2001:DB8::0:1]", "[2001:db8::1]"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_host_is_kept_as_it_is_asked_for(text, host):
    assert read_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*.",
        "a.*.b",
        "*a.example",
        "example.org:80",
        "http://example.org",
        "a b",
        "a/b",
        "::1",
        "[::1]:80",
    ],
)
def test_a_host_that_is_none_is_refused(text):
    with pytest.raises(ConfigError):
        read_host(text)


def test_two_targets_at_one_host_and_path_are_refused():
    with pytest.raises(ConfigError, match=r"//example\.org/a"):
        hosts(("example.org", "/a"), ("EXAMPLE.org", "/a/"))


def test_mounts_are_exchanged_under_connections_that_are_open():
    mounts = site("/")
    with serving(mounts, plain=True) as server, Client(server) as client:
        assert client.ask(get("/app")).body.startswith(b"/||")
        mounts.become(site("/", "/app"))
        assert client.ask(get("/app")).body.startswith(b"/app|")
        assert [mount.prefix for mount in mounts] == ["", "/app"]


# Limits of a mount


def gathering(exchange):
    exchange.respond(200, [], str(len(exchange.body.read())).encode())


def with_limits(streams):
    return Mounts(
        [
            ("/", Gate(gathering, streams=streams)),
            ("/small", Mount(Gate(gathering, streams=streams), "/small", limits=Limits(body=10))),
            ("/slow", Mount(Gate(slow), "/slow", limits=Limits(request=0.2))),
        ]
    )


def slow(exchange):
    with timeout(20):
        Event().wait()


@pytest.mark.parametrize("streams", [False, True])
def test_a_body_is_held_to_the_limit_of_its_mount_and_of_no_other(streams):
    with serving(with_limits(streams), plain=True, limits={"body": 1000}) as server:
        for request in (post(b"x" * 11, "/small"), chunked([b"x" * 6, b"x" * 6], "/small")):
            with Client(server) as client:
                assert client.ask(request, "POST").status == 413
        with Client(server) as client:
            for path, size in (("/small", 10), ("/", 1000), ("/small", 3), ("/", 500)):
                assert client.ask(post(b"x" * size, path), "POST").body == str(size).encode()
                assert client.ask(chunked([b"x" * size], path), "POST").body == str(size).encode()
            assert client.ask(post(b"x" * 1001, "/"), "POST").status == 413
        assert server.refusals == {"body": 3}


def test_a_request_is_held_to_the_time_of_its_mount():
    with serving(with_limits(False), plain=True) as server, Client(server) as client:
        answer = client.ask(get("/slow"))
        assert (answer.status, b"too long" in answer.body) == (503, True)
        assert client.ask(get("/")).status == 200


def test_what_users_write_is_mounted_as_it_is():
    def wsgi(environ, start_response):
        start_response("200 OK", [])
        return []

    routes = Routes()
    mounts = Mounts([("/app", wsgi), ("/api", routes)])
    assert [mount.gateway.name for mount in mounts] == ["wsgi:wsgi", routes.name]


@pytest.mark.parametrize("thing", [5, "folder", None])
def test_what_cannot_answer_is_refused_when_it_is_mounted(thing):
    with pytest.raises(ConfigError, match="no web application"):
        Mounts([("/", thing)])
