"""Answers as values, and the usual ones made."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from uuid import UUID

import msgspec
import pytest

from portico.errors import ConfigError, LocalProtocolError
from portico.server import Server
from portico.web.handlers import App, Event, Refuse, Response
from portico.web.handlers.files import disposition
from tests.http.served import Client, get


def answered(make, *headers, method="GET"):
    with (
        Server(App(lambda request: make()), "http://127.0.0.1:0", grace=2) as server,
        Client(server) as client,
    ):
        answer = client.ask(get("/", *headers, method=method), method)
        assert client.ask(get(method="HEAD"), "HEAD").status  # nothing is left over
    return answer


def test_headers_may_come_twice_and_keep_their_spelling():
    response = Response("x", headers=[("X-Two", "1")])
    response.headers.add("x-two", "2")
    response.headers["ETag"] = '"a"'
    assert response.headers.all("X-TWO") == ["1", "2"]
    answer = answered(lambda: response)
    assert [value for name, value in answer.headers if name == "x-two"] == ["1", "2"]
    response.headers["X-Two"] = "3"
    assert response.headers.spelt() == [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("ETag", '"a"'),
        ("X-Two", "3"),
    ]
    del response.headers["x-two"]
    assert "X-Two" not in response.headers


@pytest.mark.parametrize(
    "make",
    [
        partial(Response, "x"),
        partial(Response.text, "x"),
        partial(Response.html, "x"),
        partial(Response.json, {}),
        partial(Response.stream, [b"x"]),
        partial(Response.error, 404),
        partial(Response.file, "/etc/passwd", type="text/plain"),
    ],
)
def test_a_type_among_the_headers_is_the_only_one(make):
    answer = answered(lambda: make(headers={"content-type": "application/problem+json"}))
    assert [value for name, value in answer.headers if name == "content-type"] == ["application/problem+json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "a\r\nSet-Cookie: x"),
        ("X-A", "a\n"),
        ("X-A", "\0"),
        ("X A", "a"),
        ("X-A:", "a"),
        ("", "a"),
        ("X-A", "€"),
    ],
)
def test_nothing_is_sent_that_could_be_read_as_more(name, value):
    response = Response("x")
    with pytest.raises(LocalProtocolError):
        response.headers[name] = value
    with pytest.raises(LocalProtocolError):
        Response("x", headers={name: value})
    assert response.headers.spelt() == [("Content-Type", "text/plain; charset=utf-8")]


@pytest.mark.parametrize("status", [99, 100, 199, 1000, -1])
def test_a_status_is_that_of_a_final_answer(status):
    with pytest.raises(LocalProtocolError):
        Response("x", status)


@pytest.mark.parametrize("body", [{"a": 1}, None, 5])
def test_a_body_that_cannot_be_sent_is_refused_when_it_is_given(body):
    with pytest.raises(LocalProtocolError, match=r"not \w+; Response.json\(\) sends values"):
        Response(body)


@dataclass
class Item:
    name: str
    when: date


class Struct(msgspec.Struct):
    x: int


def test_json_says_more_than_the_standard_library():
    value = {
        "item": Item("ü", date(2030, 1, 2)),
        "at": datetime(2030, 1, 2, 3, tzinfo=UTC),
        "id": UUID(int=1),
        "struct": Struct(5),
    }
    assert (
        Response.json(value).body
        == (
            '{"item":{"name":"ü","when":"2030-01-02"},"at":"2030-01-02T03:00:00+00:00",'
            '"id":"00000000-0000-0000-0000-000000000001","struct":{"x":5}}'
        ).encode()
    )


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"x", object(), {"a": Item}, "\ud800"])
def test_what_json_cannot_say_is_an_error(value):
    with pytest.raises(LocalProtocolError, match="JSON"):
        Response.json(value)


def test_a_list_that_holds_itself_is_an_error():
    value = []
    value.append(value)
    with pytest.raises(LocalProtocolError):
        Response.json(value)


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/a", "/a"),
        ("/größe?q=ü&x=1#z", "/gr%C3%B6%C3%9Fe?q=%C3%BC&x=1#z"),
        ("/a b", "/a%20b"),
        ("/a%20b%2F", "/a%20b%2F"),
        ("?page=2", "?page=2"),
        ("../up", "../up"),
        ('/"<>', "/%22%3C%3E"),
        ("https://example.org", "https://example.org"),
        ("HTTPS://Example.org:8443/a b?c=ü", "https://example.org:8443/a%20b?c=%C3%BC"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example/x"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_a_redirect_says_where_in_what_a_url_can_hold(location, sent):
    answer = answered(lambda: Response.redirect(location))
    assert (answer.status, answer["location"]) == (303, sent)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "/a\r\nSet-Cookie: x=y",
        "/a\nb",
        "/a\0",
        "\t/a",
        " /a",
        "/a\x7f",
        "javascript:alert(1)",
        "data:text/html,x",
        "JAVASCRIPT:x",
        "ftp://example.org/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:\\\\evil.example",
        "http://",
        "https:/evil.example",
        "https:evil.example",
        "http://user:password@example.org/",
        "http://example.org:port/",
        "http://[::1/",
    ],
)
def test_a_redirect_leads_nowhere_else(location):
    with pytest.raises(LocalProtocolError):
        Response.redirect(location)
    with pytest.raises(Refuse) as refused:
        Response.redirect(location, here=True)
    assert refused.value.status == 400


def test_a_place_that_a_client_named_is_on_this_server():
    assert Response.redirect("/next?a=b", here=True).headers["location"] == "/next?a=b"
    with pytest.raises(Refuse):
        Response.redirect("https://example.org/", here=True)


@pytest.mark.parametrize("status", [200, 300, 304, 305, 404])
def test_a_redirect_has_the_status_of_one(status):
    with pytest.raises(LocalProtocolError, match="none of 301"):
        Response.redirect("/", status)
    assert Response.redirect("/", 308).status == 308


def test_cookies_are_secure_where_the_request_was():
    def make():
        return (
            Response("x").set_cookie("a", "1", max_age=60).set_cookie("b", "2").delete_cookie("c", path="/x")
        )

    cookies = [value for name, value in answered(make).headers if name == "set-cookie"]
    assert cookies == [
        "a=1; Max-Age=60; Path=/; HttpOnly; SameSite=Lax",
        "b=2; Path=/; HttpOnly; SameSite=Lax",
        "c=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/x; HttpOnly; SameSite=Lax",
    ]
    with pytest.raises(ConfigError, match="httponly"):
        Response("x").set_cookie("a", "1", httponly=True)


# -- files


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("0123456789")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "gr\u00fcn.html").write_text("<p>")
    (tmp_path / "out").symlink_to("/etc/passwd")
    (tmp_path / "in").symlink_to("a.txt")
    return tmp_path


def test_a_file_has_a_type_validators_and_ranges(folder):
    whole = answered(lambda: Response.file(folder / "a.txt"))
    assert (whole.status, whole.body, whole["content-type"]) == (
        200,
        b"0123456789",
        "text/plain; charset=utf-8",
    )
    assert whole["x-content-type-options"] == "nosniff"
    part = answered(lambda: Response.file(folder / "a.txt"), "Range: bytes=2-4")
    assert (part.status, part.body, part["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert answered(lambda: Response.file(folder / "a.txt"), f"If-None-Match: {whole['etag']}").status == 304
    assert answered(lambda: Response.file(folder / "a.txt"), "Range: bytes=50-").status == 416
    head = answered(lambda: Response.file(folder / "a.txt"), method="HEAD")
    assert head["content-length"] == "10"


def test_what_a_file_says_itself_is_not_said_twice(folder):
    options = {"name": "x.txt", "headers": {"Content-Disposition": "inline", "x-content-type-options": "x"}}
    answer = answered(lambda: Response.file(folder / "a.txt", **options))
    assert (answer["content-disposition"], answer["x-content-type-options"]) == ("inline", "x")
    assert answered(lambda: Response.file(folder / "a.txt", headers={"ETag": '"a"'})).status == 500


def test_a_file_may_be_given_open_and_is_closed(folder):
    files = []

    def make():
        files.append((folder / "a.txt").open("rb"))
        return Response.file(files[-1], type="application/x-own", headers={"X-Own": "1"})

    answer = answered(make, "Range: bytes=0-0")
    assert (answer.body, answer["content-type"], answer["x-own"]) == (b"0", "application/x-own", "1")
    assert all(file.closed for file in files)


def test_a_file_without_a_descriptor_is_a_stream():
    with pytest.raises(LocalProtocolError, match="descriptor"):
        Response.file(io.BytesIO(b"x"))
    body = io.BytesIO(b"x" * 200_000)
    assert answered(lambda: Response(body)).body == b"x" * 200_000
    assert body.closed


@pytest.mark.parametrize(
    "path",
    [
        "missing",
        "sub",
        "../a.txt",
        "sub/../a.txt",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a.txt/",
        "sub//x",
        "out",
        "a\0b",
        "x" * 300,
    ],
)
def test_a_path_of_a_client_cannot_leave_its_root(folder, path):
    assert answered(lambda: Response.file(path, root=folder)).status == 404


def test_what_is_below_the_root_is_served(folder):
    assert answered(lambda: Response.file("sub/gr\u00fcn.html", root=folder)).body == b"<p>"
    assert answered(lambda: Response.file("in", root=folder)).body == b"0123456789"


@pytest.mark.parametrize("what", ["missing", "folder", "pipe"])
def test_what_is_no_regular_file_is_404(folder, what):
    path = {"missing": folder / "no", "folder": folder, "pipe": folder / "pipe"}[what]
    if what == "pipe":
        os.mkfifo(path)
    assert answered(lambda: Response.file(path)).status == 404


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("gr\u00fcn.txt", "attachment; filename=\"gr_n.txt\"; filename*=UTF-8''gr%C3%BCn.txt"),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ("../../etc/passwd", 'attachment; filename="passwd"'),
        ("C:\\x\\y.txt", 'attachment; filename="y.txt"'),
        ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
        ("\ud800", "attachment; filename=\"_\"; filename*=UTF-8''%3F"),
    ],
)
def test_the_name_to_save_a_file_as(name, field):
    assert disposition(name) == field


# -- events


def test_events_are_sent_as_they_come():
    def make():
        return Response.events(
            iter(["one", Event("two\r\nlines\rhere", name="n", id="7", retry=1.5), Event(comment="c")])
        )

    answer = answered(make)
    assert answer["content-type"] == "text/event-stream"
    assert (answer["cache-control"], answer["x-accel-buffering"]) == ("no-store", "no")
    assert answer.chunks == [
        b"data: one\n\n",
        b"event: n\nid: 7\nretry: 1500\ndata: two\ndata: lines\ndata: here\n\n",
        b": c\n\n",
    ]


@pytest.mark.parametrize("options", [{"name": "a\nb"}, {"id": "a\rb"}, {"id": "a\0"}])
def test_an_event_cannot_be_made_into_two(options):
    with pytest.raises(LocalProtocolError):
        Event("x", **options)


def test_the_head_of_an_event_stream_leaves_before_the_first_event():
    def silent():
        from portico import sleep

        sleep(30)
        yield "never"

    app = App(lambda request: Response.events(silent()))
    with Server(app, "http://127.0.0.1:0", grace=0.1) as server, Client(server) as client:
        client.send(get())
        assert client._head()["content-type"] == "text/event-stream"


# -- the rest


def test_the_other_helpers():
    assert answered(Response.no_content).status == 204
    error = answered(lambda: Response.error(404, "no <b>", {"X-Own": "1"}))
    assert (error.status, error["x-own"], b"no &lt;b&gt;" in error.body) == (404, "1", True)
    stream = answered(lambda: Response.stream([b"a", b"b"], 201, type="text/x"))
    assert (stream.status, stream.chunks, stream["content-type"]) == (201, [b"a", b"b"], "text/x")
    assert answered(lambda: Response(bytearray(b"x"))).body == b"x"
    assert answered(lambda: Response(b"x", 304)).status == 304
    assert repr(Response.json([])) == "<Response 200 application/json 2 B>"
