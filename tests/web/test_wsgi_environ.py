"""The environment of a WSGI application: complete, correct, and of this request only."""

from __future__ import annotations

import json
import re
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.engines.contract import RUN, WAIT_READ
from portico.http.redispatch import redispatch
from portico.http.server import HTTPConnection, Service
from portico.limits import Limits
from portico.server import Server
from portico.sockets.dial import connect
from portico.sockets.memory import pair
from portico.web.mounts import Mounts
from portico.web.wsgi import WSGI
from tests.http.served import Client, Gate, chunked, echo, get, post, serving

PLAIN = (str, int, float, bool, type(None), tuple, list)


def report(environ, start_response):
    """The environment as JSON."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, PLAIN)}).encode()]


def environ_of(raw, mount="", **options):
    gateway = WSGI(report, **options)
    with serving(Mounts([(mount or "/", gateway)]), plain=True) as server, Client(server) as client:
        return json.loads(client.ask(raw).body)


def test_everything_that_pep_3333_asks_for_is_there():
    with serving(WSGI(report)) as server, Client(server) as client:
        answer = client.ask(post(b"body", "/a?b=c", "Content-Type: text/x"))
        environ = json.loads(answer.body)
        here, there = client.sock.getpeername(), client.sock.getsockname()
    assert environ["REQUEST_METHOD"] == "POST"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("", "/a", "b=c")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x", "4")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (here[0], str(here[1]))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (there[0], str(there[1]))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["REQUEST_URI"] == "/a?b=c"
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"], environ["wsgi.run_once"]) == (
        True,
        False,
        False,
    )
    assert environ["HTTP_HOST"] == "test"
    assert "HTTPS" not in environ
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_a_request_without_a_body_has_no_length():
    environ = environ_of(get())
    assert "CONTENT_LENGTH" not in environ
    assert "CONTENT_TYPE" not in environ
    assert environ_of(get(version="1.0"))["SERVER_PROTOCOL"] == "HTTP/1.0"


@pytest.mark.parametrize(
    ("mount", "target", "script", "path", "query"),
    [
        ("/", "/", "", "/", ""),
        ("/", "/a/b?x=%20&y", "", "/a/b", "x=%20&y"),
        ("/app", "/app", "/app", "", ""),
        ("/app", "/app/", "/app", "/", ""),
        ("/app/", "/app/x?y?z", "/app", "/x", "y?z"),
        ("/app", "/%61pp/%62", "/app", "/b", ""),
        ("/", "/a%2Fb%00%ff", "", "/a/b\0\xff", ""),
        ("/", "/caf%C3%A9", "", "/caf\xc3\xa9", ""),
        ("/caf\u00e9", "/caf%C3%A9/x", "/caf\xc3\xa9", "/x", ""),
        ("/", "/%zz%", "", "/%zz%", ""),
        ("/", "//a//b", "", "//a//b", ""),
        ("/", "/a/../b/.", "", "/a/../b/.", ""),
        ("/", "http://other.example/a?b", "", "/a", "b"),
        ("/", "http://other.example", "", "/", ""),
        ("/", "http://other.example?b", "", "/", "b"),
        ("/app", "http://other.example/app/x", "/app", "/x", ""),
        ("/", "/a;p=1?q#"[:-1], "", "/a;p=1", "q"),
        ("/", "/+?+", "", "/+", "+"),
    ],
)
def test_paths_are_decoded_and_split_at_the_mount(mount, target, script, path, query):
    environ = environ_of(get(target), mount)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (script, path, query)
    assert environ["REQUEST_URI"] == target


def test_options_of_the_server_is_no_path():
    environ = environ_of(get("*", method="OPTIONS"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("", "", "*")


def test_the_authority_of_the_target_counts_more_than_host():
    assert environ_of(get("http://other.example:81/"))["HTTP_HOST"] == "other.example:81"
    assert environ_of(get("/"))["HTTP_HOST"] == "test"


def test_repeated_headers_are_joined_and_cookies_in_their_own_way():
    environ = environ_of(get("/", "A-b: 1", "X: y", "a-B: 2", "Cookie: a=1", "cookie: b=2", "A-B: 3, 4"))
    assert environ["HTTP_A_B"] == "1,2,3, 4"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_names_that_could_pose_as_others_are_dropped():
    environ = environ_of(
        get(
            "/",
            "X-Real: yes",
            "X_Real: no",
            "Content_Length: 7",
            "Content_Type: x",
            "HTTP_HOST: x",
            "_: x",
            "wsgi.x: y",
        )
    )
    assert environ["HTTP_X_REAL"] == "yes"
    assert "CONTENT_LENGTH" not in environ
    assert "CONTENT_TYPE" not in environ
    assert environ["HTTP_HOST"] == "test"
    assert [key for key in environ if key.startswith("HTTP_HTTP")] == []
    assert "wsgi.x" not in environ


def test_no_client_chooses_a_proxy():
    for name in ("Proxy", "PROXY", "proxy", "Pro_xy"):
        assert "HTTP_PROXY" not in environ_of(get("/", f"{name}: http://evil.example"))


def test_values_are_latin_1_text_without_blanks_around_them():
    raw = get("/", "X: \tcaf\xe9 b\t ", "Y:", "Z:  ")
    environ = environ_of(raw)
    assert (environ["HTTP_X"], environ["HTTP_Y"], environ["HTTP_Z"]) == ("caf\xe9 b", "", "")


def test_a_gateways_own_entries_are_there_and_win():
    extra = {"HTTP_X": "trusted", "my.key": 1, "SERVER_NAME": "named", "wsgi.multiprocess": True}
    environ = environ_of(get("/", "X: forged", "Y: z"), environ=extra)
    assert {key: environ[key] for key in extra} == extra
    assert environ["HTTP_Y"] == "z"


def test_over_a_unix_socket_every_entry_is_still_a_string(tmp_path):
    with (
        Server(WSGI(report), f"unix:{tmp_path}/s", wire="http", grace=2) as server,
        connect(server.addresses[0]) as stream,
    ):
        stream.write(get("/", "Connection: close"))
        environ = json.loads(stream.read_all(1 << 20).partition(b"\r\n\r\n")[2])
    for name in ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT"):
        assert isinstance(environ[name], str)
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"]


# One request's environment is never another's


def unruly(seen):
    """Remembers each environment as it came, then spoils what it can."""

    def app(environ, start_response):
        copy = {key: value for key, value in environ.items() if key != "wsgi.errors"}
        copy["wsgi.input"] = environ["wsgi.input"].read()
        seen.append(copy)
        headers = [("X", "y")]
        start_response("200 OK", headers)
        headers.append(("Evil", "later"))
        environ.clear()
        environ.update({"HTTP_COOKIE": "leaked", "REQUEST_METHOD": "LEAK", "PATH_INFO": 5, "my": seen})
        return [b"ok"]

    return app


class Wire:
    """A connection driven by hand, without threads or sockets."""

    def __init__(self, mounts):
        self._ours, self._theirs = pair(capacity=1 << 20)
        self._connection = HTTPConnection(self._ours, Service(mounts.find, Limits()))

    def ask(self, raw):
        self._theirs.send(raw)
        while (step := self._connection.advance()) != WAIT_READ:
            assert step == RUN
            self._connection.run()
        said = self._theirs.recv(1 << 20)
        assert said.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404"))
        assert b"Evil" not in said

    def close(self):
        self._theirs.close()
        self._connection.advance()


def redirecting(mounts):
    """Answers in place of another mount, as a CGI program's local redirect does."""

    def answer(exchange):
        redispatch(exchange, "/a/inner?x=1")

    return Gate(answer)


def site(seen):
    mounts = []
    gateways = [
        ("/a", WSGI(unruly(seen))),
        ("/b", WSGI(unruly(seen), environ={"EXTRA": "b", "HTTP_X": "b's"})),
        ("/c", Gate(echo)),
        ("/d", redirecting(mounts)),
    ]
    mounts.append(Mounts(gateways))
    return mounts[0]


BLOCKS = [
    [],
    ["Cookie: secret=1"],
    ["Cookie: secret=2"],
    ["Cookie: secret=1", "X: y"],
    ["Cookie: secret=2", "X: y"],
    ["Cookie: secret=2", "X: z"],
    ["X: y", "X: z"],
    ["X: z", "X: z"],
    ["X_Y: z"],
    ["X_Y: y"],
    ["Content-Type: text/plain"],
    ["Authorization: Basic xyz", "Accept: */*"],
    ["Connection: keep-alive", "Accept: */*"],
    ["Proxy: x", "Te: trailers"],
    ["Proxy: y", "Te: trailers"],
]
REQUESTS = st.tuples(
    st.sampled_from(["/a", "/a/x?q", "/b", "/b/%41", "/c", "/d", "/nowhere", "http://other.example/a"]),
    st.sampled_from(["GET", "HEAD", "POST", "PUT-CHUNKED", "DELETE"]),
    st.sampled_from(BLOCKS)
    | st.lists(st.sampled_from([line for block in BLOCKS for line in block]), max_size=4),
)


def raw_of(target, method, fields):
    if target == "/nowhere":  # nobody reads a body there, which would end the connection
        return get(target, *fields)
    if method == "POST":
        return post(b"body" * len(fields), target, *fields)
    if method == "PUT-CHUNKED":
        return chunked([b"a", b"bc"], target, *fields)
    return get(target, *fields, method=method)


@given(requests=st.lists(REQUESTS, min_size=1, max_size=12))
def test_an_environment_is_the_same_on_a_used_connection_as_on_a_fresh_one(requests):
    kept, fresh = [], []
    wire = Wire(site(kept))
    for request in requests:
        raw = raw_of(*request)
        wire.ask(raw)
        alone = Wire(site(fresh))
        alone.ask(raw)
        alone.close()
    wire.close()
    assert kept == fresh


def test_what_changed_while_another_mount_answered_is_not_missed():
    seen = []
    wire = Wire(site(seen))
    for target, cookie, x in ["a11", "a11", "a21", "c32", "a33", "a31", "c33", "a33", "a33", "b44", "b45"]:
        wire.ask(get(f"/{target}", f"Cookie: {cookie}", f"X: {x}"))
    wire.close()
    told = [(environ["HTTP_COOKIE"], environ["HTTP_X"]) for environ in seen]
    assert told == [tuple(pair) for pair in ["11", "11", "21", "33", "31", "33", "33"]] + [
        ("4", "b's"),
        ("4", "b's"),
    ]


def test_headers_seen_by_another_mount_in_between_do_not_linger():
    # The block of the third request repeats the second's, not the one that /a saw last.
    seen = []
    wire = Wire(site(seen))
    wire.ask(get("/a", "Cookie: first"))
    wire.ask(get("/c", "Cookie: second"))
    wire.ask(get("/a", "Cookie: second"))
    wire.ask(get("/a", "Cookie: second"))
    wire.close()
    assert [environ["HTTP_COOKIE"] for environ in seen] == ["first", "second", "second"]


def test_what_answers_in_anothers_place_is_not_remembered_for_that():
    seen = []
    wire = Wire(site(seen))
    wire.ask(post(b"x", "/d", "Content-Type: text/a"))
    wire.ask(post(b"x", "/a", "Content-Type: text/a"))
    wire.close()
    assert [environ.get("CONTENT_TYPE") for environ in seen] == [None, "text/a"]


def test_each_request_has_an_input_of_its_own():
    inputs = []

    def app(environ, start_response):
        inputs.append(environ["wsgi.input"])
        start_response("200 OK", [])
        return []

    with serving(WSGI(app)) as server, Client(server) as client:
        for raw in (post(b"one"), post(b"two"), get()):
            client.ask(raw)
    assert len({id(each) for each in inputs}) == 3
    assert all(isinstance(each, BytesIO) and each.closed for each in inputs)


def test_an_environment_holds_native_strings():
    seen = []
    wire = Wire(Mounts([("/", WSGI(unruly(seen)))]))
    wire.ask(get("/caf%C3%A9", "X: caf\xe9"))
    wire.close()
    for key, value in seen[0].items():
        assert type(key) is str
        if re.fullmatch("[A-Z_]+", key):
            assert type(value) is str
            value.encode("latin-1")


@pytest.mark.parametrize(
    ("engine", "threads", "processes"),
    [
        ("inline", False, False),
        ("threads", True, False),
        ("events", True, False),
        ("forks", False, True),
        ("workers:1/threads", True, True),
        ("workers:1/inline", False, True),
    ],
)
def test_what_runs_side_by_side_is_told_as_it_is(engine, threads, processes):
    with serving(WSGI(told_side_by_side), engine=engine) as server, Client(server) as client:
        assert client.ask(get()).body == f"{threads} {processes} False".encode()


def told_side_by_side(environ, start_response):
    start_response("200 OK", [])
    return [
        " ".join(
            str(environ[f"wsgi.{name}"]) for name in ("multithread", "multiprocess", "run_once")
        ).encode()
    ]
