"""What a client reads."""

from __future__ import annotations

import pytest

from portico.errors import EndOfStream, LocalProtocolError, ProtocolError
from portico.http.messages import CLOSED, END, NEED_DATA, PAUSED, UNTIL_CLOSE, End, ResponseHead
from portico.http.states import Role, State
from portico.limits import Limits
from tests.http.dialogue import WAYS, client, events, pieces, refusal

HOST = [("Host", "h")]


def asked(method: str = "GET", target: str = "/", headers=(), limits: Limits | None = None):
    codec = client(limits)
    codec.send_request(method, target, [*HOST, *headers], body_length=0)
    return codec


def read(raw: bytes, way: str = "whole", *, ended: bool = False, **request):
    codec, found = asked(**request), []
    for piece in [*pieces(raw, way), b""] if ended else pieces(raw, way):
        codec.feed(piece)
        for event in events(codec):
            if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += event
            else:
                found.append(event)
    return codec, found


def refused(raw: bytes, way: str = "whole"):
    return refusal(raw, way=way, role=Role.CLIENT)


@pytest.mark.parametrize("way", WAYS)
def test_a_response_says_what_was_sent(way):
    raw = b"HTTP/1.1 200 Very \xe9 OK\r\nServer:  x \r\nContent-Length: 5\r\n\r\n"
    codec, (head, body, end) = read(raw + b"hello", way)
    assert isinstance(head, ResponseHead)
    assert (head.status, head.reason, head.version) == (200, "Very \xe9 OK", "HTTP/1.1")
    assert head.headers == [("server", "x"), ("content-length", "5")]
    assert (head.raw, head.get("server"), head.body_length, head.keep_alive) == (raw, "x", 5, True)
    assert (body, end) == (b"hello", END)
    assert codec.next_event() is PAUSED
    codec.start_next_cycle()
    assert (codec.our_state, codec.their_state) == (State.IDLE, State.IDLE)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("line", [b"HTTP/1.1 404 ", b"HTTP/1.1 404"])
def test_a_reason_may_be_empty(way, line):
    _, (head, _) = read(line + b"\r\nContent-Length: 0\r\n\r\n", way)
    assert (head.status, head.reason) == (404, "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 020 OK",
        b"HTTP/1.1 2x0 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\x1bK",
        b"http/1.1 200 OK",
        b"HTTP/1.10 200 OK",
        b"HTTP/2.0 200 OK",
        b"ICY 200 OK",
        b"200 OK",
        b"",
    ],
)
def test_a_status_line_that_is_not_exact_is_refused(line, way):
    assert isinstance(refused(line + b"\r\nContent-Length: 0\r\n\r\n", way), ProtocolError)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: -3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Content-Length : 3\r\n",
        b"X: a\x00b\r\n",
        b"X: a\nb\r\n",
        b" X: a\r\n",
        b"X\r\n",
    ],
)
def test_a_response_framed_in_doubt_is_refused(fields):
    assert isinstance(refused(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\nabc"), ProtocolError)


@pytest.mark.parametrize("way", WAYS)
def test_obsolete_folding_is_read_as_a_blank(way):
    # RFC 9112, 5.2: what a server may refuse, a user agent has to read.
    _, (head, _) = read(b"HTTP/1.1 200 OK\r\nX: a\r\n\t b\r\nContent-Length: 0\r\n\r\n", way)
    assert head.get("x") == "a b"


@pytest.mark.parametrize("way", WAYS)
def test_a_chunked_response_is_undone(way):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 1\r\n\r\n"
    codec, (head, body, end) = read(raw, way)
    assert (head.body_length, body, end.trailers) == (None, b"abc", (("sum", "1"),))
    assert codec.keep_alive


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_response_without_a_length_goes_on_until_the_close(way, version):
    codec, (head, body, end) = read(version + b" 200 OK\r\n\r\nall of it\r\n\r\n", way, ended=True)
    assert (head.body_length, head.keep_alive) == (UNTIL_CLOSE, False)
    assert (body, end) == (b"all of it\r\n\r\n", END)
    assert codec.next_event() is CLOSED
    assert not codec.keep_alive


def test_a_large_response_is_not_the_codecs_business():
    codec = asked(limits=Limits().but(body=3))
    codec.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert events(codec)[1] == b"hello"


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified")]
)
def test_responses_without_a_body_end_with_their_head(method, status):
    codec, (head, end) = read(b"HTTP/1.1 " + status + b"\r\nContent-Length: 10\r\n\r\n", method=method)
    assert (head.body_length, head.get("content-length"), end) == (0, "10", END)
    assert codec.keep_alive


@pytest.mark.parametrize("way", WAYS)
def test_interim_responses_come_before_the_final_one(way):
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    codec, found = read(raw + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", way)
    assert [event.status for event in found[:-1]] == [100, 103, 200]
    assert isinstance(found[-1], End)
    assert codec.keep_alive


def test_connection_close_ends_it():
    codec, _ = read(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert not codec.keep_alive
    with pytest.raises(LocalProtocolError, match="ends with its current message"):
        codec.start_next_cycle()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_response_that_is_cut_is_an_error(raw, way):
    with pytest.raises(EndOfStream):
        read(raw, way, ended=True)


def test_an_idle_connection_that_the_server_closes_is_closed():
    codec = client()
    assert codec.next_event() is NEED_DATA
    codec.feed(b"")
    assert codec.next_event() is CLOSED


def test_a_response_that_nobody_asked_for_is_refused():
    codec = client()
    codec.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(ProtocolError, match="not asked for"):
        codec.next_event()


def test_surplus_bytes_are_never_the_answer_to_the_next_request():
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    codec, _ = read(ok + ok)
    assert not codec.keep_alive
    with pytest.raises(LocalProtocolError, match="more came"):
        codec.start_next_cycle()
    codec, _ = read(ok)
    codec.start_next_cycle()
    codec.feed(ok)
    with pytest.raises(LocalProtocolError, match="more came"):
        codec.send_request("GET", "/", HOST, body_length=0)


UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket")]


def test_an_upgrade_hands_over_the_rest():
    codec = asked(headers=UPGRADE)
    codec.feed(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x00"
    )
    assert codec.next_event().status == 101
    assert codec.next_event() is PAUSED
    assert (codec.our_state, codec.their_state) == (State.SWITCHED, State.SWITCHED)
    assert codec.leftover == b"\x81\x00"
    codec.feed(b"more")
    assert codec.leftover == b"\x81\x00more"
    assert not codec.keep_alive


def test_an_upgrade_that_is_refused_goes_on_in_http():
    codec, (head, _) = read(b"HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n", headers=UPGRADE)
    assert head.status == 426
    codec.start_next_cycle()


def test_101_without_asking_is_refused():
    assert isinstance(refused(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), ProtocolError)


def test_101_before_the_request_is_complete_is_refused():
    codec = client()
    codec.send_request("POST", "/", [*HOST, *UPGRADE], body_length=5)
    codec.feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    with pytest.raises(ProtocolError, match="before the request is complete"):
        codec.next_event()


def test_a_tunnel_begins_after_the_head_whatever_it_says():
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntunnel"
    codec, (head,) = read(raw, method="CONNECT", target="h:443")
    assert (head.body_length, codec.leftover) == (0, b"tunnel")
    assert codec.their_state is State.SWITCHED


def test_a_refused_tunnel_is_a_response():
    codec, (head, body, _) = read(
        b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", method="CONNECT", target="h:443"
    )
    assert (head.status, body) == (407, b"no")
    codec.start_next_cycle()


def test_an_early_answer_is_read_while_the_request_is_still_being_sent():
    codec = client()
    codec.send_request("POST", "/", HOST, body_length=5)
    codec.feed(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert [type(event) for event in events(codec)] == [ResponseHead, End]
    assert not codec.keep_alive
