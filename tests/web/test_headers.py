"""Header fields of a mount's answers are set, added and taken away, on error pages too."""

from __future__ import annotations

import pytest

from portico import Mounts
from portico.errors import ConfigError
from portico.http.exchange import Mount
from portico.http.redispatch import redispatch
from portico.web.headers import Edit
from portico.web.wsgi import WSGI
from tests.http.served import Client, Gate, chunked, get, serving

BEFORE = [("Content-Type", "text/plain"), ("X-Powered-By", "x"), ("Set-Cookie", "a=1"), ("Vary", "Accept")]


def test_fields_are_removed_then_set_then_added():
    edit = Edit(
        set={"x-frame-options": "DENY", "content-type": "text/html"},
        add={"Vary": "Origin", "Link": ["</a>", "</b>"]},
        remove=["X-POWERED-BY"],
    )
    assert edit(BEFORE) == [
        ("Set-Cookie", "a=1"),
        ("Vary", "Accept"),
        ("x-frame-options", "DENY"),
        ("content-type", "text/html"),
        ("Vary", "Origin"),
        ("Link", "</a>"),
        ("Link", "</b>"),
    ]


def test_two_edits_are_one_and_the_later_wins():
    first = Edit(set={"A": "1", "B": "1"}, add={"C": "1", "D": "1"}, remove=["E"])
    later = Edit(set={"a": "2"}, add={"C": ["2"]}, remove=["d"])
    both = later.after(first)
    sent = [("E", "0"), ("A", "0"), ("F", "0")]
    assert sorted(both(sent)) == sorted(later(first(sent)))
    assert both(sent) == [("F", "0"), ("B", "1"), ("a", "2"), ("C", "1"), ("C", "2")]


def test_an_edit_that_does_nothing_is_false():
    assert not Edit()
    assert Edit(remove=["A"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"set": {"Content-Length": "1"}},
        {"set": {"transfer-encoding": "chunked"}},
        {"add": {"Connection": "close"}},
        {"remove": ["Date"]},
        {"remove": ["Server"]},
        {"set": {"a b": "c"}},
        {"set": {"a": "b\r\nc: d"}},
        {"add": {"a": ["b", "\x00"]}},
        {"set": {"a": " b"}},
        {"set": {"a": "\u20ac"}},
        {"remove": [""]},
    ],
)
def test_what_would_break_an_answer_is_refused(wrong):
    with pytest.raises(ConfigError):
        Edit(**wrong)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise RuntimeError("no way")
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Powered-By", "me")])
    return [b"one", b"two"] if environ["PATH_INFO"] == "/two" else [b"one"]


@pytest.fixture(scope="module")
def client():
    edit = Edit(set={"X-Frame-Options": "DENY"}, remove=["X-Powered-By"])
    mounts = Mounts([("/", Mount(WSGI(app), "", edit=edit)), ("/plain", WSGI(app))])
    with serving(mounts, plain=True, limits={"body": 100}) as server, Client(server) as client:
        yield client


def test_every_kind_of_answer_has_them(client):
    for path in ("/", "/two", "/", "/"):
        answer = client.ask(get(path))
        assert (answer.status, answer["x-frame-options"], answer["x-powered-by"]) == (200, "DENY", None)


def test_another_mount_on_the_same_connection_has_not(client):
    for path, value in (("/", "DENY"), ("/plain", None), ("/", "DENY"), ("/plain/x", None)):
        assert client.ask(get(path))["x-frame-options"] == value


def test_error_pages_have_them(client):
    answer = client.ask(get("/fails"))
    assert (answer.status, answer["x-frame-options"]) == (500, "DENY")
    assert client.ask(get("/plain/fails"))["x-frame-options"] is None


def test_what_is_answered_in_anothers_place_has_that_ones_fields():
    mounts = []
    outer = Gate(lambda exchange: redispatch(exchange, "/in"))
    inner = Mount(Gate(lambda exchange: exchange.respond(200, [])), "/in", edit=Edit(set={"X-In": "1"}))
    mounts.append(Mounts([("/out", Mount(outer, "/out", edit=Edit(set={"X-Out": "1"}))), ("/in", inner)]))
    with serving(mounts[0], plain=True) as server, Client(server) as client:
        answer = client.ask(get("/out"))
        assert (answer["x-in"], answer["x-out"]) == ("1", None)
        assert client.ask(get("/in"))["x-in"] == "1"


def test_a_body_too_large_is_refused_with_them():
    mount = Mount(WSGI(app), "", edit=Edit(set={"X-A": "1"}))
    with serving(Mounts([("/", mount)]), plain=True, limits={"body": 10}) as server, Client(server) as client:
        answer = client.ask(chunked([b"x" * 20]), "POST")
        assert (answer.status, answer["x-a"]) == (413, "1")
