"""wsgiref's validator between the server and applications of every shape: not one complaint."""

from __future__ import annotations

import io
import sys
import tempfile
from wsgiref.simple_server import demo_app
from wsgiref.validate import validator

import pytest

from portico.web.mounts import Mounts
from portico.web.wsgi import WSGI
from tests.http.served import ENGINES, Client, chunked, get, post, serving

TEXT = [("Content-Type", "text/plain")]


def whole(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"whole " + environ["REQUEST_METHOD"].encode()]


def parts(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"parts"
    yield b" of it"


def lazy(environ, start_response):
    start_response("200 OK", TEXT)  # not before the first item is asked for
    yield b""
    yield b"lazy"


def writer(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"written ")
    return [b"and returned"]


def reader(environ, start_response):
    stream = environ["wsgi.input"]
    first, line, lines = stream.read(2), stream.readline(), list(stream)
    start_response("200 OK", TEXT)
    return [first, line, *lines, stream.read(10)]


def file(environ, start_response):
    start_response("200 OK", TEXT)
    wrapper = environ["wsgi.file_wrapper"]
    if not environ["QUERY_STRING"]:
        return wrapper(io.BytesIO(b"from memory"))
    temporary = tempfile.TemporaryFile()  # noqa: SIM115
    temporary.write(b"from a file")
    temporary.seek(5)
    return wrapper(temporary, 100)


def second_thoughts(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise ValueError("x")
    except ValueError:
        start_response("503 Later", TEXT, sys.exc_info())
    environ["wsgi.errors"].write("changed my mind\n")
    environ["wsgi.errors"].flush()
    return [b"sorry"]


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


APPS = [whole, parts, lazy, writer, reader, file, second_thoughts, nothing, demo_app]
TARGETS = ["", "/", "/x%20y/caf%C3%A9?a=b&c", "/%2F%00"]


@pytest.fixture(scope="module", params=ENGINES)
def server(request):
    mounts = [(f"/{app.__name__}", WSGI(validator(app))) for app in APPS]
    streamed = [(f"/streamed/{app.__name__}", WSGI(validator(app), stream=True)) for app in APPS]
    everything = Mounts([*mounts, *streamed, ("/", WSGI(validator(whole)))])
    with serving(everything, plain=True, engine=request.param) as server:
        yield server


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.__name__)
@pytest.mark.parametrize("prefix", ["", "/streamed"])
def test_the_validator_has_no_complaint(server, app, prefix, caplog):
    with Client(server) as client:
        for tail in TARGETS:
            target = f"{prefix}/{app.__name__}{tail}"
            fields = ["Cookie: a=b", "Cookie: c=d", "X_Dropped: x", "Proxy: y", "Accept: */*", "X-Empty:"]
            requests = [
                get(target, *fields),
                get(target, "Connection: keep-alive", version="1.0"),
                get(target, *fields, method="HEAD"),
                get(target, method="OPTIONS"),
                post(b"one\ntwo\nthree", target, "Content-Type: text/plain"),
                post(b"", target),
                chunked([b"one\nt", b"wo"], target),
                get("http://other.example" + target),
            ]
            for raw in requests:
                method = raw.split(b" ")[0].decode()
                client.send(raw)
                answer = client.answer(method)
                assert answer.status in (
                    (503,) if app is second_thoughts else (204,) if app is nothing else (200,)
                )
                if answer["connection"] == "close":  # HTTP/1.0 without a length
                    client.__exit__()
                    client.__init__(server)
    assert "AssertionError" not in caplog.text


def test_the_validator_has_no_complaint_about_a_request_to_the_server_itself(server):
    with Client(server) as client:
        assert client.ask(get("*", method="OPTIONS")).body == b"whole OPTIONS"
        assert client.ask(post(b"x", "/", "Expect: 100-continue")).body == b"whole POST"
