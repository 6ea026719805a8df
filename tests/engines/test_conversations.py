"""Stream handlers: the same function on every engine and transport, and what a bad one costs."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import pytest

from portico import Handler, Server, Stream, sleep, timeout
from portico.errors import Cancelled, StreamClosed
from tests.engines.serving import KINDS, SECONDS, Peer, address_of_kind, dial, reset, server_tls, until

pytestmark = pytest.mark.usefixtures("no_leaks")


def echo(stream: Stream) -> None:
    for line in stream:
        stream.write(line)


def serving(handler: object, kind: str, engine: str, folder: Path, **options: object) -> Server:
    tls = server_tls() if kind in ("tls", "https") else None
    return Server(handler, address_of_kind(kind, folder), engine=engine, tls=tls, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_function_talks_over_every_transport(engine: str, kind: str, tmp_path: Path) -> None:
    with serving(echo, kind, engine, tmp_path) as server, timeout(SECONDS):
        for _ in range(3):
            with dial(server) as stream:
                stream.write(b"one\ntwo\n")
                assert stream.read_line() == b"one"
                assert stream.read_line() == b"two"
                stream.shutdown_write()
                assert stream.read_all() == b""
        until(lambda: server.connections == 0)
        assert server.accepted == 3


@pytest.mark.parametrize("kind", KINDS)
def test_large_data_goes_both_ways(engine: str, kind: str, tmp_path: Path) -> None:
    payload = bytes(range(256)) * 8192

    def twice(stream: Stream) -> None:
        stream.write(stream.read_exactly(len(payload)) * 2)

    with serving(twice, kind, engine, tmp_path) as server, timeout(SECONDS), dial(server) as stream:
        stream.write(payload)
        assert stream.read_all() == payload * 2


class Talker(Handler):
    log: list[str]

    def setup(self) -> None:
        self.log.append("setup")
        if self.stream.peek(1) == b"s":
            raise ValueError("setup")

    def handle(self) -> None:
        self.log.append("handle")
        assert self.stream.peer is self.peer
        assert self.server.addresses
        if self.stream.read_line() == b"raise":
            raise ValueError("handle")
        self.stream.write(b"done\n")

    def finish(self) -> None:
        self.log.append("finish")


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        (b"hello\n", ["setup", "handle", "finish"]),
        (b"raise\n", ["setup", "handle", "finish"]),
        (b"s\n", ["setup"]),
    ],
)
def test_finish_is_called_whenever_setup_succeeded(
    engine: str, said: bytes, calls: list[str], tmp_path: Path
) -> None:
    class Noted(Talker):
        log: list[str] = []  # noqa: RUF012

    with serving(Noted, "tcp", engine, tmp_path) as server, timeout(SECONDS), dial(server) as stream:
        stream.write(said)
        assert stream.read_all() == (b"done\n" if said == b"hello\n" else b"")
        until(lambda: server.connections == 0)
    assert Noted.log == calls


def test_a_handler_class_needs_only_handle(engine: str, tmp_path: Path) -> None:
    class Least:
        stream: Stream

        def handle(self) -> None:
            self.stream.write(b"hi")

    with serving(Least, "tcp", engine, tmp_path) as server, dial(server) as stream:
        assert stream.read_all() == b"hi"


RAISED = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, Cancelled, StreamClosed]


@pytest.mark.parametrize("kind", RAISED)
def test_a_handler_that_raises_costs_its_own_connection_only(
    engine: str, kind: type[BaseException], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fragile(stream: Stream) -> None:
        if stream.read_line() == b"raise":
            raise kind("on purpose")
        stream.write(b"fine\n")

    with serving(fragile, "tcp", engine, tmp_path) as server, timeout(SECONDS):
        with dial(server) as stream:
            local = stream.local
            stream.write(b"raise\n")
            assert stream.read_all() == b""
        with dial(server) as stream:
            stream.write(b"go on\n")
            assert stream.read_all() == b"fine\n"
        until(lambda: server.connections == 0)
    faults = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(faults) == 1
    assert str(local) in faults[0].getMessage(), "the log names the peer"
    assert "on purpose" in faults[0].getMessage()
    assert faults[0].exc_info is not None


@pytest.mark.parametrize("how", ["close", "abort", "detach"])
def test_a_handler_may_end_its_stream_itself(
    engine: str, how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[socket.socket] = []

    def ends(stream: Stream) -> None:
        stream.read_line()
        result = getattr(stream, how)()
        if how == "detach":
            kept.append(result)

    with serving(ends, "tcp", engine, tmp_path) as server, timeout(SECONDS), dial(server) as stream:
        stream.write(b"x\n")
        until(lambda: server.accepted == 1 and server.connections == 0)
        for sock in kept:
            sock.send(b"mine now")
            sock.close()
        if how == "abort":
            with pytest.raises(ConnectionError):
                stream.read_all()
        else:
            assert stream.read_all() == (b"mine now" if how == "detach" else b"")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("how", ["close", "detach"])
def test_an_error_after_the_handler_ended_its_stream_is_still_told(
    engine: str, how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def ends(stream: Stream) -> None:
        result = getattr(stream, how)()
        if how == "detach":
            result.close()
        raise ValueError("afterwards")

    with serving(ends, "tcp", engine, tmp_path) as server, timeout(SECONDS), dial(server) as stream:
        assert stream.read_all() == b""
        until(lambda: server.accepted == 1 and server.connections == 0)
    assert "afterwards" in caplog.text


@pytest.mark.parametrize("kind", ["tcp", "tls", "unix"])
def test_a_handler_that_never_reads_ends_cleanly(engine: str, kind: str, tmp_path: Path) -> None:
    def deaf(stream: Stream) -> None:
        stream.write(b"bye")

    with serving(deaf, kind, engine, tmp_path) as server, timeout(SECONDS):
        for _ in range(3):
            with dial(server) as stream:
                assert stream.read_all() == b"bye"
        until(lambda: server.connections == 0)


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_peers_that_reset_are_no_faults_of_the_handler(
    engine: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(echo, kind, engine, tmp_path) as server, timeout(SECONDS):
        for _ in range(5):
            peer = Peer(server.addresses[0], b"half a line")
            reset(peer.sock)
        with dial(server) as stream:
            stream.write(b"still here\n")
            assert stream.read_line() == b"still here"
        until(lambda: server.connections == 0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_deadline_of_a_handler_ends_only_its_own_wait(engine: str, tmp_path: Path) -> None:
    seen = []

    def impatient(stream: Stream) -> None:
        try:
            with timeout(0.02):
                stream.read_line()
        except TimeoutError as late:
            seen.append(late)
        stream.write(b"too late")

    with serving(impatient, "tcp", engine, tmp_path) as server, dial(server) as stream:
        assert stream.read_all() == b"too late"
    assert len(seen) == 1


def test_the_starter_s_deadline_does_not_bind_the_server(engine: str, tmp_path: Path) -> None:
    server = serving(echo, "tcp", engine, tmp_path)
    with timeout(0.05):
        server.start()
    sleep(0.1)
    with server_stopped(server), dial(server) as stream:
        stream.write(b"alive\n")
        assert stream.read_line() == b"alive"


class server_stopped:
    """Stops a server that was started by hand."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __enter__(self) -> Server:
        return self.server

    def __exit__(self, *exc: object) -> None:
        self.server.stop(0.5)


def test_a_spawned_stream_user_may_close_it_under_its_handler(engine: str, tmp_path: Path) -> None:
    def closed_elsewhere(stream: Stream) -> None:
        closer = threading.Timer(0.02, stream.close)
        closer.start()
        with pytest.raises(StreamClosed):
            stream.read_line()
        closer.join()

    with serving(closed_elsewhere, "tcp", engine, tmp_path) as server, dial(server) as stream:
        assert stream.read_all() == b""
        until(lambda: server.connections == 0)
