"""The cache of a session, in front of real servers: nginx, and our own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from portico.client.cache import Cache
from portico.client.retries import Retry
from portico.client.session import Session
from portico.engines.run import run
from portico.errors import ConnectError, EndOfStream, HTTPError
from portico.server import Server
from portico.sockets.stream import Stream
from portico.sync import TaskGroup
from tests.peers import need

pytestmark = pytest.mark.usefixtures("no_leaks")

CONFIG = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 64; }}
http {{
  types {{ text/plain txt; }} access_log access.log; gzip on; gzip_types text/plain; gzip_min_length 10;
  gzip_vary on; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t;
  scgi_temp_path t;
  server {{ listen unix:{folder}/n.sock; root {folder}/root;
    location /fresh/ {{ expires 1h; }}
    location /ask/ {{ expires -1; }}
    location /never/ {{ add_header Cache-Control no-store; }}
    location /moved {{ expires 1h; return 301 http+unix://{quoted}/fresh/a.txt; }}
  }}
}}
"""
TEXT = b"some words, " * 10_000


class Nginx:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = f"http+unix://{quote(str(folder / 'n.sock'), safe='')}"

    def asked(self) -> list[str]:
        """Method, target and status of what has come since the last time."""
        log = self.folder / "access.log"
        until, before = time.monotonic() + 5, b""
        while time.monotonic() < until:  # lines are written when an answer has left
            time.sleep(0.02)
            if (text := log.read_bytes()) == before:
                break
            before = text
        os.truncate(log, 0)
        return [
            " ".join((*line.split()[5:7], line.split()[8])).replace('"', "")
            for line in text.decode().splitlines()
        ]


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "logs").mkdir()
    for name in ("fresh", "ask", "never"):
        (folder / "root" / name).mkdir(parents=True)
        (folder / "root" / name / "a.txt").write_bytes(TEXT)
    quoted = quote(str(folder / "n.sock"), safe="")
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, quoted=quoted, user=user))
    command = [need("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 20
        while not (folder / "n.sock").exists() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        try:
            assert process.poll() is None
            yield Nginx(folder)
        finally:
            process.terminate()


@pytest.fixture(params=["memory", "disk"])
def cache(request, tmp_path) -> Iterator[Cache]:
    with Cache(tmp_path / "c.db" if request.param == "disk" else None) as cache:
        yield cache


def test_nginx_is_asked_once_while_its_answer_is_fresh(nginx, cache):
    with Session(base_url=nginx.base, cache=cache) as session:
        got = [session.get("/fresh/a.txt") for _ in range(3)]
    assert [each.cache_status for each in got] == ["miss", "hit", "hit"]
    assert all(each.content == TEXT and each.headers["content-encoding"] == "gzip" for each in got)
    assert nginx.asked() == ["GET /fresh/a.txt 200"]
    assert 0 <= got[2].elapsed.total < 5


def test_nginx_confirms_what_it_wants_to_be_asked_for(nginx, cache):
    with Session(base_url=nginx.base, cache=cache) as session:
        got = [session.get("/ask/a.txt") for _ in range(3)]
        (nginx.folder / "root/ask/a.txt").write_bytes(b"others")
        got.append(session.get("/ask/a.txt"))
        (nginx.folder / "root/ask/a.txt").write_bytes(TEXT)
    assert [each.cache_status for each in got] == ["miss", "revalidated", "revalidated", "miss"]
    assert [each.content for each in got] == [TEXT, TEXT, TEXT, b"others"]
    assert nginx.asked() == [f"GET /ask/a.txt {status}" for status in (200, 304, 304, 200)]


def test_each_coding_is_kept_apart(nginx, cache):
    with Session(base_url=nginx.base, cache=cache) as session:
        for status in ("miss", "hit"):
            plain = session.get("/fresh/a.txt", headers={"Accept-Encoding": "identity"})
            packed = session.get("/fresh/a.txt", headers={"Accept-Encoding": "gzip"})
            assert (plain.cache_status, packed.cache_status) == (status, status)
            assert ("content-encoding" in plain.headers, "content-encoding" in packed.headers) == (
                False,
                True,
            )
            assert plain.content == packed.content == TEXT
    nginx.asked()


def test_a_redirect_is_kept_and_followed(nginx, cache):
    with Session(base_url=nginx.base, cache=cache) as session:
        for status in ("miss", "hit"):
            got = session.get("/moved")
            assert [each.cache_status for each in (*got.history, got)] == [status, status]
            assert got.content == TEXT
    assert nginx.asked() == ["GET /moved 301", "GET /fresh/a.txt 200"]


def test_what_must_not_be_kept_is_not_and_no_cache_is_asked_for_none(nginx, cache):
    with Session(base_url=nginx.base, cache=cache) as session:
        assert [session.get("/never/a.txt").cache_status for _ in range(2)] == ["miss", "miss"]
        assert [session.get("/fresh/a.txt", cache=None).cache_status for _ in range(2)] == [None, None]
    nginx.asked()


def test_only_if_cached_is_504_and_is_not_tried_again(nginx, cache):
    with Session(base_url=nginx.base, cache=cache, retry=5) as session, pytest.raises(HTTPError, match="504"):
        session.get("/fresh/a.txt", headers={"Cache-Control": "only-if-cached"})
    assert nginx.asked() == []


def test_a_session_opens_and_closes_the_cache_that_it_is_given_by_path(nginx, tmp_path):
    for status in ("miss", "hit"):
        with Session(base_url=nginx.base, cache=tmp_path / "c.db") as session:
            assert session.get("/fresh/a.txt").cache_status == status
    nginx.asked()


class Application:
    """Counts its requests; ``fails``: so many of the next ones are refused."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails = 0
        self.control = "max-age=3600"

    def __call__(self, environ, start_response):
        self.asked.append(environ["REQUEST_METHOD"])
        if self.fails:
            self.fails -= 1
            start_response("503 Busy", [("Retry-After", "0")])
            return [b"busy"]
        fields = [("Cache-Control", self.control), ("Set-Cookie", f"n={len(self.asked)}"), ("ETag", '"1"')]
        if environ.get("HTTP_IF_NONE_MATCH") == '"1"':
            start_response("304 Not Modified", fields)
            return []
        start_response("200 OK", fields)
        return [b"some ", b"body"]


def test_retries_go_on_until_the_server_answers_and_the_answer_is_kept(cache):
    application = Application()
    application.fails = 2
    with Server(application, "http://127.0.0.1:0") as server, Session(cache=cache, retry=3) as session:
        got = [session.get(str(server.addresses[0])) for _ in range(2)]
    assert [(each.status, each.content, each.cache_status) for each in got] == [
        (200, b"some body", "miss"),
        (200, b"some body", "hit"),
    ]
    assert application.asked == ["GET"] * 3


def test_an_answer_that_is_cut_is_asked_for_again_and_kept_when_it_is_whole(cache):
    asked = []

    def cut_once(stream: Stream) -> None:
        while stream.read_line().strip():
            pass
        asked.append(stream)
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 400000\r\n\r\n"
        stream.write(head + bytes(400_000 if len(asked) > 1 else 300_000))

    with Server(cut_once, "tcp://127.0.0.1:0") as server, Session(cache=cache) as session:
        url = str(server.addresses[0]).replace("tcp", "http")
        with pytest.raises(EndOfStream) as caught:
            session.get(url)
        assert len(caught.value.partial) == 300_000
        asked.clear()
        got = [session.get(url, retry=Retry(base=0.01)) for _ in range(2)]
    assert [(each.cache_status, len(each.content)) for each in got] == [("miss", 400_000), ("hit", 400_000)]
    assert len(asked) == 2


def test_a_post_is_not_repeated_but_with_a_key(cache):
    application = Application()
    with Server(application, "http://127.0.0.1:0") as server, Session(retry=3, check=False) as session:
        url = str(server.addresses[0])
        for headers, tries in (({}, 1), ({"Idempotency-Key": "1"}, 2)):
            application.fails, application.asked = 1, []
            status = session.post(url, b"x", headers=headers)
            assert (status.status, len(application.asked)) == (503 if tries == 1 else 200, tries)


def test_cookies_are_taken_when_they_come_and_not_again_from_the_cache(cache):
    application = Application()
    application.control = "no-cache"
    with Server(application, "http://127.0.0.1:0") as server, Session(cache=cache) as session:
        url = str(server.addresses[0])
        got = [session.get(url) for _ in range(3)]
        assert session.cookies["n"] == "3"
    assert [each.cache_status for each in got] == ["miss", "revalidated", "revalidated"]


def test_who_is_asked_in_the_background_is_let_go_when_the_session_is_closed(cache):
    application = Application()
    application.control = "max-age=0, stale-while-revalidate=60"
    asked, answered = threading.Event(), threading.Event()

    def slow(environ, start_response):
        if application.asked:
            asked.set()
            answered.wait(20)
        return application(environ, start_response)

    with Server(slow, "http://127.0.0.1:0") as server:
        began = time.monotonic()
        with Session(cache=cache) as session:
            got = [session.get(str(server.addresses[0])) for _ in range(3)]
            assert asked.wait(10)
            background = session._carrier._background
            (task,) = background._tasks.values()
        assert task.done
        assert not background._tasks
        assert time.monotonic() - began < 15
        answered.set()
    assert [each.cache_status for each in got] == ["miss", "stale", "stale"]


def test_a_server_that_is_gone_is_stood_in_for_where_it_allowed_that(cache):
    application = Application()
    application.control = "max-age=0, stale-if-error=60"
    with Session(cache=cache) as session:
        with Server(application, "http://127.0.0.1:0") as server:
            url = str(server.addresses[0])
            assert session.get(url).cache_status == "miss"
        assert session.get(url).cache_status == "stale"
        with pytest.raises(ConnectError):
            session.get(f"{url}/other")


def test_an_abandoned_stream_is_not_kept(nginx, cache):
    with Session(base_url=nginx.base, cache=cache) as session:
        plain = {"Accept-Encoding": "identity"}
        with session.get("/fresh/a.txt", headers=plain, stream=True) as response:
            assert response.read(10) == TEXT[:10]
        assert session.get("/fresh/a.txt", headers=plain).cache_status == "miss"
        with session.get("/fresh/a.txt", headers=plain, stream=True) as response:
            assert (response.cache_status, response.read(10)) == ("hit", TEXT[:10])
    nginx.asked()


def test_on_a_hub_many_use_one_cache(nginx, cache):
    def program() -> list[str | None]:
        with Session(base_url=nginx.base, cache=cache) as session, TaskGroup(limit=8) as group:
            got = group.map(session.get, ["/fresh/a.txt"] * 40)
            assert all(each.content == TEXT for each in got)
            return [each.cache_status for each in got]

    statuses = run(program)
    assert set(statuses) == {"miss", "hit"}
    assert statuses.count("miss") <= 8
    nginx.asked()
