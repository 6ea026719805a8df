"""One handler as a gateway, on every engine and kind of address."""

from __future__ import annotations

import logging
import socket
import threading

import pytest

from portico import ServerTLS, connect
from portico.errors import ConfigError
from portico.server import Server
from portico.sockets.tls import ClientTLS
from portico.web.handlers import App, Refuse, Request, Response, Sessions, streaming
from portico.web.kinds import as_gateway, kind_of, speaks_http
from portico.web.mounts import Mounts
from tests.http.served import Client, chunked, get, post


def hello(request):
    return f"Hello {request.query.get('name', 'World')}"


def annotated(it: Request):
    return f"{it.scheme} {it.method}"


def quoted(it: "portico.web.handlers.Request"):  # noqa: F821, UP037
    return "quoted"


def anything(it):
    return "anything"


class Methods:
    def get(self, request):
        return "got"

    def post(self, request: Request):
        return 201, request.read()


class Deleting:
    def __init__(self, word):
        self.word = word

    def delete(self, request):
        return self.word


class Called:
    def __call__(self, request):
        return "called"


async def awaited(request):
    return "no"


class Awaited:
    async def get(self, request):
        return "no"


class Framework:
    """As the applications of frameworks are: called by WSGI, with decorators named like methods."""

    def get(self, rule, **options): ...

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"wsgi"]


@pytest.mark.parametrize(
    ("thing", "kind", "http_anywhere"),
    [
        (hello, "app", False),
        (annotated, "app", True),
        (quoted, "app", True),
        (lambda req: None, "app", False),
        (anything, "function", False),
        (Methods, "app", True),
        (Methods(), "app", True),
        (Deleting("x"), "app", True),
        (Called(), "app", False),
        (Framework(), "wsgi", True),
        (lambda environ, start_response: [], "wsgi", True),
        (lambda *arguments: [], "wsgi", False),
        (lambda sock, address: None, "wsgi", False),
        (dict, "", False),
        ({}, "", False),
        (App(hello), "function", True),
    ],
)
def test_a_request_handler_is_known_by_what_it_says(thing, kind, http_anywhere):
    if not isinstance(thing, App):
        assert kind_of(thing) == kind
    assert speaks_http(thing) is http_anywhere


@pytest.mark.parametrize("thing", [hello, annotated, anything, Methods, Deleting("x"), Called()])
def test_on_an_http_address_the_wire_decides(thing):
    assert isinstance(as_gateway(thing), App)


def test_on_a_plain_address_only_what_says_so_speaks_http():
    for thing, said in ((annotated, b"http GET"), (Framework(), b"wsgi")):
        with Server(thing, "tcp://127.0.0.1:0", grace=2) as server, Client(server) as client:
            assert client.ask(get()).body == said
    with Server(hello, "tcp://127.0.0.1:0", grace=2) as server:
        assert server._wire == "stream"


@pytest.mark.parametrize("thing", [awaited, Awaited, Awaited()])
def test_async_def_gets_one_clear_error(thing):
    for engine in ("threads", "events"):
        with pytest.raises(ConfigError, match="async def; a request handler is a plain function"):
            Server(thing, "http://127.0.0.1:0", engine=engine).start()


def test_a_class_that_needs_arguments_is_refused():
    with pytest.raises(ConfigError, match="pass an object of it"):
        App(Deleting)


@pytest.mark.parametrize("engine", ["inline", "threads", "events", "forks:2", "workers:1/threads"])
def test_the_same_handler_on_every_engine(engine):
    with Server(hello, "http://127.0.0.1:0", engine=engine, grace=2) as server, Client(server) as client:
        assert client.ask(get("/?name=J%C3%B6rg")).body == "Hello Jörg".encode()
        assert client.ask(get("/")).body == b"Hello World"


def test_in_memory_over_tls_and_on_a_unix_socket(tmp_path):
    tls = ServerTLS.self_signed(directory=None)
    client_tls = ClientTLS(ca=tls.certificate_pem)
    for address, options in (
        ("memory:handlers", {}),
        (f"unix:{tmp_path}/app.sock", {}),
        ("https://127.0.0.1:0", {"tls": tls}),
    ):
        with Server(annotated, address, grace=2, **options) as server:
            trust = client_tls if options else None
            with connect(server.addresses[0], tls=trust) as stream:
                stream.write(get("/", "Connection: close"))
                answer = stream.read_all()
        assert answer.endswith(b"\r\n\r\n" + (b"https GET" if options else b"http GET"))


def test_a_class_has_a_method_for_each():
    with Server(Methods, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        assert client.ask(get()).body == b"got"
        assert client.ask(get(method="HEAD"), "HEAD")["content-length"] == "3"
        answer = client.ask(post(b"data"))
        assert (answer.status, answer.body) == (201, b"data")
        answer = client.ask(get(method="DELETE"))
        assert (answer.status, answer["allow"]) == (405, "GET, HEAD, POST, OPTIONS")
        answer = client.ask(get(method="OPTIONS"), "OPTIONS")
        assert (answer.status, answer["allow"]) == (204, "GET, HEAD, POST, OPTIONS")


def test_below_a_mount():
    def where(request):
        return f"{request.mount}|{request.path_info}|{request.path}"

    mounts = Mounts([("/a%20b", App(where))])
    with Server(mounts, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        assert client.ask(get("/a%20b/%C3%A4")).body == "/a b|/ä|/a b/ä".encode()


# -- what a handler may return


def values():
    yield "text", lambda request: "grün", (200, "text/plain; charset=utf-8", "grün".encode())
    yield "bytes", lambda request: b"\0", (200, "application/octet-stream", b"\0")
    yield "dict", lambda request: {"a": "ü"}, (200, "application/json", '{"a":"ü"}'.encode())
    yield "list", lambda request: [1], (200, "application/json", b"[1]")
    yield "status", lambda request: (202, {"a": 1}), (202, "application/json", b'{"a":1}')
    yield "status alone", lambda request: (404, None), (404, None, b"")
    yield "iterator", lambda request: iter([b"a", b"", b"b"]), (200, "application/octet-stream", b"ab")
    yield "none", lambda request: None, (204, None, b"")
    yield "response", lambda request: Response.html("<p>"), (200, "text/html; charset=utf-8", b"<p>")
    yield "of a response", lambda request: (418, Response.text("x")), (418, "text/plain; charset=utf-8", b"x")


@pytest.mark.parametrize(("handler", "expected"), [pytest.param(b, c, id=a) for a, b, c in values()])
def test_what_a_handler_returns_is_an_answer(handler, expected):
    with Server(App(handler), "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        answer = client.ask(get())
        assert (answer.status, answer["content-type"], answer.body) == expected
        head = client.ask(get(method="HEAD"), "HEAD")
        assert (head.status, head["content-type"]) == expected[:2]
        assert client.ask(get()).status == expected[0]


@pytest.mark.parametrize(
    "value", [5, True, object(), (1, 2, 3), ("200", "x"), {1, 2}, (True, "x"), (99, "x"), float("nan")]
)
def test_anything_else_is_a_fault_of_the_handler(value, caplog):
    with (
        Server(App(lambda request: value), "http://127.0.0.1:0", grace=2) as server,
        Client(server) as client,
    ):
        assert client.ask(get()).status == 500
    assert "LocalProtocolError" in caplog.text


# -- errors


def test_a_refusal_is_answered_with_its_page(caplog):
    def refusing(request):
        raise Refuse(409, "taken: <b>", [("Retry-After", "5")])

    with Server(App(refusing), "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        answer = client.ask(get())
        assert (answer.status, answer["retry-after"]) == (409, "5")
        assert b"taken: &lt;b&gt;" in answer.body
        assert client.ask(get()).status == 409  # and the connection lives on
    assert caplog.records == []


def test_what_a_handler_raises_is_logged_with_the_request_and_not_shown(caplog):
    seen = []

    def failing(request):
        seen.append(request.id)
        raise ValueError("the secret")

    with Server(App(failing), "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        answer = client.ask(get())
        assert answer.status == 500
        assert b"secret" not in answer.body
    assert len(seen[0]) == 32
    assert f"(GET /, {seen[0]}): <Mount / app:failing> failed" in caplog.text
    assert "the secret" in caplog.text


def test_what_fails_before_its_first_piece_is_answered_properly():
    def pieces():
        raise Refuse(410)
        yield b""

    with (
        Server(App(lambda request: pieces()), "http://127.0.0.1:0", grace=2) as server,
        Client(server) as client,
    ):
        assert client.ask(get()).status == 410


@pytest.mark.parametrize("error", [Refuse(410), ValueError("no")])
def test_what_fails_in_the_middle_cuts_the_answer(error, caplog):
    closed = []

    def pieces():
        try:
            yield b"a" * 100
            raise error
        finally:
            closed.append(True)

    with (
        Server(App(lambda request: pieces()), "http://127.0.0.1:0", grace=2) as server,
        Client(server) as client,
    ):
        client.send(get())
        with pytest.raises((EOFError, ConnectionResetError)):
            client.answer()
    assert closed == [True]
    assert "410" in caplog.text or "ValueError" in caplog.text


def test_pieces_that_are_not_bytes_are_a_fault(caplog):
    app = App(lambda request: iter(["text"]))
    with Server(app, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        assert client.ask(get()).status == 500
    assert "bytes, not str" in caplog.text


def test_a_generator_is_closed_when_its_reader_goes():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    with Server(App(lambda request: endless()), "http://127.0.0.1:0", grace=2) as server:
        with Client(server) as client:
            client.send(get())
            client.sock.recv(1000)
        assert closed.wait(20)


def test_head_of_a_stream_does_not_run_it():
    ran = []

    def pieces():
        ran.append(True)
        yield b"x"

    with (
        Server(App(lambda request: pieces()), "http://127.0.0.1:0", grace=2) as server,
        Client(server) as client,
    ):
        assert client.ask(get(method="HEAD"), "HEAD").status == 200
        assert client.ask(get(method="HEAD"), "HEAD").status == 200
    assert ran == []


def test_a_handler_may_answer_by_the_exchange_itself():
    def raw(request):
        request.exchange.respond(299, [("X-Own", "1")], b"own")

    with Server(App(raw), "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        answer = client.ask(get())
        assert (answer.status, answer["x-own"], answer.body) == (299, "1", b"own")


# -- streaming


@streaming
def upper(request):
    def pieces():
        while data := request.body.read1(65536):
            yield data.upper()

    return pieces()


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_a_body_and_its_answer_flow_at_once(engine):
    with Server(upper, "http://127.0.0.1:0", engine=engine, grace=2) as server, Client(server) as client:
        client.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        heard = b""
        for word in (b"one", b"two", b"three"):
            client.send(b"%x\r\n%b\r\n" % (len(word), word))
            while word.upper() not in heard:  # the answer to a piece comes before the next is sent
                heard += client.sock.recv(1000)
        client.send(b"0\r\n\r\n")
        while not heard.endswith(b"0\r\n\r\n"):
            heard += client.sock.recv(1000)
        assert heard.startswith(b"HTTP/1.1 200")
        assert client.ask(chunked([b"again"])).body == b"AGAIN"


def test_an_interrupted_upload_reaches_the_handler_as_an_error():
    seen = []
    over = threading.Event()

    @streaming
    def upload(request):
        try:
            request.read()
        except ConnectionError as error:
            seen.append(type(error).__name__)
            raise
        finally:
            over.set()

    with Server(upload, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 100", method="POST"), b"half")
        client.sock.shutdown(socket.SHUT_WR)
        assert over.wait(20)
    assert seen


def test_a_class_may_stream_as_well():
    class Upload:
        streams = True

        def put(self, request):
            return str(len(request.read()))

    with Server(Upload, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        assert client.ask(post(b"x" * 500_000, method="PUT")).body == b"500000"


# -- sessions


def test_a_session_is_kept_by_the_client_alone():
    def count(request):
        request.session["n"] = request.session.get("n", 0) + 1
        return str(request.session["n"])

    app = App(count, sessions=Sessions("k" * 32))
    with Server(app, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        first = client.ask(get())
        assert (first["vary"], first["cache-control"]) == ("Cookie", "private")
        cookie, *attributes = (first["set-cookie"] or "").split("; ")
        assert attributes == ["Max-Age=1209600", "Path=/", "HttpOnly", "SameSite=Lax"]
        second = client.ask(get("/", f"Cookie: {cookie}"))
        assert second.body == b"2"
        assert client.ask(get("/", f"Cookie: other=1; {cookie}")).body == b"2"
        forged = cookie[:-2] + ("AA" if not cookie.endswith("AA") else "BB")
        assert client.ask(get("/", f"Cookie: {forged}")).body == b"1"


def test_who_does_not_look_at_the_session_pays_nothing_for_it():
    app = App(hello, sessions=Sessions("k" * 32))
    with Server(app, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        answer = client.ask(get("/", "Cookie: session=nonsense"))
    assert answer["vary"] is None
    assert answer["set-cookie"] is None


def test_without_sessions_asking_for_one_says_what_to_do(caplog):
    app = App(lambda request: str(request.session))
    with Server(app, "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        assert client.ask(get()).status == 500
    assert "sessions=Sessions(key)" in caplog.text


def test_its_name_and_repr_say_what_is_served(caplog):
    caplog.set_level(logging.DEBUG)
    assert App(hello).name == "app:hello"
    assert App(Methods, name="shop:Methods").name == "app:shop:Methods"
    assert repr(App(hello)) == "<App hello>"
