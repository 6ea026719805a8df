"""Lengths, chunks and transfer codings that can be read in two ways."""

from __future__ import annotations

from portico.errors import EndOfStream, LimitExceeded, ProtocolError
from tests.client.hostile import Script, cut, flood, read
from tests.client.hostile_case import Case
from tests.client.hostile_checks import no_cookie_of_trailers, partial

__all__ = ["CASES"]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


OK = b"HTTP/1.1 200 OK\r\n"


def sends(data: bytes) -> list[Script]:
    """One answer, then the end."""
    return [[read, data]]


def refused_length(value: bytes) -> Case:
    head = OK + b"Content-Length: " + value + b"\r\n\r\n0123456789"
    return Case(f"length {value[:40]!r}", sends(head), ProtocolError, "Content-Length")


def refused_chunk(name: str, data: bytes) -> Case:
    return Case(f"chunk: {name}", sends(CHUNKED + data + b"\r\n0\r\n\r\n"), (ProtocolError, LimitExceeded))


FRAMING = [
    *map(
        refused_length,
        [
            b"-1",
            b"+10",
            b"0x0a",
            b"1 0",
            b"10,11",
            b"1e1",
            b"",
            b"ten",
            b"10;",
            b"9" * 19,
            b"9" * 400,
            b"1_0",
            "１０".encode(),
            b"10.0",
            b"10, 10",
        ],
    ),
    Case(
        "two lengths that differ",
        sends(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
        ProtocolError,
        "more than once",
    ),
    Case(
        "two lengths that agree",
        sends(OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
        content=b"abcde",
    ),
    Case(
        "a length and chunks",
        sends(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ProtocolError,
        "both",
    ),
    Case(
        "chunks and a length",
        sends(OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        ProtocolError,
        "both",
    ),
    Case(
        "a huge length and nothing behind it",
        sends(OK + b"Content-Length: 99999999999999999\r\n\r\n"),
        (EndOfStream, LimitExceeded),
    ),
    Case(
        "a length larger than what comes, and another answer",
        [[read, OK + b"Content-Length: 10\r\n\r\nabc", cut]],
        EndOfStream,
        check=partial(b"abc"),
    ),
    *[
        refused_chunk(name, data)
        for name, data in [
            ("no size", b"\r\nabc"),
            ("minus", b"-3\r\nabc"),
            ("plus", b"+3\r\nabc"),
            ("0x", b"0x3\r\nabc"),
            ("underscore", b"0_3\r\nabc"),
            ("blank before", b" 3\r\nabc"),
            ("blank after", b"3 \r\nabc"),
            ("tab", b"3\t\r\nabc"),
            ("no number", b"xyz\r\nabc"),
            ("17 digits", b"f" * 17 + b"\r\nabc"),
            ("endless zeros", b"0" * 70000 + b"3\r\nabc"),
            ("overflow of 64 bits", b"10000000000000003\r\nabc"),
            ("LF alone", b"3\nabc"),
            ("CR alone", b"3\rabc"),
            ("no CRLF behind it", b"3\r\nabcX"),
            ("LF behind it", b"3\r\nabc\n3\r\nabc"),
            ("too much behind it", b"3\r\nabcdef"),
            ("a long extension", b"3;" + b"a" * 100000 + b"\r\nabc"),
            ("LF in an extension", b"3;a\nb\r\nabc"),
            ("CR in an extension", b"3;a\rb\r\nabc"),
            ("NUL in an extension", b"3;a\x00b\r\nabc"),
            ("comma", b"3,3\r\nabc"),
            ("full-width digit", "３".encode() + b"\r\nabc"),
        ]
    ],
    Case(
        "extensions without end",
        [[read, CHUNKED, flood(b"1;" + b"a" * 60 + b"\r\nx\r\n")]],
        LimitExceeded,
        "extension",
    ),
    Case("the last chunk and LF", sends(CHUNKED + b"3\r\nabc\r\n0\n\n"), (ProtocolError, EndOfStream)),
    Case("a header's nonsense in the trailers", sends(CHUNKED + b"0\r\nbad header\r\n\r\n"), ProtocolError),
    Case(
        "framing in the trailers",
        sends(
            CHUNKED
            + b"3\r\nabc\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\nSet-Cookie: a=b\r\n\r\n"
        ),
        ProtocolError,
        "trailer",
    ),
    Case(
        "a cookie in the trailers",
        sends(CHUNKED + b"3\r\nabc\r\n0\r\nSet-Cookie: a=b\r\n\r\n"),
        content=b"abc",
        check=no_cookie_of_trailers,
    ),
    Case("trailers without end", [[read, CHUNKED + b"0\r\n", flood(b"X-A: b\r\n")]], LimitExceeded),
    *[
        Case(
            f"transfer coding {coding!r}",
            sends(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
            ProtocolError,
        )
        for coding in [
            b"gzip",
            b"gzip, chunked",
            b"chunked, gzip",
            b"chunked, chunked",
            b"identity",
            b"xchunked",
            b"chunked;a=b",
            b"",
            b"\x0bchunked",
            b"chunked\x00",
            b'"chunked"',
            b"cow",
            b",chunked",
        ]
        if coding != b",chunked"
    ],
    Case(
        "two transfer codings",
        sends(OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ProtocolError,
    ),
    Case(
        "chunks of HTTP/1.0",
        sends(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ProtocolError,
    ),
]

CASES = [*FRAMING]
