"""CGI with real programs: what they may do, and what is done to those that misbehave."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

import psutil
import pytest

from portico.engines import door
from portico.errors import ConfigError, ConnectionLost, ProtocolError
from portico.http.exchange import CutAnswer
from portico.limits import Limits
from portico.web import cgi, cgi_process, cgi_pump
from portico.web.cgi import CGI
from tests.peers import need
from tests.web.recording import RecordingExchange

pytestmark = pytest.mark.usefixtures("no_leaks", "calm")

door.waiter()  # this thread's own, made at its first wait and kept: not a leak of the test that comes first


@pytest.fixture
def calm(monkeypatch, caplog):
    """Short graces, and all of the log."""
    monkeypatch.setattr(cgi_process, "KILL_AFTER", 0.3)
    monkeypatch.setattr(cgi_pump, "HOLD", 0.2)
    monkeypatch.setattr(cgi_pump, "_SLICE", 0.1)
    caplog.set_level(logging.DEBUG, "portico.cgi")


@pytest.fixture
def write(tmp_path):
    """Write a program and return its path: ``write("name", "echo hello")``."""

    def program(name, body, start="#!/bin/sh"):
        path = tmp_path / name
        path.write_text(f"{start}\n{body}\n")
        path.chmod(0o755)
        return path

    return program


@pytest.fixture
def python(write):
    return lambda name, body: write(name, body, f"#!{sys.executable}")


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def get(program, target="/", *args, method="GET", exchange=None, **options):
    exchange = exchange or RecordingExchange(method, target, *args)
    return exchange.run(CGI(program, **options))


ECHO = "import os, sys, shutil\nprint('Content-Type: text/plain\\n', flush=True)\n"
HELLO = "printf 'Content-Type: text/plain\\n\\nhello'"


# -- what programs may do


def test_a_program_answers(write):
    answer = get(write("run", HELLO))
    assert (answer.status, answer.sent) == (200, b"hello")
    assert answer.sent_headers == [("Content-Type", "text/plain")]


def test_the_environment_is_built_and_not_inherited(write, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    program = write("run", "printf 'Content-Type: text/plain\\n\\n'; env")
    headers = [("Proxy", "http://evil.example"), ("X_Real", "6.6.6.6"), ("X-Ok", "1"), ("Authorization", "x")]
    answer = get(program, "/p?a=b", headers, environ={"MORE": "1"}, pass_environ=("PATH",))
    names = {line.partition(b"=")[0] for line in answer.sent.splitlines()}
    assert names - {b"PWD", b"SHLVL", b"_", b"OLDPWD"} == {
        b"PATH", b"MORE", b"GATEWAY_INTERFACE", b"SERVER_SOFTWARE", b"SERVER_NAME", b"SERVER_PORT",
        b"SERVER_PROTOCOL", b"REQUEST_SCHEME", b"REQUEST_METHOD", b"REQUEST_URI", b"QUERY_STRING",
        b"SCRIPT_NAME", b"SCRIPT_FILENAME", b"PATH_INFO", b"PATH_TRANSLATED", b"REMOTE_ADDR",
        b"REMOTE_PORT", b"HTTP_X_OK",
    }  # fmt: skip


def test_a_query_never_becomes_arguments(write):
    program = write("run", "printf 'Content-Type: text/plain\\n\\n'; echo \"$# $*\"")
    assert get(program, "/?-s+--version").sent == b"0 \n"


def test_a_program_runs_in_its_own_folder_and_session(python, tmp_path):
    program = python("run", ECHO + "print(os.getcwd(), os.getsid(0) == os.getpgrp() == os.getpid())")
    assert get(program).sent.decode() == f"{tmp_path} True\n"


def test_status_location_and_nph(write):
    answer = get(write("a", "printf 'Status: 404 Not Here\\nContent-Type: text/plain\\n\\nno'"))
    assert (answer.status, answer.reason, answer.sent) == (404, "Not Here", b"no")
    answer = get(write("b", "printf 'Location: https://example.org/\\n\\n'"))
    assert (answer.status, answer.sent_header("Location")) == (302, "https://example.org/")
    answer = get(write("nph-c", "printf 'HTTP/1.0 202 Fine\\r\\nX: 1\\r\\n\\r\\nok'"))
    assert (answer.status, answer.reason, answer.sent) == (202, "Fine", b"ok")
    assert answer.sent_headers == [("X", "1")]
    chunks = "printf 'HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n2\\r\\nok\\r\\n%s'"
    answer = get(write("nph-d", chunks.replace("%s", "0\\r\\n\\r\\n")))
    assert (answer.status, answer.sent, answer.sent_headers) == (200, b"ok", [])
    with pytest.raises(CutAnswer, match="its last chunk is missing"):
        get(write("nph-e", chunks.replace("%s", "")))


def test_head_has_the_header_fields_and_no_body(write):
    program = write("run", "printf 'Content-Type: text/plain\\nContent-Length: 5\\n\\nhello'")
    answer = get(program, method="HEAD")
    assert (answer.sent_header("Content-Length"), b"".join(answer.writes)) == ("5", b"")


def test_perl_speaks_cgi_too(write):
    perl = need("perl")
    body = 'read(STDIN, $b, $ENV{CONTENT_LENGTH}); print "Content-Type: a/b\\r\\n\\r\\n", scalar reverse $b;'
    exchange = RecordingExchange("POST", "/", [("Content-Length", "3")], body=b"abc")
    assert get(write("run.pl", body, f"#!{perl}"), exchange=exchange).sent == b"cba"


def test_a_folder_has_many_programs_each_with_its_part_of_the_path(write, tmp_path):
    write("one", "printf 'Content-Type: text/plain\\n\\n'; echo $SCRIPT_NAME $PATH_INFO")
    exchange = RecordingExchange("GET", "/cgi-bin/one/two/three", mount="/cgi-bin")
    assert get(tmp_path, exchange=exchange).sent == b"/cgi-bin/one /two/three\n"


@pytest.mark.parametrize(
    ("target", "status"),
    [("/", 404), ("/none", 404), ("/../run", 404), ("/%2e%2e/run", 404), ("/text", 403), ("/x%00", 404)],
)
def test_what_is_no_program_is_not_started(write, tmp_path, target, status):
    write("run", "touch started")
    (tmp_path / "text").write_text("text")
    assert get(tmp_path, target).status == status
    assert not (tmp_path / "started").exists()


def test_interpreters_run_files_that_are_not_executable(tmp_path):
    (tmp_path / "hello.py").write_text("print('Content-Type: text/plain\\n\\nhello', end='')")
    assert get(tmp_path, "/hello.py", interpreters={".py": sys.executable}).sent == b"hello"


def test_output_is_passed_on_as_it_comes(write, tmp_path):
    os.mkfifo(tmp_path / "go")
    program = write("run", "printf 'Content-Type: text/plain\\n\\nfirst'; read line < go; printf second")
    exchange = RecordingExchange()
    inner = exchange.write

    def write_and_let_go(data):
        inner(data)
        if data == b"first":
            (tmp_path / "go").write_text("on\n")

    exchange.write = write_and_let_go
    exchange.run(CGI(program))
    assert exchange.writes == [b"first", b"second"]


# -- bodies


def post(data, **options):
    return RecordingExchange("POST", "/", [("Content-Length", str(len(data)))], body=data, **options)


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_a_body_of_any_size_goes_through(python, size):
    data = os.urandom(size)
    program = python("cat", ECHO + "shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)")
    assert get(program, exchange=post(data)).sent == data


def test_a_chunked_body_is_complete_before_its_length_is_told(write):
    program = write("run", "printf 'Content-Type: text/plain\\n\\n'; echo $CONTENT_LENGTH; wc -c")
    headers = [("Transfer-Encoding", "chunked")]
    exchange = RecordingExchange("POST", "/", headers, body=bytes(300_000), chunked=True)
    assert get(program, exchange=exchange).sent.split() == [b"300000", b"300000"]


def test_large_bodies_of_known_length_are_streamed_and_no_others(write):
    gateway = CGI(write("run", HELLO))

    def streams(*headers):
        return gateway.streams(RecordingExchange("POST", "/", headers).request)

    above = str(gateway.stream_above + 1)
    assert streams(("Content-Length", above))
    assert not streams(("Content-Length", str(gateway.stream_above)))
    assert not streams(("Content-Length", above), ("Transfer-Encoding", "chunked"))
    assert not streams()


def test_a_program_that_writes_before_it_reads_does_not_deadlock(python):
    data = os.urandom(1_000_000)
    body = "sys.stdout.buffer.write(bytes(1000000)); shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    assert get(python("run", ECHO + body), exchange=post(data)).sent == bytes(1_000_000) + data


@pytest.mark.parametrize("extra", ["", "exec <&-; "])
def test_a_program_that_does_not_read_its_body_answers_all_the_same(write, extra):
    assert get(write("run", extra + HELLO), exchange=post(bytes(1_000_000))).sent == b"hello"


def test_a_program_gets_no_input_without_a_body(write):
    assert get(write("run", HELLO + "; wc -c")).sent == b"hello0\n"


class Slow:
    """A body that comes when the test lets it."""

    def __init__(self, pieces):
        self.pieces = list(pieces)

    def read(self, size=-1):
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece() if callable(piece) else piece


def test_a_body_reaches_the_program_while_it_arrives(python, tmp_path):
    mark = tmp_path / "seen"

    def second():
        until = time.monotonic() + 20
        while not mark.exists() and time.monotonic() < until:
            time.sleep(0.005)
        return b"b" * 70_000

    exchange = post(b"x" * 140_000)
    exchange.body = Slow([b"a" * 70_000, second])
    body = "first = sys.stdin.buffer.read(70000); open('seen', 'w').close()\n"
    body += "sys.stdout.buffer.write(first + sys.stdin.buffer.read())"
    assert get(python("run", ECHO + body), exchange=exchange).sent == b"a" * 70_000 + b"b" * 70_000


@pytest.mark.parametrize("error", [ConnectionLost, ProtocolError])
def test_a_body_that_breaks_off_ends_the_program_and_the_request(python, error):
    exchange = post(bytes(200_000))
    exchange.body = Slow([bytes(70_000), error("half way")])
    with pytest.raises(error, match="half way"):
        get(python("run", ECHO + "sys.stdin.buffer.read(); import time; time.sleep(60)"), exchange=exchange)


# -- what is refused


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("true", "nothing"),
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "signal 9"),
        ("echo hello", "before the blank line"),
        ("printf 'X: 1\\n\\n'", "none of Content-Type"),
        ("printf 'Content-Type: text/plain\\nX: a\\rSet-Cookie: b=c\\n\\n'", "not a header field"),
        ("printf 'HTTP/1.1 200 OK\\nContent-Type: text/plain\\n\\n'", "not a header field"),
        ("while :; do echo 'X-More: and more of it'; done", "larger than 65536 bytes"),
    ],
)
def test_what_is_not_cgi_is_answered_502_with_the_reason_in_the_log(write, caplog, output, reason):
    answer = get(write("run", output))
    assert answer.status == 502
    assert reason in caplog.text
    assert "run: it" in caplog.text or reason in ("none of Content-Type", "not a header field")


def test_a_program_that_writes_less_than_it_promised_cuts_the_connection(write, caplog):
    with pytest.raises(CutAnswer, match="5 bytes of its Content-Length are missing"):
        get(write("run", "printf 'Content-Type: text/plain\\nContent-Length: 10\\n\\nhello'"))
    assert "missing" in caplog.text


def test_a_program_that_writes_more_than_it_promised_is_cut_and_logged(write, caplog):
    answer = get(write("run", "printf 'Content-Type: text/plain\\nContent-Length: 4\\n\\nhello'; echo more"))
    assert answer.sent == b"hell"
    assert "run: it wrote more than its Content-Length" in caplog.text


def test_a_program_that_crashes_in_its_body_cuts_the_connection(write):
    with pytest.raises(CutAnswer, match="signal 11"):
        get(write("run", HELLO + "; kill -SEGV $$"))


def test_a_failure_after_a_whole_answer_is_only_logged(write, caplog):
    assert get(write("run", HELLO + "; exit 7")).sent == b"hello"
    assert "exit status 7" in caplog.text


def test_output_is_bounded(write):
    with pytest.raises(CutAnswer, match="more than 100000 bytes"):
        get(write("run", HELLO + "; while :; do echo 0123456789; done"), output=100_000)


# -- time


SLEEPERS = "echo $$ >> pids; sleep 600 & echo $! >> pids; "


def all_gone(folder):
    """Whether the programs that wrote their numbers down are dead (a zombie whose parent is init counts)."""
    numbers = [int(line) for line in (folder / "pids").read_text().split()]
    until = time.monotonic() + 20
    while any(map(alive, numbers)):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return len(numbers) >= 2


def alive(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_program_that_hangs_is_answered_504_and_killed_with_what_it_started(write, caplog, tmp_path):
    answer = get(write("run", SLEEPERS + "sleep 600"), seconds=0.5)
    assert answer.status == 504
    assert "longer than 0.5 s" in caplog.text
    assert all_gone(tmp_path)


def test_a_program_that_ignores_being_asked_is_killed_by_force(write, tmp_path):
    answer = get(write("run", "trap '' TERM; " + SLEEPERS + "while :; do sleep 0.05; done"), seconds=0.5)
    assert answer.status == 504
    assert all_gone(tmp_path)


def test_a_program_that_hangs_in_its_body_cuts_the_connection(write, tmp_path):
    with pytest.raises(CutAnswer, match="longer than 1 s"):
        get(write("run", SLEEPERS + HELLO + "; sleep 600"), seconds=1)
    assert all_gone(tmp_path)


def test_a_program_that_drips_does_not_escape_its_time(write):
    with pytest.raises(CutAnswer, match="longer than"):
        get(write("run", HELLO + "; while :; do echo x; sleep 0.02; done"), seconds=1)


def test_a_program_that_never_reads_a_large_body_and_hangs_is_killed(write):
    answer = get(write("run", "sleep 600"), exchange=post(bytes(1_000_000)), seconds=0.3)
    assert answer.status == 504


def test_the_time_of_a_slow_client_is_not_the_program_s(write):
    exchange = RecordingExchange()
    inner = exchange.write

    def slowly(data):
        time.sleep(1.3)
        inner(data)

    exchange.write = slowly
    assert get(write("run", HELLO), exchange=exchange, seconds=1).sent == b"hello"


def test_the_time_limit_is_the_server_s_unless_the_gateway_has_its_own(write):
    exchange = RecordingExchange(limits=Limits(cgi_seconds=0.3))
    assert get(write("run", "sleep 600"), exchange=exchange).status == 504


def test_what_a_program_leaves_behind_cannot_hold_the_answer(write, caplog, tmp_path):
    answer = get(write("run", SLEEPERS + HELLO), seconds=20)
    assert answer.sent == b"hello"
    assert "held its output open" in caplog.text
    assert all_gone(tmp_path)


def test_what_a_program_leaves_behind_may_still_write_for_a_moment(write, monkeypatch):
    monkeypatch.setattr(cgi_pump, "HOLD", 30)
    answer = get(write("run", HELLO + "; (sleep 0.05; printf ' again') &"), seconds=20)
    assert answer.sent == b"hello again"


def test_a_job_that_holds_nothing_open_lives_on(write, tmp_path):
    program = write("run", HELLO + "; (while [ ! -e stop ]; do sleep 0.02; done; touch done) >&- 2>&- <&- &")
    assert get(program).sent == b"hello"
    (tmp_path / "stop").touch()
    until = time.monotonic() + 20
    while not (tmp_path / "done").exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_program_may_go_on_after_closing_its_output(write, tmp_path):
    assert get(write("run", HELLO + "; exec >&- 2>&-; sleep 0.8; touch done")).sent == b"hello"
    assert (tmp_path / "done").exists()


def test_a_program_that_goes_on_for_too_long_after_its_answer_is_killed(write, caplog):
    assert get(write("run", HELLO + "; exec >&-; sleep 600"), seconds=1).sent == b"hello"
    assert "longer than" in caplog.text


# -- clients that go, programs that cannot start, many at once


def test_a_client_that_goes_away_takes_the_program_with_it(write, tmp_path):
    exchange = RecordingExchange()

    def gone(data):
        raise ConnectionLost("the client went")

    exchange.write = gone
    with pytest.raises(ConnectionLost):
        get(write("run", SLEEPERS + HELLO + "; sleep 600"), exchange=exchange)
    assert all_gone(tmp_path)


@pytest.mark.parametrize(
    ("start", "reason"),
    [("echo no first line", "neither a binary"), ("#!/no/such/interpreter", "interpreter does not exist")],
)
def test_a_program_that_cannot_be_started_is_one_line_in_the_log(write, caplog, start, reason):
    assert get(write("run", "true", start)).status == 500
    assert [reason in record.message for record in caplog.records] == [True]


def test_programs_at_once_are_bounded_and_the_place_is_given_back(write, tmp_path):
    os.mkfifo(tmp_path / "go")
    gateway = CGI(write("run", "read line < go;" + HELLO), concurrent=1)
    first = RecordingExchange()
    thread = threading.Thread(target=first.run, args=(gateway,))
    thread.start()
    limits = Limits(cgi_queue=1, cgi_wait=0.2)
    with open(tmp_path / "go", "w") as go:  # opens when the program is there to read
        waiter = RecordingExchange(limits=limits)
        waiting = threading.Thread(target=waiter.run, args=(gateway,))
        waiting.start()
        until(lambda: "0 of 1 free, 1 wait" in repr(gateway))
        refused = RecordingExchange(limits=limits).run(gateway)
        waiting.join()
        for answer in (refused, waiter):  # the line was full; the place did not become free in time
            assert (answer.status, answer.sent_header("Retry-After")) == (503, "2")
        go.write("on\n")
    thread.join()
    assert first.sent == b"hello"
    assert repr(gateway).endswith("<Places 1 of 1 free, 0 wait>>")


def test_who_waits_for_a_place_gets_it_in_order(write, tmp_path):
    gateway = CGI(write("run", "printf 'Content-Type: text/plain\n\n'; echo $QUERY_STRING"), concurrent=1)
    answers = [RecordingExchange(target=f"/?{n}") for n in range(6)]
    threads = [threading.Thread(target=answer.run, args=(gateway,)) for answer in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.sent for answer in answers] == [b"%d\n" % n for n in range(6)]


# -- standard error


def test_errors_are_logged_by_line_with_the_program_s_name(write, caplog):
    get(write("run", HELLO + "; echo one >&2; printf two >&2"))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition("/")[2] for line in lines] == ["run: one", "run: two"]


def test_errors_cannot_forge_log_lines_or_drive_a_terminal(write, caplog):
    get(write("run", HELLO + "; printf 'a\\rb\\033[2Jc\\377\\n' >&2"))
    assert caplog.records[0].getMessage().endswith("run: a\\rb\\x1b[2Jc\\xff")


def test_a_flood_of_errors_neither_blocks_the_program_nor_fills_the_log(python, caplog):
    body = "print('Content-Type: text/plain\\n')\nimport sys\nsys.stderr.write('x' * 5_000_000 + '\\n')\n"
    answer = get(python("run", body + "for n in range(100000): sys.stderr.write('line\\n')\nprint('done')"))
    assert answer.sent == b"done\n"
    assert len(caplog.records) == cgi_process.ErrorLog.LINES + 1
    assert max(len(record.getMessage()) for record in caplog.records) < 1500
    assert "the rest is dropped" in caplog.records[-1].getMessage()


# -- local redirects


def test_a_local_redirect_is_answered_inside_the_server(write, monkeypatch):
    seen = []

    def redispatch(exchange, path):
        seen.append(path)
        exchange.respond(200, [], b"the other")

    monkeypatch.setattr(cgi, "redispatch", redispatch)
    assert get(write("run", "printf 'Location: /other?x=1\\n\\n'")).sent == b"the other"
    assert seen == ["/other?x=1"]


def test_local_redirects_do_not_go_round_for_ever(write, caplog, monkeypatch):
    gateway = CGI(write("run", "printf 'Location: /again\\n\\n'"))
    monkeypatch.setattr(cgi, "redispatch", lambda exchange, path: gateway(exchange))
    assert RecordingExchange().run(gateway).status == 500
    assert "more than 10 local redirects" in caplog.text


# -- settings


def test_settings_that_cannot_work_are_refused_at_once(write, tmp_path):
    with pytest.raises(ConfigError, match="there is no"):
        CGI(tmp_path / "none")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ConfigError, match=r"chmod \+x"):
        CGI(tmp_path / "text")
    program = write("run", HELLO)
    for bad in ({"seconds": 0}, {"output": -1}, {"concurrent": 0}, {"environ": {"A=B": "x"}}):
        with pytest.raises(ConfigError):
            CGI(program, **bad)


def test_a_hundred_runs_leave_nothing_behind(write):
    gateway = CGI(write("run", HELLO))
    before = set(psutil.Process().children())  # servers that fixtures of other files keep
    for _ in range(100):
        assert RecordingExchange().run(gateway).sent == b"hello"
    assert set(psutil.Process().children()) <= before
