"""A request as a handler sees it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest

from portico.server import Server
from portico.web.handlers import App, Request, streaming
from portico.web.request_ids import RequestIds
from tests.http.served import Client, chunked, get, post


def seen(make, raw, **options):
    """What ``make(request)`` is for a request; a refusal as its status."""
    kept = []

    def handler(request):
        kept.append(make(request))

    with Server(App(handler, **options), "http://127.0.0.1:0", grace=2) as server, Client(server) as client:
        answer = client.ask(raw, "HEAD" if raw.startswith(b"HEAD") else "GET")
    return kept[0] if answer.status == 204 else answer.status


def test_a_name_that_the_query_has_not_is_a_mistake_of_the_client():
    assert seen(lambda request: request.query["x"], get("/?y=1")) == 400

    def caught(request):
        with pytest.raises(KeyError):
            request.query["x"]
        return "x" in request.query

    assert seen(caught, get("/?y=1")) is False


def test_what_is_asked_for():
    raw = get(
        "/a%20b/%C3%A4?x=1&x=2&y=%C3%BC+z&leer=&=n", "X-One: 1", "x-one: 2", "Cookie: a=1", "cookie: b=2"
    )

    def facts(request: Request):
        return {
            "method": request.method,
            "target": request.target,
            "path": request.path,
            "x": request.query.all("x"),
            "first": request.query["x"],
            "y": request.query.get("y"),
            "leer": request.query["leer"],
            "missing": request.query.get("missing", "-"),
            "names": list(request.query),
            "len": len(request.query),
            "string": request.query_string,
            "one": request.headers.all("X-ONE"),
            "in": "X-One" in request.headers,
            "cookies": request.cookies,
            "scheme": request.scheme,
            "host": request.host,
            "url": request.url,
            "peer": request.peer.host,
            "params": request.params,
            "body": request.read(),
        }

    assert seen(facts, raw) == {
        "method": "GET",
        "target": "/a%20b/%C3%A4?x=1&x=2&y=%C3%BC+z&leer=&=n",
        "path": "/a b/ä",
        "x": ["1", "2"],
        "first": "1",
        "y": "ü z",
        "leer": "",
        "missing": "-",
        "names": ["x", "y", "leer", ""],
        "len": 4,
        "string": "x=1&x=2&y=%C3%BC+z&leer=&=n",
        "one": ["1", "2"],
        "in": True,
        "cookies": {"a": "1", "b": "2"},
        "scheme": "http",
        "host": "test",
        "url": "http://test/a%20b/%C3%A4?x=1&x=2&y=%C3%BC+z&leer=&=n",
        "peer": "127.0.0.1",
        "params": {},
        "body": b"",
    }


def test_requests_have_names_of_their_own():
    first, second = (seen(lambda request: (request.id, request.id), get()) for _ in range(2))
    assert first[0] == first[1] != second[0]


def test_a_request_that_has_a_name_keeps_it():
    server = Server(App(lambda request: request.id), "http://127.0.0.1:0", grace=2)
    server.request_ids = RequestIds(trusted=["127.0.0.0/8"])
    with server, Client(server) as client:
        answer = client.ask(get("/", "X-Request-ID: from-the-proxy"))
    assert answer.body == b"from-the-proxy"
    assert answer["x-request-id"] == "from-the-proxy"


def test_a_client_cannot_name_its_request():
    assert seen(lambda request: request.id, get("/", "X-Request-Id: forged")) != "forged"


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "grün".encode(), "grün"),
        ("text/plain; charset=iso-8859-1", "grün".encode("latin-1"), "grün"),
        ('text/plain; a=b; Charset="KOI8-R"', "да".encode("koi8-r"), "да"),
        ("", b"x", "x"),
        ("text/plain", b"\xff", 400),
        ("text/plain; charset=no-such", b"x", 415),
        ("text/plain; charset=base64", b"eA==", 415),
        ("text/plain; charset=idna", b"x", 415),  # a codec, which takes quadratic time
        ("text/plain; charset=utf-7", b"+ADw-", 415),
    ],
)
def test_text_is_decoded_by_its_charset(kind, body, text):
    assert seen(lambda request: request.text, post(body, "/", f"Content-Type: {kind}")) == text


@pytest.mark.parametrize(
    ("kind", "body", "value"),
    [
        ("application/json", b'{"a": [1, "\xc3\xbc", null]}', {"a": [1, "ü", None]}),
        ("application/json; charset=utf-8", b"5", 5),
        ("Application/JSON", b"5", 5),
        ("application/problem+json", b"{}", {}),
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"{} x", 400),
        ("application/json", b"NaN", 400),
        ("application/json", b"[Infinity]", 400),
        ("application/json", b"1e999", 400),
        ("application/json", b"[-1e999]", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b'"\xed\xa0\x80"', 400),  # half of a character, encoded as if it were one
        ("application/json", b'{"a": "\\ud800"}', 400),
        ("application/json", b'{"\\uDfff": 1}', 400),
        ("application/json", b'"\\ud83d\\ude00"', "\U0001f600"),
        ("application/json", b'"\\\\ud800"', "\\ud800"),
        ("application/json", b"[" * 200_000, 400),
        ("application/json", b"1" * 10_000, 400),
        ("text/plain", b"{}", 415),  # as a form of another site may send it
        ("application/x-www-form-urlencoded", b"{}", 415),
        ("", b"{}", 415),
    ],
)
def test_json_is_strict(kind, body, value):
    assert seen(lambda request: request.json(), post(body, "/", f"Content-Type: {kind}")) == value


def test_json_of_any_media_type_when_asked_for():
    assert seen(lambda request: request.json(any_media_type=True), post(b"{}")) == {}


@dataclass
class Point:
    x: int
    y: float = 0.0


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"x": 1}', Point(1)),
        (b'{"x": "1"}', 422),
        (b"[]", 422),
        (b"{", 400),
        (b'{"x": 1, "y": 2.5}', Point(1, 2.5)),
    ],
)
def test_json_of_a_type_is_checked(body, value):
    raw = post(body, "/", "Content-Type: application/json")
    assert seen(lambda request: request.json(Point), raw) == value


def test_a_type_without_msgspec_says_what_is_missing(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert (
        seen(lambda request: request.json(Point), post(b"{}", "/", "Content-Type: application/json")) == 500
    )
    assert "pip install msgspec" in caplog.text


def test_a_body_is_read_once_and_kept():
    assert seen(lambda request: (request.read(), request.read(), request.text), post(b"abc")) == (
        b"abc",
        b"abc",
        "abc",
    )
    assert seen(lambda request: request.body.read(2), post(b"abc")) == b"ab"
    assert seen(lambda request: request.read(), chunked([b"a", b"bc"])) == b"abc"


def test_the_limit_of_a_handler():
    def size(request):
        return len(request.read())

    assert seen(size, post(b"x" * 10), body=10) == 10
    assert seen(size, post(b"x" * 11), body=10) == 413
    assert seen(size, chunked([b"x" * 6] * 2), body=10) == 413
    assert seen(streaming(size), chunked([b"x" * 6] * 2), body=10) == 413


FORM = "Content-Type: application/x-www-form-urlencoded"


def test_a_form():
    def read(request):
        assert request.form() is request.form()
        return request.form().getlist("a"), request.form()["b"]

    assert seen(read, post(b"a=1&a=2&b=%C3%BC", "/", FORM)) == (["1", "2"], "ü")


@pytest.mark.parametrize("as_it_is", [lambda function: function, streaming])
def test_what_was_read_before_is_there_for_a_form(as_it_is):
    def read(request):
        request.body.read(1) if as_it_is is not streaming else None
        return request.read(), request.form()["a"]

    assert seen(as_it_is(read), post(b"a=1", "/", FORM)) == (b"a=1", "1")


def test_a_field_that_was_not_sent_is_a_mistake_of_the_client():
    assert seen(lambda request: request.form()["x"], post(b"a=1", "/", FORM)) == 400
    assert seen(lambda request: request.form().get("x", "-"), post(b"a=1", "/", FORM)) == "-"
    assert seen(lambda request: "x" in request.form(), post(b"a=1", "/", FORM)) is False


def test_a_form_with_a_file_which_is_gone_afterwards():
    kept = []
    body = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="gr\xc3\xbcn.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\nfile\r\n--b--\r\n"
    )

    def read(request):
        (upload,) = request.form().uploads
        kept.append(upload)
        return upload.filename, upload.file.read()

    assert seen(read, post(body, "/", "Content-Type: multipart/form-data; boundary=b")) == (
        "grün.txt",
        b"file",
    )
    with pytest.raises(ValueError, match="closed"):
        kept[0].file.read()


def test_a_broken_form_is_answered_by_its_status(caplog):
    assert seen(lambda request: request.form(), post(b"x", "/", "Content-Type: text/plain")) == 415
    broken = post(b"--b\r\nno", "/", "Content-Type: multipart/form-data; boundary=b")
    assert seen(lambda request: request.form(), broken) == 400
    assert "Traceback" not in caplog.text


def test_its_repr_is_short():
    assert seen(repr, get("/" + "x" * 1000)).startswith("<Request GET /xxx")
    assert len(seen(repr, get("/" + "x" * 1000))) < 300


def test_json_sent_by_a_real_client_is_read():
    data = {"name": "Jörg", "list": [1, 2.5, True]}
    raw = post(json.dumps(data).encode(), "/", "Content-Type: application/json")
    assert seen(lambda request: request.json(), raw) == data


@pytest.mark.parametrize("read", [lambda request: request.form(), lambda request: request.body.read()])
def test_the_limit_of_a_handler_holds_however_its_body_is_read(read):
    assert seen(read, chunked([b"a=" + b"x" * 100], "/", FORM), body=50) == 413
    assert seen(read, chunked([b"a=x"], "/", FORM), body=50) != 413
