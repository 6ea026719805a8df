"""A thousand clients that mean ill, against the real program: others are served, and memory stays bounded."""

from __future__ import annotations

import re
import resource
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.cli.serving import Serving, serving
from tests.http.served import Client, get
from tests.peers import need

MEMORY = 300_000  # kilobytes, of the whole process, at its height
APP = """
def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/made":
        return (b"x" * 65536 for _ in range(1000))
    body = environ["wsgi.input"].read()
    return [b"%16d" % id(body) * 60000 if path == "/large" else b"fine"]
"""


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """A thousand connections at each end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("slow")
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "file").write_bytes(b"x" * (1 << 20))
    with serving(tmp_path, "site", "/app=wsgi:app:app") as running:
        yield running
        assert running.stop() == 0
        assert running.words == []


def memory_of(running: Serving) -> int:
    """The most that it has held so far."""
    with open(f"/proc/{running.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def others_are_served(running: Serving, count: int) -> None:
    for number in range(count):
        path = "/app/" if number % 2 else "/file"
        with Client(("127.0.0.1", running.port)) as client:
            answer = client.ask(get(path))
            assert (answer.status, len(answer.body)) == ((200, 4) if number % 2 else (200, 1 << 20))


ATTACKS = {
    "slowloris": ("-H", "-i", "1", "-u", "{url}/app/"),
    "slow body": ("-B", "-i", "1", "-s", "200000", "-u", "{url}/app/"),
    "ranges": ("-R", "-a", "5", "-b", "2000", "-u", "{url}/file"),
    "slow read": ("-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3", "-u", "{url}/app/made"),
}


def test_slowhttptest_does_not_hinder_others(program):
    command = [need("slowhttptest"), "-c", "250", "-r", "1000", "-l", "3", "-p", "3"]
    attacks = {
        name: subprocess.Popen(
            [*command, *(word.format(url=program.url) for word in words)], stdout=subprocess.PIPE, text=True
        )
        for name, words in ATTACKS.items()
    }
    try:
        time.sleep(1.0)
        while any(each.poll() is None for each in attacks.values()):
            others_are_served(program, 4)
        said = {name: each.communicate(timeout=20)[0] for name, each in attacks.items()}
    finally:
        for each in attacks.values():
            each.kill()
    for name, output in said.items():
        # It asks now and then itself, and would say when nobody answered.
        assert "service available" in output, name
        assert not re.search(r"service available:\W+(\x1b\[[0-9;]*m)*NO", output), f"{name}: {output[-800:]}"
    assert memory_of(program) < MEMORY


# Beyond what slowhttptest does: each holds as much as a client can make a server hold.
FLOODS: dict[str, Callable[[], bytes]] = {
    "answers that are not read": lambda: get("/app/large") * 200,
    "made answers that are not read": lambda: get("/app/made"),
    "heads without an end": lambda: get("/", "X: " + "y" * 65000)[:-4],
    "bodies without an end": lambda: get("/app/", "Content-Length: 262144", method="POST") + b"y" * 262000,
    "chunks without an end": lambda: (
        get("/app/", "Transfer-Encoding: chunked", method="POST") + b"3fff0\r\n" + b"y" * 262000
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_thousand_that_make_it_hold_as_much_as_they_can(program, name):
    data = memoryview(FLOODS[name]())
    crowd = []
    for _ in range(1000):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", program.port))
        sock.setblocking(False)
        crowd.append([sock, 0])
    try:
        until = time.monotonic() + 2.0
        while time.monotonic() < until and (slow := [each for each in crowd if each[1] < len(data)]):
            for each in slow:
                try:
                    each[1] += each[0].send(data[each[1] : each[1] + 65536])
                except BlockingIOError:
                    pass
                except ConnectionError:
                    each[1] = len(data)  # refused, which is fine
        others_are_served(program, 20)
    finally:
        for sock, _ in crowd:
            sock.close()
    assert memory_of(program) < MEMORY
