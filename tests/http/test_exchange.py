"""A request as gateways see it, and the rules of answering it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.engines.contract import RUN, WAIT_READ
from portico.errors import LocalProtocolError
from portico.http.exchange import Exchange, Mount
from portico.http.messages import RequestHead
from portico.http.server import HTTPConnection, Service
from portico.limits import Limits
from portico.sockets.memory import pair
from tests.http.served import Gate, get


def exchange(target="/", method="GET", headers=()):
    connection = HTTPConnection(pair()[0], Service(lambda asked: None, Limits()))
    return Exchange(connection, RequestHead.of(method, target, headers))


def run(answer, raw=None):
    """What one request to a function of an exchange puts on the wire."""
    ours, theirs = pair(capacity=1 << 20)
    connection = HTTPConnection(ours, Service(lambda asked: Mount(Gate(answer)), Limits()))
    theirs.send(raw or get("/", "Connection: close"))
    while (step := connection.advance()) == RUN:
        connection.run()
    said = theirs.recv(1 << 20)
    theirs.close()
    if step == WAIT_READ:
        connection.advance()
    return said


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a?b", "/a", "b"),
        ("/a?b?c", "/a", "b?c"),
        ("/?", "/", ""),
        ("/a://b?c", "/a://b", "c"),
        ("http://h/a?b", "/a", "b"),
        ("http://h", "/", ""),
        ("http://h?b", "/", "b"),
        ("http://h?b://c/d", "/", "b://c/d"),
        ("http://h/a/http://x", "/a/http://x", ""),
        ("*", "*", ""),
    ],
)
def test_a_target_is_path_and_query(target, path, query):
    made = exchange(target)
    assert (made.raw_path, made.query) == (path, query)


@pytest.mark.parametrize(
    ("method", "target", "host", "authority"),
    [
        ("GET", "/", ["h"], "h"),
        ("GET", "/", [], ""),
        ("GET", "/", [""], ""),
        ("GET", "/http://x/", ["h"], "h"),
        ("GET", "http://x:1/y", ["h"], "x:1"),
        ("GET", "http://x?y/z", ["h"], "x"),
        ("GET", "http://[::1]:80", ["h"], "[::1]:80"),
        ("OPTIONS", "*", ["h"], "h"),
        ("CONNECT", "x:443", ["h"], "x:443"),
    ],
)
def test_the_authority_is_that_of_the_target_before_that_of_host(method, target, host, authority):
    head = RequestHead.of(method, target, [("host", value) for value in host])
    assert head.authority == authority


@given(path=st.binary(max_size=20))
def test_a_path_is_decoded_one_character_a_byte(path):
    raw = "/" + "".join(f"%{byte:02x}" for byte in path)
    assert exchange(raw).path.encode("latin-1") == b"/" + path


def test_headers_are_found_by_name_and_joined():
    made = exchange(headers=[("a", "1"), ("b", "2"), ("a", "3")])
    assert made.header("a") == "1, 3"
    assert made.header("c") is None
    assert made.headers == [("a", "1"), ("b", "2"), ("a", "3")]


def test_the_rest_of_a_path_below_its_mount():
    made = exchange("/a%70p/x%20y")
    made.mount = "/app"
    assert (made.path_info, made.raw_path_info) == ("/x y", "/x%20y")


def test_an_answer_in_one_piece_is_one_write():
    said = run(lambda asked: asked.respond(200, [("X", "y")], b"body", "Fine"))
    assert said.startswith(b"HTTP/1.1 200 Fine\r\n")
    assert b"\r\nX: y\r\n" in said
    assert said.endswith(b"\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")


def test_nothing_leaves_before_the_first_piece():
    def answer(asked):
        asked.start(200, [])
        assert asked.started
        assert connection_of(asked).recv(1 << 16) is None
        asked.write(b"x")
        assert b"HTTP/1.1 200" in connection_of(asked).recv(1 << 16)

    def connection_of(asked):
        return asked.connection.transport._other

    assert run(answer).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("reason", ["", "Fine"])
def test_a_reason_is_the_standard_one_unless_given(reason):
    for way in ("respond", "start"):
        said = run(lambda asked, way=way: getattr(asked, way)(404, [], reason=reason))
        assert said.startswith(b"HTTP/1.1 404 %b\r\n" % (reason or "Not Found").encode())


def test_what_was_sent_is_counted():
    seen = []

    def parts(asked):
        asked.start(200, [])
        asked.write(b"123")
        asked.write(b"")
        asked.write(bytearray(b"45"))
        seen.append(asked.sent)

    run(parts)
    run(lambda asked: (asked.respond(201, [], b"1234567"), seen.append((asked.status, asked.sent))))
    assert seen == [5, (201, 7)]


def test_a_buffer_may_be_used_again_at_once():
    def answer(asked):
        buffer = bytearray(b"first")
        asked.start(200, [("Content-Length", "2000005")])
        asked.write(b"x" * 1_000_000)
        asked.write(b"x" * 1_000_000)
        asked.write(buffer)
        buffer[:] = b"later"

    ours, theirs = pair(capacity=1000)
    connection = HTTPConnection(
        ours, Service(lambda asked: Mount(Gate(answer)), Limits(response_memory=10 << 20))
    )
    theirs.send(get())
    got = bytearray()
    while (step := connection.advance()) != WAIT_READ:
        if step == RUN:
            connection.run()
        while data := theirs.recv(1 << 20):
            got += data
    got += theirs.recv(1 << 20) or b""
    assert got.endswith(b"first")
    theirs.close()
    connection.advance()


def test_illegal_moves_are_told_to_the_gateway():
    told = []

    def answer(asked):
        for move in (lambda: asked.write(b"x"), asked.finish, lambda: asked.respond(100, [])):
            with pytest.raises(LocalProtocolError) as caught:
                move()
            told.append(str(caught.value))
        asked.start(200, [])
        for move in (
            lambda: asked.respond(200, []),
            lambda: asked.start(200, []),
            lambda: asked.respond_error(500),
        ):
            with pytest.raises(LocalProtocolError) as caught:
                move()
            told.append(str(caught.value))

    assert run(answer).startswith(b"HTTP/1.1 200")
    assert len(told) == 6


def test_a_file_is_closed_also_when_it_cannot_be_sent(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    opened = []

    def answer(asked):
        for begin in (None, [("Content-Length", "3")]):
            opened.append(open(tmp_path / "file", "rb"))  # noqa: SIM115
            if begin:
                asked.start(200, begin)
            with pytest.raises(LocalProtocolError):
                asked.send_file(opened[-1], 0, 5)
        for status, headers in ((200, []), (99, [])):
            opened.append(open(tmp_path / "file", "rb"))  # noqa: SIM115
            with pytest.raises(LocalProtocolError):
                asked.respond_file(status, headers, opened[-1], 0, 5)
        asked.write(b"abc")

    assert run(answer).endswith(b"\r\n\r\nabc")
    assert all(file.closed for file in opened)


def test_a_file_is_closed_when_the_head_of_its_answer_cannot_be_sent(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    opened = []

    def answer(asked):
        wrong = (200, [("X", "a\nb")]), (204, []), (99, []), (200, [("Content-Length", "4")])
        for status, headers in wrong:
            opened.append(open(tmp_path / "file", "rb"))  # noqa: SIM115
            with pytest.raises(LocalProtocolError):
                asked.respond_file(status, headers, opened[-1], 0, 5)
        opened.append(open(tmp_path / "file", "rb"))  # noqa: SIM115
        asked.respond_file(200, [], opened[-1], 1, 3)

    assert run(answer).endswith(b"\r\n\r\n234")
    assert all(file.closed for file in opened)


def test_a_request_without_a_body_has_an_empty_one():
    seen = []

    def answer(asked):
        seen.append((asked.body.read(), asked.body_length, list(asked.body)))
        asked.respond(200, [])

    run(answer)
    assert seen == [(b"", 0, [])]


def test_where_a_request_came_from():
    def answer(asked):
        assert asked.scheme == "http"
        assert asked.tls is None
        assert asked.limits == Limits()
        assert isinstance(asked.body, io.BytesIO)
        asked.respond(200, [], b"%d" % (asked.peer is None))

    assert run(answer).endswith(b"1")
