"""Server-sent events: parsed as browsers do, and asked for again when the stream is cut."""

from __future__ import annotations

import asyncio
import time
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portico
from portico import Request, Response, aio
from portico.client import sse
from portico.client.request import Request as Asked
from portico.client.response import Response as Answer
from portico.client.session import Session
from portico.client.sse import EventParser, ServerSentEvent, _longer
from portico.errors import HTTPError, LimitExceeded, ProtocolError, ResolveError
from portico.limits import Limits
from portico.web.handlers import Event, streaming
from tests.client.files_server import FileServer
from tests.peers import need, need_module

pytestmark = pytest.mark.timeout(30)


def parsed(stream: bytes, size: int = 1 << 20, **options) -> list[tuple[str, str, str]]:
    parser = EventParser(**options)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    return [(event.event, event.data, event.id) for piece in pieces for event in parser.feed(piece)]


TABLE = [
    (b"data: one\n\n", [("message", "one", "")]),
    (b"data:one\n\n", [("message", "one", "")]),
    (b"data:  one\n\n", [("message", " one", "")]),
    (b"data: a\ndata: b\n\n", [("message", "a\nb", "")]),
    (b"data\n\n", [("message", "", "")]),
    (b"data\ndata\n\n", [("message", "\n", "")]),
    (b"data:\n\n", [("message", "", "")]),
    (b"event: x\n\ndata: y\n\n", [("message", "y", "")]),
    (b"event: x\ndata: y\n\n", [("x", "y", "")]),
    (b"event: x\nevent: z\ndata: y\n\n", [("z", "y", "")]),
    (b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
    (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "")]),
    (b"id: 1\n\ndata: b\n\n", [("message", "b", "1")]),
    (b"id: 1\0\ndata: a\n\n", [("message", "a", "")]),
    (b": comment\n\ndata: a\n: more\n\n", [("message", "a", "")]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [("message", "a", ""), ("message", "b", "")]),
    (b"data: a\r\rdata: b\r\r", [("message", "a", ""), ("message", "b", "")]),
    (b"data: a\n\r\ndata: b\r\n\n", [("message", "a", ""), ("message", "b", "")]),
    (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    ("data: grün\n\n".encode(), [("message", "grün", "")]),
    (b"data: \xff\n\n", [("message", "\ufffd", "")]),
    (b"nonsense: x\nDATA: y\n\n", []),
    (b"data: cut", []),
    (b"data: cut\n", []),
    (b"retry: 10\ndata: a\n\n", [("message", "a", "")]),
    (b"retry: 1x\nretry: -1\ndata: a\n\n", [("message", "a", "")]),
    (b"data : a\n\n", []),
    (b" data: a\n\n", []),
    (b"data: a: b\n\n", [("message", "a: b", "")]),
]


@pytest.mark.parametrize(("stream", "found"), TABLE)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_stream_is_parsed_as_the_standard_says(stream, found, size):
    assert parsed(stream, size) == found


@given(
    st.lists(
        st.sampled_from([b"data: x", b"id: 7", b"event: e", b":c", b"", b"\r", b"\n", b"\r\n"]), max_size=30
    ),
    st.integers(1, 9),
)
def test_any_cut_gives_the_same_events(parts, size):
    stream = b"\n".join(parts)
    assert parsed(stream, size) == parsed(stream)


def test_what_is_too_large_is_refused():
    with pytest.raises(LimitExceeded, match="line"):
        parsed(b"data: " + b"x" * 2000, limit=1000)
    with pytest.raises(LimitExceeded, match="event of more"):
        parsed(b"data: " + b"x" * 400 + b"\ndata: " + b"x" * 700 + b"\n", limit=1000)


def test_retry_is_told_in_seconds():
    parser = EventParser()
    assert list(parser.feed(b"retry: 1500\n\n")) == []
    assert parser.retry == 1.5


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(sse, "_RETRY", 0.01)


@pytest.mark.usefixtures("door", "quick")
def test_events_of_our_own_server_arrive_as_they_are_sent():
    def ticks(request: Request) -> Response:
        def pieces():
            yield Event("first", name="tick", id="1")
            yield Event("two\nlines")
            time.sleep(0.05)
            yield Event("third", id="3")

        return Response.events(pieces())

    with portico.Server(streaming(ticks), "http://127.0.0.1:0") as server, Session(env=False) as session:
        stream = session.events(str(server.addresses[0]))
        assert list(islice(stream, 4)) == [
            ServerSentEvent("tick", "first", "1"),
            ServerSentEvent("message", "two\nlines", "1"),
            ServerSentEvent("message", "third", "3"),
            ServerSentEvent("tick", "first", "1"),  # connected again
        ]
        stream.close()


@pytest.mark.usefixtures("door", "quick")
def test_a_cut_stream_is_asked_for_again_from_where_it_was():
    kind = {"Content-Type": "text/event-stream; charset=utf-8"}
    content = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\nid: 3\ndata: c\n\n"
    cut = FileServer(content, more=kind, cut=[20, 0, None], status=[200, 200, 503, 200])
    with cut as server, Session(env=False) as session:
        stream = session.events(server.url)
        assert [event.data for event in islice(stream, 4)] == ["a", "a", "b", "c"]
        stream.close()
    assert server.headers("Last-Event-ID") == [None, "1", "1", "1"]
    assert set(server.headers("Accept")) == {"text/event-stream"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("id", "told"), [("gr\xfcn", "gr\xfcn"), ("\u65e5\u672c", "\u65e5\u672c"), ("a\x01b", None)]
)
def test_any_id_is_told_as_browsers_do_or_not_at_all(id, told):  # noqa: A002
    kind = {"Content-Type": "text/event-stream"}
    with FileServer(f"id: {id}\ndata: a\n\n".encode(), more=kind) as server, Session(env=False) as session:
        stream = session.events(server.url)
        assert [event.id for event in islice(stream, 2)] == [id, id]
        stream.close()
    said = server.headers("Last-Event-ID")[1]
    assert (None if said is None else said.encode("latin-1").decode()) == told


@pytest.mark.usefixtures("door", "quick")
@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"content": b"", "status": [204]}, None),
        ({"content": b"x", "status": [404]}, HTTPError),
        ({"content": b"x", "more": {"Content-Type": "text/html"}}, ProtocolError),
        ({"content": b"data: " + b"x" * 5000, "more": {"Content-Type": "text/event-stream"}}, LimitExceeded),
    ],
)
def test_what_ends_it(facts, error):
    facts = {**facts, "status": list(facts.get("status", []))}
    with FileServer(**facts) as server, Session(env=False, limits=Limits().but(event=1000)) as session:
        if error is None:
            assert list(session.events(server.url)) == []
        else:
            with pytest.raises(error):
                list(session.events(server.url))


@pytest.mark.usefixtures("door", "quick")
def test_a_deadline_ends_it():
    kind = {"Content-Type": "text/event-stream"}
    seen: list[ServerSentEvent] = []
    with FileServer(b"data: a\n\n", more=kind) as server, Session(env=False) as session:
        with pytest.raises(TimeoutError), portico.timeout(0.3):
            seen.extend(session.events(server.url))
        assert seen


def test_events_are_awaited(quick):
    kind = {"Content-Type": "text/event-stream"}

    async def main() -> list[str]:
        async with aio.Session(env=False) as session:
            found = []
            stream = session.events(server.url)
            async for event in stream:
                found.append(event.data)
                if len(found) == 3:
                    break
            await stream.aclose()
            return found

    with FileServer(b"data: a\n\ndata: b\n\n", more=kind) as server:
        assert asyncio.run(main()) == ["a", "b", "a"]


def test_the_json_of_an_event():
    assert ServerSentEvent("message", '{"a": 1}').json() == {"a": 1}


@pytest.mark.parametrize(
    ("pause", "failures", "longest"), [(3.0, 1, 6.0), (3.0, 5000, 60.0), (0.0, 1, 0.2), (0.0, 5000, 60.0)]
)
def test_pauses_grow_to_a_bound(pause, failures, longest):
    assert _longer(pause, failures) == longest


def test_an_answer_that_says_no_passes_whatever_the_session_checks(monkeypatch):
    monkeypatch.setattr(sse, "_RETRY", 0.01)
    asked = []

    def app(environ, start_response):
        asked.append([environ.get("HTTP_ACCEPT"), environ.get("HTTP_CACHE_CONTROL")])
        start_response("503 No" if len(asked) < 3 else "200 OK", [("Content-Type", "text/event-stream")])
        return [b"data: here\n\n"]

    with Session(app=app, check=False) as session:
        events = session.events(
            "http://x.test/", headers={"accept": "*/*", "CACHE-CONTROL": "x"}, check=False
        )
        assert next(events).data == "here"
        events.close()
    assert asked == [["text/event-stream", "no-store"]] * 3


def test_it_waits_as_long_as_the_server_asks_and_for_names_that_may_be_found_later(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(sse, "sleep", slept.append)
    asked = Asked("GET", "http://x.test/")
    offline = ResolveError("not now")
    offline.temporary = True
    script = [(429, "40"), offline, (503, "7201"), ResolveError("no such name")]

    def ask(url, **options):
        step = script.pop(0)
        if isinstance(step, Exception):
            raise step
        raise HTTPError("no", Answer(asked, step[0], "", [("retry-after", step[1])], None))

    with pytest.raises(HTTPError):
        next(sse.events(ask, "http://x.test/"))
    assert slept[0] == 40
    assert len(slept) == 2
    with pytest.raises(ResolveError):
        next(sse.events(ask, "http://x.test/"))


def test_a_line_that_comes_byte_by_byte_is_looked_at_once():
    parser = EventParser(limit=1 << 20)
    line = b"data: " + b"x" * 200_000
    assert [event for at in range(len(line)) for event in parser.feed(line[at : at + 1])] == []
    assert [len(event.data) for event in parser.feed(b"\r\n\n")] == [200_000]


EVENT_SOURCE = """
(many) => Promise.all([...Array(many).keys()].map(number => new Promise(done => {
    const heard = [], source = new EventSource(`/${number}`);
    for (const kind of ["message", "x", "z"])
        source.addEventListener(kind, event => heard.push([event.type, event.data, event.lastEventId]));
    source.onerror = () => { source.close(); done(heard); };
})))
"""


def test_streams_are_parsed_as_chromium_parses_them():
    sync_api = need_module("playwright.sync_api")

    def app(environ, start_response):
        number = environ["PATH_INFO"][1:]
        start_response("200 OK", [("Content-Type", "text/event-stream" if number.isdigit() else "text/html")])
        return [TABLE[int(number)][0] if number.isdigit() else b"<!doctype html>"]

    with portico.Server(app, "http://127.0.0.1:0") as server, sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.addresses[0].port}/page")
        heard = page.evaluate(EVENT_SOURCE, len(TABLE))
        browser.close()
    for (stream, _), events in zip(TABLE, heard, strict=True):
        assert parsed(stream) == [tuple(event) for event in events], stream
