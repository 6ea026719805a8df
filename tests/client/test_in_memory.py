"""Applications in memory: ASGI on the loop of who asks or on one of their own, all others in threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import portico
from portico import aio
from portico.client.session import Session
from portico.errors import ConfigError, ConnectError, ConnectionLost, HTTPError, LocalProtocolError, Timeout
from portico.sync import Event, TaskGroup
from tests.client.places import app as wsgi_app
from tests.peers import root

pytestmark = [pytest.mark.usefixtures("door"), pytest.mark.timeout(30)]

LARGE = bytes(range(256)) * 4_000


class App:
    """An ASGI application written by hand: what it does is in the path, what it was told is kept."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.threads: set[int] = set()
        self.ended: list[str] = []
        self.told = Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.threads.add(threading.get_ident())
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
            return
        name = scope["path"].split("/")[1]
        try:
            await getattr(self, name)(scope, receive, send)
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        finally:
            self.ended.append(name)

    async def live(self, scope: Any, receive: Any, send: Any) -> None:
        while True:
            event = (await receive())["type"]
            self.heard.append(event)
            scope["state"]["born"] = True
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    async def scope(self, scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1"), (b"X-A", b"2")]}
        )
        await send({"type": "http.response.body", "body": repr(scope).encode()})

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        """Piece for piece, while they come."""
        await send({"type": "http.response.start", "status": 200})
        more = True
        while more:
            event = await receive()
            more = event["more_body"]
            await send({"type": "http.response.body", "body": event["body"], "more_body": more})

    async def whole(self, scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 201,
                "headers": [(b"transfer-encoding", b"chunked"), (b"connection", b"close")],
            }
        )
        await send({"type": "http.response.body", "body": LARGE})

    async def endless(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
        except OSError:
            self.heard.append("lost")
            self.told.set()
            raise

    async def patient(self, scope: Any, receive: Any, send: Any) -> None:
        """Waits until the client has gone."""
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"here", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.heard.append("gone")
        self.told.set()

    async def busy(self, scope: Any, receive: Any, send: Any) -> None:
        """Goes on after its answer."""
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": LARGE})
        assert (await receive())["type"] == "http.disconnect"  # it has nothing more to read
        if scope["query_string"] == b"forever":
            await asyncio.Event().wait()
        self.heard.append("done")
        self.told.set()

    async def sleep(self, scope: Any, receive: Any, send: Any) -> None:
        self.told.set()
        await asyncio.sleep(60)

    async def trailers(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"7")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-end", b"8")]})

    async def raises(self, scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("before the answer")

    async def stops(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async def silent(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    async def wrong(self, scope: Any, receive: Any, send: Any) -> None:
        for number, message in enumerate(WRONG):
            try:
                await send(message)
            except LocalProtocolError as error:
                self.heard.append(f"{number} {error}")
        await send({"type": "http.response.start", "status": 200})
        with contextlib.suppress(LocalProtocolError):
            await send({"type": "http.response.start", "status": 500})
        await send({"type": "http.response.body", "body": b"right"})
        with contextlib.suppress(LocalProtocolError):
            await send({"type": "http.response.body", "body": b" and wrong"})


WRONG: list[dict[str, Any]] = [
    {"type": "http.response.body", "body": b"early"},
    {"type": "websocket.accept"},
    {"type": "http.response.start", "status": "200"},
    {"type": "http.response.start", "status": 200, "headers": [("a", "b")]},
    {"type": "http.response.trailers"},
]


@pytest.fixture
def app() -> App:
    return App()


def session(app: Any, **options: Any) -> Session:
    return Session(app=app, base_url="http://test/", env=False, timeout=20, **options)


def until(what: Any) -> None:
    with portico.timeout(10):
        while not what():
            portico.sync.sleep(0.01)


# -- what an application is told, and what becomes of what it says


def test_a_scope_tells_of_the_request(app):
    with session(app) as one:
        answer = one.get("scope/a%20b%C3%A9%2F/c?d=%20", headers={"X-B": "é"})
        scope = eval(answer.text)
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (scope["type"], scope["http_version"], scope["method"]) == ("http", "1.1", "GET")
    assert (scope["path"], scope["raw_path"]) == ("/scope/a bé//c", b"/scope/a%20b%C3%A9%2F/c")
    assert (scope["query_string"], scope["root_path"], scope["scheme"]) == (b"d=%20", "", "http")
    assert scope["client"] == ("127.0.0.1", 0)
    headers = dict(scope["headers"])
    assert headers[b"host"] == b"test"
    assert headers[b"x-b"] in ("é".encode("latin-1"), "é".encode())
    assert scope["state"] == {"born": True}
    assert answer.headers.all("x-a") == ["1", "2"]


def test_the_scheme_is_that_of_the_url_for_every_kind_of_application(app):
    def told(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['wsgi.url_scheme']} {environ['REMOTE_ADDR']} {environ['HTTP_HOST']}".encode()]

    with session(app) as one:
        assert eval(one.get("https://test/scope").text)["scheme"] == "https"
        assert eval(one.get("http://test/scope").text)["scheme"] == "http"
    with session(told) as one:
        assert one.get("https://a.test/").text == "https 127.0.0.1 a.test"
        assert one.get("http://a.test/").text == "http 127.0.0.1 a.test"


def test_bodies_stream_both_ways(app):
    with session(app) as one:
        assert one.post("echo", LARGE).content == LARGE
        assert one.post("echo", iter([b"one", b"", b"two"])).content == b"onetwo"
        assert one.get("echo").content == b""
        answer = one.get("whole")
        assert (answer.status, answer.content) == (201, LARGE)
        assert answer.headers["content-length"] == str(len(LARGE))
        assert one.head("whole").headers["content-length"] == str(len(LARGE))


def test_an_answer_comes_while_the_body_still_goes(app):
    """Nothing gathers: the second piece is sent when the first has come back."""
    seen = Event()

    def pieces():
        yield b"a" * 1000
        seen.wait()
        yield b"b"

    with session(app) as one, TaskGroup() as group:
        task = group.start(lambda: one.post("echo", pieces(), stream=True))
        until(lambda: "echo" in app.ended or task.done or app.threads)
        seen.set()
        with task.join() as answer:
            assert answer.read() == b"a" * 1000 + b"b"


def test_trailers_and_early_hints(app):
    with session(app) as one:
        answer = one.get("trailers", headers={"TE": "trailers"})
        assert answer.content == b"body"
        assert dict(answer.trailers) == {"x-sum": "7", "x-end": "8"}
        assert one.get("trailers").content == b"body"


def test_what_does_not_fit_is_refused(app):
    with session(app) as one:
        assert one.get("wrong").text == "right"
    refused = [line.partition(" ")[0] for line in app.heard if line[0].isdigit()]
    assert refused == ["0", "1", "2", "3", "4"]


# -- what fails


def test_what_an_application_raises_is_a_500(app):
    with session(app) as one:
        for path in ("raises", "silent"):
            with pytest.raises(HTTPError) as caught:
                one.get(path)
            assert caught.value.response.status == 500
        assert one.post("echo", b"still here").content == b"still here"


def test_an_answer_that_is_not_ended_is_cut(app):
    with session(app) as one:
        with pytest.raises(ConnectionLost):
            one.get("stops")
        assert one.post("echo", b"on").content == b"on"


def test_a_client_that_goes_is_noticed(app):
    with session(app) as one:
        with one.get("endless", stream=True) as answer:
            assert answer.read(10) == bytes(10)
        until(app.told.is_set)
        assert app.heard[-1] == "lost"
        app.told = Event()
        with one.get("patient", stream=True) as answer:
            assert answer.read(4) == b"here"
        until(app.told.is_set)
        assert app.heard[-1] == "gone"


def test_a_deadline_ends_the_wait_and_the_end_calls_the_application_off(app):
    with session(app) as one:
        with pytest.raises(Timeout):
            one.get("sleep", timeout=0.1)
        assert one.post("echo", b"on").content == b"on"
        assert "sleep" not in app.ended
    assert app.ended[-2:] == ["sleep cancelled", "sleep"]


# -- how long it lives


def test_an_application_starts_once_and_shuts_down_at_the_end(app):
    with session(app) as one:
        assert app.heard == []
        with TaskGroup() as group:
            tasks = [group.start(one.post, "echo", str(number)) for number in range(40)]
        assert [task.join().text for task in tasks] == [str(number) for number in range(40)]
        assert app.heard == ["lifespan.startup"]
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]
    assert len(app.threads) == 1


def test_it_goes_on_after_its_answer_and_the_end_waits_for_it_a_while(app):
    with session(app) as one:
        assert one.post("busy", b"unread").content == LARGE
        assert one.post("busy?forever", b"unread").content == LARGE
    assert app.heard == ["lifespan.startup", "done", "lifespan.shutdown"]
    assert "busy cancelled" in app.ended


def test_one_that_cannot_start_says_why():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with session(app) as one:
        for _ in range(2):
            with pytest.raises(ConnectError, match="the application did not start: no database"):
                one.get("/")


def test_one_without_a_lifespan_lives_all_the_same():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    with session(app) as one:
        assert one.get("/").status == 204


def test_a_session_that_ends_in_mid_answer_ends_the_application(app):
    with session(app) as one:
        answer = one.get("endless", stream=True)
    assert "endless" in app.ended
    with pytest.raises(ConnectionLost):
        answer.read()
    answer.close()


def test_it_lives_on_the_loop_of_who_asks(app, door):
    with session(app) as one:
        one.get("scope")
    assert (threading.get_ident() in app.threads) == (door == "aio")


def test_a_deadline_bounds_the_start_and_the_end_calls_it_off():
    ended = Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    with session(app) as one, pytest.raises(Timeout):
        one.get("/", timeout=0.1)
    until(ended.is_set)


def test_a_coroutine_of_one_argument_is_refused():
    async def handler(request: Any) -> str:
        return "no"

    with pytest.raises(ConfigError, match="async"):
        session(handler).get("/")


# -- loops and processes


def on_plain_threads(door: str) -> bool:
    """Whether a test may make loops and processes of its own."""
    return door == "threads"


def test_each_loop_has_a_life_of_its_own(app, door):
    if not on_plain_threads(door):
        return
    awaited = aio.Session(app=app, base_url="http://test/", env=False, timeout=20)

    async def ask() -> int:
        answers = await asyncio.gather(*(awaited.post("echo", str(number)) for number in range(20)))
        assert [answer.text for answer in answers] == [str(number) for number in range(20)]
        return (await awaited.get("scope")).status

    assert [asyncio.run(ask()) for _ in range(3)] == [200] * 3
    assert app.heard.count("lifespan.startup") == 3
    assert app.ended.count("echo") == 60
    asyncio.run(awaited.close())


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_fork_begins_anew(app, kind, door):
    if not on_plain_threads(door):
        return
    with session(app if kind == "asgi" else wsgi_app) as one:
        assert one.post("echo", b"parent").status == 200
        child = os.fork()
        if not child:
            status = 1
            try:
                assert one.post("echo", b"child").status == 200
                one.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert one.post("echo", b"parent").status == 200


# -- frameworks that we did not write


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import JSONResponse, StreamingResponse
    from starlette.routing import Route

    done: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        done.append("started")
        yield {"database": "open"}
        done.append("ended")

    async def upload(request: Request) -> Any:
        size = 0
        async for piece in request.stream():
            size += len(piece)
        return JSONResponse(
            {"size": size, "state": request.state.database, "client": request.client.host},
            background=BackgroundTask(done.append, "background"),
        )

    async def lines(request: Request) -> Any:
        async def made() -> AsyncIterator[str]:
            for number in range(int(request.query_params["count"])):
                yield f"{number}\n"
                await asyncio.sleep(0)

        return StreamingResponse(made(), media_type="text/plain")

    async def form(request: Request) -> Any:
        return JSONResponse(dict(await request.form()))

    routes = [
        Route("/upload", upload, methods=["POST"]),
        Route("/lines", lines),
        Route("/form", form, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.done = done
    return app


def test_starlette():
    app = starlette_app()
    with session(app) as one:
        told = one.post("upload", iter([LARGE, LARGE])).json()
        assert told == {"size": 2 * len(LARGE), "state": "open", "client": "127.0.0.1"}
        with one.get("lines?count=2000", stream=True) as answer:
            assert [int(line) for line in answer.iter_lines()] == list(range(2000))
        with one.get("lines?count=1000000000", stream=True) as answer:
            assert answer.readline() == b"0\n"
        assert one.get("nowhere", check=False).status == 404
    assert app.state.done == ["started", "background", "ended"]


def test_django(door):
    """In a process of its own: Django's settings are lazy, and answer whoever looks at them with an error."""
    program = [sys.executable, "-m", "tests.client.django_in_memory", door]
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "POST http Zoë 1 b c\nPOST https Zoë 1 b c\n",
        "",
    )
