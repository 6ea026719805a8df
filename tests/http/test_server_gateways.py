"""Gateways that misbehave: what their clients see, what the log says, and that nobody else suffers."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from portico.deadline import timeout
from portico.engines import door
from portico.errors import ConnectionLost, LimitExceeded, LocalProtocolError, ProtocolError
from tests.http.served import ENGINES, Client, chunked, get, post, serving


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def raising(error):
    def raises(exchange):
        raise error

    return raises


def log_of(caplog, level=logging.ERROR):
    return [
        record for record in caplog.records if record.levelno >= level and record.name.startswith("portico")
    ]


# Before the answer


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret <detail>"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        # A gateway's own connections and parsers raise these as well: no fault of this client's.
        ConnectionLost("secret upstream"),
        ProtocolError("secret", 418),
        LimitExceeded("secret", "body", 413),
        TimeoutError("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_gateway_that_raises_is_a_500_that_tells_nothing_and_a_log_entry_that_tells_all(
    engine, caplog, error
):
    with serving(raising(error), engine=engine) as server, Client(server) as client:
        for raw in (get("/path"), post(b"body", "/path")):
            answer = client.ask(raw)
            assert answer.status == 500
            assert b"secret" not in answer.body
            assert answer["connection"] is None  # the body was read: nothing is wrong with the connection
    first = log_of(caplog)[0]
    assert "GET /path" in first.getMessage()
    assert first.exc_info[1] is error


def test_a_gateway_that_raises_before_a_streamed_body_was_read(engine):
    with serving(raising(ValueError()), engine=engine, streams=True) as server, Client(server) as client:
        client.send(post(b"x" * 100_000))
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (500, "close")
        client.end()
        assert client.is_closed()


def test_a_gateway_that_does_not_answer_is_a_500(engine, caplog):
    with serving(lambda exchange: None, engine=engine) as server, Client(server) as client:
        assert client.ask(get()).status == 500
        assert client.ask(get("/", method="HEAD"), "HEAD").status == 500
        assert client.ask(get()).status == 500
    assert "without an answer" in caplog.text


def test_answering_twice_is_an_error_but_the_first_answer_stands(engine, caplog):
    def twice(exchange):
        exchange.respond(200, [], b"first")
        exchange.respond(200, [], b"second")

    with serving(twice, engine=engine) as server, Client(server) as client:
        for _ in range(3):
            assert client.ask(get()).body == b"first"
    assert "answered already" in caplog.text


@pytest.mark.parametrize("way", ["write", "send_file", "finish", "start", "respond", "respond_file"])
def test_what_is_sent_after_the_end_is_refused(engine, tmp_path, caplog, way):
    (tmp_path / "file").write_bytes(b"late")

    def late(exchange):
        exchange.start(200, [])
        exchange.write(b"in time")
        exchange.finish()
        _call(exchange, way, tmp_path / "file")

    with serving(late, engine=engine) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(get()).body == b"in time"
    assert len(log_of(caplog)) == 2


def _call(exchange, way, path):
    if way == "write":
        exchange.write(b"late")
    elif way == "send_file":
        exchange.send_file(open(path, "rb"), 0, 4)  # noqa: SIM115
    elif way == "respond_file":
        exchange.respond_file(200, [], open(path, "rb"), 0, 4)  # noqa: SIM115
    elif way == "finish":
        exchange.finish()
    elif way == "start":
        exchange.start(200, [])
    else:
        exchange.respond(200, [], b"late")


@pytest.mark.parametrize("way", ["write", "send_file", "finish", "start", "respond", "respond_file"])
def test_an_exchange_that_is_over_cannot_write_into_the_next_answer(engine, tmp_path, way):
    (tmp_path / "file").write_bytes(b"late")
    kept, refused = [], []

    def answer(exchange):
        if not kept:
            kept.append(exchange)
            exchange.start(200, [])
            exchange.write(b"first")
            return
        exchange.start(200, [])
        exchange.write(b"second")
        with pytest.raises(LocalProtocolError):
            _call(kept[0], way, tmp_path / "file")
        refused.append(way)

    with serving(answer, engine=engine) as server, Client(server) as client:
        assert client.ask(get()).body == b"first"
        assert client.ask(get()).body == b"second"
        assert client.ask(get()).body == b"second"
    assert refused == [way, way]


def test_1xx_never_comes_from_a_gateway(engine):
    def informs(exchange):
        if exchange.path == "/start":
            exchange.start(int(exchange.query), [])
        else:
            exchange.respond(int(exchange.query), [])

    with serving(informs, engine=engine) as server, Client(server) as client:
        for path in ("/start", "/respond"):
            for status in (100, 101, 103, 199, 0, 99, 1000, -200):
                assert client.ask(get(f"{path}?{status}")).status == 500


# After its beginning


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("fields", [[], [("Content-Length", "1000000")]], ids=["unknown", "length"])
@pytest.mark.parametrize("error", [ValueError("late"), SystemExit(1), ConnectionLost("upstream")], ids=repr)
def test_an_answer_that_fails_midway_is_cut_for_all_to_see(engine, caplog, fields, version, error):
    def breaks(exchange):
        exchange.start(200, fields)
        exchange.write(b"a beginning")
        raise error

    with serving(breaks, engine=engine) as server, Client(server) as client:
        client.send(get(version=version))
        with pytest.raises((ConnectionError, EOFError)):
            client.answer()
    assert log_of(caplog)[0].exc_info[1] is error


@pytest.mark.parametrize(
    ("told", "sent"),
    [(10, b"short"), (3, b"too long"), (5, b""), (0, b"x")],
    ids=["fewer", "more", "none", "nil"],
)
def test_content_length_is_kept_to(engine, caplog, told, sent):
    def lies(exchange):
        exchange.start(200, [("Content-Length", str(told))])
        exchange.write(sent)

    with serving(lies, engine=engine) as server, Client(server) as client:
        client.send(get())
        try:
            raw = client.rest()
        except ConnectionError:
            raw = b""
        assert len(raw.partition(b"\r\n\r\n")[2]) < max(told, 1)
    assert len(log_of(caplog)) == 1


def test_a_length_that_is_wrong_for_a_whole_answer_is_a_500(engine):
    def lies(exchange):
        exchange.respond(200, [("Content-Length", "3")], b"four")

    with serving(lies, engine=engine) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(get()).status == 500


def test_an_error_after_the_whole_answer_does_not_take_it_back(engine, caplog):
    large = b"x" * (1 << 20)

    def regrets(exchange):
        exchange.respond(200, [], large)
        raise ValueError("too late to matter")

    with serving(regrets, engine=engine) as server, Client(server) as client:
        for _ in range(2):
            assert client.ask(get()).body == large
    assert "too late to matter" in caplog.text


def test_a_client_that_leaves_is_no_error_of_the_gateway(engine, caplog):
    over = threading.Event()

    def endless(exchange):
        exchange.start(200, [])
        try:
            while True:
                exchange.write(b"x" * 65536)
        except ConnectionError:
            over.set()
            raise

    caplog.set_level(logging.DEBUG, "portico")
    with serving(endless, engine=engine) as server:
        with Client(server) as client:
            client.send(get())
            client._head()
        assert over.wait(10)
    assert log_of(caplog, logging.WARNING) == []


@pytest.mark.parametrize("wraps", [True, False])
def test_what_a_client_does_to_its_body_is_not_the_gateways_fault(engine, caplog, wraps):
    def reads(exchange):
        try:
            exchange.respond(200, [], exchange.body.read())
        except ProtocolError as error:
            if wraps:
                raise RuntimeError("wrapped, as frameworks do") from error
            raise

    with serving(reads, engine=engine, streams=True) as server, Client(server) as client:
        client.send(chunked([b"good"], tail=b"no\r\n"))
        answer = client.answer()
        assert (answer.status, answer["connection"]) == (400, "close")
        client.end()
        client.rest()
    assert log_of(caplog) == []


def test_a_gateway_may_answer_a_broken_body_itself(engine):
    def reads(exchange):
        try:
            exchange.body.read()
        except ProtocolError:
            exchange.respond(422, [], b"mine")

    with serving(reads, engine=engine, streams=True) as server, Client(server) as client:
        client.send(chunked([b"good"], tail=b"no\r\n"))
        answer = client.answer()
        assert (answer.status, answer.body, answer["connection"]) == (422, b"mine", "close")
        client.end()
        client.rest()


def test_an_error_of_its_own_after_a_clients_is_the_gateways(engine, caplog):
    def reads(exchange):
        try:
            exchange.body.read()
        except ProtocolError:
            pass
        raise KeyError("mine")

    with serving(reads, engine=engine, streams=True) as server, Client(server) as client:
        client.send(chunked([b"good"], tail=b"no\r\n"))
        assert client.answer().status == 500
        client.end()
        client.rest()
    assert "KeyError: 'mine'" in caplog.text


# Slow ones


def test_slow_gateways_do_not_hold_up_the_others():
    go = threading.Event()

    def slow(exchange):
        if exchange.path == "/slow":
            go.wait(20)
        exchange.respond(200, [], b"done")

    with serving(slow) as server:
        clients = [Client(server) for _ in range(10)]
        for client in clients:
            client.send(get("/slow"))
        with Client(server) as quick:
            for _ in range(20):
                assert quick.ask(get("/quick")).body == b"done"
        go.set()
        for client in clients:
            with client:
                assert client.answer().body == b"done"


def test_with_every_thread_taken_and_the_queue_full_requests_are_refused():
    go = threading.Event()

    def slow(exchange):
        go.wait(20)
        exchange.respond(200, [], exchange.body.read())

    with serving(slow, engine="threads:2", limits={"queue": 3}) as server:
        clients = [Client(server) for _ in range(12)]
        for client in clients:
            client.send(post(b"body"))
            time.sleep(0.02)
        go.set()
        answers = []
        for client in clients:
            with client:
                answers.append(client.answer())
    statuses = sorted(answer.status for answer in answers)
    assert statuses[0] == 200
    assert statuses[-1] == 503
    refused = [answer for answer in answers if answer.status == 503]
    assert all(answer["retry-after"] and answer["connection"] == "close" for answer in refused)
    assert 5 <= statuses.count(200) <= 7


def test_a_gateways_own_deadline_covers_reading_and_writing(engine, caplog):
    def bounded(exchange):
        with timeout(0.1):
            exchange.body.read()

    with serving(bounded, engine=engine, streams=True) as server, Client(server) as client:
        client.send(post(b"12345")[:-1])
        assert client.answer().status == 500
        client.end()
        client.rest()
    assert "Timeout" in caplog.text


def test_stopping_cuts_a_gateway_that_waits_for_its_client(engine, caplog):
    ended = threading.Event()

    def waits(exchange):
        try:
            exchange.body.read()
        finally:
            ended.set()

    with serving(waits, engine=engine, streams=True) as server, Client(server) as client:
        client.send(post(b"12345")[:-1])
        while not server.connections:
            door.sleep(0.01)
        time.sleep(0.05)
        cut = server.stop(0.1)
        assert ended.wait(5)
    assert len(cut) == 1
    assert "POST /" in cut[0]


# Nothing else in a head than was meant


BAD = [
    "a\r\nX-Injected: yes",
    "a\nX-Injected: yes",
    "a\rX-Injected: yes",
    "a\0X-Injected",
    "a\x7f",
    "snow \u2603",
]


@pytest.mark.parametrize("text", BAD, ids=repr)
@pytest.mark.parametrize("place", ["name", "value", "reason"])
@pytest.mark.parametrize("way", ["respond", "start", "large"])
def test_a_head_cannot_be_split(way, place, text):
    def splits(exchange):
        fields = {"name": [(text, "v")], "value": [("X-Name", text)], "reason": []}[place]
        reason = text if place == "reason" else ""
        if way == "start":
            exchange.start(200, fields, reason)
            exchange.write(b"x")
        else:
            exchange.respond(200, fields, b"x" * (100_000 if way == "large" else 1), reason)

    with serving(splits) as server, Client(server) as client:
        for _ in range(2):
            answer = client.ask(get())
            assert answer.status == 500
            assert answer["x-injected"] is None
            assert "njected" not in str(answer.headers) + answer.reason


@pytest.mark.parametrize("name", ["", "a b", "a:", ":", "a\tb", "\u00fc"])
def test_a_field_needs_a_proper_name(name):
    def names(exchange):
        exchange.respond(200, [(name, "v")])

    with serving(names) as server, Client(server) as client:
        assert client.ask(get()).status == 500


def test_transfer_encoding_is_the_servers(engine):
    def codes(exchange):
        exchange.respond(200, [("Transfer-Encoding", "chunked")], b"0\r\n\r\n")

    with serving(codes, engine=engine) as server, Client(server) as client:
        assert client.ask(get()).status == 500


def test_a_gateway_may_ask_for_the_end_of_the_connection(engine):
    def closes(exchange):
        if exchange.path == "/parts":
            exchange.start(200, [("Connection", "close")])
        else:
            exchange.respond(200, [("Connection", "close")])

    with serving(closes, engine=engine) as server:
        for path in ("/parts", "/whole"):
            with Client(server) as client:
                assert client.ask(get(path))["connection"] == "close"
                assert client.is_closed()


# What is told afterwards


def test_the_access_hook_sees_every_answer(engine):
    seen = []
    server = serving(lambda exchange: exchange.respond(201, [], b"12345"), engine=engine)
    server.access = lambda exchange, seconds: seen.append(
        (exchange.method, exchange.target, exchange.status, exchange.sent, 0 <= seconds < 10)
    )
    with server, Client(server) as client:
        client.ask(get("/a"))
        client.ask(post(b"x", "/b"))
        client.ask(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        client.end()
        client.rest()
    assert [entry[:3] for entry in seen] == [("GET", "/a", 201), ("POST", "/b", 201), ("CONNECT", "a:1", 501)]
    assert [entry[3] for entry in seen[:2]] == [5, 5]
    assert all(entry[4] for entry in seen)
