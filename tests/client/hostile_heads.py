"""Heads that are damaged, endless, or not the last."""

from __future__ import annotations

from portico.errors import EndOfStream, LimitExceeded, ProtocolError
from tests.client.hostile import Script, answer, every, flood, pause, read
from tests.client.hostile_case import Case
from tests.client.hostile_checks import folded

__all__ = ["CASES"]

OK = b"HTTP/1.1 200 OK\r\n"


def sends(data: bytes) -> list[Script]:
    """One answer, then the end."""
    return [[read, data]]


GOOD: Script = [every(answer(b"good"))]


def bad_head(name: str, head: bytes) -> Case:
    return Case(f"head: {name}", sends(head + b"Content-Length: 2\r\n\r\nhi"), ProtocolError)


def bad_line(line: bytes) -> Case:
    return Case(f"status line {line[:30]!r}", sends(line + b"\r\nContent-Length: 2\r\n\r\nhi"), ProtocolError)


HEADS = [
    bad_head("NUL in a value", OK + b"X-A: a\x00b\r\n"),
    bad_head("CR in a value", OK + b"X-A: a\rb\r\n"),
    bad_head("LF ends a line", OK + b"X-A: a\nX-B: b\r\n"),
    bad_head("LF ends the status line", b"HTTP/1.1 200 OK\nX-A: a\r\n"),
    Case(
        "a folded line becomes one (RFC 9112, 5.2)",
        sends(OK + b"X-A: a\r\n \t b\r\nContent-Length: 2\r\n\r\nhi"),
        content=b"hi",
        check=folded,
    ),
    bad_head("a folded first line", OK + b" X-A: a\r\n"),
    bad_head("blank before the colon", OK + b"X-A : a\r\n"),
    bad_head("blank in a name", OK + b"X A: a\r\n"),
    bad_head("no name", OK + b": a\r\n"),
    bad_head("no colon", OK + b"X-A\r\n"),
    bad_head("a name that is no ASCII", OK + b"X-\xe4: a\r\n"),
    bad_head("NUL in a name", OK + b"X\x00A: a\r\n"),
    bad_head("a control character", OK + b"X-A: a\x07b\r\n"),
    bad_head("DEL", OK + b"X-A: a\x7fb\r\n"),
    bad_head("LF LF", OK + b"X-A: a\n\n"),
    bad_head("a folded length", OK + b"Content-Length: 1\r\n 0\r\n"),
    bad_head("LF and a fold", OK + b"X-A: a\n b\r\n"),
    *map(
        bad_line,
        [
            b"HTTP/2.0 200 OK",
            b"HTTP/2 200 OK",
            b"HTTP/0.9 200 OK",
            b"HTTP/1.10 200 OK",
            b"HTTP/1 200 OK",
            b"http/1.1 200 OK",
            b"HTTP/1.1 99 Low",
            b"HTTP/1.1 1000 High",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 2x0 OK",
            b"HTTP/1.1 -200 OK",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 000 Zero",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1\t200 OK",
            b" HTTP/1.1 200 OK",
            b"HTTP/1.1",
            b"HTTP/1.1 ",
            b"200 OK",
            b"ICY 200 OK",
            b"HTTPS/1.1 200 OK",
            b"SSH-2.0-OpenSSH_9.6",
            b"220 mail ready",
            b"\x16\x03\x01\x02\x00",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"HTTP/1.1 200 O\x00K",
            b"HTTP/1.1 200 O\rK",
            b"HTTP/1.1:200 OK",
            "HTTP/1.1 ２００ OK".encode(),
            b"HTTP/1.1 200OK",
            b"GET / HTTP/1.1",
            b'{"a":1}',
            b"\xff\xfe\x00",
        ],
    ),
    Case(
        "a body without a head (HTTP/0.9)", sends(b"<html>hello</html>\n" * 10), (ProtocolError, EndOfStream)
    ),
    Case("an HTTP/0.9 body without a line's end", sends(b"x" * 1000), (ProtocolError, EndOfStream)),
    Case(
        "bytes without an end instead of a head",
        [[read, flood(b"\x00" * 1000)]],
        (ProtocolError, LimitExceeded),
    ),
    Case("empty lines without end", [[read, flood(b"\r\n")]], (ProtocolError, LimitExceeded)),
    Case("an empty line before the head", sends(b"\r\n" + answer(b"hi")), ProtocolError),
    Case("an endless status line", [[read, b"HTTP/1.1 200 ", flood(b"a" * 1000)]], LimitExceeded),
    Case("an endless header line", [[read, OK + b"X-A: ", flood(b"a" * 1000)]], LimitExceeded),
    Case("an endless header name", [[read, OK, flood(b"a" * 1000)]], LimitExceeded),
    Case("endless headers", [[read, OK, flood(b"X-A: b\r\n")]], LimitExceeded),
    Case("100,000 headers", sends(OK + b"X-A: b\r\n" * 100_000 + b"\r\n"), LimitExceeded),
    Case("a megabyte of one header", sends(OK + b"X-A: " + b"a" * (1 << 20) + b"\r\n\r\n"), LimitExceeded),
    Case("a newer minor version", sends(b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi"), content=b"hi"),
    Case("a status without a reason", sends(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi"), content=b"hi"),
    Case("a status that nobody knows", sends(answer(b"hi", status=b"999 Odd")), status=999, content=b"hi"),
    Case("a reason in Latin-1", sends(answer(b"hi", status=b"200 Gr\xfcn")), content=b"hi"),
]


INTERIM = [
    *[
        Case(
            f"{status.decode()} without end",
            [[read, flood(b"HTTP/1.1 " + status + b" X\r\n\r\n")]],
            ProtocolError,
            "informational",
        )
        for status in (b"100", b"102", b"103", b"199")
    ],
    Case(
        "1,000 of 103", sends(b"HTTP/1.1 103 E\r\n\r\n" * 1000 + answer(b"x")), ProtocolError, "informational"
    ),
    Case(
        "a few interim answers",
        sends(b"HTTP/1.1 103 E\r\nLink: </a>\r\n\r\n" * 5 + answer(b"x")),
        content=b"x",
    ),
    Case(
        "101 that was not asked for",
        sends(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw"),
        ProtocolError,
        "101",
    ),
    Case(
        "103 with a length and no body",
        sends(b"HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n" + answer(b"x")),
        content=b"x",
    ),
    Case(
        "103 with a body",
        sends(b"HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\nabcde" + answer(b"x")),
        ProtocolError,
    ),
    Case(
        "100 with huge headers, many times",
        [[read, flood(b"HTTP/1.1 100 C\r\n" + b"X: " + b"a" * 60000 + b"\r\n\r\n")]],
        (ProtocolError, LimitExceeded),
    ),
    Case(
        "Expect that is never answered",
        [[read, pause(1.1), answer(b"x")]],
        content=b"x",
        method="POST",
        use={"data": b"abc", "headers": {"Expect": "100-continue"}},
    ),
    Case(
        "Expect that is refused",
        [[read, answer(b"no", status=b"417 No")], GOOD],
        status=417,
        method="POST",
        use={"data": b"abc" * 99999, "headers": {"Expect": "100-continue"}},
        requests=1,
    ),
]

CASES = [*HEADS, *INTERIM]
