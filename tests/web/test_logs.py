"""The access log: what its lines say, whoever writes into them; that nobody waits for it; rotation."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.http.redispatch import redispatch
from portico.server import Server
from portico.web.log_lines import escaped
from portico.web.log_writer import LineWriter
from portico.web.logs import AccessLog, told_to
from portico.web.mounts import Mounts
from portico.web.proxy import Proxy
from portico.web.request_ids import RequestIds, request_id
from portico.web.wsgi import WSGI
from tests.http.served import Client, Gate, get, post, serving
from tests.web.proxy.upstreams import Scripted, keeping, whole

pytestmark = pytest.mark.usefixtures("no_leaks")

COMBINED = re.compile(
    r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
    r'"(.*)" (\d{3}) (\d+|-) "(.*)" "(.*)"'
)


def answer(exchange: Exchange) -> None:
    exchange.body.read()
    exchange.respond(int(exchange.query or "200"), [], b"12345")


@pytest.fixture
def log(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[AccessLog]:
    made = AccessLog(tmp_path / "access.log", **getattr(request, "param", {}))
    yield made
    made.close()


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "access.log").read_text(encoding="utf-8").splitlines()


def logging_server(log: Any, handler: Any = None, **options: Any) -> Server:
    server = serving(handler or Gate(answer), **options)
    server.access = log
    return server


def asked(log: AccessLog, *raw: bytes, method: str = "GET", **options: Any) -> None:
    with logging_server(log, **options) as server, Client(server) as client:
        for each in raw:
            client.ask(each, method)
    log.flush()


def app(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [])
    return [b"ok"]


wsgi_app = WSGI(app)


# -- formats


@pytest.mark.parametrize("engine", ["inline", "threads", "events"])
def test_combined_lines_can_be_read_as_everybodys(log: AccessLog, engine: str, tmp_path: Path) -> None:
    asked(log, get("/a?200", "Referer: http://x/", "User-Agent: curl"), get("/b?404"), engine=engine)
    assert [COMBINED.fullmatch(line).groups() for line in lines(tmp_path)] == [  # type: ignore[union-attr]
        ("GET /a?200 HTTP/1.1", "200", "5", "http://x/", "curl"),
        ("GET /b?404 HTTP/1.1", "404", "5", "-", "-"),
    ]


@pytest.mark.parametrize("log", [{"format": "common"}], indirect=True)
def test_common_lines_end_with_the_size(log: AccessLog, tmp_path: Path) -> None:
    asked(log, get("/", method="HEAD"), method="HEAD")
    assert lines(tmp_path)[0].endswith('] "HEAD / HTTP/1.1" 200 -')


@pytest.mark.parametrize("log", [{"format": "json", "more": {"engine": "threads"}}], indirect=True)
def test_json_lines_say_all(log: AccessLog, tmp_path: Path) -> None:
    asked(log, post(b"body", "/x?201", "User-Agent: caf\xc3\xa9", "Referer: \xff"))
    first = json.loads(lines(tmp_path)[0])
    assert 0 <= first.pop("duration") < 20
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    assert first.pop("port") > 0
    assert first == {
        "method": "POST", "target": "/x?201", "protocol": "HTTP/1.1", "scheme": "http", "host": "test",
        "status": 201, "bytes_in": 4, "bytes_out": 5, "peer": "127.0.0.1", "user": None, "user_agent": "café",
        "referer": "ÿ", "mount": "/", "tls": None, "request_id": None, "engine": "threads",
    }  # fmt: skip


@pytest.mark.parametrize("log", [{}, {"format": "json"}], indirect=True, ids=["combined", "json"])
def test_what_could_not_be_read_has_a_line_too(log: AccessLog, tmp_path: Path) -> None:
    asked(log, get("/?200"), b"GET /no-host HTTP/1.1\r\n\r\n")
    line = lines(tmp_path)[1]
    if line.startswith("{"):
        facts = json.loads(line)
        assert (facts["method"], facts["target"], facts["mount"], facts["status"]) == (None, None, None, 400)
        assert (facts["peer"], facts["duration"] < 20) == ("127.0.0.1", True)
    else:
        assert '] "-" 400 ' in line


@pytest.mark.parametrize("log", [{"format": "json"}], indirect=True)
def test_a_proxied_request_says_who_answered_and_how_fast(log: AccessLog, tmp_path: Path) -> None:
    with Scripted(keeping(whole())) as up:
        proxy = Proxy(up.url)
        server = Server(Mounts([("/app", proxy)]), "http://127.0.0.1:0")
        server.access = log
        with server, Client(server) as client:
            client.ask(get("/app/x"))
        log.flush()
        proxy.close()
        line = json.loads(lines(tmp_path)[0])
        assert (line["upstream"], line["mount"]) == (up.url, "/app")
        assert 0 < line["upstream_time"] <= line["duration"]


HOSTILE = ["\x1b[2J", 'a" 200 5 "', "\\", "\xc3\xa4\xff", "tab\there"]


@pytest.mark.parametrize("log", [{}, {"format": "json"}], indirect=True, ids=["combined", "json"])
def test_nobody_writes_lines_of_his_own(log: AccessLog, tmp_path: Path) -> None:
    for text in HOSTILE:
        if "\x1b" not in text:
            asked(log, get("/", f"User-Agent: {text}", f"Referer: {text}"))
    raw = (tmp_path / "access.log").read_bytes()
    assert raw.count(b"\n") == len(HOSTILE) - 1
    assert all(byte in b"\n" or 0x20 <= byte < 0x7F for byte in raw)
    for line in raw.decode().splitlines():
        assert line.startswith("{") or COMBINED.fullmatch(line)


def test_whatever_is_written_is_printable() -> None:
    every = "".join(map(chr, range(256))) + "\u2028\udc80\U0001f600"
    assert re.fullmatch(r"[ -~]*", escaped(every))
    assert escaped('a"b\\c\n\x00\x7f\xe9') == r"a\"b\\c\n\x00\x7f\xe9"
    assert escaped("plain text") == "plain text"


@pytest.mark.parametrize("log", [{"sample": 0.5}], indirect=True)
def test_a_sample_has_its_share_and_all_that_failed(log: AccessLog, tmp_path: Path) -> None:
    asked(log, *[get("/?200")] * 200, *[get("/?500")] * 20)
    found = [line.split('" ')[1][:3] for line in lines(tmp_path)]
    assert found.count("500") == 20
    assert 40 < found.count("200") < 160


def test_several_may_be_told() -> None:
    told: list[Any] = []
    hook = told_to(lambda exchange, seconds: told.append(1), lambda exchange, seconds: told.append(2))
    with logging_server(hook) as server, Client(server) as client:
        client.ask(get())
        client.ask(get())
    assert told[:2] == [1, 2]


@pytest.mark.parametrize("options", [{"format": "xml"}, {"sample": 0}, {"sample": 2}, {"queue": 0}])
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        AccessLog(tmp_path / "x", **options)


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "log"):
        with pytest.raises(ConfigError, match="cannot be written"):
            AccessLog(path)


# -- writing


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_lines_are_written_soon_without_being_asked_for(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "access.log")
    for number in range(3):
        writer.put(str(number))
        until(lambda wanted=number + 1: len(lines(tmp_path)) == wanted)
    writer.close()
    writer.put("late")
    assert (lines(tmp_path), writer.dropped) == (["0", "1", "2"], 1)
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o640


def test_a_reader_that_is_stuck_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full pipe: lines wait, within bounds, then are dropped and counted."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    writer = LineWriter(tmp_path / "pipe", size=100)
    began = time.monotonic()
    for _ in range(20_000):
        writer.put("x" * 1000)
    assert time.monotonic() - began < 5
    assert writer.dropped > 19_000
    drained: list[bytes] = []

    def drain() -> None:
        while not stop.is_set() or drained[-1:] != [b""]:
            try:
                drained.append(os.read(reader, 1 << 20))
            except BlockingIOError:
                time.sleep(0.005)
                if stop.is_set():
                    return

    stop = threading.Event()
    thread = threading.Thread(target=drain)
    thread.start()
    writer.close()
    stop.set()
    thread.join()
    os.close(reader)
    whole_lines = b"".join(drained).split(b"\n")
    assert set(whole_lines) == {b"x" * 1000, b""}
    assert "were dropped" in caplog.text


def test_a_program_ends_although_nobody_reads_its_log(tmp_path: Path) -> None:
    program = """
import os, sys
from portico.web.log_writer import LineWriter
reading, writing = os.pipe()
writer = LineWriter(f"/proc/self/fd/{writing}")
for _ in range(1000):
    writer.put("x" * 1000)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_log_that_was_moved_goes_on_in_a_new_file(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "access.log")
    for name in ("old.1", "old.2"):
        writer.put(name)
        writer.flush()
        (tmp_path / "access.log").rename(tmp_path / name)
    writer.put("new")
    writer.close()
    assert [(tmp_path / name).read_text() for name in ("old.1", "old.2", "access.log")] == [
        "old.1\n",
        "old.2\n",
        "new\n",
    ]


def test_many_threads_and_processes_write_whole_lines(tmp_path: Path) -> None:
    program = """
import sys, threading
from portico.web.log_writer import LineWriter
writer = LineWriter(sys.argv[1], size=100000)
def write(name):
    for number in range(500):
        writer.put(f"{name}-{number}-" + "x" * 200)
threads = [threading.Thread(target=write, args=(sys.argv[2] + str(each),)) for each in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    log = tmp_path / "access.log"
    running = [subprocess.Popen([sys.executable, "-c", program, str(log), name]) for name in "ab"]
    assert [process.wait(timeout=50) for process in running] == [0, 0]
    found = lines(tmp_path)
    assert len(found) == len(set(found)) == 4000  # those that waited at the end included
    assert all(re.fullmatch(r"[ab][0-3]-\d+-x{200}", line) for line in found)


@pytest.mark.parametrize("engine", ["workers:2/threads", "forks:4"])
def test_processes_of_a_server_write_to_the_same_log(engine: str, tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.log")
    with logging_server(log, wsgi_app, engine=engine) as server:
        for number in range(8):
            with Client(server) as client:
                client.ask(get(f"/{number}"))
    until(lambda: len(lines(tmp_path)) == 8)
    log.close()
    assert {line.split()[6] for line in lines(tmp_path)} == {f"/{number}" for number in range(8)}


# -- request ids


def identified(*trusted: str, handler: Any = None) -> Server:
    handler = handler or Gate(named)
    server = Server(handler, "http://127.0.0.1:0") if isinstance(handler, Mounts) else serving(handler)
    server.request_ids = RequestIds(trusted)
    return server


def named(exchange: Exchange) -> None:
    logging.getLogger("app").warning("working")
    if exchange.path == "/fail":
        raise ValueError("broken")
    exchange.respond(200, [("X-Request-ID", "mine")], request_id.get().encode())


def test_every_request_has_a_name_that_all_see(caplog: pytest.LogCaptureFixture) -> None:
    with identified() as server, Client(server) as client:
        answers = [client.ask(get("/", "X-Request-ID: chosen")) for _ in range(3)]
        names = {answer["x-request-id"] for answer in answers}
        assert len(names) == 3
        assert all(re.fullmatch("[0-9a-f]{32}", name or "") for name in names)
        assert [answer.body.decode() for answer in answers] == [answer["x-request-id"] for answer in answers]
        failed = client.ask(get("/fail"))
        assert failed.status == 500
        assert failed["x-request-id"]
        assert failed["x-request-id"] in caplog.text
    assert request_id.get() == ""


def test_a_name_is_taken_from_who_is_trusted_if_it_is_one() -> None:
    with identified("127.0.0.1") as server, Client(server) as client:
        assert client.ask(get("/", "X-Request-ID: abc-1"))["x-request-id"] == "abc-1"
        for bad in ("a b", "x" * 129, "", "a\tb"):
            assert client.ask(get("/", f"X-Request-ID: {bad}"))["x-request-id"] not in (
                bad,
                bad.strip(),
                None,
            )


def test_an_upstream_gets_the_name_too() -> None:
    with Scripted(keeping(whole(b"", "200 OK", "X-Request-ID: other"))) as up:
        proxy = Proxy(up.url)
        with identified(handler=proxy) as server, Client(server) as client:
            name = client.ask(get("/", "X-Request-ID: chosen"))["x-request-id"]
        proxy.close()
        assert f"X-Request-ID: {name}\r\n".encode() in up.heads[0]
        assert b"chosen" not in up.heads[0]


def test_a_request_that_is_answered_as_another_keeps_its_name() -> None:
    names = []

    def moved(exchange: Exchange) -> None:
        names.append(request_id.get())
        if exchange.path == "/":
            redispatch(exchange, "/elsewhere")
        else:
            named(exchange)

    with identified(handler=Gate(moved)) as server, Client(server) as client:
        answer = client.ask(get("/"))
    assert names == [answer["x-request-id"]] * 2 == [answer.body.decode()] * 2


def test_what_no_mount_answers_has_a_name_too() -> None:
    with identified(handler=Mounts([("/here", Gate(named))])) as server, Client(server) as client:
        for request in (get("/there"), b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"):
            assert re.fullmatch("[0-9a-f]{32}", client.ask(request)["x-request-id"] or "")


def test_mounts_of_before_a_reload_are_not_kept() -> None:
    mounts = Mounts([("/", Gate(named))])
    with identified(handler=mounts) as server, Client(server) as client:
        client.ask(get("/"))
        before = weakref.ref(next(iter(mounts)))
        mounts.become(Mounts([("/", Gate(named))]))
        client.ask(get("/"))
        until(lambda: gc.collect() is not None and before() is None)


def test_networks_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="request ids"):
        RequestIds(["x"])
