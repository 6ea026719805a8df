"""The idea of Portico, proven or lost: the same plain function on every engine over every transport.

Every cell is run; none is skipped. Handlers are in ``handlers.py``; the client is plain blocking code in
this process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portico import Listener, Server, Stream, listen, timeout
from portico.errors import ConnectionLost
from tests.engines.serving import KINDS, SECONDS, address_of_kind, dial, server_tls, until
from tests.matrix import handlers
from tests.matrix.handlers import ENDLESS, LARGE, PAYLOAD, digest

ENGINES = ("inline", "threads", "events", "forks", "workers:2/threads", "workers:2/events")

pytestmark = [
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.parametrize("engine", ENGINES),
]


@contextmanager
def served(handler: object, engine: str, kind: str, folder: Path) -> Iterator[Server]:
    """A server with the handler, which must be left with nothing open."""
    tls = server_tls() if kind in ("tls", "https") else None
    with Server(handler, address_of_kind(kind, folder), engine=engine, tls=tls) as server, timeout(SECONDS):
        yield server
        until(lambda: server.connections == 0, "every connection to be given back")
    assert server.cut == []


class Ear:
    """Where handlers report what they cannot say on their own connection."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.address = str(listener.addresses[0])

    def hear(self) -> dict[str, Any]:
        with self._listener.accept() as stream:
            return dict(json.loads(stream.read_all()))


@pytest.fixture
def ear() -> Iterator[Ear]:
    with listen("tcp://127.0.0.1:0") as listener:
        yield Ear(listener)


def call(server: Server, *words: str) -> Stream:
    """Connect, and say the first line."""
    stream = dial(server)
    stream.write(" ".join(words).encode() + b"\n")
    return stream


def still_serving(server: Server, *words: str) -> None:
    """Another connection is served as if nothing had been."""
    with call(server, *words) as stream:
        assert stream.read_line()


def test_echo(engine: str, kind: str, tmp_path: Path) -> None:
    with served(handlers.echo, engine, kind, tmp_path) as server:
        if engine == "inline":  # one after the other
            for number in range(8):
                converse(server, number)
        else:
            with ThreadPoolExecutor(4) as clients:
                assert list(clients.map(lambda number: converse(server, number), range(8))) == [True] * 8
        assert server.accepted == 8


def converse(server: Server, number: int) -> bool:
    with timeout(SECONDS), dial(server) as stream:
        for turn in range(5):
            stream.write(b"%d of %d\nand more\n" % (turn, number))
            assert stream.read_line() == b"%d of %d" % (turn, number)
            assert stream.read_line() == b"and more"
        stream.write(b"no end of line")
        stream.shutdown_write()
        assert stream.read_all() == b"no end of line"
    return True


def test_http_kept_alive(engine: str, kind: str, tmp_path: Path) -> None:
    kind = {"tcp": "http", "tls": "https"}.get(kind, kind)
    with served(handlers.HTTP, engine, kind, tmp_path) as server, dial(server) as stream:
        for number in range(20):
            assert ask(stream, f"/{number}") == b"/%d " % number + digest(b"")
        body = PAYLOAD[:LARGE]
        assert ask(stream, "/up", body) == b"/up " + digest(body)
        assert ask(stream, "/large") == PAYLOAD
        stream.write(request("/first") + request("/second", b"with a body") + request("/third"))
        assert answer(stream) == b"/first " + digest(b"")
        assert answer(stream) == b"/second " + digest(b"with a body")
        assert answer(stream) == b"/third " + digest(b"")
        assert server.accepted == 1


def request(path: str, body: bytes = b"") -> bytes:
    method = "POST" if body else "GET"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def ask(stream: Stream, path: str, body: bytes = b"") -> bytes:
    stream.write(request(path, body))
    return answer(stream)


def answer(stream: Stream) -> bytes:
    assert stream.read_line() == b"HTTP/1.1 200 OK"
    length = 0
    while line := stream.read_line():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return stream.read_exactly(length)


def test_large_upload_and_download(engine: str, kind: str, tmp_path: Path) -> None:
    with served(handlers.transfer, engine, kind, tmp_path) as server, dial(server) as stream:
        stream.write(b"%d\n" % len(PAYLOAD))
        stream.write(PAYLOAD)
        assert stream.read_line() == digest(PAYLOAD)
        assert stream.read_exactly(len(PAYLOAD)) == PAYLOAD
        assert stream.read_all() == PAYLOAD[:LARGE] * 4


def test_a_deadline_expires(engine: str, kind: str, tmp_path: Path, ear: Ear) -> None:
    with served(handlers.impatient, engine, kind, tmp_path) as server:
        with call(server, ear.address) as stream:
            assert stream.read_line().startswith(b"read: timed out after 0.1 s while reading from ")
            assert stream.read_line() == b"sleep: timed out after 0.1 s while sleeping"
            stream.write(b"again\n")
            assert stream.read_line() == b"heard again"
            heard = ear.hear()
            assert heard["late"].startswith("timed out after 0.1 s while writing to ")
            assert 0 < heard["sent"] < len(ENDLESS)
            assert "an earlier write was cut" in heard["after"]
            got = all_of(stream)
            # TLS may hold back what it took.
            assert 0 < got <= heard["sent"]
            assert got == heard["sent"] or kind == "tls"
        still_serving(server, ear.address)


def all_of(stream: Stream) -> int:
    """How many bytes there are until the end, which may be a break."""
    size = 0
    try:
        while data := stream.read():
            size += len(data)
    except ConnectionLost:
        pass  # TLS that was cut in the middle of a record has no proper end
    return size


def test_the_peer_resets_in_mid_transfer(engine: str, kind: str, tmp_path: Path, ear: Ear) -> None:
    with served(handlers.unlucky, engine, kind, tmp_path) as server:
        stream = call(server, ear.address, "upload")
        assert stream.read_line() == b"begin"  # a reset may destroy what has not been read yet
        stream.write(PAYLOAD)
        stream.abort()
        assert ear.hear()["lost"]
        stream = call(server, ear.address, "download")
        stream.read_exactly(LARGE)
        stream.abort()
        assert ear.hear()["lost"]
        with call(server, ear.address, "download") as stream:
            assert stream.read_line() == b"begin"
            assert stream.read_exactly(len(ENDLESS)) == ENDLESS
            assert stream.read_all() == b""
        assert ear.hear()["lost"] == ""


def test_the_stream_is_closed_from_another_thread(engine: str, kind: str, tmp_path: Path, ear: Ear) -> None:
    with served(handlers.closed_elsewhere, engine, kind, tmp_path) as server:
        for who in ("task", "thread"):
            for what in ("read", "write"):
                with call(server, ear.address, who, what) as stream:
                    assert "closed" in ear.hear()["closed"], (who, what)
                    assert what == "write" or all_of(stream) == 0


def test_a_task_is_cancelled(engine: str, kind: str, tmp_path: Path, ear: Ear) -> None:
    with served(handlers.cancelled, engine, kind, tmp_path) as server, call(server, ear.address) as stream:
        for name in (b"read", b"sleep", b"event", b"queue", b"group"):
            assert stream.read_line() == name + b": called off"
        stream.write(b"again\n")
        assert stream.read_line() == b"heard again"
        heard = ear.hear()
        assert heard["outcome"] == "called off"
        assert "an earlier write was cut" in heard["after"]
        assert all_of(stream) > 0
