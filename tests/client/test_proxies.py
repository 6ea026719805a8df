"""Proxies: which one is chosen, what it is told, and reaching servers through real and hostile ones."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from portico import aio
from portico.client.auth import Basic
from portico.client.download import Downloader
from portico.client.proxies import Proxies, Proxy, _parsed
from portico.client.session import Session
from portico.client.timeouts import Timeouts
from portico.client.url import URL
from portico.errors import (
    AuthenticationError,
    CertificateError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    LimitExceeded,
    LocalProtocolError,
    PorticoError,
    ProtocolError,
    ResolveError,
    Timeout,
    TLSError,
)
from portico.sync import TaskGroup
from portico.web.wsgi import WSGI
from tests.client import peers
from tests.client.digesting import DigestServer
from tests.client.hostile import Hostile, Peer, Script, answer, drip, every, flood, hold, read, redirect
from tests.client.peers import LARGE, LOGIN, PAGE
from tests.client.places import Place, app
from tests.client.proxying import forward, socks4a, tunnel
from tests.engines.serving import authority, client_tls, issue, server_tls
from tests.http.served import serving
from tests.peers import need
from tests.ports import free_port

pytestmark = pytest.mark.timeout(30)
on_each_door = pytest.mark.usefixtures("door")

USER = "joe:secret@"
BASIC = f"Proxy-Authorization: {Basic(*LOGIN).value}".encode()


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    """Nothing is known of a proxy that had a port before."""
    _parsed.cache_clear()


@pytest.fixture(scope="module")
def secure() -> Iterator[Place]:
    """An origin of ``https``."""
    with serving(WSGI(app), address="https://127.0.0.1:0", tls=server_tls()) as server:
        yield Place(str(server.addresses[0]))


@pytest.fixture(scope="module")
def own_tls() -> ssl.SSLContext:
    """For scripted proxies of ``https``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(issue())
        file.flush()
        context.load_cert_chain(file.name)
    return context


def session(**options: Any) -> Session:
    return Session(**{"timeout": 20, "env": False, "verify": client_tls(), **options})


# -- what is a proxy


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "login"),
    [
        ("p", "http", "p", 3128, None),
        ("p:80", "http", "p", 80, None),
        ("http://p:080/", "http", "p", 80, None),
        (" http://P.Example:1/ ", "http", "p.example", 1, None),
        ("https://p", "https", "p", 443, None),
        ("socks5://[::1]", "socks5", "::1", 1080, None),
        ("http://[::80]", "http", "::80", 3128, None),
        ("socks4a://p:9", "socks4a", "p", 9, None),
        ("joe:pw@p", "http", "p", 3128, ("joe", "pw")),
        ("http://j%C3%BCrgen:a%3A%40%2F@p:1", "http", "p", 1, ("jürgen", "a:@/")),
        ("http://joe@p", "http", "p", 3128, ("joe", "")),
        ("socks4://joe@p", "socks4", "p", 1080, ("joe", "")),
    ],
)
def test_proxies_are_read(text, scheme, host, port, login):
    proxy = Proxy.parse(text)
    assert (proxy.scheme, proxy.address.host, proxy.address.port, proxy.login) == (scheme, host, port, login)


@pytest.mark.parametrize(
    "text",
    [
        "http://joe:s3cret@p/path",
        "http://joe:s3cret@p?",
        "http://joe:s3cret@p/#x",
        "ftp://joe:s3cret@p",
        "http://joe:s3cret@",
        "http://joe:s3/cret@p",
        "http://joe:s3#cret@p:1",
        "http://joe:s3@cret@p",
        "joe:s3/cret@p",
        "http://joe:s3cret@p:port",
        "http://joe:s3cret%00@p",
        "http://j%3Aoe:s3cret@p",
        "http://joe:s3cret%ff@p",
        "socks5://joe:@p",
        "socks5://s3cret@p",
        "socks4://joe:s3cret@p",
        f"socks5://joe:{'s3' * 200}@p",
        "http://",
        7,
    ],
)
def test_what_is_no_proxy_is_refused_without_its_secret(text):
    with pytest.raises(ConfigError, match=r"^proxies: https: ") as error:
        Proxies.of({"https": text})
    assert "s3" not in str(error.value)


def test_a_login_is_checked_wherever_it_comes_from():
    with pytest.raises(ConfigError, match="colon"):
        Proxy("http", Proxy.parse("p").address, ("a:b", "c"))
    with pytest.raises(ConfigError, match="no proxy"):
        Proxy("ftp", Proxy.parse("p").address)
    assert "secret" not in repr(Proxy.parse(f"{USER}p")) + repr(Proxies.of(f"{USER}p"))


# -- which one


def chosen(given: Any, url: str) -> str:
    proxies = Proxies.of(given, env=True)
    found = None if proxies is None else proxies.for_url(URL.parse(url))
    return "" if found is None else found.address.host


@pytest.mark.parametrize(
    ("given", "url", "expected"),
    [
        ({"http": "a", "https": "b"}, "http://h/", "a"),
        ({"http": "a", "https": "b"}, "https://h/", "b"),
        ({"http": "a"}, "https://h/", ""),
        ({"all": "a", "https": "b"}, "http://h/", "a"),
        ({"all": "a", "https://h": "b", "https": "c"}, "https://h/", "b"),
        ({"all://h": "b", "all": "c"}, "https://h/", "b"),
        ({"all://h": "b", "all": "c"}, "https://i/", "c"),
        ({"HTTPS://H": "b"}, "https://h/", "b"),
        ({"https://": "b", "all://": "c"}, "https://h/", "b"),
        ({"https://[::1]": "b"}, "https://[::1]/", "b"),
        ({"https://b\xfccher.de": "b"}, "https://xn--bcher-kva.de/", "b"),
        ({"https": None, "all": "c"}, "https://h/", "c"),
        ({"all": "a", "no_proxy": "h"}, "https://h/", ""),
        ({"all": "a", "no": "h"}, "https://i/", "a"),
        ({"all": "a", "no_proxy": ["g", "h"]}, "https://h/", ""),
        ("a", "https://h/", "a"),
        ({}, "https://h/", ""),
        (False, "https://h/", ""),
        (Proxies({"all": "a"}), "http://h/", "a"),
    ],
)
def test_a_mapping_chooses(given, url, expected, monkeypatch):
    monkeypatch.setenv("all_proxy", "environment")
    assert chosen(given, url) == expected


@pytest.mark.parametrize("key", ["https://h:8443", "https://h/", "*", "https://*.h", "", "://h"])
def test_a_key_that_no_url_matches_is_an_error(key):
    with pytest.raises(ConfigError, match="expected"):
        Proxies.of({key: "http://a"})


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "http://h/", ""),
        ({"http_proxy": "a"}, "http://h/", "a"),
        ({"HTTP_PROXY": "a"}, "http://h/", "a"),
        ({"HTTP_PROXY": "a", "http_proxy": "b"}, "http://h/", "b"),
        ({"HTTP_PROXY": "a", "http_proxy": ""}, "http://h/", ""),
        ({"HTTP_PROXY": "a", "REQUEST_METHOD": "GET"}, "http://h/", ""),
        ({"http_proxy": "a", "REQUEST_METHOD": "GET"}, "http://h/", "a"),
        ({"HTTPS_PROXY": "a", "REQUEST_METHOD": "GET"}, "https://h/", "a"),
        ({"HTTPS_PROXY": "a"}, "http://h/", ""),
        ({"ALL_PROXY": "a"}, "https://h/", "a"),
        ({"all_proxy": "a", "https_proxy": "b"}, "https://h/", "b"),
        ({"all_proxy": "a", "NO_PROXY": "h"}, "https://h/", ""),
        ({"all_proxy": "a", "no_proxy": "h", "NO_PROXY": "i"}, "https://i/", "a"),
        ({"all_proxy": "  "}, "https://h/", ""),
    ],
)
def test_the_environment_chooses(environment, url, expected, monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen(None, url) == expected
    assert Proxies.of(None, env=False) is None


def test_a_mistake_in_the_environment_is_named(monkeypatch):
    monkeypatch.setenv("https_proxy", "ftp://joe:s3cret@p")
    with pytest.raises(ConfigError, match=r"^https_proxy in the environment: ") as error:
        Session()
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("none_for", "direct", "proxied"),
    [
        ("", "", "a 127.0.0.1 localhost"),
        ("*", "a 127.0.0.1 [::1]", ""),
        ("a.example", "a.example b.a.example A.Example. a.example:8080", "ba.example example a.example.b"),
        (".example", "a.example example", "anexample"),
        ("*.example", "a.example b.a.example", "anexample"),
        ("a, b\tc,,d", "a b c d", "e"),
        ("a:8080", "a:8080 b.a:8080", "a a:80"),
        ("a:0080", "a:80 a", "a:81"),
        ("localhost", "localhost a.localhost", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1 [::ffff:127.0.0.1]", "127.0.0.2 localhost 127.0.0.1.example"),
        ("127.0.0.1:81", "127.0.0.1:81", "127.0.0.1:80"),
        ("10.0.0.0/8", "10.1.2.3", "11.0.0.1 a"),
        ("10.1.2.3/8", "10.9.9.9", "11.0.0.1"),
        ("10.0.0.0/255.0.0.0", "10.1.2.3", "11.0.0.1"),
        ("2001:db8::/32", "[2001:db8:1::1]", "[2001:db9::1] 1.2.3.4"),
        ("::1", "[::1] [0:0::1]", "[::2]"),
        ("[::1]:81 [::2]", "[::1]:81 [::2]", "[::1]:82 [::3]"),
        ("bücher.example", "xn--bcher-kva.example a.bücher.example", "bucher.example"),
        ("-/ http://x a*b 1.2.3 [", "", "a x 1.2.3.4"),
    ],
)
def test_some_are_reached_directly(none_for, direct, proxied):
    given = {"all": "p", "no_proxy": none_for}
    for host in direct.split():
        assert chosen(given, f"http://{host}/") == "", host
    for host in proxied.split():
        assert chosen(given, f"http://{host}/") == "p", host


# -- what is sent to whom


@on_each_door
def test_a_proxy_is_asked_in_absolute_form_and_told_who_asks_and_nobody_else_is():
    with (
        Hostile([every(answer(b"origin"))]) as origin,
        Hostile([forward]) as proxy,
        session(proxies=f"http://{USER}127.0.0.1:{proxy.port}", auth=("origin", "own")) as one,
    ):
        for _ in range(2):
            response = one.get(f"{origin.url}/a?b#c")
            assert (response.text, response.peer.port) == ("origin", proxy.port)
    for head in proxy.requests:
        assert head.startswith(f"GET {origin.url}/a?b HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\n".encode())
        assert BASIC in head.split(b"\r\n")
    assert b"Authorization: " + Basic("origin", "own").value.encode() in origin.requests[0].split(b"\r\n")
    assert not any(b"proxy-" in head.lower() for head in origin.requests)
    assert (proxy.connections, len(proxy.requests)) == (1, 2)


@on_each_door
def test_through_a_tunnel_the_origin_alone_is_asked(secure):
    with (
        Hostile([tunnel]) as proxy,
        session(proxies={"https": f"http://{USER}127.0.0.1:{proxy.port}"}) as one,
    ):
        for _ in range(2):
            told = one.get(secure / "echo").json()
            assert not any(name.startswith("proxy-") for name in told["headers"])
        assert one.get(secure / "echo").tls is not None
    target = secure.url.removeprefix("https://").encode()
    assert [head.split(b"\r\n") for head in proxy.requests] == [
        [b"CONNECT %s HTTP/1.1" % target, b"Host: %s" % target, BASIC]
    ]


@on_each_door
def test_a_proxy_of_https_is_spoken_to_over_tls(secure, own_tls):
    with Hostile([every(answer(b"page"))], tls=own_tls) as proxy:
        with session(proxies=f"https://{USER}localhost:{proxy.port}") as one:
            assert one.get("http://nowhere.example/x").text == "page"
            assert proxy.requests[0].startswith(b"GET http://nowhere.example/x HTTP/1.1\r\n")
        with session(proxies=f"https://localhost:{proxy.port}", verify=True) as one:
            with pytest.raises(CertificateError) as error:
                one.get("http://nowhere.example/")
            assert error.value.reached == "proxy"
    with Hostile([tunnel], tls=own_tls) as proxy, session(proxies=f"https://localhost:{proxy.port}") as one:
        assert one.get(secure / "bytes/300000").content == bytes(300_000)
        assert one.post(secure / "length", data=bytes(300_000)).text == "300000"
    with Hostile([tunnel], tls=own_tls) as proxy:
        elsewhere = Proxy("https", Proxy.parse(f"localhost:{proxy.port}").address, tls=client_tls())
        with session(proxies=elsewhere, verify=False) as one:
            assert one.get(secure / "echo").status == 200


def test_our_own_certificate_is_for_the_origin_alone(own_tls, tmp_path):
    (tmp_path / "own.pem").write_bytes(issue())
    (tmp_path / "ca.pem").write_bytes(authority().cert_pem.bytes())
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asking.load_cert_chain(tmp_path / "own.pem")
    asking.load_verify_locations(tmp_path / "ca.pem")
    asking.verify_mode = ssl.CERT_OPTIONAL
    shown: list[Any] = []

    def look(peer: Peer) -> None:
        shown.append(peer.sock.getpeercert())
        peer.send(answer(b"page"))

    own = {"verify": str(tmp_path / "ca.pem"), "cert": str(tmp_path / "own.pem")}
    with Hostile([read, look], tls=asking) as peer, session(**own) as one:
        assert one.get(peer.url.replace("127.0.0.1", "localhost")).text == "page"
        trusted = Proxy("https", Proxy.parse(f"localhost:{peer.port}").address, tls=client_tls())
        assert one.get("http://nowhere.example/", proxies=trusted).text == "page"
        with pytest.raises(CertificateError):  # settings with a certificate are not the proxy's
            one.get("http://nowhere.example/", proxies=f"https://localhost:{peer.port}")
    assert [bool(each) for each in shown] == [True, False]


@on_each_door
@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
def test_socks_4_is_told_an_address_and_4a_a_name(scheme, secure):
    asked: list[tuple[bytes, bytes, bytes]] = []
    resolve = {"server.test": ["::1", "127.0.0.1"]}
    with (
        Hostile(socks4a(asked)) as proxy,
        Hostile([every(answer(b"page"))]) as origin,
        session(proxies=f"{scheme}://joe@127.0.0.1:{proxy.port}", resolve=resolve) as one,
    ):
        assert one.get(f"http://server.test:{origin.port}/").text == "page"
        assert origin.requests[0].startswith(b"GET / HTTP/1.1\r\n")
        assert one.get(secure / "echo").json()["method"] == "GET"
        if scheme == "socks4":
            with pytest.raises(ConnectError, match="knows no IPv6"):
                one.get(f"http://[::1]:{origin.port}/")
    name = (b"\x7f\0\0\1", b"joe", b"") if scheme == "socks4" else (b"\0\0\0\1", b"joe", b"server.test")
    assert asked[:2] == [name, (b"\x7f\0\0\1", b"joe", b"")]


# -- real proxies


@on_each_door
def test_squid_forwards_and_tunnels(squid, nginx, secure):
    with session(proxies=f"http://{USER}{squid}") as one:
        for _ in range(3):
            response = one.get(f"{nginx}/page.txt")
            assert (response.content, "squid" in response.headers["via"]) == (PAGE, True)
            assert one.get(secure / "echo").json()["path"] == "/echo"
        assert one.post(secure / "length", data=bytes(300_000)).text == "300000"
        assert one.get(f"{nginx}/large").content == bytes(LARGE)
        assert one.put(f"{nginx}/page.txt", data=b"x" * 100, check=False).status == 405


@on_each_door
def test_tinyproxy_forwards_and_tunnels(tinyproxy, nginx, secure):
    with session(proxies=f"http://{USER}{tinyproxy}") as one:
        for _ in range(2):
            assert one.get(f"{nginx}/page.txt").content == PAGE
            assert one.get(secure / "echo").json()["path"] == "/echo"


@on_each_door
@pytest.mark.parametrize("login", ["", "joe:wrong@"])
def test_a_login_that_a_real_proxy_does_not_accept_is_one_error(login, squid, tinyproxy, nginx, secure):
    says = "it does not accept this login" if login else "it wants a login"
    for place in (squid, tinyproxy):
        # tinyproxy answers 401 to a wrong password, which from afar is an origin's answer.
        urls = [f"{nginx}/page.txt"] if place == squid or not login else []
        with session(proxies=f"http://{login}{place}", check=False) as one:
            for url in (*urls, secure / "echo"):
                with pytest.raises(AuthenticationError, match=f"^the proxy tcp://{place}: {says}$") as error:
                    one.get(url)
                assert error.value.reached == "proxy"
                assert str(error.value.request.url) == url
            assert repr(one).startswith("<Session: 0 ") or "1 at rest" in repr(one)


@on_each_door
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_real_socks_5_proxies_connect(scheme, microsocks, guarded_microsocks, dante, nginx, secure):
    named = nginx.replace("127.0.0.1", "localhost")
    for place in (microsocks, f"{USER}{guarded_microsocks}", dante):
        with session(proxies=f"{scheme}://{place}") as one:
            assert one.get(f"{nginx}/page.txt").content == PAGE
            assert one.get(f"{named}/page.txt").content == PAGE
            assert one.get(secure.url.replace("127.0.0.1", "localhost") + "/echo").status == 200
    for login in ("", "joe:wrong@"):
        with (
            session(proxies=f"{scheme}://{login}{guarded_microsocks}") as one,
            pytest.raises(AuthenticationError, match=f"the proxy tcp://{guarded_microsocks}: .*login"),
        ):
            one.get(nginx)


@on_each_door
def test_dante_connects_by_socks_4(dante, nginx, secure):
    with session(proxies=f"socks4://{dante}") as one:
        assert one.get(f"{nginx}/page.txt").content == PAGE
        assert one.get(secure.url.replace("127.0.0.1", "localhost") + "/echo").status == 200


@on_each_door
def test_names_are_looked_up_here_or_there(microsocks, nginx):
    port = nginx.rpartition(":")[2]
    resolve = {"server.test": ["127.0.0.2", "::1", "127.0.0.1"]}  # nobody listens at the first ones
    with session(proxies=f"socks5://{microsocks}", resolve=resolve) as one:
        assert one.get(f"http://server.test:{port}/page.txt").content == PAGE
        with pytest.raises(ResolveError, match=r"other\.invalid"):
            one.get("http://other.invalid/")
    with (
        session(proxies=f"socks5h://{microsocks}", resolve=resolve) as one,
        pytest.raises(ConnectError, match=rf"the proxy tcp://{microsocks} .*server\.invalid"),
    ):
        one.get(f"http://server.invalid:{port}/page.txt")


@on_each_door
def test_ncat_is_a_proxy_of_https(tmp_path, nginx, secure):
    (tmp_path / "both.pem").write_bytes(issue())
    port = free_port()
    files = ("--ssl-cert", tmp_path / "both.pem", "--ssl-key", tmp_path / "both.pem")
    options = ("--proxy-type", "http", "--proxy-auth", "joe:secret", "--ssl", *files)
    with peers.running(need("ncat"), "-lk", "127.0.0.1", str(port), *options, port=port):
        with session(proxies=f"https://{USER}localhost:{port}") as one:
            assert one.get(secure / "echo").json()["method"] == "GET"
            assert one.get(f"{nginx}/page.txt").content == PAGE
        with (
            session(proxies=f"https://joe:wrong@localhost:{port}") as one,
            pytest.raises(AuthenticationError, match="does not accept this login"),
        ):
            one.get(secure / "echo")


@on_each_door
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
def test_servers_of_ipv6_are_reached(scheme, microsocks):
    with (
        serving(WSGI(app), address="https://[::1]:0", tls=server_tls()) as origin,
        Hostile([tunnel]) as proxy,
    ):
        place = f"127.0.0.1:{proxy.port}" if scheme == "http" else microsocks
        with session(proxies=f"{scheme}://{place}") as one:
            assert one.get(f"{Place(str(origin.addresses[0])) / 'echo'}").json()["path"] == "/echo"
        if scheme == "http":
            assert proxy.requests[0].startswith(b"CONNECT [::1]:%d HTTP/1.1\r\n" % origin.addresses[0].port)


@on_each_door
def test_nobody_asks_for_a_tunnel_by_hand(secure):
    with Hostile([forward]) as proxy, session(proxies=f"127.0.0.1:{proxy.port}") as one:
        one.get(secure / "echo", proxies=False)
        for options in ({}, {"proxies": False}):
            with pytest.raises(LocalProtocolError, match="CONNECT is for proxies="):
                one.request("CONNECT", secure / "echo", **options)
        assert proxy.connections == 0


# -- proxies that answer anything

ESTABLISHED = b"HTTP/1.1 200 OK\r\n"


@on_each_door
@pytest.mark.parametrize(
    ("scheme", "script", "error", "says"),
    [
        ("http", [read, b"garbage\r\n\r\n"], ProtocolError, "the proxy tcp://.*not a status line"),
        ("http", [read, b"SSH-2.0-x\r\n"], ConnectError, "the proxy tcp://"),
        ("http", [read], ConnectError, "asked for 127.0.0.1"),
        ("http", [read, b"HTTP/1.1 200 OK\r\nVia"], ConnectError, "asked for 127.0.0.1"),
        ("http", [read, b"HTTP/1.1 502 Bad\r\n\r\n"], ConnectError, "cannot connect to 127.0.0.1: 502 Bad"),
        ("http", [read, redirect(b"http://127.0.0.1:1/")], ConnectError, "cannot connect.*302"),
        (
            "http",
            [read, b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n"],
            (ConnectError, ProtocolError),
            "the proxy",
        ),
        ("http", [read, flood(b"HTTP/1.1 100 Go\r\n\r\n")], ProtocolError, "100 informational"),
        ("http", [read, ESTABLISHED, flood(b"X: y\r\n")], LimitExceeded, "the proxy"),
        ("http", [read, flood(b"x")], LimitExceeded, "the proxy"),
        ("http", [read, drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, 0.02)], Timeout, "."),
        ("http", [read, hold], Timeout, "."),
        ("http", [hold], Timeout, "."),
        ("http", [read, ESTABLISHED + b"\r\nHTTP/1.1 200 OK\r\n\r\n"], TLSError, "plaintext"),
        ("http", [read, ESTABLISHED + b"Content-Length: 5\r\n\r\nhello"], TLSError, "plaintext"),
        ("http", [read, ESTABLISHED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], TLSError, "plaintext"),
        ("http", [read, ESTABLISHED + b"Content-Length: 5\r\n\r\n", hold], Timeout, "."),
        ("http", [read, ESTABLISHED + b"\r\n"], (TLSError, ConnectionLost), "."),
        ("http", [read, b"HTTP/1.1 407 Who\r\n\r\n"], AuthenticationError, "wants a login"),
        ("socks5h", [b""], ConnectError, "asked for 127.0.0.1"),
        ("socks5h", [b"HTTP/1.1 400 Bad\r\n\r\n"], ProtocolError, "does not speak SOCKS5"),
        ("socks5h", [b"\5\0\5\0\0\1\0\0\0\0\0\0garbage"], TLSError, "plaintext"),
        ("socks5h", [b"\5\0\5\2\0\1\0\0\0\0\0\0"], ConnectError, "rules"),
        ("socks5h", [drip(b"\5\0\5\0\0\3\xff" + b"x" * 250, 0.02)], Timeout, "."),
        ("socks5h", [hold], Timeout, "."),
        ("socks4a", [b"\0\x5b" + bytes(6)], ConnectError, "refused or failed"),
        ("socks4a", [b"\5\0" + bytes(6)], ProtocolError, "does not speak SOCKS4"),
        ("socks4a", [b"\0\x5a\0"], ConnectError, "asked for 127.0.0.1"),
    ],
)
@pytest.mark.usefixtures("secure", "no_leaks")
def test_whatever_a_proxy_answers_is_one_error(
    scheme: str, script: Script, error: Any, says: str, secure: Place
) -> None:
    began = time.monotonic()
    with Hostile(script) as proxy:
        late = 0.15 if error is Timeout else 10
        with session(proxies=f"{scheme}://127.0.0.1:{proxy.port}", timeout=late) as one:
            with pytest.raises(error, match=says) as found:
                one.get(secure / "echo")
            assert isinstance(found.value, PorticoError)
            assert found.value.reached in ("proxy", "tls")
            assert repr(one) == "<Session: 0 connections, 0 at rest>"
    assert time.monotonic() - began < 8


@on_each_door
def test_a_bound_for_connecting_holds_for_the_proxy_too(secure):
    with Hostile([read, hold]) as proxy:
        times = Timeouts(total=None, connect=0.2)
        with session(proxies=f"127.0.0.1:{proxy.port}", timeout=times) as one, pytest.raises(Timeout):
            one.get(secure / "echo")


@on_each_door
def test_a_proxy_that_is_not_there_is_named():
    port = free_port()
    for scheme in ("http", "socks5h"):
        with (
            session(proxies=f"{scheme}://127.0.0.1:{port}") as one,
            pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}"),
        ):
            one.get("http://nowhere.example/")


@on_each_door
@pytest.mark.parametrize(
    "challenge", [b"", b"Proxy-Authenticate: Basic realm=x", b"Proxy-Authenticate: Digest realm=x, nonce=n"]
)
def test_an_endless_407_ends(challenge, secure):
    no = answer(b"who?", *filter(None, [challenge]), status=b"407 Who")
    for url in ("http://nowhere.example/", secure / "echo"):
        with Hostile([every(no)]) as proxy, session(proxies=f"http://{USER}127.0.0.1:{proxy.port}") as one:
            with pytest.raises(AuthenticationError, match="does not accept this login"):
                one.get(url)
            assert len(proxy.requests) == (2 if b"Digest" in challenge else 1)


# -- Digest for a proxy

PROXY_FIELDS = ("proxy-authorization", b"407 Who", b"Proxy-Authenticate")


@on_each_door
@pytest.mark.parametrize("nonces", [1, 1_000_000])
@pytest.mark.parametrize("offer", [b'qop="auth", algorithm=SHA-256', b'qop="auth-int"', b""])
def test_digest_for_a_proxy_is_counted_whoever_sends(offer, nonces):
    checks = DigestServer(offer=offer, nonces=nonces, field=PROXY_FIELDS)
    statuses = []

    def ask() -> None:
        statuses.extend(one.post("http://nowhere.example/a?b", data=b"body").status for _ in range(4))

    with Hostile([checks.step()]) as proxy, session(proxies=f"http://{USER}127.0.0.1:{proxy.port}") as one:
        with TaskGroup() as group:
            for _ in range(8):
                group.start(ask)
        assert statuses == [200] * 32
        if offer:
            assert len(set(checks.seen)) == 32
        refusals = len(checks.refusals)
        assert checks.refusals == ["nothing"] * refusals
        one.get("http://elsewhere.example/", auth=("origin", "own"))  # another origin, the same proxy
        assert len(checks.refusals) == refusals <= 8


@on_each_door
def test_a_proxy_that_wants_counts_in_order_serves_many_at_once():
    checks = DigestServer(field=PROXY_FIELDS, ordered=True)
    statuses = []

    def ask() -> None:
        statuses.extend(one.get("http://nowhere.example/").status for _ in range(8))

    with (
        Hostile([checks.step()]) as proxy,
        session(proxies=f"http://{USER}127.0.0.1:{proxy.port}") as one,
        TaskGroup() as group,
    ):
        for _ in range(16):
            group.start(ask)
    assert statuses == [200] * 128
    assert set(checks.refusals) <= {"nothing", "a stale nonce"}


@on_each_door
def test_a_body_that_can_be_sent_once_needs_a_proxy_that_is_known():
    checks = DigestServer(field=PROXY_FIELDS)
    url, fields = "http://nowhere.example/", {"Content-Length": "4"}
    with Hostile([checks.step()]) as proxy, session(proxies=f"http://{USER}127.0.0.1:{proxy.port}") as one:
        with pytest.raises(AuthenticationError, match="cannot be sent twice"):
            one.post(url, data=iter([b"once"]), headers=fields)
        assert one.get(url).status == 200
        assert one.post(url, data=iter([b"once"]), headers=fields).status == 200
    basic = [BASIC in head for head in proxy.requests]
    assert basic[0]
    assert not any(basic[1:])  # what wants Digest is not shown the password again
    with (
        Hostile([every(answer(b"", status=b"407 Who"))]) as proxy,
        session(proxies=f"http://{USER}127.0.0.1:{proxy.port}") as one,
        pytest.raises(AuthenticationError, match="does not accept this login"),
    ):
        one.post(url, data=iter([b"once"]), headers=fields)


@on_each_door
def test_a_stale_nonce_of_a_proxy_is_renewed():
    checks = DigestServer(field=PROXY_FIELDS, uses=2)
    with Hostile([checks.step()]) as proxy, session(proxies=f"http://{USER}127.0.0.1:{proxy.port}") as one:
        assert [one.get("http://nowhere.example/").status for _ in range(5)] == [200] * 5
    assert checks.refusals == ["nothing", "a stale nonce", "a stale nonce"]


# -- with all the rest


@on_each_door
def test_connections_to_a_proxy_serve_all_origins_and_tunnels_one(secure):
    with (
        Hostile([every(answer(b"page"))]) as proxy,
        Hostile([every(answer(b"other"))]) as other,
        session(proxies=f"127.0.0.1:{proxy.port}") as one,
    ):
        for host in ("a.example", "b.example", "a.example"):
            assert one.get(f"http://{host}/").text == "page"
        assert [head.split(b"\r\n")[1] for head in proxy.requests] == [
            b"Host: a.example",
            b"Host: b.example",
            b"Host: a.example",
        ]
        assert one.get("http://a.example/", proxies=f"127.0.0.1:{other.port}").text == "other"
        assert (proxy.connections, other.connections) == (1, 1)
    with Hostile([tunnel]) as proxy, session(proxies=f"127.0.0.1:{proxy.port}") as one:
        for _ in range(2):
            one.get(secure / "echo")
            one.get(secure / "echo", proxies=False)
        assert one.get(secure.url.replace("127.0.0.1", "localhost") + "/echo").status == 200
        assert proxy.connections == 2


@on_each_door
def test_a_redirect_is_followed_by_the_way_that_leads_there(nginx):
    with Hostile([every(redirect(f"{nginx}/page.txt".encode()))]) as proxy:
        proxies = {"http": f"{USER}127.0.0.1:{proxy.port}", "no_proxy": "127.0.0.1"}
        with session(proxies=proxies) as one:
            response = one.get("http://nowhere.example/")
            assert (response.content, len(response.history)) == (PAGE, 1)
            assert "proxy-authorization" not in response.request.headers
        assert len(proxy.requests) == 1


@on_each_door
def test_what_the_session_itself_is_told_for_the_proxy_stays_as_it_is():
    with Hostile([every(answer(b"page"))]) as proxy, session(proxies=f"{USER}127.0.0.1:{proxy.port}") as one:
        one.get("http://nowhere.example/", headers={"Proxy-Authorization": "Own"})
    lines = [line for line in proxy.requests[0].split(b"\r\n") if line.lower().startswith(b"proxy-")]
    assert lines == [b"Proxy-Authorization: Own"]


def test_a_trace_tells_of_the_proxy_and_no_secret():
    heard: list[tuple[str, Any]] = []
    with (
        Hostile([every(answer(b"page"))]) as proxy,
        session(proxies=f"{USER}127.0.0.1:{proxy.port}", trace=lambda *what: heard.append(what)) as one,
    ):
        one.get("http://nowhere.example/")
    assert [name for name, _ in heard] == ["resolve", "connect", "proxy", "request", "response", "close"]
    assert ("Proxy-Authorization", "Basic …") in heard[3][1]["headers"]
    assert heard[3][1]["target"] == "http://nowhere.example/"
    assert Basic(*LOGIN).value not in str(heard)


@on_each_door
def test_a_download_goes_through_a_proxy(squid, nginx, tmp_path):
    with session(proxies=f"http://{USER}{squid}") as one, Downloader(one, segments=2) as downloader:
        done = downloader.fetch(f"{nginx}/large", tmp_path / "large")
    assert done.path.read_bytes() == bytes(LARGE)


def test_an_awaited_session_goes_through_a_proxy(squid, guarded_microsocks, nginx, secure):
    async def use(proxies: str) -> None:
        async with aio.Session(proxies=proxies, env=False, timeout=20, verify=client_tls()) as one:
            answers = await asyncio.gather(*(one.get(f"{nginx}/page.txt") for _ in range(8)))
            assert [each.status for each in answers] == [200] * 8
            assert (await one.get(secure / "echo")).status == 200

    asyncio.run(use(f"http://{USER}{squid}"))
    asyncio.run(use(f"socks5h://{USER}{guarded_microsocks}"))


def test_many_at_once_go_through_a_proxy_by_digest(nginx):
    with (
        peers.squid("digest") as place,
        session(proxies=f"http://{USER}{place}") as one,
        TaskGroup() as group,
    ):
        for _ in range(32):
            group.start(lambda: [one.get(f"{nginx}/page.txt").raise_for_status() for _ in range(4)])
