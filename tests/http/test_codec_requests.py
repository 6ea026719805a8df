"""What a server reads, and everything it must refuse to read."""

from __future__ import annotations

import pytest

from portico.errors import EndOfStream, LimitExceeded, LocalProtocolError, ProtocolError
from portico.http.messages import CLOSED, END, NEED_DATA, PAUSED, End, RequestHead
from portico.http.states import State
from portico.limits import Limits
from tests.http.dialogue import WAYS, converse, events, pieces, refusal, server

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def post(rest: bytes) -> bytes:
    return b"POST /a HTTP/1.1\r\nHost: h\r\n" + rest


def chunked(rest: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n\r\n" + rest)


def read(raw: bytes, way: str = "whole", **options):
    codec = server(**options)
    found = []
    for piece in pieces(raw, way):
        codec.feed(piece)
        for event in events(codec):
            if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += event
            else:
                found.append(event)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_head_says_what_was_sent(way):
    raw = b"GET /a?b HTTP/1.1\r\nHOST: h:80\r\nX-Q:\t one \t\r\nx-q: two\r\nEmpty:\r\nL: caf\xe9\r\n\r\n"
    head, end = read(raw, way)
    assert isinstance(head, RequestHead)
    assert (head.method, head.target, head.version) == ("GET", "/a?b", "HTTP/1.1")
    assert head.headers == [("host", "h:80"), ("x-q", "one"), ("x-q", "two"), ("empty", ""), ("l", "caf\xe9")]
    assert head.raw == raw
    assert (head.get("x-q"), head.get("empty"), head.get("none")) == ("one, two", "", None)
    assert (head.body_length, head.keep_alive, head.expects_continue, head.upgrade) == (0, True, False, None)
    assert repr(head) == "<RequestHead GET /a?b HTTP/1.1 body=0>"
    assert end is END


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [b"", b"\r\n", b"GET ", GET, b"\x00\x00"])
def test_a_body_of_known_length_is_its_bytes_and_no_more(way, after):
    head, body, end = read(post(b"Content-Length: 5\r\n\r\nhe\r\nl" + after), way)
    assert head.body_length == 5
    assert body == b"he\r\nl"
    assert end.trailers == ()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", [b"", b"\r\n", GET, b"\x00\x00"])
def test_a_chunked_body_is_undone_with_its_trailers_apart(way, after):
    raw = chunked(
        b'5;a;b=c ; d = "e\\"\xe9"\r\nhello\r\n0A\r\n 123456789\r\n000;x\r\nX-Sum: 1\r\nVary: *\r\n\r\n'
        + after
    )
    head, body, end = read(raw, way)
    assert head.body_length is None
    assert body == b"hello 123456789"
    assert end.trailers == (("x-sum", "1"), ("vary", "*"))
    assert repr(end) == "<End (('x-sum', '1'), ('vary', '*'))>"


@pytest.mark.parametrize("way", WAYS)
def test_pipelined_requests_wait_for_their_turn(way):
    outcome = converse(pieces(GET + chunked(b"1\r\nx\r\n0\r\n\r\n") + b"\r\n" + GET, way))
    assert [(one.method, one.body) for one in outcome.accepted] == [
        ("GET", b""),
        ("POST", b"x"),
        ("GET", b""),
    ]
    assert outcome.closed
    assert not outcome.cut


def test_nothing_is_read_after_a_message_until_the_next_cycle():
    codec = server()
    codec.feed(GET * 2)
    assert isinstance(codec.next_event(), RequestHead)
    assert isinstance(codec.next_event(), End)
    assert codec.next_event() is PAUSED
    assert codec.leftover == GET
    assert codec.waiting == len(GET)
    codec.respond(200, "OK", [], b"")
    codec.start_next_cycle()
    assert isinstance(codec.next_event(), RequestHead)


def test_the_end_of_a_message_without_body_need_not_be_fetched():
    codec = server()
    for _ in range(3):
        codec.feed(GET)
        assert codec.next_event().body_length == 0
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()
    assert codec.next_event() is NEED_DATA


def test_a_buffer_that_its_owner_fills_again_is_copied():
    codec, buffer = server(), bytearray(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    codec.feed(buffer)
    buffer[:3] = b"PUT"
    assert codec.next_event().method == "GET"


# Request lines


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /a", 400),
        (b"GET  /a HTTP/1.1", 400),
        (b"GET /a  HTTP/1.1", 400),
        (b" GET /a HTTP/1.1", 400),
        (b"GET /a HTTP/1.1 ", 400),
        (b"GET\t/a\tHTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"G(T /a HTTP/1.1", 400),
        (b"G\xc9T /a HTTP/1.1", 400),
        (b"GET /a HTTP/1.11", 400),
        (b"GET /a HTTP/11", 400),
        (b"GET /a HTTP/1.", 400),
        (b"GET /a http/1.1", 400),
        (b"GET /a ICAP/1.1", 400),
        (b"GET /a HTTP/1.1\x0b", 400),
        (b"GET /a HTTP/\xb2.1", 400),
        (b"GET /a\x00 HTTP/1.1", 400),
        (b"GET /a\x7f HTTP/1.1", 400),
        (b"GET /a\rb HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET /a HTTP/2.0", 505),
        (b"GET /a HTTP/0.9", 505),
        (b"GET /a HTTP/3.1", 505),
        (b"PRI * HTTP/2.0", 505),
    ],
)
def test_a_request_line_that_is_not_exact_is_refused(line, status, way):
    error = refusal(line + b"\r\nHost: h\r\n\r\n", way=way)
    assert isinstance(error, ProtocolError)
    assert error.status == status


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "a"),
        ("GET", "example.com:80"),
        ("GET", "*"),
        ("POST", "*"),
        ("GET", "**"),
        ("GET", "ftp://h/a"),
        ("GET", "http:/h/a"),
        ("GET", "http:///a"),
        ("GET", "http://"),
        ("GET", "http://u@h/a"),
        ("GET", "http://u:p@h/a"),
        ("GET", "http://h:99999/"),
        ("GET", "http://h:8a/"),
        ("GET", "http://h%2/"),
        ("GET", "http://h\\@evil/"),
        ("GET", "http://[::1/"),
        ("GET", "http://[x]/"),
        ("CONNECT", "/a"),
        ("CONNECT", "h"),
        ("CONNECT", "h:"),
        ("CONNECT", ":80"),
        ("CONNECT", "u@h:80"),
        ("CONNECT", "h:80/"),
        ("CONNECT", "http://h:80"),
        ("CONNECT", "*"),
    ],
)
def test_a_target_in_a_form_that_its_method_does_not_have_is_refused(method, target):
    error = refusal(f"{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (type(error), error.status) == (ProtocolError, 400)


@pytest.mark.parametrize(
    ("method", "target", "authority", "origin"),
    [
        ("GET", "/a?b", "h:1", "/a?b"),
        ("GET", "//x/y", "h:1", "//x/y"),
        ("OPTIONS", "*", "h:1", "*"),
        ("GET", "http://example.com", "example.com", "/"),
        ("GET", "HTTP://example.com:8080/x?y", "example.com:8080", "/x?y"),
        ("GET", "https://example.com?x=/y", "example.com", "/?x=/y"),
        ("GET", "http://[::1]:80/x", "[::1]:80", "/x"),
        ("CONNECT", "example.com:443", "example.com:443", ""),
        ("CONNECT", "[2001:db8::1]:443", "[2001:db8::1]:443", ""),
    ],
)
def test_a_target_that_names_an_authority_overrules_host(method, target, authority, origin):
    # RFC 9112, 3.2.2: the Host field must then be ignored, also when it says another.
    (head, _) = read(f"{method} {target} HTTP/1.1\r\nHost: h:1\r\n\r\n".encode())
    assert (head.authority, head.origin_form) == (authority, origin)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"example.com",
        b"h:",
        b"h:8080",
        b"[::1]:80",
        b"[2001:db8::1]",
        b"a_b.c",
        b"0.0.0.0=5000",
        b"h%41",
    ],
)
def test_hosts_that_are_valid(host):
    (head, _) = read(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert head.authority == host.decode()


@pytest.mark.parametrize(
    "host",
    [
        b"a b",
        b"a/b",
        b"u@h",
        b"h:99999",
        b"h:8x",
        b"h:80:80",
        b"[::1",
        b"[x]",
        b"h\xe9",
        b"a?b",
        b"a\\b",
        b'"h"',
        b"%4",
    ],
)
def test_hosts_that_are_not_valid_are_refused(host):
    error = refusal(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert (type(error), error.status) == (ProtocolError, 400)


def test_host_is_given_exactly_once():
    assert refusal(b"GET / HTTP/1.1\r\n\r\n").status == 400
    assert refusal(b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n").status == 400
    assert refusal(b"GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n").status == 400
    assert read(b"GET / HTTP/1.0\r\n\r\n")[0].authority == ""


def test_later_minor_versions_are_spoken_to_as_1_1():
    head = read(b"GET / HTTP/1.7\r\nHost: h\r\n\r\n")[0]
    assert (head.version, head.keep_alive) == ("HTTP/1.1", True)


def test_http_1_0_closes_unless_it_asks_to_stay():
    assert not read(b"GET / HTTP/1.0\r\n\r\n")[0].keep_alive
    assert read(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[0].keep_alive


# Empty lines before a request


@pytest.mark.parametrize("way", WAYS)
def test_a_few_empty_lines_before_a_request_are_skipped(way):
    assert read(b"\r\n" * 4 + GET, way)[0].target == "/a"


@pytest.mark.parametrize("way", WAYS)
def test_many_empty_lines_are_not_a_request(way):
    assert refusal(b"\r\n" * 5 + GET, way=way).status == 400


@pytest.mark.parametrize("junk", [b"\n", b"\r", b"\n\n", b" \r\n", b"\r\r\n"])
def test_other_junk_before_a_request_is_refused(junk):
    assert refusal(junk + GET).status == 400


# Header lines

BAD_LINES = [
    b"Name : v",
    b"Name\t: v",
    b" Name: v",
    b"\tName: v",
    b": v",
    b":",
    b"Name",
    b"Na me: v",
    b"Na(me: v",
    b"N\xe9: v",
    b"N\x00: v",
    b"Name: v\x00",
    b"Name: \x01",
    b"Name: a\x0bb",
    b"Name: a\x0cb",
    b"Name: \x7f",
    b"Name: a\rb",
    b"Name: a\nb",
    b"Name: a\r\rb",
    b"Name: a\n\tb",
    b"Name: a\r\n folded",
    b"Name: a\r\n\tfolded",
    b"Name:\r\n ",
    b"Na\rme: v",
    b"Na\nme: v",
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("line", BAD_LINES)
@pytest.mark.parametrize("first", [True, False])
def test_a_header_line_that_is_not_exact_is_refused(line, way, first):
    lines = [line, b"Host: h"] if first else [b"Host: h", line]
    error = refusal(b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n", way=way)
    assert (type(error), error.status) == (ProtocolError, 400)


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: h\n\n", b"\x16\x03\x01\x02\x00", b"\x00"]
)
def test_bytes_that_no_head_can_hold_are_refused_at_once(raw):
    assert refusal(raw).status == 400


@pytest.mark.parametrize("value", [b"3, 3", b"-3", b"+3", b"3 3", b"3_0", b"", b"0x3", b"1" * 19])
def test_a_bad_content_length_is_refused(value):
    assert refusal(post(b"Content-Length: " + value + b"\r\n\r\nabc")).status == 400


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
        (b"Content-Length: 3\r\nContent-Length: 3\r\n", 400),
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked, identity\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: \x0bchunked\r\n", 400),
        (b"Expect: a-miracle\r\n", 417),
    ],
)
def test_framing_that_two_parsers_could_read_differently_is_refused(lines, status):
    assert refusal(post(lines + b"\r\nabc")).status == status


def test_a_transfer_coding_in_http_1_0_is_refused():
    assert refusal(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").status == 400


# Chunks


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "body",
    [
        b"x\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\t\r\nhello\r\n",
        b"5 ;\r\nhello\r\n",
        b"5;\r\nhello\r\n",
        b"5;a=\r\nhello\r\n",
        b'5;a="b\r\nhello\r\n',
        b"5;a\x00\r\nhello\r\n",
        b"5;a\x7f\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\rhello\r\n",
        b"5\r\rhello\r\n",
        b"0" * 50 + b"5\r\nhello\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nhello\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\rX",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n\r\n",
        b"0\r\nName : v\r\n\r\n",
        b"0\r\nName\r\n\r\n",
        b"0\r\nName: a\x00\r\n\r\n",
        b"0\r\nName: a\nb\r\n\r\n",
        b"0\r\n folded: a\r\n\r\n",
        b"0\r\nContent-Length: 1\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nHost: evil\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"0\r\nConnection: close\r\n\r\n",
    ],
)
def test_chunks_and_trailers_that_are_not_exact_are_refused(body, way):
    error = refusal(chunked(body), way=way)
    assert (type(error), error.status) == (ProtocolError, 400)


@pytest.mark.parametrize("way", WAYS)
def test_chunk_extensions_are_bounded_together(way):
    limits = Limits().but(chunk_extension_bytes=40)
    chunk = b"1;" + b"a" * 9 + b"\r\nx\r\n"
    fine, many = chunked(chunk * 4 + b"0\r\n\r\n"), chunked(chunk * 5 + b"0\r\n\r\n")
    assert converse(pieces(fine, way), limits).accepted[0].body == b"xxxx"
    assert refusal(many, limits, way=way).limit == "chunk_extension_bytes"
    assert refusal(chunked(b"1;" + b"a" * 100), limits, way=way).limit == "chunk_extension_bytes"


@pytest.mark.parametrize("way", WAYS)
def test_trailers_are_bounded_as_heads_are(way):
    limits = Limits().but(headers=3, header_bytes=300)
    three = b"a: 1\r\n" * 3
    assert converse(pieces(chunked(b"0\r\n" + three + b"\r\n"), way), limits).accepted
    error = refusal(chunked(b"0\r\n" + three + b"a: 1\r\n\r\n"), limits, way=way)
    assert (error.limit, error.status) == ("headers", 431)
    error = refusal(chunked(b"0\r\na: " + b"x" * 300), limits, way=way)
    assert (error.limit, error.status) == ("header_bytes", 431)


# Limits


@pytest.mark.parametrize("way", ["whole", "bytes"])
@pytest.mark.parametrize("tail", [b"", b" HTTP/1.1\r\nHost: h\r\n\r\n"])
def test_a_request_line_that_is_too_long_is_refused_also_without_its_end(way, tail):
    limits = Limits().but(request_line=100)
    error = refusal(b"GET /" + b"a" * 97 + tail, limits, way=way)
    assert (type(error), error.limit, error.status) == (LimitExceeded, "request_line", 414)


@pytest.mark.parametrize("way", ["whole", "bytes"])
def test_a_request_line_of_exactly_the_limit_is_read(way):
    line = b"GET /aaaaaaaa HTTP/1.1"
    outcome = converse(pieces(line + b"\r\nHost: h\r\n\r\n", way), Limits().but(request_line=len(line)))
    assert len(outcome.accepted) == 1
    error = refusal(line + b"\r\nHost: h\r\n\r\n", Limits().but(request_line=len(line) - 1), way=way)
    assert error.status == 414


@pytest.mark.parametrize("way", ["whole", "bytes"])
@pytest.mark.parametrize("line", [b"X: " + b"y" * 50 + b"\r\n", b"X" * 50, b"X: \r\n"])
def test_a_head_that_is_too_large_is_refused_also_without_its_end(way, line):
    error = refusal(b"GET / HTTP/1.1\r\nHost: h\r\n" + line * 100, Limits().but(header_bytes=400), way=way)
    assert (type(error), error.limit, error.status) == (LimitExceeded, "header_bytes", 431)


@pytest.mark.parametrize("way", ["whole", "bytes"])
@pytest.mark.parametrize("memo", [True, False])
def test_a_head_of_exactly_the_limit_is_read(way, memo):
    limits = Limits().but(header_bytes=len(GET))
    assert len(converse(pieces(GET * 2, way), limits, memo=memo).accepted) == 2
    longer = GET.replace(b"/a", b"/ab")
    outcome = converse(pieces(GET + longer, way), limits, memo=memo)
    assert (len(outcome.accepted), outcome.status) == (1, 431)


def test_too_many_header_fields_are_refused():
    lines = b"".join(b"x%d: 1\r\n" % number for number in range(10))
    raw = b"GET / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n"
    assert read(raw, limits=Limits().but(headers=11))
    error = refusal(raw, Limits().but(headers=10))
    assert (type(error), error.limit, error.status) == (LimitExceeded, "headers", 431)


@pytest.mark.parametrize("way", WAYS)
def test_a_body_that_is_too_large_is_refused_as_soon_as_that_is_known(way):
    limits = Limits().but(body=5)
    for raw in (post(b"Content-Length: 6\r\n\r\n"), chunked(b"6\r\n"), chunked(b"5\r\nhello\r\n1\r\n")):
        error = refusal(raw, limits, way=way)
        assert (type(error), error.limit, error.status) == (LimitExceeded, "body", 413)
    assert converse(pieces(chunked(b"5\r\nhello\r\n0\r\n\r\n"), way), limits).accepted
    assert converse(pieces(post(b"Content-Length: 5\r\n\r\nhello"), way), limits).accepted


# Ends


@pytest.mark.parametrize("junk", [b"", b"\r\n"])
@pytest.mark.parametrize("cycles", [0, 1, 2])
def test_an_end_between_messages_is_a_close(junk, cycles):
    codec = server()
    for _ in range(cycles):
        codec.feed(GET)
        events(codec)
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()
    if junk:
        codec.feed(junk)
    codec.feed(b"")
    assert codec.next_event() is CLOSED
    assert codec.next_event() is CLOSED
    assert not codec.keep_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"G",
        b"\r",
        GET[:-1],
        post(b"Content-Length: 5\r\n\r\n"),
        post(b"Content-Length: 5\r\n\r\nhell"),
        chunked(b""),
        chunked(b"5"),
        chunked(b"5\r\nhell"),
        chunked(b"5\r\nhello"),
        chunked(b"5\r\nhello\r\n"),
        chunked(b"5\r\nhello\r\n0\r\n"),
        chunked(b"5\r\nhello\r\n0\r\nA: b\r\n"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_an_end_within_a_message_is_not_an_end(raw, way):
    codec = server()
    for piece in pieces(raw, way):
        codec.feed(piece)
        events(codec)
    codec.feed(b"")
    for _ in range(2):
        with pytest.raises(EndOfStream):
            codec.next_event()
    assert codec.their_state is State.ERROR


def test_what_came_of_a_cut_head_is_kept():
    codec = server()
    codec.feed(b"GET /a")
    codec.feed(b"")
    with pytest.raises(EndOfStream) as caught:
        codec.next_event()
    assert caught.value.partial == b"GET /a"


def test_a_client_that_closes_its_direction_still_gets_its_answer():
    codec = server()
    codec.feed(GET)
    codec.feed(b"")
    assert [type(event) for event in events(codec)] == [RequestHead, End]
    assert codec.next_event() is CLOSED
    answer = codec.respond(200, "OK", [], b"x")
    assert answer.endswith(b"\r\n\r\nx")
    assert not codec.keep_alive


def test_bytes_after_the_end_are_a_mistake_of_the_caller():
    codec = server()
    codec.feed(b"")
    with pytest.raises(LocalProtocolError):
        codec.feed(b"x")


def test_after_an_error_nothing_more_is_read_but_an_answer_can_be_sent():
    codec = server()
    codec.feed(b"GET / HTTP/9.9\r\n\r\n")
    with pytest.raises(ProtocolError) as first:
        codec.next_event()
    codec.feed(GET)
    with pytest.raises(ProtocolError) as second:
        codec.next_event()
    assert second.value is first.value
    assert codec.waiting == 0
    answer = codec.respond(505, "HTTP Version Not Supported", [], b"no")
    assert b"Connection: close\r\n" in answer
    assert not codec.keep_alive
    with pytest.raises(LocalProtocolError):
        codec.start_next_cycle()


def test_the_method_of_the_request_before_does_not_mute_a_refusal():
    codec = server()
    codec.feed(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    events(codec)
    codec.respond(200, "OK", [], b"")
    codec.start_next_cycle()
    codec.feed(b"junk\r\n\r\n")
    with pytest.raises(ProtocolError):
        codec.next_event()
    assert codec.respond(400, "Bad Request", [], b"no").endswith(b"\r\n\r\nno")


def test_repr_shows_the_state():
    codec = server()
    codec.feed(GET + b"xy")
    codec.next_event()
    assert repr(codec) == "<Codec SERVER ours=ANSWER theirs=DONE, 2 bytes wait>"
    codec.close_after()
    assert repr(codec) == "<Codec SERVER ours=ANSWER theirs=DONE, ends, 2 bytes wait>"


# Memory and time


def test_a_byte_by_byte_head_and_many_small_chunks_cost_linear_work():
    codec = server()
    codec.feed(chunked(b"1;x\r\ny\r\n" * 1000 + b"0\r\n\r\n"))
    assert events(codec)[1] == b"y" * 1000
    outcome = converse(pieces(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 60000 + b"\r\n\r\n", "bytes"))
    assert len(outcome.accepted) == 1


def test_megabytes_in_one_chunk_pass_through_uncopied():
    codec, data = server(), bytes(1 << 20)
    codec.feed(chunked(b"%x\r\n" % (16 << 20)))
    events(codec)
    for _ in range(16):
        codec.feed(data)
        assert codec.next_event() is data
    codec.feed(b"\r\n0\r\n\r\n")
    assert codec.next_event() is END
