"""``portico fetch``: what it sends, prints, keeps, and exits with."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import trustme

from portico.cli import fetch_stdin
from portico.cli.fetch_text import indented, safe_text
from portico.cli.main import run
from portico.sockets.tls import ServerTLS
from portico.web.wsgi import WSGI
from tests.client.places import Place, app
from tests.http.served import serving

pytestmark = pytest.mark.timeout(60)

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\r\n"


def place_app(environ, start_response):
    """Of ``places``, and some answers that a terminal has to be saved from."""
    answers = {
        "/evil": ("text/plain; charset=utf-8", HOSTILE.encode()),
        "/evil.json": ("application/json", b'{"a\\u001b": "\x1b[2J", "n": 1.50, "n": [1, {}]}'),
        "/image": ("image/png", b"\x89PNG\r\n\x1a\n\0\0"),
        "/latin": ("text/plain; charset=iso-8859-1", b"caf\xe9"),
    }
    if environ["PATH_INFO"] in answers:
        kind, body = answers[environ["PATH_INFO"]]
        start_response("200 OK", [("Content-Type", kind), ("X-Evil", "\x9b2J"), ("X-A", "\xc3\xa4")])
        return [body]
    return app(environ, start_response)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with serving(WSGI(place_app)) as server:
        yield Place(str(server.addresses[0]))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)


def fetched(capfdbinary, *arguments: str, code: int = 0) -> bytes:
    assert run(["fetch", *arguments]) == code
    said = capfdbinary.readouterr()
    assert bool(said.err) == bool(code), said.err
    assert said.err.count(b"\n") <= 1
    assert b"Traceback" not in said.err
    return said.out


def piped_in(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def on_terminal(*arguments: str, code: int = 0, **env: str) -> str:
    """What a terminal gets of ``portico fetch``."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "portico", "fetch", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
        env={**os.environ, "TERM": "xterm", "PYTHONUTF8": "1", **env},
    )
    os.close(child)
    said = b""
    while True:
        try:
            data = os.read(parent, 65536)
        except OSError:
            break
        if not data:
            break
        said += data
    os.close(parent)
    assert process.wait(timeout=30) == code, said
    return said.decode().replace("\r\n", "\n")


class Listener:
    """A socket that keeps the bytes of one request, and answers it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(20)
        self.port = self._socket.getsockname()[1]
        self.data = b""
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(0.5)
            try:
                while data := connection.recv(65536):
                    self.data += data
            except TimeoutError:
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.join(20)
        self._socket.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["URL/x"],
        ["URL/a b?x=ö", "q==1 2"],
        ["DELETE", "URL/x", "X-A:1", "X-B;", "User-Agent:"],
        ["URL/x", "a[b][]:=1", "name=Zoë"],
        ["--form", "URL/x", "a=1", "a=2"],
        ["-a", "me:secret", "URL/x", "--raw", "text"],
        ["--session", "kept", "URL/x", "Cookie:a=b", "X-Kept:1"],
        ["--proxy", "http://u:p@127.0.0.1URL", "http://example.org/x", "a=1"],
    ],
)
def test_offline_prints_the_very_bytes(arguments, capfdbinary):
    with Listener() as listener:
        arguments = [each.replace("URL", f":{listener.port}") for each in arguments]
        offline = fetched(capfdbinary, "--offline", *arguments)
        assert not Path("kept").exists()
        assert fetched(capfdbinary, *arguments) == b""
    assert listener.data == offline
    assert offline.count(b"\r\n\r\n") == 1


def test_offline_prints_chunks_as_they_are_framed(capfdbinary, monkeypatch):
    piped_in(monkeypatch, b"piped")
    said = fetched(capfdbinary, "--offline", "--chunked", ":1/x")
    assert said.startswith(b"POST /x HTTP/1.1\r\nHost: localhost:1\r\n")
    assert b"Transfer-Encoding: chunked\r\n" in said
    assert said.endswith(b"\r\n\r\n5\r\npiped\r\n0\r\n\r\n")


def test_offline_knows_what_a_proxy_is_told(capfdbinary):
    said = fetched(capfdbinary, "--offline", "--proxy", "http://u:p@127.0.0.1:1", "http://example.org/x")
    assert said.startswith(b"GET http://example.org/x HTTP/1.1\r\nHost: example.org\r\n")
    assert b"\r\nProxy-Authorization: Basic dTpw\r\n" in said


def test_the_body_alone_comes_out_of_a_pipe(place, capfdbinary):
    assert fetched(capfdbinary, place / "status/200") == b"status 200"
    assert fetched(capfdbinary, place / "evil") == HOSTILE.encode()
    assert fetched(capfdbinary, place / "bytes/300000") == bytes(300_000)


def undated(head: bytes) -> bytes:
    """The second may have passed between two answers."""
    return re.sub(rb"Date: [^\r]*", b"Date: now", head)


def test_parts_are_chosen_by_letters(place, capfdbinary):
    url = place / "status/404"
    head = fetched(capfdbinary, "-h", url)
    assert head.startswith(b"HTTP/1.1 404 As asked\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert fetched(capfdbinary, "-b", url) == b"status 404"
    assert undated(fetched(capfdbinary, "--print", "hb", url)) == undated(head) + b"status 404"
    both = fetched(capfdbinary, "-v", url, "a=1")
    request, _, answer = both.partition(b"\n\nHTTP/1.1 404")
    assert request.startswith(b"POST /status/404 HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"a": "1"}')
    assert answer.endswith(b"\r\n\r\nstatus 404")
    assert b"elapsed: " in fetched(capfdbinary, "-vv", url)
    fetched(capfdbinary, "--print", "x", url, code=2)


def test_what_was_asked_is_shown_though_nobody_answers(capfdbinary):
    assert fetched(capfdbinary, "-v", "http://127.0.0.1:1/x", code=7).startswith(b"GET /x HTTP/1.1\r\n")


def test_check_tells_answers_that_say_no(place, capfdbinary):
    assert fetched(capfdbinary, "--check", place / "status/200") == b"status 200"
    assert fetched(capfdbinary, "--check", place / "status/404", code=22) == b"status 404"
    assert fetched(capfdbinary, "--check", place / "status/503", code=22) == b"status 503"


def test_redirects_are_followed_when_asked(place, capfdbinary):
    url = place / "redirect/302?to=/status/200"
    assert fetched(capfdbinary, url) == b"elsewhere"
    assert fetched(capfdbinary, "--follow", url) == b"status 200"
    assert fetched(capfdbinary, "--max-redirects", "5", place / "hops/5") == b"there"
    fetched(capfdbinary, "--max-redirects", "4", place / "hops/5", code=47)
    fetched(capfdbinary, "-F", place / "loop", code=47)


def test_one_document_for_machines(place, capfdbinary):
    url = place / "redirect/307?to=/echo"
    told = json.loads(fetched(capfdbinary, "--json", "-F", "-a", "me:secret", url, "a=1"))
    assert told["request"]["method"] == "POST"
    assert told["request"]["body"] == '{"a": "1"}'
    assert ["Authorization", "Basic …"] in told["request"]["headers"]
    assert (told["status"], told["reason"], told["version"]) == (200, "OK", "HTTP/1.1")
    assert [value for name, value in told["headers"] if name == "x-twice"] == ["1", "2"]
    assert json.loads(told["body"])["headers"]["authorization"].startswith("Basic ")
    assert told["redirects"] == [{"url": url, "status": 307, "location": "/echo"}]
    assert told["elapsed"]["total"] > 0
    assert told["peer"]
    assert told["tls"] is None
    told = json.loads(fetched(capfdbinary, "--json", "--check", place / "image"))
    assert told["body_base64"] == "iVBORw0KGgoAAA=="
    assert json.loads(fetched(capfdbinary, "--json", place / "latin"))["body"] == "café"
    told = json.loads(fetched(capfdbinary, "--json", "--offline", ":1/x", "a=1"))
    assert told["request"]["body"] == '{"a": "1"}'
    assert (
        json.loads(fetched(capfdbinary, "--json", "--check", place / "status/404", code=22))["status"] == 404
    )


def test_what_is_piped_in_is_the_body(place, capfdbinary, monkeypatch, tmp_path):
    piped_in(monkeypatch, "hé".encode())
    told = json.loads(fetched(capfdbinary, place / "echo"))
    assert (told["method"], told["body"], told["type"], told["length"]) == (
        "POST",
        "hé",
        "application/json",
        "3",
    )
    piped_in(monkeypatch, b"x" * (1 << 25))
    assert fetched(capfdbinary, place / "length") == str(1 << 25).encode()
    piped_in(monkeypatch, b"")
    assert json.loads(fetched(capfdbinary, place / "echo"))["method"] == "GET"
    piped_in(monkeypatch, b"not this")
    assert json.loads(fetched(capfdbinary, "-I", place / "echo"))["method"] == "GET"
    piped_in(monkeypatch, b"nor this")
    assert json.loads(fetched(capfdbinary, place / "echo", "a=1"))["body"] == '{"a": "1"}'
    (tmp_path / "file").write_bytes(b"of a file")
    with open(tmp_path / "file") as file:
        monkeypatch.setattr(sys, "stdin", file)
        told = json.loads(fetched(capfdbinary, "PUT", place / "echo", "Content-Type:text/x"))
    assert (told["method"], told["body"], told["type"]) == ("PUT", "of a file", "text/x")


def test_a_pipe_that_stays_open_is_waited_for_and_told(place, capfdbinary, monkeypatch):
    monkeypatch.setattr(fetch_stdin, "PATIENCE", 0.05)
    ours, theirs = os.pipe()
    with open(ours) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        fetched(capfdbinary, "--timeout", "0.2", place / "echo", code=28)
        closing = threading.Timer(0.5, os.close, [theirs])
        closing.start()
        assert run(["fetch", place / "status/200"]) == 0
        closing.join()
    said = capfdbinary.readouterr()
    assert said.out == b"status 200"
    assert said.err == b"portico: waiting for a body on stdin (--ignore-stdin leaves it alone)\n"


def test_files_are_uploaded(place, capfdbinary):
    Path("f.txt").write_text("content")
    told = json.loads(fetched(capfdbinary, place / "echo", "a=1", "f@f.txt"))
    assert told["type"].startswith("multipart/form-data; boundary=")
    assert 'filename="f.txt"' in told["body"]
    assert "\r\n\r\ncontent\r\n" in told["body"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        (["-a", "me:se:cret"], "Basic bWU6c2U6Y3JldA=="),
        (["-a", "me:"], "Basic bWU6"),
        (["-A", "bearer", "-a", "tok"], "Bearer tok"),
    ],
)
def test_credentials_are_sent(place, capfdbinary, arguments, sent):
    told = json.loads(fetched(capfdbinary, *arguments, place / "echo"))
    assert told["headers"]["authorization"] == sent


def test_digest_answers_a_challenge(capfdbinary):
    def challenging(environ, start_response):
        given = environ.get("HTTP_AUTHORIZATION", "")
        if not given.startswith("Digest "):
            start_response("401 No", [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')])
            return [b""]
        start_response("200 OK", [])
        return [given.encode()]

    with serving(WSGI(challenging)) as server:
        url = str(server.addresses[0])
        assert b'username="me"' in fetched(capfdbinary, "-A", "digest", "-a", "me:x", url)


def test_a_session_keeps_cookies_fields_and_credentials_of_an_origin(place, capfdbinary):
    file = ["--session", "kept.json"]
    fetched(
        capfdbinary, *file, "-a", "me:x", place / "redirect/302?to=/", "X-Key:k", "If-Match:y", "Cookie:own=2"
    )
    assert stat.S_IMODE(os.stat("kept.json").st_mode) == 0o600
    told = json.loads(fetched(capfdbinary, *file, place / "echo"))["headers"]
    assert told["authorization"] == "Basic bWU6eA=="
    assert told["x-key"] == "k"
    assert "if-match" not in told
    assert sorted(told["cookie"].split("; ")) == ["own=2", "way=seen"]
    before = Path("kept.json").read_bytes()
    fetched(capfdbinary, "--session-read-only", "kept.json", place / "cookies/b=2", "X-Other:1")
    assert Path("kept.json").read_bytes() == before
    with serving(WSGI(app)) as server:  # another origin
        told = json.loads(fetched(capfdbinary, *file, Place(str(server.addresses[0])) / "echo"))["headers"]
    assert "authorization" not in told
    assert "x-key" not in told
    fetched(capfdbinary, *file, place / "echo", "X-Key:")
    assert "x-key" not in json.loads(fetched(capfdbinary, *file, place / "echo"))["headers"]
    assert sorted(os.listdir()) == ["kept.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 9}', '{"version": 1, "origins": {"x": 1}, "cookies": []}']
)
def test_a_file_that_is_no_session_is_left_alone(capfdbinary, text):
    Path("kept").write_text(text)
    fetched(capfdbinary, "--session", "kept", "http://127.0.0.1:1/", code=2)
    assert Path("kept").read_text() == text


def test_an_answer_goes_into_a_file_or_not_at_all(place, capfdbinary):
    assert fetched(capfdbinary, "-o", "out", place / "status/200") == b""
    assert Path("out").read_bytes() == b"status 200"
    fetched(capfdbinary, "-o", "out", "http://127.0.0.1:1/", code=7)
    assert Path("out").read_bytes() == b"status 200"
    fetched(capfdbinary, "-o", "none/out", place / "status/200", code=2)
    assert os.listdir() == ["out"]


def test_what_is_no_file_is_written_to_as_it_is(place, capfdbinary):
    Path("link").symlink_to("file")
    assert fetched(capfdbinary, "-o", "link", place / "status/200") == b""
    assert (Path("link").is_symlink(), Path("file").read_bytes()) == (True, b"status 200")
    assert fetched(capfdbinary, "-o", "/dev/null", place / "status/200") == b""
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_other_schemes_are_read(capfdbinary, tmp_path):
    assert fetched(capfdbinary, "data:text/plain,hi%20you") == b"hi you"
    assert fetched(capfdbinary, "-h", "data:text/plain,hi").startswith(
        b"200 OK\r\ncontent-type: text/plain\r\n"
    )
    (tmp_path / "f").write_bytes(b"content")
    assert fetched(capfdbinary, f"file://{tmp_path}/f") == b"content"
    assert fetched(capfdbinary, "--check", f"file://{tmp_path}/none", code=22) == b""
    assert json.loads(fetched(capfdbinary, "--json", "data:,x"))["body"] == "x"
    for arguments in (["data:,x", "a=1"], ["POST", "data:,x"], ["--offline", "data:,x"], ["gopher://x/"]):
        fetched(capfdbinary, *arguments, code=2)


def test_a_unix_socket_is_spoken_to(capfdbinary, tmp_path):
    with serving(WSGI(app), address=f"unix:{tmp_path}/s"):
        url = f"http+unix://{str(tmp_path).replace('/', '%2F')}%2Fs/status/200"
        assert fetched(capfdbinary, url) == b"status 200"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--download", "http://127.0.0.1/"], 2),
        ([":1", "no item"], 2),
        ([":1", "a:=x"], 2),
        ([":1", "a:=1e999"], 2),
        ([":1", "a=\udcff"], 2),
        (["-f", ":1", "a=\udcff"], 2),
        ([":1", "q==\udcff"], 2),
        ([":1", f"a{'[b]' * 5000}=1"], 2),
        ([":1", f"a:={'[' * 100_000}"], 2),
        ([":1", "bad name:x"], 2),
        ([":1", "X:a\nb"], 2),
        (["http://127.0.0.1:1/"], 7),
        (["http://none.invalid/"], 6),
        (["http://a b/"], 2),
        (["--ca", "x", "--no-verify", ":1"], 2),
        (["--cert-key", "x", ":1"], 2),
        (["--cert", "none.pem", "https://127.0.0.1:1"], 2),
        (["--proxy", "nonsense://x", ":1"], 2),
        (["--session", "a", "--session-read-only", "a", ":1"], 2),
        (["--timeout", "0", ":1"], 2),
        (["-a", "me", ":1"], 2),
        (["-A", "bearer", "-a", "a\nb", ":1"], 2),
        (["--offline", ":1", "Content-Length:5", "a=b"], 2),
        (["CONNECT", ":1"], 2),
        ([""], 2),
        (["\udcff"], 2),
    ],
)
def test_each_mistake_is_one_line(arguments, code, capfdbinary):
    assert fetched(capfdbinary, *arguments, code=code) == b""


def test_an_answer_that_is_cut_or_late_is_told(place, capfdbinary):
    fetched(capfdbinary, "--timeout", "0.3", place / "slow/5", code=28)
    listener = socket.create_server(("127.0.0.1", 0))

    def cut():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    thread = threading.Thread(target=cut)
    thread.start()
    assert run(["fetch", f"http://127.0.0.1:{listener.getsockname()[1]}/"]) == 18
    thread.join(20)
    listener.close()
    assert capfdbinary.readouterr().out == b"half"


@pytest.mark.parametrize("sent", [b"", b"<html>", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_connection_lost_before_the_body_is_no_answer_that_was_cut(sent):
    listener = socket.create_server(("127.0.0.1", 0))

    def lose():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(sent)

    thread = threading.Thread(target=lose)
    thread.start()
    assert run(["fetch", f"http://127.0.0.1:{listener.getsockname()[1]}/"]) == 56
    thread.join(20)
    listener.close()


def test_a_reader_that_goes_is_no_error(place):
    command = f"{sys.executable} -m portico fetch {place / 'bytes/9000000'} | head -c 10 | wc -c"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == (b"10", b"")


def test_a_closed_stdout_is_told():
    command = f"{sys.executable} -m portico fetch data:,x >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (2, b"portico: stdout is closed; --output takes the answer\n")


def test_a_head_may_have_no_fields(capfdbinary):
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200\r\n\r\nx")

    thread = threading.Thread(target=answer)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    assert fetched(capfdbinary, "--print", "hb", url) == b"HTTP/1.1 200\r\n\r\nx"
    thread.join(20)
    listener.close()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_answer_leaves_no_file(place, tmp_path, number, code):
    command = [sys.executable, "-m", "portico", "fetch", "-I", "-o", "out", place / "slow/30"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        until = time.monotonic() + 20
        while not any(entry.stat().st_size for entry in tmp_path.iterdir()):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, b"Traceback" in said) == (code, False)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_one_line_and_leaves_no_file(place, capfdbinary, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("portico.cli.fetch_print.Raw._write", full)
    assert run(["fetch", "-I", "-o", "out", place / "status/200"]) == 2
    said = capfdbinary.readouterr().err
    assert said == b"portico: --output: cannot write 'out': No space left on device\n"
    assert os.listdir() == []


def test_a_session_that_cannot_be_kept_is_told_before_anything_is_sent(place, capfdbinary):
    assert fetched(capfdbinary, "--session", "none/kept", "http://127.0.0.1:1/", code=2) == b""


def test_what_has_come_is_printed_before_the_rest_comes():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    command = [sys.executable, "-m", "portico", "fetch", "-I", url]
    with listener, subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            assert process.stdout.read(4) == b"half"
            connection.sendall(b"rest")
            assert process.stdout.read() == b"rest"
        assert process.wait(20) == 0


def test_certificates_are_checked_unless_told_otherwise(capfdbinary, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path("ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path("server.pem")
    authority.issue_cert("me").private_key_and_cert_chain_pem.write_to_path("me.pem")
    tls = ServerTLS(str(tmp_path / "server.pem"), client_ca=str(tmp_path / "ca.pem"))
    strict = ServerTLS(
        str(tmp_path / "server.pem"), client_ca=str(tmp_path / "ca.pem"), require_client_certificate=True
    )
    with serving(WSGI(app), address="https://127.0.0.1:0", tls=strict) as server:
        url = f"https://localhost:{server.addresses[0].port}/status/200"
        assert fetched(capfdbinary, "--ca", "ca.pem", "--cert", "me.pem", url) == b"status 200"
        assert run(["fetch", "--ca", "ca.pem", url]) in (35, 56)
        capfdbinary.readouterr()
    with serving(WSGI(app), address="https://127.0.0.1:0", tls=tls) as server:
        url = f"https://localhost:{server.addresses[0].port}/status/200"
        for command in ("fetch", "get", "data", "links"):
            assert run([command, url]) == 60
            said = capfdbinary.readouterr().err
            assert (b"--ca FILE" if command in ("fetch", "get") else b"by SSL_CERT_FILE in") in said
        assert fetched(capfdbinary, "--no-verify", url) == b"status 200"
        assert run(["get", "--ca", "ca.pem", "-o", "-", url]) == 0
        assert capfdbinary.readouterr().out == b"status 200"
        told = json.loads(fetched(capfdbinary, "--ca", "ca.pem", "--json", url))["tls"]
        assert told["version"].startswith("TLSv1.")
        assert told["server_name"] == "localhost"


# -- on a terminal


def test_a_terminal_gets_text_and_no_orders(place):
    said = on_terminal(place / "evil", TERM="dumb")
    assert "x-evil:         \\x9b2J\n" in said
    assert "x-a:            ä\n" in said
    assert said.endswith("\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202egnp.exe\n")
    assert all(c.isprintable() or c == "\n" for c in said)


def test_a_terminal_gets_json_by_its_structure_in_colours(place):
    plain = on_terminal("-b", place / "evil.json", NO_COLOR="1")
    assert "\x1b" not in plain
    coloured = on_terminal(place / "evil.json", NO_COLOR="")  # empty, it says nothing
    assert "\x1b[" in coloured
    assert "\x1b[2J" not in coloured
    assert "\\x1b[2J" in coloured


def test_a_terminal_gets_no_bytes(place):
    said = on_terminal("-b", place / "image")
    assert said == "(a body of bytes, image/png, is not shown on a terminal: -o FILE or a pipe takes it)\n"


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ('{"a":1,"b":[1,2]}', '{\n    "a": 1,\n    "b": [\n        1,\n        2\n    ]\n}'),
        ("[]", "[]"),
        ('{"a":{},"b":[]}', '{\n    "a": {},\n    "b": []\n}'),
        ('{"a":1.50,"a":1e400}', '{\n    "a": 1.50,\n    "a": 1e400\n}'),
        ('"a{[,:]}\\""', '"a{[,:]}\\""'),
        ("[[],[{}]]", "[\n    [],\n    [\n        {}\n    ]\n]"),
        (" 12 ", "12"),
        ("{", None),
        ("", None),
        ("[" * 100_000, None),
        ("[" * 900 + "1," * 100_000 + "1" + "]" * 900, None),
    ],
)
def test_json_is_set_out_and_not_changed(text, out):
    assert indented(text) == out


def test_text_is_made_safe():
    assert safe_text("a\tb\nc\x1b\x00\u202e\x85ä€😀") == "a\tb\nc\\x1b\\x00\\u202e\\x85ä€😀"
