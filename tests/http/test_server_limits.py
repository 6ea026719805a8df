"""Every bound of the HTTP server, tried from outside: sizes, deadlines, turns, memory."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc

import pytest

from portico.engines.contract import DONE, RUN, WAIT_READ
from portico.http.exchange import Mount
from portico.http.server import HTTPConnection, Service
from portico.limits import Limits
from portico.sockets.memory import pair
from tests.http.served import ENGINES, Client, Gate, chunked, echo, get, post, serving
from tests.peers import root

SMALL = {"request_line": 200, "headers": 10, "header_bytes": 2000, "body": 1000, "chunk_extension_bytes": 100}


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def refusal(server, raw):
    """The status that meets ``raw``, which may go on for ever; afterwards the connection must end."""
    with Client(server) as client:
        try:
            client.send(raw)
        except ConnectionError:
            pass  # refused while it was still being sent
        answer = client.answer()
        assert answer["connection"] == "close"
        client.end()
        assert client.is_closed()
    return answer.status


# Sizes


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get("/" + "a" * 300), 414),
        (b"GET /" + b"a" * 300, 414),
        (b"X" * 300, 414),
        (get("/", *["A: b"] * 11), 431),
        (get("/", "A: " + "b" * 2000), 431),
        (get("/", "A: b")[:-2] + b"C: " + b"d" * 2000, 431),
        (post(b"x" * 1001), 413),
        (get("/", "Content-Length: 1001", method="POST"), 413),
        (get("/", "Content-Length: 1001", "Expect: 100-continue", method="POST"), 413),
        (get("/", "Content-Length: 999999999999999999", method="POST"), 413),
        (get("/", "Content-Length: 9999999999999999999", method="POST"), 400),
        (chunked([b"x" * 600, b"x" * 600]), 413),
        (chunked([], tail=b"3e9\r\n"), 413),
        (chunked([], tail=b"ffffffffffffffff\r\n"), 413),
        (chunked([], tail=b"fffffffffffffffff\r\n"), 400),
        (chunked([], tail=b"1;" + b"e" * 200 + b"\r\nx\r\n0\r\n\r\n"), 400),
        (chunked([], tail=b"1;aaaa=bbbbbbb\r\nx\r\n" * 20), 400),
        (chunked([], tail=b"0\r\n" + b"A: b\r\n" * 11 + b"\r\n"), 431),
        (chunked([], tail=b"0\r\nA: " + b"b" * 3000), 431),
    ],
    ids=range(19),
)
@pytest.mark.parametrize("streams", [False, True])
def test_what_is_too_large_is_refused_with_the_right_status(raw, status, streams):
    with serving(echo, streams=streams, limits=SMALL) as server:
        assert refusal(server, raw) == status
        with Client(server) as client:
            assert client.ask(post(b"x" * 1000)).status == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get("/" + "a" * 300, method="HEAD"), 414),
        (b"HEAD /" + b"a" * 300, 414),
        (get("/", "A: " + "b" * 2000, method="HEAD"), 431),
        (get("/", "Content-Length: 1001", method="HEAD"), 413),
        (get("/", "Content-Length: x", method="HEAD"), 400),
        (get("/", "Transfer-Encoding: x", method="HEAD"), 501),
        (get("/", "Expect: x", method="HEAD"), 417),
        (get("/", method="HEAD", version="2.0"), 505),
        (get("/") + get("/", "Expect: x", method="HEAD"), 417),
    ],
    ids=range(9),
)
def test_a_head_request_that_is_refused_is_answered_without_a_body(raw, status):
    with serving(echo, limits=SMALL) as server, Client(server) as client:
        client.send(raw)
        if raw.startswith(b"GET"):
            assert client.answer().status == 200
        answer = client.answer("HEAD")
        assert (answer.status, answer["connection"]) == (status, "close")
        assert int(answer["content-length"]) > 0
        assert client.rest() == b""


def test_a_refused_request_after_a_head_has_its_page():
    with serving(echo, limits=SMALL) as server, Client(server) as client:
        assert client.ask(get("/", method="HEAD"), "HEAD").status == 200
        answer = client.ask(get("/", "Expect: x"))
        assert (answer.status, len(answer.body)) == (417, int(answer["content-length"]))


def test_what_is_just_small_enough_is_served():
    with serving(echo, limits=SMALL) as server, Client(server) as client:
        line = len(get("/").split(b"\r\n")[0])
        assert client.ask(get("/" + "a" * (200 - line))).status == 200
        assert client.ask(get("/", *["A: b"] * 9)).status == 200
        assert client.ask(chunked([b"x" * 500] * 2)).status == 200


FLOODS = {
    "request line": (b"GET /", b"a" * 65536, 414),
    "header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"a" * 65536, 431),
    "headers": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n" * 10000, 431),
    "chunk extension": (chunked([], tail=b"1;"), b"e" * 65536, 400),
    "chunk extensions": (chunked([], tail=b""), b"1;ext=ext\r\nx\r\n" * 5000, 400),
    "trailers": (chunked([], tail=b"0\r\n"), b"X: y\r\n" * 10000, 431),
    "trailer": (chunked([], tail=b"0\r\nX: "), b"a" * 65536, 431),
    "chunk size": (chunked([], tail=b""), b"0" * 65536, 400),
    "empty lines": (b"", b"\r\n" * 30000, 400),
    "tiny chunks": (chunked([], tail=b""), b"1\r\nx\r\n" * 10000, 413),
}


@pytest.mark.parametrize("name", FLOODS)
def test_an_endless_flood_is_refused_in_bounded_memory(name):
    begin, more, status = FLOODS[name]
    with serving(echo, limits={"body": 100_000, "linger": 0.2}) as server, Client(server) as client:
        tracemalloc.start()
        try:
            client.send(begin)
            try:
                for _ in range(100):
                    client.send(more)
            except ConnectionError:
                pass
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 << 20
        try:
            assert client.answer().status == status
        except ConnectionError:
            pass  # it did not stop for as long as the server lingers, and has lost its claim to an answer


HOSTILE = """
import resource, sys
from tests.http.served import Client, echo, get, serving
from tests.http.test_server_limits import FLOODS
resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
for engine in ("inline", "threads"):
    with serving(echo, engine=engine, limits={"linger": 0.2}) as server:
        for begin, more, status in FLOODS.values():
            with Client(server) as client:
                try:
                    client.send(begin, more * 20)
                    client.end()
                    client.rest()
                except OSError:
                    pass
        with Client(server) as client:
            assert client.ask(get()).status == 200
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_a_server_with_little_memory_survives_every_flood():
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": f"{root}/src:{root}"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200_000


# Deadlines


def test_an_idle_connection_is_closed_without_a_byte(engine):
    with serving(echo, engine=engine, limits={"idle": 0.2, "head": 0.2}) as server:
        with Client(server) as client:
            assert client.is_closed()
        with Client(server) as client:
            assert client.ask(get()).status == 200
            assert client.is_closed()


def test_a_head_that_takes_too_long_is_a_408(engine):
    with serving(echo, engine=engine, limits={"head": 0.2}) as server, Client(server) as client:
        client.send(get())
        assert client.answer().status == 200
        client.send(get()[:-4])
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (408, "close")
        client.end()
        assert client.is_closed()


def test_bytes_in_time_do_not_extend_the_deadline_of_a_head():
    with serving(echo, limits={"head": 0.3}) as server, Client(server) as client:
        began = time.monotonic()
        client.sock.settimeout(0.05)
        for byte in get("/" + "a" * 1000):
            try:
                client.send(bytes([byte]))
                client._buffer += client.sock.recv(1000)
                break
            except TimeoutError:
                continue
        assert client.answer().status == 408
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "raw", [post(b"12345")[:-2], chunked([b"12345"], tail=b"")], ids=["length", "chunked"]
)
def test_a_body_that_does_not_come_is_a_408(engine, streams, raw):
    with serving(echo, engine=engine, streams=streams, limits={"body_grace": 0.2}) as server:
        assert refusal(server, raw) == 408


@pytest.mark.parametrize("streams", [False, True])
def test_a_body_below_the_least_rate_is_a_408(streams):
    limits = {"body_grace": 0.2, "body_rate": 100_000}
    with serving(echo, streams=streams, limits=limits) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 10000", method="POST"))
        client.sock.settimeout(0.02)
        for _ in range(10_000):
            try:
                client.send(b"x")
                client._buffer += client.sock.recv(1000)
                break
            except TimeoutError:
                continue
        assert client.answer().status == 408


def test_the_time_that_a_gateway_takes_is_not_the_slowness_of_its_client():
    rest = threading.Event()

    def sleepy(exchange):
        first = exchange.body.read(3)
        time.sleep(0.3)
        rest.set()
        exchange.respond(200, [], first + exchange.body.read())

    limits = {"body_grace": 0.2, "body_rate": 1_000_000}
    with serving(sleepy, streams=True, limits=limits) as server, Client(server) as client:
        client.send(get("/", "Content-Length: 6", method="POST"), b"abc")
        rest.wait(10)
        client.send(b"def")
        assert client.answer().body == b"abcdef"


@pytest.mark.parametrize("whole", [True, False])
def test_a_reader_that_takes_nothing_is_given_up(engine, whole):
    over = threading.Event()

    def large(exchange):
        if whole:
            exchange.respond(200, [], b"x" * (32 << 20))
            return
        try:
            exchange.start(200, [])
            while True:
                exchange.write(b"x" * 65536)
        except ConnectionError:
            over.set()
            raise

    with serving(large, engine=engine, limits={"write_stall": 0.2}) as server:
        with Client(server, SO_RCVBUF=4096) as client:
            client.send(get())
            client._until(b" ")
            if whole:
                _until_nobody_is_connected(server)
            else:
                assert over.wait(10)
            with pytest.raises(ConnectionError):
                client.rest()
        with Client(server) as client:
            client.send(get())
            client._head()


def _until_nobody_is_connected(server):
    until = time.monotonic() + 10
    while server.connections and time.monotonic() < until:
        time.sleep(0.01)
    assert server.connections == 0


def test_a_whole_request_can_be_bounded(engine):
    def waits(exchange):
        exchange.respond(200, [], exchange.body.read())

    with serving(waits, engine=engine, streams=True, limits={"request": 0.3}) as server:
        with Client(server) as client:
            for _ in range(2):
                assert client.ask(post(b"quick")).body == b"quick"
            client.send(post(b"slow")[:-1])
            assert client.answer().status in (408, 503)
        with Client(server) as client:
            client.send(get()[:-2])
            assert client.answer().status == 408


@pytest.mark.parametrize("raw", [b"GET / HT", post(b"12345")[:-2]], ids=["head", "body"])
def test_a_client_that_has_gone_when_its_deadline_passes_costs_nothing_more(raw):
    ours, theirs = pair()
    connection = HTTPConnection(ours, Service(lambda exchange: Mount(Gate(echo)), Limits()))
    theirs.send(raw)
    assert connection.advance() == WAIT_READ
    theirs.abort()
    connection.expire()
    assert connection.advance() == DONE


# Turns


def test_ten_thousand_pipelined_requests_do_not_starve_another_client():
    done = []

    def count(exchange):
        if exchange.path == "/other":
            exchange.respond(200, [], str(len(done)).encode())
        else:
            done.append(1)
            exchange.respond(200, [])

    with serving(count) as server, Client(server) as greedy, Client(server) as other:
        other.ask(get("/other"))
        flood = threading.Thread(target=greedy.send, args=(get("/") * 10_000,))
        flood.start()
        while len(done) < 200:
            time.sleep(0)
        seen = int(other.ask(get("/other")).body)
        for _ in range(10_000):
            assert greedy.answer().status == 200
        flood.join()
    assert len(done) == 10_000
    assert seen < 9000  # by the time that it was answered, far from all had been


def test_so_many_pipelined_requests_and_the_connection_lets_others_go_first():
    ours, theirs = pair(capacity=1 << 20)
    connection = HTTPConnection(ours, Service(lambda exchange: Mount(Gate(echo)), Limits(pipelined=7)))
    theirs.send(get() * 20)
    runs, turns = 0, []
    while (step := connection.advance()) != WAIT_READ:
        if step == RUN:
            runs += 1
            connection.run()
        else:
            turns.append(runs)
            connection.watched = connection.transport.interest(step)
    assert (runs, turns) == (20, [7, 14])
    theirs.close()
    connection.advance()


def test_a_fast_upload_does_not_starve_another_client():
    limits = {"body": None, "body_memory": 1 << 30}
    with serving(echo, limits=limits) as server, Client(server) as greedy, Client(server) as other:
        other.ask(get())
        stop = threading.Event()
        sent = threading.Event()

        def flood():
            piece = b"%x\r\n" % (1 << 20) + b"x" * (1 << 20) + b"\r\n"
            for number in range(200):
                greedy.send(piece)
                if number == 5:
                    sent.set()
                if stop.is_set():
                    return

        greedy.send(get("/", "Transfer-Encoding: chunked", method="POST"))
        thread = threading.Thread(target=flood)
        thread.start()
        sent.wait(10)
        assert other.ask(get()).status == 200
        finished = not thread.is_alive()
        stop.set()
        thread.join()
    assert not finished


# Memory


def test_a_slow_reader_holds_its_producer_back(engine):
    made = 0

    def produce(exchange):
        nonlocal made
        exchange.start(200, [])
        for _ in range(1600):
            exchange.write(b"x" * 65536)
            made += 65536

    with serving(produce, engine=engine) as server, Client(server, SO_RCVBUF=8192) as client:
        tracemalloc.start()
        try:
            client.send(get())
            client._head()
            before = -1
            while before != made:  # until it stands still
                before = made
                time.sleep(0.1)
            assert made < 16 << 20
            total = 0
            while size := int(client._until(b"\r\n"), 16):
                total += len(client._exactly(size))
                client._exactly(2)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert total == made == 1600 * 65536
    assert peak < 16 << 20


@pytest.mark.parametrize(
    "raw", [post, lambda body: chunked([body[:99], body[99:]])], ids=["length", "chunked"]
)
def test_a_body_above_its_memory_goes_to_a_file_that_is_closed_afterwards(engine, raw):
    bodies = []

    def keep(exchange):
        bodies.append(exchange.body)
        exchange.respond(200, [], exchange.body.read())

    with serving(keep, engine=engine, limits={"body_memory": 1000}) as server, Client(server) as client:
        assert client.ask(raw(b"x" * 1000)).body == b"x" * 1000
        assert client.ask(raw(b"y" * 1001)).body == b"y" * 1001
        client.ask(get())
    small, large, none = bodies
    assert isinstance(small, io.BytesIO)
    assert not isinstance(large, io.BytesIO)
    assert small.closed
    assert large.closed
    assert none.closed


def test_a_file_of_a_body_that_is_never_complete_is_closed(engine, monkeypatch):
    files = []
    make = tempfile.TemporaryFile

    def remember(*args, **options):
        files.append(make(*args, **options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remember)
    with serving(echo, engine=engine, limits={"body_memory": 1000}) as server:
        for ending in ("close", "bad"):
            with Client(server) as client:
                client.send(chunked([b"x" * 5000], tail=b"" if ending == "close" else b"zz\r\n"))
                if ending == "bad":
                    assert client.answer().status == 400
                else:
                    while not files:
                        time.sleep(0.01)
        _until_nobody_is_connected(server)
    assert len(files) == 2
    assert all(file.closed for file in files)


def test_a_body_that_cannot_be_kept_is_a_503(engine, monkeypatch, caplog):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with serving(echo, engine=engine, limits={"body_memory": 10}) as server:
        assert refusal(server, post(b"x" * 100_000)) == 503
    assert "No space left" in caplog.text


def test_answers_of_any_size_in_one_piece_leave_no_copy_behind():
    body = b"x" * (8 << 20)
    with serving(lambda exchange: exchange.respond(200, [], body)) as server, Client(server) as client:
        tracemalloc.start()
        try:
            client.send(get())
            client._head()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        client._exactly(len(body))
    assert peak < 4 << 20


def test_refused_connections_leave_no_descriptor():
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(echo, limits=SMALL | {"linger": 0.05}) as server:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(150):
            with Client(server) as client:
                client.send(post(b"x" * 2000))
                assert client.answer().status == 413
        _until_nobody_is_connected(server)
        assert len(os.listdir("/proc/self/fd")) <= before + 2 < soft
