"""What goes out, and everything that must not."""

from __future__ import annotations

import pytest

from portico.errors import LocalProtocolError
from portico.http.messages import END, PAUSED, RequestHead
from portico.http.outgoing import Field
from portico.http.states import MOVES, Move, Role, State, after
from tests.http.dialogue import client, events, server

HOST = [("Host", "h")]


def asked(method="GET", *, version="HTTP/1.1", fields="", target="/"):
    codec = server()
    codec.feed(f"{method} {target} {version}\r\nHost: h\r\n{fields}\r\n".encode())
    events(codec)
    return codec


def answered(codec, status=200, headers=(), body_length=None) -> bytes:
    return codec.send_response(status, "R", list(headers), body_length=body_length)


# Requests


def test_a_request_without_a_body_is_complete_with_its_head():
    codec = client()
    assert codec.send_request("GET", "/a", HOST, body_length=0) == b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    assert codec.our_state is State.DONE
    assert codec.send_end() == b""
    with pytest.raises(LocalProtocolError, match="a client in state DONE cannot end a message"):
        codec.send_end()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_where_content_is_expected_its_absence_is_said(method):
    head = client().send_request(method, "/", HOST, body_length=0)
    assert b"Content-Length: 0\r\n" in head


def test_a_request_with_a_length():
    codec = client()
    assert b"Content-Length: 5\r\n" in codec.send_request("POST", "/", HOST, body_length=5)
    assert codec.send_data(b"he") == [b"he"]
    assert codec.send_data(b"") == []
    assert codec.send_data(memoryview(b"llo")) == [b"llo"]
    assert codec.send_end() == b""


def test_a_chunked_request():
    codec = client()
    assert b"Transfer-Encoding: chunked\r\n" in codec.send_request("POST", "/", HOST, body_length=None)
    assert codec.send_data(b"x" * 26) == [b"1a\r\n", b"x" * 26, b"\r\n"]
    assert codec.send_data(b"") == []
    assert codec.send_end([("Sum", "1")]) == b"0\r\nSum: 1\r\n\r\n"


@pytest.mark.parametrize("method", ["", "G T", "G\r\nT", "G\u00c9T", "GET:"])
def test_a_method_is_a_token(method):
    with pytest.raises(LocalProtocolError):
        client().send_request(method, "/", HOST, body_length=0)


@pytest.mark.parametrize(
    "target",
    ["", "/a b", "/a\r\nX: y", "/\u00e9", "/\u20ac", "/a#b", "/\x00", "a", "*", "ftp://h/", "http://u@h/"],
)
def test_a_target_that_no_server_should_take_is_not_sent(target):
    codec = client()
    with pytest.raises(LocalProtocolError):
        codec.send_request("GET", target, HOST, body_length=0)
    assert codec.our_state is State.IDLE


@pytest.mark.parametrize("headers", [[], HOST * 2, [("Host", "a b")], [("host", "u@h")]])
def test_a_request_needs_one_valid_host(headers):
    with pytest.raises(LocalProtocolError):
        client().send_request("GET", "/", headers, body_length=0)


def test_a_connect_has_no_content():
    for length in (None, 1):
        with pytest.raises(LocalProtocolError, match="CONNECT"):
            client().send_request("CONNECT", "h:1", HOST, body_length=length)
    head = client().send_request("CONNECT", "h:1", HOST, body_length=0)
    assert head == b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"


def test_a_request_that_closes_ends_the_connection():
    codec = client()
    codec.send_request("GET", "/", [*HOST, ("Connection", "Close")], body_length=0)
    assert not codec.keep_alive


# Header lines

BAD_FIELDS = [
    ("", "v"),
    ("Na me", "v"),
    ("Name:", "v"),
    ("Name\r\n", "v"),
    ("N\u00e4me", "v"),
    ("Name ", "v"),
    ("Name", "a\r\nb"),
    ("Name", "a\r\nSet-Cookie: x"),
    ("Name", "a\nb"),
    ("Name", "a\rb"),
    ("Name", "a\x00b"),
    ("Name", "a\x0bb"),
    ("Name", "a\x7fb"),
    ("Name", "\r\n"),
    ("Name", "\u20ac"),
    ("Transfer-Encoding", "chunked"),
    ("Content-Length", "5, 5"),
    ("Content-Length", "-5"),
    ("Content-Length", "\u0665"),
    ("Content-Length", "5\r\n"),
]


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_a_field_that_could_be_read_otherwise_is_never_sent(field):
    codec = asked()
    for send in (
        lambda: codec.send_response(200, "OK", [field], body_length=None),
        lambda: codec.respond(200, "OK", [field], b"12345"),
        lambda: codec.send_informational(103, [field]),
    ):
        with pytest.raises(LocalProtocolError):
            send()
        assert codec.our_state is State.ANSWER
    assert codec.respond(500, "Oh", [], b"").startswith(b"HTTP/1.1 500 Oh\r\n")
    with pytest.raises(LocalProtocolError):
        client().send_request("GET", "/", [*HOST, field], body_length=None)


@pytest.mark.parametrize("reason", ["a\r\nX: y", "a\n", "\x00", "\u20ac"])
def test_a_reason_holds_no_line_end(reason):
    codec = asked()
    with pytest.raises(LocalProtocolError):
        codec.send_response(200, reason, [], body_length=0)
    with pytest.raises(LocalProtocolError):
        codec.respond(200, reason, [], b"")


def test_values_are_latin_1():
    assert b"X: caf\xe9\r\n" in asked().respond(200, "OK", [("X", "caf\u00e9")], b"")


# Responses


def test_a_response_with_a_length_that_is_kept():
    codec = asked()
    assert answered(codec, body_length=5) == b"HTTP/1.1 200 R\r\nContent-Length: 5\r\n\r\n"
    assert codec.send_data(b"hello") == [b"hello"]
    with pytest.raises(LocalProtocolError, match="longer than its Content-Length, by 1"):
        codec.send_data(b"!")
    assert codec.send_end() == b""
    codec.start_next_cycle()
    assert (codec.our_state, codec.their_state) == (State.IDLE, State.IDLE)


def test_a_body_that_falls_short_cannot_be_ended():
    codec = asked()
    answered(codec, body_length=5)
    codec.send_data(b"hell")
    with pytest.raises(LocalProtocolError, match="shorter than its Content-Length, by 1"):
        codec.send_end()
    assert codec.our_state is State.BODY


def test_a_given_length_wins_and_must_agree():
    codec = asked()
    with pytest.raises(LocalProtocolError, match="Content-Length is 5, but the body has 4 bytes"):
        answered(codec, headers=[("content-length", "5")], body_length=4)
    with pytest.raises(LocalProtocolError, match="Content-Length is 5, but the body has 4 bytes"):
        codec.respond(200, "OK", [("content-length", "5")], b"1234")
    head = answered(codec, headers=[("content-length", "5")])
    assert head.lower().count(b"content-length: 5\r\n") == 1
    assert b"chunked" not in head


def test_two_lengths_are_never_sent():
    codec = asked()
    for send in (
        lambda: answered(codec, headers=[("Content-Length", "5")] * 2),
        lambda: codec.respond(200, "OK", [("Content-Length", "5"), ("content-length", "5")], b"12345"),
        lambda: answered(codec, body_length=-2),
    ):
        with pytest.raises(LocalProtocolError):
            send()


def test_a_response_without_a_length_is_chunked():
    codec = asked()
    assert answered(codec) == b"HTTP/1.1 200 R\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b"".join(codec.send_data(b"hello")) == b"5\r\nhello\r\n"
    assert codec.send_around(300) == (b"12c\r\n", b"\r\n")
    assert codec.send_around(0) is None
    assert codec.send_end([("A", "b")]) == b"0\r\nA: b\r\n\r\n"
    assert codec.keep_alive


@pytest.mark.parametrize("fields", ["", "Connection: keep-alive\r\n"])
def test_to_http_1_0_a_response_without_a_length_goes_on_until_the_close(fields):
    codec = asked(version="HTTP/1.0", fields=fields)
    assert answered(codec) == b"HTTP/1.1 200 R\r\nConnection: close\r\n\r\n"
    assert codec.send_data(b"hello") == [b"hello"]
    assert codec.send_around(3) == (b"", b"")
    with pytest.raises(LocalProtocolError):
        codec.send_end([("A", "b")])
    assert codec.send_end() == b""
    assert not codec.keep_alive


def test_http_1_0_is_told_that_the_connection_lives_on():
    codec = asked(version="HTTP/1.0", fields="Connection: keep-alive\r\n")
    assert b"Connection: keep-alive\r\n" in answered(codec, body_length=0)
    codec = asked(version="HTTP/1.0", fields="Connection: keep-alive\r\n")
    assert b"Connection: keep-alive\r\n" in codec.respond(200, "OK", [], b"x")
    assert codec.keep_alive


@pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding", "Host", "trailer", "Connection"])
def test_a_field_that_frames_cannot_be_a_trailer(name):
    codec = asked()
    answered(codec)
    with pytest.raises(LocalProtocolError):
        codec.send_end([(name, "1")])
    with pytest.raises(LocalProtocolError):
        codec.send_end([("A", "b\r\n\r\nHTTP/1.1 200 OK")])
    assert codec.send_end() == b"0\r\n\r\n"


@pytest.mark.parametrize("length", [None, 0, 5])
def test_the_body_of_an_answer_to_head_is_dropped(length):
    codec = asked("HEAD")
    head = answered(codec, body_length=length)
    assert (b"Content-Length: %d\r\n" % (length or 0) in head) is (length is not None)
    assert codec.send_data(b"whatever is written") == []
    assert codec.send_around(10) is None
    assert codec.send_end() == b""
    codec.start_next_cycle()


def test_a_whole_answer_to_head_has_its_length_and_no_body():
    assert asked("HEAD").respond(200, "OK", [], b"hello") == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    codec = asked("HEAD")
    assert (
        codec.respond(200, "OK", [("Content-Length", "9")], b"")
        == b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    )
    assert codec.our_state is State.DONE


def test_204_has_neither_body_nor_length():
    for headers in ([], [("Content-Length", "0")]):
        codec = asked()
        assert answered(codec, 204, headers, 0) == b"HTTP/1.1 204 R\r\n\r\n"
        with pytest.raises(LocalProtocolError):
            codec.send_data(b"x")
        assert codec.send_end() == b""
    assert asked().respond(204, "No Content", [], b"") == b"HTTP/1.1 204 No Content\r\n\r\n"
    for send in (
        lambda: answered(asked(), 204, [("Content-Length", "3")]),
        lambda: answered(asked(), 204, [], 3),
        lambda: asked().respond(204, "No Content", [], b"x"),
        lambda: asked().respond(304, "Not Modified", [], b"x"),
    ):
        with pytest.raises(LocalProtocolError):
            send()


def test_304_may_say_the_length_that_it_does_not_send():
    codec = asked()
    head = answered(codec, 304, [("Content-Length", "1234")], 0)
    assert head == b"HTTP/1.1 304 R\r\nContent-Length: 1234\r\n\r\n"
    assert codec.send_end() == b""
    assert answered(asked(), 304, [], 0) == b"HTTP/1.1 304 R\r\n\r\n"


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 1000])
def test_a_final_status_is_from_200_on(status):
    for send in (lambda: answered(asked(), status, [], 0), lambda: asked().respond(status, "R", [], b"")):
        with pytest.raises(LocalProtocolError):
            send()


# Closing


def test_close_is_said_once():
    for headers in ([], [("Connection", "close")], [("connection", "Close")]):
        codec = asked(fields="Connection: close\r\n")
        assert answered(codec, 200, headers, 0).lower().count(b"connection: close\r\n") == 1
        codec = asked(fields="Connection: close\r\n")
        assert codec.respond(200, "OK", headers, b"x").lower().count(b"connection: close\r\n") == 1


def test_an_answer_may_close():
    codec = asked()
    codec.respond(200, "OK", [("Connection", "close")], b"")
    assert not codec.keep_alive
    codec = asked()
    codec.close_after()
    assert b"Connection: close\r\n" in codec.respond(200, "OK", [], b"")
    with pytest.raises(LocalProtocolError):
        codec.start_next_cycle()


def test_an_answer_before_any_request_closes():
    codec = server()
    assert b"Connection: close\r\n" in codec.respond(408, "Request Timeout", [], b"")
    codec.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert codec.next_event() is PAUSED


def test_a_cycle_ends_when_both_sides_are_done():
    codec = server()
    codec.feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
    assert isinstance(codec.next_event(), RequestHead)
    codec.respond(200, "OK", [], b"early")
    with pytest.raises(LocalProtocolError):
        codec.start_next_cycle()
    codec.feed(b"abc")
    assert events(codec) == [b"abc", END]
    codec.start_next_cycle()
    codec = asked()
    with pytest.raises(LocalProtocolError):
        codec.start_next_cycle()


# Fields that a server adds

DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
DEFAULTS = ((Field.DATE, DATE), (Field.SERVER, "Server: portico\r\n"))


def test_defaults_go_out_first():
    answer = asked().respond(200, "OK", [("A", "b")], b"hello", DEFAULTS)
    assert answer == (
        f"HTTP/1.1 200 OK\r\n{DATE}Server: portico\r\nA: b\r\nContent-Length: 5\r\n\r\nhello".encode()
    )
    assert DATE.encode() in asked("HEAD").respond(200, "OK", [], b"", DEFAULTS)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_default_gives_way_to_a_field_of_that_name_whatever_its_case(method):
    codec = asked(method)
    for given in ([("dATE", "never")], [("dATE", "never"), ("SERVER", "x"), ("Content-Length", "0")]):
        answer = codec.respond(200, "OK", given, b"", DEFAULTS).decode()
        assert answer.lower().count("date:") == answer.lower().count("server:") == 1
        assert "dATE: never\r\n" in answer
        assert ("portico" in answer) is (len(given) == 1)
        codec.start_next_cycle()
        codec.feed(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        events(codec)


def test_a_default_with_a_line_end_inside_is_refused():
    with pytest.raises(LocalProtocolError):
        asked().respond(200, "OK", [], b"", ((Field.SERVER, "Server: x\n"),))


# 100-continue

EXPECT = "Expect: 100-continue\r\nContent-Length: 3\r\n"


def test_a_client_that_waits_is_told_to_go_on():
    codec = server()
    codec.feed(f"POST / HTTP/1.1\r\nHost: h\r\n{EXPECT}\r\n".encode())
    assert codec.next_event().expects_continue
    assert codec.awaits_continue
    assert codec.send_informational(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not codec.awaits_continue
    codec.feed(b"abc")
    assert events(codec) == [b"abc", END]
    codec.respond(200, "OK", [], b"")
    assert codec.keep_alive


def test_a_body_that_came_unasked_needs_no_100():
    codec = asked("POST", fields=EXPECT)
    assert codec.awaits_continue
    codec.feed(b"a")
    codec.next_event()
    assert not codec.awaits_continue


@pytest.mark.parametrize("whole", [True, False])
def test_an_answer_instead_of_a_100_closes(whole):
    # Whether the body will still come, the server cannot know.
    codec = asked("POST", fields=EXPECT)
    head = codec.respond(417, "No", [], b"") if whole else answered(codec, 417, [], 0)
    assert b"Connection: close\r\n" in head
    assert not codec.keep_alive


def test_an_expectation_without_a_body_is_nothing_to_wait_for():
    assert not asked("POST", fields="Expect: 100-continue\r\n").awaits_continue


def test_http_1_0_is_sent_nothing_interim():
    codec = asked(version="HTTP/1.0")
    with pytest.raises(LocalProtocolError):
        codec.send_informational(100)


@pytest.mark.parametrize("status", [99, 200, 404])
def test_an_interim_status_is_below_200(status):
    with pytest.raises(LocalProtocolError):
        asked().send_informational(status)


def test_an_interim_response_has_no_length():
    with pytest.raises(LocalProtocolError):
        asked().send_informational(103, [("Content-Length", "0")])


# Switching

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"


def test_a_server_switches_when_asked():
    codec = server()
    codec.feed(f"GET / HTTP/1.1\r\nHost: h\r\n{UPGRADE}\r\n\x01\x02".encode())
    assert events(codec)[0].upgrade == "websocket"
    assert codec.next_event() is PAUSED
    head = codec.send_informational(101, [("Upgrade", "websocket")])
    assert head == b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    assert (codec.our_state, codec.their_state) == (State.SWITCHED, State.SWITCHED)
    assert codec.next_event() is PAUSED
    assert codec.leftover == b"\x01\x02"
    for move in (lambda: codec.send_data(b"x"), codec.send_end, codec.start_next_cycle):
        with pytest.raises(LocalProtocolError):
            move()


def test_a_server_that_does_not_switch_answers_in_http():
    codec = asked(fields=UPGRADE)
    codec.respond(200, "OK", [], b"")
    codec.start_next_cycle()


def test_a_switch_needs_a_request_for_it_its_end_and_a_name():
    with pytest.raises(LocalProtocolError):
        asked().send_informational(101, [("Upgrade", "x")])
    with pytest.raises(LocalProtocolError):
        asked(fields=UPGRADE).send_informational(101)
    with pytest.raises(LocalProtocolError):
        asked(fields=UPGRADE + "Content-Length: 3\r\n").send_informational(101, [("Upgrade", "x")])


def test_a_tunnel_opens_with_a_bare_head():
    codec = asked("CONNECT", target="h:443")
    with pytest.raises(LocalProtocolError):
        answered(codec, 200, [], 5)
    assert answered(codec, 200, [], 0) == b"HTTP/1.1 200 R\r\n\r\n"
    assert codec.our_state is State.SWITCHED
    codec = asked("CONNECT", target="h:443")
    assert codec.respond(200, "OK", [], b"") == b"HTTP/1.1 200 OK\r\n\r\n"
    assert codec.their_state is State.SWITCHED


def test_a_refused_tunnel_is_an_answer():
    codec = asked("CONNECT", target="h:443")
    assert codec.respond(403, "No", [], b"no").endswith(b"\r\n\r\nno")
    codec.start_next_cycle()


# Moves


def test_each_role_makes_its_own_moves_only():
    for send in (
        lambda: server().send_request("GET", "/", HOST, body_length=0),
        lambda: client().send_response(200, "OK", [], body_length=0),
        lambda: client().respond(200, "OK", [], b""),
        lambda: client().send_informational(100),
        lambda: client().send_data(b"x"),
        lambda: client().send_end(),
        lambda: server().send_informational(100),
        lambda: server().send_data(b"x"),
    ):
        with pytest.raises(LocalProtocolError, match="cannot"):
            send()


def test_one_answer_for_one_request():
    codec = asked()
    codec.respond(200, "OK", [], b"")
    for send in (lambda: answered(codec), lambda: codec.respond(200, "OK", [], b""), codec.send_end):
        with pytest.raises(LocalProtocolError, match="a server in state DONE cannot"):
            send()


def test_every_move_that_is_not_in_the_table_is_one_clear_error():
    for side in Role:
        for state in State:
            for move in Move:
                if (side, state, move) in MOVES:
                    assert after(side, state, move) is MOVES[side, state, move]
                else:
                    with pytest.raises(LocalProtocolError, match=f"in state {state.name} cannot"):
                        after(side, state, move)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_without_a_body_in_one_piece_has_no_length_and_goes_on(status, method):
    codec = asked(method)
    for _ in range(2):  # the second time as remembered
        head = codec.respond(status, "Fine", [("ETag", '"x"')], b"")
        assert head == b'HTTP/1.1 %d Fine\r\nETag: "x"\r\n\r\n' % status
        assert codec.went_on()
        codec.feed(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert isinstance(codec.next_event(), RequestHead)


def test_the_length_that_an_unchanged_answer_would_have_may_be_said():
    told = [("Content-Length", "5")]
    assert b"Content-Length: 5\r\n" in asked().respond(304, "Fine", told, b"")
    with pytest.raises(LocalProtocolError):
        asked().respond(204, "Fine", told, b"")
    for status in (204, 304):
        with pytest.raises(LocalProtocolError, match="no body"):
            asked().respond(status, "Fine", [], b"x")
    assert asked().respond_around(304, "Fine", [], 1) is None
