"""Accepting: bounds, and what happens when the system has no more to give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from portico import Limits, Server, Stream, timeout
from portico.engines.threads import Threads
from portico.sockets.listen import SocketListener
from tests.engines.serving import SECONDS, Gateway, Peer, ask, dial, get, until

pytestmark = pytest.mark.usefixtures("no_leaks")


def greet(stream: Stream) -> None:
    stream.write(b"hi\n")
    stream.read_line()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "memory:bounded"])
def test_beyond_the_limit_of_connections_accepting_pauses_and_resumes(address: str) -> None:
    limits = Limits().but(connections=3)
    with Server(greet, address, engine="threads", limits=limits) as server, timeout(SECONDS):
        streams = [dial(server) for _ in range(6)]
        for stream in streams[:3]:
            assert stream.read_line() == b"hi"
        assert streams[3].try_read() is None
        assert server.connections == server.accepted == 3
        for stream in streams[:3]:
            stream.close()
        for stream in streams[3:]:
            assert stream.read_line() == b"hi"
            stream.close()
        until(lambda: server.connections == 0)
        assert server.accepted == 6


def test_a_pause_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    accept = SocketListener.accept

    def counted(self: SocketListener) -> object:
        nonlocal calls
        calls += 1
        return accept(self)

    monkeypatch.setattr(SocketListener, "accept", counted)
    limits = Limits().but(connections=1)
    with Server(greet, "tcp://127.0.0.1:0", limits=limits) as server, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(Peer(server.addresses[0]))
        until(lambda: server.connections == 1)
        time.sleep(0.1)  # the watchdog goes to rest
        before, used = calls, time.process_time()
        time.sleep(0.4)
        assert calls == before
        assert time.process_time() - used < 0.1


def test_many_connections_at_once_are_all_taken(engine: str) -> None:
    with Server(Gateway(lambda exchange: b"ok"), "http://127.0.0.1:0", engine=engine) as server:
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(server.addresses[0])) for _ in range(300)]
            for peer in peers:
                peer.send(get(extra="Connection: close\r\n"))
            for peer in peers:
                assert peer.answer().endswith(b"ok")
        assert server.accepted == 300


EXHAUSTED = """
import json, logging, os, resource, socket, sys, time
import portico
from portico.sockets.listen import SocketListener

lines = []
class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger("portico").addHandler(Keep())

calls = 0
accept = SocketListener.accept
def counted(self):
    global calls
    calls += 1
    return accept(self)
SocketListener.accept = counted

def greet(stream):
    stream.write(b"hi")
    stream.read_line()

with portico.Server(greet, "tcp://127.0.0.1:0", engine=sys.argv[1]) as server:
    place = ("127.0.0.1", server.addresses[0].port)
    first = socket.create_connection(place)
    first.settimeout(20)
    assert first.recv(2) == b"hi"
    if sys.argv[1] == "inline":
        first.close()
    clients = [socket.create_connection(place) for _ in range(4)] if sys.argv[1] != "inline" else []
    for client in clients:
        client.settimeout(20)
        assert client.recv(2) == b"hi"
    waiting = socket.socket()
    waiting.settimeout(20)
    while server.connections != len(clients) + (sys.argv[1] != "inline"):
        time.sleep(0.001)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    time.sleep(0.2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    before, used = calls, time.process_time()
    waiting.connect(place)
    time.sleep(0.6)
    used, spun = time.process_time() - used, calls - before
    for client in clients:  # who is served goes on being served
        client.send(b"x\\n")
        assert client.recv(2) == b""
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert waiting.recv(2) == b"hi"
    waiting.close()
    first.close()
print(json.dumps({"used": used, "spun": spun, "lines": lines}))
"""


def test_without_descriptors_accepting_rests_says_so_once_and_resumes(engine: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", EXHAUSTED, engine],
        capture_output=True,
        text=True,
        timeout=SECONDS * 2,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert 1 <= told["spun"] <= 30, "a tenth of a second between attempts"
    assert told["used"] < 0.3
    assert len(told["lines"]) == 1, "once in a while, not each time"
    assert "cannot accept on tcp://127.0.0.1" in told["lines"][0]
    assert "ulimit -n" in told["lines"][0]


def test_a_connection_that_the_poller_does_not_take_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Threads(2)
    with Server(Gateway(lambda exchange: b"ok"), "http://127.0.0.1:0", engine=engine) as server:
        watch = engine._poller.watch
        refused = [True]

        def full(*args: int, **options: bool) -> None:
            if refused.pop() if refused else False:
                raise OSError(28, "No space left on device")
            watch(*args, **options)

        monkeypatch.setattr(engine._poller, "watch", full)
        with Peer(server.addresses[0]) as peer:
            assert peer.rest() == b""
        assert ask(server.addresses[0]) == b"ok"
        until(lambda: server.connections == 0)
