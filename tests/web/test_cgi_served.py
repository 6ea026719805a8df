"""CGI through a real server and real clients: what only shows on the wire."""

from __future__ import annotations

import http.client
import os
import socket
import struct
import subprocess
import sys
import time

import psutil
import pytest

from portico.engines import door
from portico.server import Server
from portico.sockets.dial import connect
from portico.sockets.tls import ClientTLS, ServerTLS
from portico.web import cgi_pump
from portico.web.cgi import CGI
from portico.web.mounts import Mounts
from tests.peers import need

pytestmark = pytest.mark.usefixtures("no_leaks")

door.waiter()  # this thread's own, made at its first wait and kept: not a leak of the test that comes first

PROGRAMS = {
    "hello": "printf 'Content-Type: text/plain\\n\\nhello'",
    "count": "printf 'Content-Type: text/plain\\n\\n'; echo $CONTENT_LENGTH; wc -c",
    "early": "printf 'Status: 403\\nContent-Type: text/plain\\n\\nno'",
    "head": "printf 'Content-Type: text/plain\\n\\n'; while [ ! -e go ]; do sleep 0.02; done; printf late",
    "empty": "printf 'Status: 204\\n\\n'; while [ ! -e go ]; do sleep 0.02; done",
    "stream": "echo $$ > pid; printf 'Content-Type: text/plain\\n\\n'; while echo line; do sleep 0.02; done",
    "hang": "echo $$ > pid; sleep 600",
    "later": "sleep 1.2; printf 'Content-Type: text/plain\\n\\nlater'",
    "asked": (
        "printf 'Content-Type: text/plain\\n\\n'; "
        'printf %s "$REQUEST_METHOD $SCRIPT_NAME $QUERY_STRING $CONTENT_LENGTH"'
    ),
    "half": "printf 'Content-Type: text/plain\\n\\nhalf'; sleep 600",
    "short": "printf 'Content-Type: text/plain\\nContent-Length: 10\\n\\nhalf'",
}


@pytest.fixture
def folder(tmp_path):
    for name, body in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cgi_pump, "GONE", 0.1)
    monkeypatch.setattr(cgi_pump, "_SLICE", 0.1)


@pytest.fixture
def port(folder):
    with Server(CGI(folder, seconds=3), "http://127.0.0.1:0") as server:
        yield server.addresses[0].port


@pytest.fixture
def client(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    yield connection
    connection.close()


def fetch(client, path, method="GET", **options):
    client.request(method, path, **options)
    response = client.getresponse()
    return response.status, response.read()


def eventually(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_connection_serves_many_programs(client):
    for _ in range(3):
        assert fetch(client, "/hello") == (200, b"hello")
        assert fetch(client, "/hello", "HEAD") == (200, b"")
        assert fetch(client, "/count", "POST", body=b"12345") == (200, b"5\n5\n")
        assert fetch(client, "/none") == (404, fetch(client, "/none")[1])


@pytest.mark.parametrize("mounted", [False, True])
def test_a_local_redirect_is_answered_by_whoever_answers_that_path(folder, mounted):
    gateway = Mounts([("/cgi", CGI(folder))]) if mounted else CGI(folder)
    base = "/cgi" if mounted else ""
    (folder / "local").write_text(f"#!/bin/sh\nprintf 'Location: {base}/asked?x=1\\n\\n'\n")
    (folder / "local").chmod(0o755)
    with Server(gateway, "http://127.0.0.1:0") as server:
        client = http.client.HTTPConnection("127.0.0.1", server.addresses[0].port, timeout=20)
        for _ in range(2):
            answer = fetch(client, f"{base}/local", "POST", body=b"body")
            assert answer == (200, f"GET {base}/asked x=1 ".encode())
        assert fetch(client, f"{base}/local", "HEAD") == (200, b"")
        assert fetch(client, f"{base}/local")[0] == 200
        client.close()


@pytest.mark.parametrize("size", [10, 65_536, 1_000_000])
@pytest.mark.parametrize("framing", ["Content-Length", "Transfer-Encoding"])
@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_curl_uploads_in_every_way(port, tmp_path, size, framing, expect):
    (tmp_path / "upload").write_bytes(os.urandom(size))
    header = "Transfer-Encoding: chunked" if framing == "Transfer-Encoding" else "X-None: 1"
    command = [need("curl"), "-sS", "-X", "POST", "-H", header, "-H", expect, "--max-time", "20"]
    command += ["--data-binary", f"@{tmp_path}/upload", f"http://127.0.0.1:{port}/count"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert (done.stdout.split(), done.stderr) == ([str(size).encode()] * 2, b"")


def test_an_answer_before_the_end_of_a_large_body_arrives(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(200_000))
        assert client.recv(12) == b"HTTP/1.1 403"


def test_the_head_arrives_before_the_first_byte_of_the_body(client, folder):
    client.request("GET", "/head")
    response = client.getresponse()  # the program waits for what comes next
    (folder / "go").touch()
    assert response.read() == b"late"


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/head"), ("GET", "/empty")])
def test_a_head_that_is_all_of_the_answer_does_not_wait_for_the_program(client, folder, method, path):
    client.request(method, path)
    assert client.getresponse().read() == b""
    (folder / "go").touch()


def test_a_client_that_leaves_ends_a_program_that_writes(port, folder):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"line" in client.recv(65536) + client.recv(65536)
    number = int((folder / "pid").read_text())
    eventually(lambda: not psutil.pid_exists(number))


def sure_gone(folder):
    number = int((folder / "pid").read_text())
    eventually(lambda: not psutil.pid_exists(number))


def a_silent_program_runs(folder, client, request=b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"):
    client.sendall(request)
    eventually(lambda: (folder / "pid").exists() and (folder / "pid").read_text())


@pytest.mark.parametrize("engine", ["inline", "threads", "events", "forks", "workers:1/threads"])
def test_a_client_that_leaves_ends_a_silent_program_on_every_engine(folder, engine, quick):
    with Server(CGI(folder), "http://127.0.0.1:0", engine=engine) as server:
        with socket.create_connection(("127.0.0.1", server.addresses[0].port), timeout=20) as client:
            a_silent_program_runs(folder, client)
        sure_gone(folder)


def test_a_client_that_leaves_ends_a_program_whose_output_nobody_gets(folder, quick):
    with Server(CGI(folder), "http://127.0.0.1:0") as server:
        with socket.create_connection(("127.0.0.1", server.addresses[0].port), timeout=20) as client:
            a_silent_program_runs(folder, client, b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        sure_gone(folder)


@pytest.mark.parametrize("leave", ["a request waits behind", "reset", "the body is still coming"])
def test_a_client_that_leaves_is_noticed_however_it_leaves(folder, leave, quick):
    with Server(CGI(folder), "http://127.0.0.1:0") as server:
        with socket.create_connection(("127.0.0.1", server.addresses[0].port), timeout=20) as client:
            if leave == "the body is still coming":
                request = b"POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(70_000)
                a_silent_program_runs(folder, client, request)
            else:
                a_silent_program_runs(folder, client)
            if leave == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if leave == "a request waits behind":
                client.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        sure_gone(folder)


def test_a_client_that_leaves_over_tls_or_in_memory_is_noticed(folder, quick):
    tls = ServerTLS.self_signed(["localhost"], directory=None)
    with Server(CGI(folder), "tls://127.0.0.1:0", "memory:programs", tls=tls) as server:
        for address in server.addresses:
            anybody = ClientTLS(verify=False) if address.scheme == "tls" else None
            with connect(address, tls=anybody) as client:
                client.write(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
                eventually(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
            sure_gone(folder)
            (folder / "pid").unlink()


def test_a_client_that_only_has_no_more_to_say_gets_its_answer(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"GET /later HTTP/1.0\r\nHost: a\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read().endswith(b"\r\n\r\nlater")


def test_a_program_that_hangs_is_a_504_and_gone(client, folder):
    assert fetch(client, "/hang")[0] == 504
    number = int((folder / "pid").read_text())
    eventually(lambda: not psutil.pid_exists(number))


@pytest.mark.parametrize("path", ["/half", "/short"])
def test_an_answer_that_is_not_whole_is_seen_not_to_be(client, path):
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        fetch(client, path)


def test_many_clients_at_once_leave_nothing_behind(port):
    script = (
        "import sys, threading, urllib.request as u\n"
        "def run():\n"
        "    for _ in range(10): assert u.urlopen(sys.argv[1]).read() == b'hello'\n"
        "threads = [threading.Thread(target=run) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print('done')\n"
    )
    command = [sys.executable, "-c", script, f"http://127.0.0.1:{port}/hello"]
    before = set(psutil.Process().children())  # servers that fixtures of other files keep
    done = subprocess.run(command, capture_output=True, timeout=50, check=False)
    assert done.stdout == b"done\n", done.stderr.decode()
    assert set(psutil.Process().children()) <= before
