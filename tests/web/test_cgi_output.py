"""The header part of a CGI answer: what is understood, what is refused, however it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.limits import Limits
from portico.web.cgi_output import Chunks, Head, HeadReader, ProgramError

LIMIT = 4096


def whole(data: bytes, *, nph: bool = False, limit: int = LIMIT) -> tuple[Head | None, bytes]:
    reader = HeadReader(limit, nph=nph)
    return reader.feed(data), reader.rest


def bytewise(data: bytes, *, nph: bool = False, limit: int = LIMIT) -> tuple[Head | None, bytes]:
    reader = HeadReader(limit, nph=nph)
    for at in range(len(data)):
        head = reader.feed(data[at : at + 1])
        if head is not None:
            return head, reader.rest + data[at + 1 :]
    return None, b""


GOOD = {
    b"Content-Type: text/plain\n\nhello": (Head(200, "", [("Content-Type", "text/plain")]), b"hello"),
    b"Content-Type: text/plain\r\n\r\nhello": (Head(200, "", [("Content-Type", "text/plain")]), b"hello"),
    b"content-type:text/plain\r\n\nx": (Head(200, "", [("content-type", "text/plain")]), b"x"),
    b"Content-Type: a/b\n\r\n\n\n": (Head(200, "", [("Content-Type", "a/b")]), b"\n\n"),
    b"Status: 404 Not Here\nContent-Type: a/b\n\n": (Head(404, "Not Here", [("Content-Type", "a/b")]), b""),
    b"Status: 204\nX: 1\n\n": (Head(204, "", [("X", "1")]), b""),
    b"Status: 204\nContent-Length: 0\n\n": (Head(204, ""), b""),
    b"Content-Type: a/b\nContent-Length: 3\n\nabc": (
        Head(200, "", [("Content-Type", "a/b"), ("Content-Length", "3")], 3),
        b"abc",
    ),
    b"Content-Type: a/b\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n": (
        Head(200, "", [("Content-Type", "a/b"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
        b"",
    ),
    b"Location: https://example.org/x\n\n": (Head(302, "", [("Location", "https://example.org/x")]), b""),
    b"Location: /local?q=1\n\n": (Head(302, "", [("Location", "/local?q=1")], None, "/local?q=1"), b""),
    # Beside other fields, and with a host in it, a local path is the client's.
    b"Status: 303\nLocation: /local\n\n": (Head(303, "", [("Location", "/local")]), b""),
    b"Location: /a\nSet-Cookie: b=c\n\n": (Head(302, "", [("Location", "/a"), ("Set-Cookie", "b=c")]), b""),
    b"Location: //other.example/\n\n": (Head(302, "", [("Location", "//other.example/")]), b""),
    b"Location: /a#part\n\n": (Head(302, "", [("Location", "/a#part")]), b""),
    b"Status: 201\nLocation: /made\nContent-Type: a/b\n\n": (
        Head(201, "", [("Location", "/made"), ("Content-Type", "a/b")]),
        b"",
    ),
    b"Content-Type: text/html; charset=\xe9\n\n": (
        Head(200, "", [("Content-Type", "text/html; charset=\xe9")]),
        b"",
    ),
}


@pytest.mark.parametrize("data", GOOD, ids=repr)
def test_a_good_head_is_understood_whole_and_byte_by_byte(data):
    assert whole(data) == GOOD[data]
    assert bytewise(data) == GOOD[data]


BAD = {
    b"\n\nbody": "none of",
    b"\r\nbody": "none of",
    b"X-Other: 1\n\n": "none of",
    b"hello world\n\n": "not a header field",
    b"HTTP/1.1 200 OK\nContent-Type: a/b\n\n": "not a header field",
    b"Content-Type : a/b\n\n": "not a header field",
    b" Content-Type: a/b\n\n": "not a header field",
    b"Content-Type: a/b\n folded\n\n": "not a header field",
    b"Content-Type: a/b\nX: a\rSet-Cookie: b=c\n\n": "not a header field",
    b"Content-Type: a/b\nX: a\0b\n\n": "not a header field",
    b"Content-Type: a/b\nX\xe9: a\n\n": "not a header field",
    b"Content-Type: a/b\n: a\n\n": "not a header field",
    b"Content-Type: a/b\r\r\n\n": "not a header field",
    b"Content-Type: a/b\nContent-Type: c/d\n\n": "twice",
    b"Status: 200\nstatus: 404\n\n": "twice",
    b"Content-Type: a/b\nContent-Length: 3\nContent-Length: 3\n\n": "twice",
    b"Content-Type: a/b\nContent-Length: -3\n\n": "not a Content-Length",
    b"Content-Type: a/b\nContent-Length: 3, 3\n\n": "not a Content-Length",
    b"Content-Type: a/b\nContent-Length: \xb2\n\n": "not a Content-Length",
    b"Content-Type: a/b\nContent-Length: 99999999999999999999\n\n": "not a Content-Length",
    b"Status: 99\n\n": "not a status",
    b"Status: 101 Switching\n\n": "not a status",
    b"Status: 600\n\n": "not a status",
    b"Status: 200OK\n\n": "not a status",
    b"Status: OK\n\n": "not a status",
}


@pytest.mark.parametrize("data", BAD, ids=repr)
def test_a_bad_head_is_refused_whole_and_byte_by_byte(data):
    for feed in (whole, bytewise):
        with pytest.raises(ProgramError, match=BAD[data]) as caught:
            feed(data)
        assert caught.value.status == 502


def test_what_is_between_server_and_client_is_dropped():
    dropped = b"Connection: close, X-Mine\nTransfer-Encoding: identity\nKeep-Alive: 5\nUpgrade: h2c\n"
    dropped += b"Date: today\nServer: me\nTrailer: a\nTE: b\nProxy-Connection: c\nX-Mine: 1\n"
    head, _ = whole(dropped + b"Content-Type: a/b\nX-Kept: 2\n\n")
    assert head is not None
    assert head.headers == [("Content-Type", "a/b"), ("X-Kept", "2")]


def test_a_head_that_does_not_end_is_refused_at_the_limit():
    reader = HeadReader(1000)
    for _ in range(58):
        assert reader.feed(b"X-More: and more\n") is None
    with pytest.raises(ProgramError, match="larger than 1000 bytes"):
        reader.feed(b"X-More: and more\n")


def test_a_large_body_does_not_count_for_the_head():
    head, rest = whole(b"Content-Type: a/b\n\n" + bytes(100_000), limit=100)
    assert head is not None
    assert len(rest) == 100_000


def test_a_head_that_is_too_large_is_refused_also_when_it_comes_at_once():
    with pytest.raises(ProgramError, match="larger than 100 bytes"):
        whole(b"Content-Type: a/b\nX: " + b"a" * 200 + b"\n\nbody", limit=100)


def test_the_end_before_the_blank_line_says_how_much_came():
    reader = HeadReader(LIMIT)
    assert "nothing" in str(reader.ended())
    reader.feed(b"Content-Type: a/b\n")
    assert "18 bytes" in str(reader.ended())


def test_an_nph_program_begins_with_a_status_line():
    data = b"HTTP/1.0 418 I'm a teapot\r\nServer: mine\r\nX: 1\r\n\r\nshort and stout"
    expected = Head(418, "I'm a teapot", [("Server", "mine"), ("X", "1")]), b"short and stout"
    assert whole(data, nph=True) == expected
    assert bytewise(data, nph=True) == expected


def test_an_nph_program_needs_no_header_field():
    assert whole(b"HTTP/1.1 200 OK\n\nhi", nph=True) == (Head(200, "OK"), b"hi")


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: a/b\n\n",
        b"HTTP/1.1 100 Continue\n\n",
        b"HTTP/1.1 abc OK\n\n",
        b"\n\n",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n",
    ],
)
def test_an_nph_program_is_held_to_http(data):
    with pytest.raises(ProgramError):
        whole(data, nph=True)


def test_what_an_nph_program_writes_in_chunks_is_taken_out_of_them():
    head, _ = whole(b"HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n", nph=True)
    assert head == Head(200, "OK", chunked=True)
    body = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\nmore"
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        chunks = Chunks(Limits())
        assert (b"".join(map(chunks.feed, pieces)), chunks.ended) == (b"abcde", True)
    with pytest.raises(ProgramError, match="its chunks cannot be read"):
        Chunks(Limits()).feed(b"abc\n")


def test_the_location_of_an_nph_program_is_never_redirected_locally():
    head, _ = whole(b"HTTP/1.1 302 Found\nLocation: /x\n\n", nph=True)
    assert head is not None
    assert head.redispatch is None


pieces = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\n\n", b":", b" ", b"A: b\n", b"Content-Type: a/b\r\n", b"Status: 200\n", b"x"]
)


@given(st.lists(pieces, max_size=12).map(b"".join), st.booleans())
def test_pieces_never_change_the_verdict(data, nph):
    results = []
    for feed in (whole, bytewise):
        try:
            results.append(feed(data, nph=nph))
        except ProgramError as error:
            results.append(str(error))
    if results[0] == (None, b""):
        assert results[1] == (None, b"")
    else:
        assert results[0] == results[1]
