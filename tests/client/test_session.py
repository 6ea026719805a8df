"""Sessions: what is sent, what comes back, what is kept, on every engine."""

from __future__ import annotations

import io
import pickle
import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest

import portico
import portico.client.session as session_module
from portico.address import Address
from portico.client.documents import json_of
from portico.client.options import client_tls
from portico.client.pool import PoolSize
from portico.client.request import Request
from portico.client.response import Response
from portico.client.retries import Retry
from portico.client.session import Session
from portico.client.timeouts import Timeouts
from portico.client.url import URL
from portico.errors import (
    AddressError,
    CertificateError,
    ConfigError,
    ConnectError,
    HTTPError,
    LimitExceeded,
    LocalProtocolError,
    PorticoError,
    ProtocolError,
    RedirectError,
    ResolveError,
    Timeout,
    TLSError,
)
from portico.limits import Limits
from portico.sockets.tls import ClientTLS, ServerTLS
from portico.sockets.tls_transport import TLSInfo
from portico.sync import TaskGroup
from portico.web.wsgi import WSGI
from tests.client.hostile import Hostile, Peer, answer, read
from tests.client.places import TEXT, Place, app
from tests.client.proxying import tunnel
from tests.http.served import serving

pytestmark = [pytest.mark.usefixtures("door"), pytest.mark.timeout(30)]


@pytest.fixture(scope="module", params=["threads", "events"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with serving(WSGI(app), engine=request.param) as server:
        yield Place(str(server.addresses[0]))


@pytest.fixture(scope="module")
def other() -> Iterator[Place]:
    """Another origin: the same host, another port."""
    with serving(WSGI(app)) as server:
        yield Place(str(server.addresses[0]))


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(timeout=20, env=False) as made:
        yield made


# -- what is sent


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_each_method_is_sent(place, session, method):
    answer = getattr(session, method)(place / "echo/x?q=1")
    told = answer.json()
    assert (answer.status, told["method"], told["path"], told["query"]) == (
        200,
        method.upper(),
        "/echo/x",
        "q=1",
    )


def test_head_has_headers_and_no_body(place, session):
    answer = session.head(place / "bytes/1000")
    assert (answer.headers["content-length"], answer.content) == ("1000", b"")
    assert session.get(place / "echo").status == 200  # on the same connection


def test_methods_of_others_are_sent_as_they_are(place, session):
    assert session.request("PROPFIND", place / "echo").json()["method"] == "PROPFIND"
    assert session.request("get", place / "echo").json()["method"] == "GET"


def test_headers_of_session_and_call_are_merged(place):
    with Session(headers={"X-One": "1", "X-Two": "2"}, env=False) as session:
        told = session.get(place / "echo", headers={"x-two": "zwei", "X-Three": "3", "Accept": None}).json()[
            "headers"
        ]
        assert {name: told.get(name) for name in ("x-one", "x-two", "x-three", "accept")} == {
            "x-one": "1",
            "x-two": "zwei",
            "x-three": "3",
            "accept": None,
        }
        assert told["user-agent"].startswith("portico/")
        assert session.get(place / "echo").json()["headers"]["x-two"] == "2"


def test_names_and_values_of_headers_may_be_bytes(place, session):
    told = session.get(place / "echo", headers={b"X-One": b"1", b"Accept": None}).json()["headers"]
    assert (told.get("x-one"), told.get("accept")) == ("1", None)


def test_headers_of_a_session_are_a_mapping(place):
    with Session(headers={"Accept": None, "X-Many": ["1", "2"]}, env=False) as session:
        session.headers.update({"X-Number": 3, b"X-Bytes": b"4"}, Accept=None)
        assert (session.headers.pop("x-bytes"), session.headers.pop("None", "-")) == ("4", "-")
        told = session.get(place / "echo", headers={"X-Number": None}).json()["headers"]
        assert (told["x-many"], told.get("accept"), told.get("x-number")) == ("1,2", None, None)
        for given in ("X: 1", ["X: 1"], 3, {None: "1"}):
            with pytest.raises(LocalProtocolError):
                session.get(place / "echo", headers=given)
        for wrong in ("a\nb", ["c", "\0"], [None]):
            with pytest.raises(LocalProtocolError):
                session.headers["X-Number"] = wrong
        assert session.headers.all("X-Number") == ["3"]
        session.headers.clear()
        assert len(session.headers) == 0
        session.headers = {"User-Agent": "me"}
        told = session.get(place / "echo", headers={"user-agent": None, "X": "1"}).json()["headers"]
        assert ("user-agent" in told, told["x"]) == (False, "1")


def test_another_jar_may_take_the_place_of_a_session_s(place):
    with Session(env=False) as session, Session(env=False) as other:
        session.get(place / "redirect/302?to=/echo", redirects=0)
        session.cookies = {"b": "2"}
        other.cookies = session.cookies
        assert session.get(place / "echo").json()["headers"]["cookie"] == "b=2"
        assert other.get(place / "echo").json()["headers"]["cookie"] == "b=2"


def test_options_of_a_session_may_be_set_later(place):
    with Session(env=False) as session:
        session.auth, session.timeout, session.proxies = ("me", "pw"), 20, "http://127.0.0.1:1"
        assert session.timeout == Timeouts(total=20)
        assert session.proxies is not None
        with pytest.raises(ConnectError, match=r"127\.0\.0\.1:1"):
            session.get(place / "echo")
        session.proxies, session.verify = {}, False
        assert session.verify is False
        assert not session.defaults.tls.verify
        assert session.get(place / "echo").json()["headers"]["authorization"] == "Basic bWU6cHc="
        session.auth = session.timeout = None
        assert "authorization" not in session.get(place / "echo").json()["headers"]
        with pytest.raises(ConfigError):
            session.cert = "none.pem"
        assert session.cert is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nY: b"),
        ("X", "a\nb"),
        ("X", "a\0"),
        ("X\r\nY", "1"),
        ("X Y", "1"),
        ("", "1"),
        ("X:", "1"),
        ("X", "\u20ac"),
    ],
)
def test_no_header_can_be_read_as_two(place, session, name, value):
    with pytest.raises(LocalProtocolError):
        session.get(place / "echo", headers={name: value})


@pytest.mark.parametrize("method", ["GET /\r\nX: y", "G T", "", "GET\0"])
def test_no_method_can_be_read_as_more(place, session, method):
    with pytest.raises(LocalProtocolError):
        session.request(method, place / "echo")


def test_bodies_of_all_kinds_arrive(place, session):
    form = session.post(place / "echo", {"a": "1", "b": ["x", "y"]}).json()
    assert (form["body"], form["type"]) == ("a=1&b=x&b=y", "application/x-www-form-urlencoded")
    document = session.post(place / "echo", json={"ü": [1]}).json()
    assert (document["body"], document["type"]) == ('{"ü":[1]}', "application/json")
    pieces = session.put(place / "echo", data=(piece for piece in (b"one ", b"two"))).json()
    assert pieces["body"] == "one two"
    file = session.put(place / "echo", data=io.BytesIO(b"from a file")).json()
    assert (file["body"], file["length"]) == ("from a file", "11")
    parts = session.post(place / "echo", {"field": "1"}, files={"f": ("name.txt", b"content")}).json()
    assert parts["type"].startswith("multipart/form-data; boundary=")
    assert 'filename="name.txt"' in parts["body"]


def test_a_large_upload_arrives_whole(place, session):
    size = 20 << 20
    piece = bytes(1 << 18)
    assert session.post(place / "length", iter([piece] * (size >> 18))).text == str(size)
    assert session.post(place / "length", bytes(size)).text == str(size)


def test_params_are_added(place):
    with Session(params={"key": "k"}, env=False) as session:
        assert (
            session.get(place / "echo?a=1", {"b": ["2", "3"], "c": "ö"}).json()["query"]
            == "a=1&key=k&b=2&b=3&c=%C3%B6"
        )


def test_relative_urls_are_relative_to_the_base(place):
    with Session(base_url=place / "echo/v1/", env=False) as session:
        assert session.get("users").json()["path"] == "/echo/v1/users"
        assert session.get("/echo/top").json()["path"] == "/echo/top"
        assert session.get(place / "echo/other").json()["path"] == "/echo/other"


def test_what_is_for_the_base_stays_there(place, other):
    options = {"headers": {"X-Key": "secret"}, "auth": ("me", "pw"), "params": {"key": "secret"}}
    with Session(base_url=place.url, env=False, **options) as session:
        told = session.get("echo").json()
        assert (told["headers"]["x-key"], told["query"], "authorization" in told["headers"]) == (
            "secret",
            "key=secret",
            True,
        )
        told = session.get(other / "echo").json()
        assert not {"x-key", "authorization"} & set(told["headers"])
        assert told["query"] == ""
        assert session.send(session.prepare("GET", other / "echo")).json() == told
        assert "authorization" in session.send(session.prepare("GET", "echo")).json()["headers"]


def test_cookies_of_a_session_with_a_base_belong_to_its_host():
    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ.get("HTTP_COOKIE", "-").encode()]

    with Session(app=app, base_url="http://api.test/v1/", env=False, cookies={"secret": "1"}) as session:
        assert session.get("http://other.test/").text == "-"
        assert session.get("users").text == "secret=1"
    with Session(app=app, env=False, cookies={"secret": "1"}) as session:
        assert session.get("http://other.test/").text == "secret=1"


# -- what comes back


def test_an_answer_has_a_head(place, session):
    answer = session.get(place / "echo")
    assert (answer.status, answer.reason, answer.version, answer.ok) == (200, "OK", "HTTP/1.1", True)
    assert answer.headers.all("x-twice") == ["1", "2"]
    assert answer.headers["X-TWICE"] == "1, 2"
    assert str(answer.url) == place / "echo"
    assert str(answer.peer).startswith("tcp://127.0.0.1:")
    assert answer.tls is None
    assert answer.history == ()
    assert 0 < answer.elapsed.first_byte <= answer.elapsed.total
    assert session.get(place / "echo").elapsed.connect == 0.0


class Told(msgspec.Struct):
    method: str
    path: str


def test_json_can_be_checked(place, session):
    answer = session.get(place / "echo")
    assert answer.json(Told) == Told("GET", "/echo")
    with pytest.raises(ProtocolError, match=r"not what was expected: Expected `array`"):
        answer.json(list[int])
    with pytest.raises(ProtocolError, match="no JSON"):
        session.get(place / "status/200").json()


@pytest.mark.parametrize("body", [b'"\xff"', b"\xff\xfe1", b"1\x00\x00", b"", b"<html>"])
def test_bytes_that_are_no_text_are_no_json_of_any_type(body):
    for kind in (None, str, list[str]):
        with pytest.raises(ProtocolError, match=r"no JSON|not what was expected"):
            json_of(body, kind, "test")


def test_an_answer_that_says_no_raises_unless_told_otherwise(place, session):
    with pytest.raises(HTTPError, match=r"GET http://.*/status/404: 404 As asked") as caught:
        session.get(place / "status/404")
    assert caught.value.response.text == "status 404"
    assert session.get(place / "status/503", check=False).status == 503
    with pytest.raises(HTTPError):
        session.get(place / "status/500", check=False).raise_for_status()
    with Session(check=False, env=False) as other:
        assert other.get(place / "status/500").status == 500


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip,br", "zstd,gzip,deflate"])
def test_codings_are_undone(place, session, coding):
    assert session.get(place / f"packed/{coding}").text == TEXT
    with session.get(place / f"packed/{coding}", stream=True) as answer:
        assert "".join(f"{line}\n" for line in answer.iter_lines()) == TEXT


def test_a_body_is_a_stream(place, session):
    with session.get(place / "stream/1000", stream=True) as answer:
        assert answer.readline() == b"line 0\n"
        assert answer.read(7) == b"line 1\n"
        assert answer.read1(100)[:5] == b"line "
        rest = answer.read()
        assert rest.endswith(b"line 999\n")
        assert answer.read() == answer.read(5) == answer.readline() == b""
    with session.get(place / "stream/1000", stream=True) as answer:
        assert [len(piece) for piece in answer.iter_bytes(100)][:2] == [100, 100]
    with session.get(place / "stream/3", stream=True) as answer:
        assert answer.text == "line 0\nline 1\nline 2\n"
        assert answer.read() == b"line 0\nline 1\nline 2\n"
    assert session.get(place / "stream/3").read(3) == b"lin"


def test_what_a_stream_cannot_is_told_as_files_tell_it(place, session):
    answer = session.get(place / "stream/3")
    for name, given in (("seek", (0,)), ("tell", ()), ("fileno", ())):
        with pytest.raises(io.UnsupportedOperation):
            getattr(answer, name)(*given)
    assert (answer.readable(), answer.seekable(), answer.writable(), answer.isatty()) == (True,) + (
        False,
    ) * 3
    assert answer.readlines(8) == [b"line 0\n", b"line 1\n"]
    assert list(io.TextIOWrapper(answer, encoding="ascii")) == ["line 2\n"]


@pytest.mark.parametrize("path", ["echo", "stream/3000", "packed/gzip", "redirect/302?to=/echo"])
def test_what_was_read_may_be_pickled(place, session, path):
    answer = session.post(place / path, data=iter([b"once"]), check=False, redirects=0)
    again = pickle.loads(pickle.dumps(answer))
    assert (again.status, again.content, again.text) == (answer.status, answer.content, answer.text)
    assert (again.headers.pairs, again.url, again.peer) == (answer.headers.pairs, answer.url, answer.peer)
    assert again.elapsed == answer.elapsed
    assert (again.request.method, again.request.body) == ("POST", None)


def test_what_was_not_read_is_not_pickled_and_says_so(place, session):
    with session.get(place / "slow/20", stream=True) as answer:
        assert answer.read(1) == b"x"
        again = pickle.loads(pickle.dumps(answer))
        with pytest.raises(LocalProtocolError):
            again.read()
    with pytest.raises(HTTPError) as caught:
        session.get(place / "none")
    assert pickle.loads(pickle.dumps(caught.value)).response.content == caught.value.response.content


def test_a_body_that_is_given_up_is_not_taken_for_complete(place, session):
    answer = session.get(place / "slow/20", stream=True)
    assert answer.read(1) == b"x"
    answer.close()
    assert answer.closed
    with pytest.raises(LocalProtocolError, match="given up"):
        answer.read()
    assert session.get(place / "echo").status == 200


def test_a_body_that_is_too_large_is_to_be_streamed(place):
    with Session(limits=Limits().but(answer=1000), env=False) as session:
        with pytest.raises(LimitExceeded, match="read it in pieces"):
            session.get(place / "bytes/1001")
        assert len(session.get(place / "bytes/1000").content) == 1000
        with session.get(place / "bytes/5000", stream=True) as answer:
            assert sum(map(len, answer.iter_bytes())) == 5000


# -- connections


def test_connections_are_kept_and_shared(place):
    with Session(env=False) as session:
        for _ in range(5):
            session.get(place / "echo")
            session.post(place / "echo", b"x" * 100_000)
            session.get(place / "stream/10")
        assert session._carrier._caller._pool.open == 1


def test_many_at_once_share_a_bounded_pool(place):
    with Session(pool=PoolSize(per_host=4), env=False, timeout=20) as session:
        with TaskGroup() as group:
            tasks = [group.start(session.get, place / f"echo/{number}") for number in range(40)]
        assert [task.join().json()["path"] for task in tasks] == [f"/echo/{number}" for number in range(40)]
        assert session._carrier._caller._pool.open <= 4


def test_waiting_for_a_connection_has_a_bound(place):
    times = Timeouts(pool=0.2)
    with (
        Session(pool=PoolSize(per_host=1), env=False, timeout=times) as session,
        session.get(place / "slow/5", stream=True),
    ):
        with pytest.raises(Timeout, match="waiting for one of the 1 connections") as caught:
            session.get(place / "echo")
        assert caught.value.reached == "pool"


def test_a_closed_session_sends_nothing(place):
    session = Session(env=False)
    session.close()
    with pytest.raises(PorticoError, match="closed"):
        session.get(place / "echo")


# -- time


def test_one_deadline_covers_everything(place, session):
    with pytest.raises(Timeout) as caught:
        session.get(place / "slow/10", timeout=0.5)
    assert (caught.value.reached, caught.value.partial[:1]) == ("body", b"x")
    with pytest.raises(Timeout), portico.timeout(0.5):
        session.get(place / "slow/10")
    with (
        session.get(place / "slow/10", timeout=0.5, stream=True) as answer,
        pytest.raises(Timeout, match=r"after 0\.5 s"),
    ):
        list(answer.iter_bytes())


def test_a_deadline_covers_a_body_that_is_taken_as_fast_as_it_comes_though_the_answer_has_come():
    answered = threading.Event()
    script = [read, answer(b""), lambda peer: answered.set()]
    with Hostile(script) as server, Session(env=False) as session, portico.timeout(20) as deadline:

        def pieces() -> Iterator[bytes]:
            assert answered.wait(10)
            yield b"x"  # the answer is heard behind this one
            deadline.reschedule(0)
            yield from [b"x"] * 10

        with pytest.raises(Timeout):
            session.post(server.url, data=pieces())
        assert session._carrier._caller._pool.open == 0


def test_silence_is_bounded():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with Session(env=False, timeout=Timeouts(read=0.2)) as session, pytest.raises(Timeout) as caught:
            session.get(url)
        assert caught.value.reached == "wait"
        assert "GET" in repr(caught.value.request)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timout", "did you mean timeout="),
        ("header", "did you mean headers="),
        ("nonsense", "there are: "),
    ],
)
def test_an_option_with_a_slip_is_told_the_near_one(name, said):
    with Session(env=False) as session, pytest.raises(TypeError, match=f"no option {name}=; {said}"):
        session.get("http://127.0.0.1:1/", **{name: 1})


@pytest.mark.parametrize("value", [0, -1, True, "5", (1, 2, 3), Timeouts])
def test_a_timeout_that_cannot_be_is_an_error(value):
    with pytest.raises((ConfigError, TypeError)):
        Session(timeout=value)


# -- redirects


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "POST", "GET"),
        (302, "HEAD", "HEAD"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (308, "DELETE", "DELETE"),
    ],
)
def test_redirects_change_the_method_as_the_rules_say(place, session, status, method, then):
    body = b"body" if method in ("POST", "PUT") else None
    answer = session.request(
        method, place / f"redirect/{status}?to=/echo", data=body, headers={"Content-Type": "x/y"}
    )
    assert [each.status for each in answer.history] == [status]
    assert answer.request.method == then
    if then != "HEAD":
        told = answer.json()
        kept = then == method and body is not None
        assert (told["method"], told["body"], told["type"]) == (
            then,
            "body" if kept else "",
            "x/y" if then == method else None,
        )


def test_a_body_that_is_gone_is_not_sent_again(place, session):
    with pytest.raises(RedirectError, match="cannot be sent twice"):
        session.post(place / "redirect/307?to=/echo", iter([b"once"]))
    assert session.post(place / "redirect/303?to=/echo", iter([b"once"])).json()["method"] == "GET"


def test_redirects_are_counted(place, session):
    assert len(session.get(place / "hops/20").history) == 20
    with pytest.raises(RedirectError, match="21 redirects"):
        session.get(place / "hops/21")
    with pytest.raises(RedirectError, match="3 redirects"):
        session.get(place / "hops/5", redirects=2)
    assert session.get(place / "hops/5", redirects=0).status == 302
    assert session.get(place / "hops/5", allow_redirects=False).status == 302
    with pytest.raises(RedirectError, match="21 redirects"):
        session.get(place / "loop")


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "data:text/plain,x",
        "ftp://h/",
        "javascript:alert(1)",
        "http://",
        "http://a b/",
        "http://h:99999/",
    ],
)
def test_redirects_lead_to_the_web_alone(place, session, target):
    with pytest.raises(RedirectError):
        session.get(place / "redirect/302", params={"to": target})


def test_nothing_of_a_caller_s_goes_along_to_another_origin(place, other):
    secrets = {"Authorization": "x", "X-Api-Key": "x", "Cookie": "a=1", "Proxy-Authorization": "x"}
    url = place / f"redirect/302?to={other / 'echo'}"
    with Session(env=False, headers=secrets) as session:
        told = session.get(url, headers={"Accept-Language": "de", "X-Own": "1"}).json()["headers"]
        # Cookies know no ports; that one was set on the way.
        assert not {"authorization", "x-api-key", "proxy-authorization", "x-own"} & set(told)
        assert told["cookie"] == "way=seen"
        assert told["accept-language"] == "de"
    with Session(env=False, auth=("me", "pw")) as session:
        assert "authorization" not in session.get(url).json()["headers"]
        back = other / f"redirect/302?to={place / 'echo'}"
        there = place / f"redirect/302?to={back}"
        assert "authorization" not in session.get(there).json()["headers"]
        assert "authorization" in session.get(place / "redirect/302?to=/echo").json()["headers"]


def test_a_fragment_is_kept(place, session):
    assert session.get(place / "redirect/302?to=/echo#top").url.fragment == "top"
    assert session.get(place / "redirect/302?to=/echo%23own#top").url.fragment == "own"


# -- cookies


def test_cookies_are_kept_and_sent(place):
    with Session(env=False, cookies={"mine": "0"}) as session:
        session.get(place / "cookies/a=1; Path=/")
        assert session.get(place / "cookies").text == "mine=0; a=1"
        assert session.get(place / "cookies", cookies={"once": "2"}).text == "once=2; mine=0; a=1"
        assert session.get(place / "cookies").text == "mine=0; a=1"
        assert session.cookies["a"] == "1"
        assert "way" not in session.cookies
        session.get(place / "redirect/302?to=/cookies")
        assert session.cookies["way"] == "seen"


def test_cookies_of_one_request_do_not_follow_to_another_origin(place, other):
    with Session(env=False) as session:
        answer = session.get(place / f"redirect/302?to={other / 'cookies'}", cookies={"once": "2"})
        assert answer.text == "way=seen"


# -- hooks, traces, names


def test_hooks_see_and_change_what_passes(place):
    seen: list[object] = []

    def sign(request: Request) -> None:
        request.headers["X-Signed"] = "yes"

    with Session(env=False, hooks={"request": sign, "response": [seen.append]}) as session:
        assert session.get(place / "echo").json()["headers"]["x-signed"] == "yes"
        assert "x-signed" not in session.headers
        assert [answer.status for answer in seen] == [200]
    with pytest.raises(ConfigError, match="hooks"):
        Session(hooks={"before": sign})


def test_what_happens_is_told(place):
    told: list[str] = []
    with Session(env=False, trace=lambda name, facts: told.append(name)) as session:
        session.get(place / "redirect/302?to=/echo")
    assert told == ["resolve", "connect", "request", "response", "redirect", "request", "response", "close"]


@pytest.mark.parametrize("value", ["Bearer s3cret", "s3cret", 'Digest username="me", nonce="s3cret"'])
def test_a_trace_hears_of_no_credentials(place, value):
    told: list[object] = []
    with Session(env=False, trace=lambda name, facts: told.append(facts)) as session:
        session.get(place / "echo", headers={"Authorization": value})
    assert "…" in str(told)
    assert "s3cret" not in str(told)


@pytest.mark.parametrize("where", ["request", "response"])
@pytest.mark.parametrize("path", ["echo", "stream/100000"])
def test_a_trace_that_raises_takes_no_connection_away(place, where, path):
    def trace(name: str, facts: object) -> None:
        if name == where:
            raise RuntimeError("heard enough")

    with Session(env=False, trace=trace) as session:
        with pytest.raises(RuntimeError, match="heard enough") as caught:
            session.get(place / path, stream=True)
        pool = session._carrier._caller._pool
        assert pool.open == pool.resting
        del caught  # only now: nobody waits for the response to be freed


FACTS = {
    "resolve": {"host": str, "addresses": list, "seconds": float},
    "connect": {"peer": Address, "local": Address, "seconds": float},
    "proxy": {"peer": Address, "seconds": float},
    "tls": {"tls": TLSInfo, "seconds": float},
    "request": {"method": str, "url": URL, "target": str, "headers": list, "reused": bool},
    "response": {"status": int, "reason": str, "version": str, "headers": list, "seconds": float},
    "redirect": {"url": URL, "status": int},
    "retry": {"seconds": float, "error": (Exception, type(None)), "response": (Response, type(None))},
    "close": {"peer": Address, "aborted": bool},
}


def test_a_trace_is_told_the_facts_that_are_written_down(place, secure):
    heard: dict[str, set[str]] = {}

    def hear(name: str, facts: dict[str, object]) -> None:
        heard.setdefault(name, set()).update(facts)
        assert set(facts) == set(FACTS[name]), (name, facts)
        for fact, value in facts.items():
            assert isinstance(value, FACTS[name][fact]), (name, fact, value)
            assert session_module.__doc__ is None or fact in session_module.__doc__  # compiled, there is none

    tls, certificate = secure
    once = Retry(attempts=2, base=0.0)
    with Session(env=False, trace=hear, verify=ClientTLS(certificate)) as session:
        session.get(tls / "redirect/302?to=/echo")
        session.get(place / "status/503", retry=once, check=False)
        with Hostile([tunnel]) as proxy:
            session.get(tls / "echo", proxies=proxy.url)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    leaves = [Peer.read_head, answer, Peer.read_head]  # with the second request in its hand
    with Hostile(leaves, [Peer.read_head, answer]) as server, Session(env=False, trace=hear) as session:
        for _ in range(2):
            session.get(server.url)
    assert set(heard) == set(FACTS)


def test_hosts_can_be_mapped(place):
    port = place.url.rpartition(":")[2]
    with Session(env=False, resolve={"service.test": "127.0.0.1"}) as session:
        answer = session.get(f"http://service.test:{port}/echo")
        assert answer.json()["headers"]["host"] == f"service.test:{port}"


@pytest.mark.parametrize(
    ("host", "key", "sent"),
    [
        ("service.test", ("service.test", None), "service.test"),
        ("SERVICE.Test", "service.test", "service.test"),
        ("service.test", "Service.TEST", "service.test"),
        ("bücher.test", "bücher.test", "xn--bcher-kva.test"),
        ("xn--bcher-kva.test", "Bücher.test", "xn--bcher-kva.test"),
        ("[2001:db8::7]", "2001:db8::7", "[2001:db8::7]"),
        ("[2001:DB8:0::7]", ("[2001:db8::7]", None), "[2001:db8::7]"),
    ],
)
def test_a_map_of_hosts_takes_them_as_they_are_written(place, host, key, sent):
    port = int(place.url.rpartition(":")[2])
    known = (key[0], port) if isinstance(key, tuple) else key
    with Session(env=False, resolve={known: ["127.0.0.1"], ("service.test", 1): "192.0.2.1"}) as session:
        answer = session.get(f"http://{host}:{port}/echo")
        assert answer.json()["headers"]["host"] == f"{sent}:{port}"


def test_the_zone_of_an_address_is_not_told_to_its_server():
    url = URL.parse("http://[fe80::1%25eth0]:8080/x")
    assert (url.host, url.authority) == ("fe80::1%eth0", "[fe80::1]:8080")
    assert URL.parse(str(url)) == url


def test_a_host_is_mapped_to_an_address_of_version_6():
    with serving(WSGI(app), address="http://[::1]:0") as server, Session(env=False) as session:
        port = server.addresses[0].port
        answer = session.get(f"http://service.test:{port}/echo", resolve={"service.test": "::1"})
        assert str(answer.peer) == f"tcp://[::1]:{port}"
        with pytest.raises(PorticoError, match="'other', from resolver, is no IP address"):
            session.get(f"http://elsewhere.test:{port}/", resolve={"elsewhere.test": "other"})


# -- what fails


def test_each_failure_has_its_class_and_says_how_far_it_got(session):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        with pytest.raises(ConnectError) as caught:
            session.get(url)
    assert (caught.value.reached, str(caught.value.request.url)) == ("connect", url)
    with pytest.raises(ResolveError) as unresolved:
        session.get("http://none.invalid/")
    assert unresolved.value.reached == "resolve"
    for url in ("gopher://h/", "file:///etc/passwd", "nonsense", "http://"):
        with pytest.raises(AddressError):
            session.get(url)
    with pytest.raises(AddressError) as misread:
        session.get("me:s3cret@example.org/")
    assert "s3cret" not in str(misread.value)
    with pytest.raises(LocalProtocolError, match="CONNECT"):
        session.request("CONNECT", "http://h/")


# -- TLS


@pytest.fixture(scope="module")
def secure() -> Iterator[tuple[Place, str]]:
    tls = ServerTLS.self_signed()
    with serving(WSGI(app), address="https://localhost:0", tls=tls) as server:
        yield Place(f"https://localhost:{server.addresses[0].port}"), tls.certificate_pem


def test_certificates_are_verified(secure):
    place, _ = secure
    with Session(env=False) as session, pytest.raises(CertificateError) as caught:
        session.get(place / "echo")
    assert caught.value.reached == "tls"
    with Session(env=False) as session:
        answer = session.get(place / "echo", verify=False)
        assert answer.tls.version.startswith("TLS")
        with pytest.raises(CertificateError):  # the connection without verification is not used for others
            session.get(place / "echo")


def test_a_plain_server_is_no_secure_one(place):
    with Session(env=False) as session, pytest.raises(TLSError):
        session.get(place.url.replace("http://", "https://"))


def test_settings_are_shared_so_that_connections_are():
    assert client_tls(True, None) is client_tls(True, None)
    assert client_tls(False, None) is not client_tls(True, None)
    with pytest.raises(ConfigError):
        client_tls("/none/such.pem", None)
    with pytest.raises(ConfigError, match="verify=0: expected"):
        client_tls(0, None)
    for wrong in (3, ("a",), ("a", "b", "c")):
        with pytest.raises(ConfigError, match="cert="):
            client_tls(True, wrong)


# -- without a socket


def test_an_application_answers_in_memory():
    with Session(app=app, base_url="http://testserver/", env=False) as session:
        assert session.get("echo").json()["headers"]["host"] == "testserver"
        assert session.post("length", iter([bytes(1 << 16)] * 100)).text == str(100 << 16)
        with session.get("stream/100000", stream=True) as answer:
            assert answer.readline() == b"line 0\n"
        with pytest.raises(HTTPError):
            session.get("none")


def test_a_request_handler_answers_in_memory():
    def hello(request: portico.Request) -> str:
        return f"Hello {request.query.get('name')}"

    with Session(app=hello, env=False) as session:
        assert session.get("https://anywhere/?name=Ada").text == "Hello Ada"


# -- a session is anybody's


def test_threads_share_a_session(place):
    failed: list[BaseException] = []
    with Session(env=False, timeout=20) as session:

        def work() -> None:
            try:
                for number in range(30):
                    assert session.get(place / f"echo/{number}").json()["path"] == f"/echo/{number}"
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert failed == []
