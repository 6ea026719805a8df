"""Misbehaviour on the wire: cut, slow, silent, ambiguous and endless messages."""

from __future__ import annotations

from itertools import chain
from typing import Any

from portico.errors import (
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    ProtocolError,
    Timeout,
)
from portico.limits import Limits
from tests.client.hostile import (
    Script,
    answer,
    cut,
    drip,
    every,
    flood,
    hold,
    pause,
    read,
    read_all,
    read_chunks,
    reset,
)
from tests.client.hostile_case import Case, Outcome

__all__ = ["CASES"]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
SHORT: dict[str, Any] = {"timeout": 0.3}
STREAM: dict[str, Any] = {"stream": True}
GOOD: Script = [every(answer(b"good"))]


def sends(data: bytes) -> list[Script]:
    """One answer, then the end."""
    return [[read, data]]


def partial(content: bytes) -> Any:
    def check(outcome: Outcome) -> None:
        assert outcome.error is not None
        assert outcome.error.partial == content, outcome.error.partial

    return check


def truncated(name: str, data: bytes, came: bytes | None = None) -> list[Case]:
    """Cut by an end, by a reset and by silence at the same place."""
    return [
        Case(
            f"cut {name}",
            sends(data),
            EndOfStream,
            requests=1,
            check=None if came is None else partial(came),
        ),
        Case(f"reset {name}", [[read, data, pause(0.02), reset]], ConnectionLost, requests=1),
        Case(f"silence {name}", [[read, data, hold]], Timeout, requests=1, use=SHORT),
    ]


TRUNCATED = [
    *truncated("before the answer", b""),
    *truncated("in the status line", b"HTTP/1.1 20"),
    *truncated("after the status line", OK),
    *truncated("in a header's name", OK + b"Content-Le"),
    *truncated("in a header's value", OK + b"Content-Length: 1"),
    *truncated("within the end of a line", OK + b"Content-Length: 1\r"),
    *truncated("before the blank line", OK + b"Content-Length: 10\r\n"),
    *truncated("between head and body", OK + b"Content-Length: 10\r\n\r\n", b""),
    *truncated("in a body with a length", OK + b"Content-Length: 10\r\n\r\n012345678", b"012345678"),
    *truncated("before the first chunk", CHUNKED, b""),
    *truncated("in a chunk's size", CHUNKED + b"1"),
    *truncated("after a chunk's size", CHUNKED + b"5\r\n", b""),
    *truncated("inside a chunk", CHUNKED + b"5\r\nabc", b"abc"),
    *truncated("at a chunk's end", CHUNKED + b"5\r\nabcde", b"abcde"),
    *truncated("within a chunk's end", CHUNKED + b"5\r\nabcde\r", b"abcde"),
    *truncated("before the last chunk", CHUNKED + b"5\r\nabcde\r\n", b"abcde"),
    *truncated("in the last chunk's size", CHUNKED + b"5\r\nabcde\r\n0", b"abcde"),
    *truncated("before the trailers", CHUNKED + b"5\r\nabcde\r\n0\r\n", b"abcde"),
    *truncated("in the trailers", CHUNKED + b"5\r\nabcde\r\n0\r\nX-Sum: 1", b"abcde"),
    *truncated("before the last blank line", CHUNKED + b"5\r\nabcde\r\n0\r\nX-Sum: 1\r\n\r", b"abcde"),
    *truncated("after an interim answer", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    Case(
        "reset in a body that ends with the connection",
        [[read, OK + b"\r\nabc", pause(0.02), reset]],
        ConnectionLost,
    ),
    Case("silence after accepting", [[hold]], Timeout, use=SHORT),
    Case("reset after accepting", [[reset]], ConnectionLost),
    Case("closed after accepting", [[cut]], ConnectionLost),
    Case(
        "silence while the request is sent",
        [[hold]],
        Timeout,
        method="POST",
        use={**SHORT, "data": b"x" * (16 << 20)},
    ),
    Case(
        "reset while the request is sent",
        [[read, pause(0.02), reset]],
        ConnectionLost,
        method="POST",
        use={"data": b"x" * (16 << 20)},
        requests=1,
    ),
    Case(
        "read time-out although no total is set", [[read, OK, hold]], Timeout, session={"timeout": (5, 0.3)}
    ),
]

SLOW = [
    Case("drip of a head", [[read, drip(OK + b"X-A: b\r\n" * 1000)]], Timeout, use=SHORT),
    Case("drip of an endless status line", [[read, b"HTTP/1.1 200 ", drip(b"a")]], Timeout, use=SHORT),
    Case(
        "drip of a body with a length",
        [[read, OK + b"Content-Length: 1000000\r\n\r\n", drip(b"a")]],
        Timeout,
        use=SHORT,
    ),
    Case("drip of a body without end", [[read, OK + b"\r\n", drip(b"a")]], Timeout, use=SHORT),
    Case("drip of chunks", [[read, CHUNKED, drip(b"1\r\na\r\n")]], Timeout, use=SHORT),
    Case("drip of a chunk's extension", [[read, CHUNKED, b"1;a=", drip(b"a")]], Timeout, use=SHORT),
    Case(
        "drip of trailers",
        [[read, CHUNKED, b"0\r\n", drip(b"X-A: b\r\n")]],
        (Timeout, LimitExceeded),
        use=SHORT,
    ),
    Case(
        "drip of 103",
        [[read, drip(b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.002)]],
        (Timeout, ProtocolError),
        use=SHORT,
    ),
    Case(
        "flood that outruns the deadline",
        [[read, OK + b"\r\n", flood(b"a" * 65536)]],
        (Timeout, LimitExceeded),
        use=SHORT,
    ),
    Case(
        "endless redirects outlast no deadline",
        [[every(lambda head: answer(b"", b"Location: /", status=b"302 Found"))]],
        Timeout,
        use={"timeout": 0.3, "redirects": 10**9},
    ),
    Case(
        "retries outlast no deadline",
        [[every(answer(b"", b"Retry-After: 1", status=b"503 Busy"))]],
        None,
        status=503,
        use={"timeout": 0.5, "retry": 100},
    ),
]


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
        [[read, OK + b"Content-Length: 10\r\n\r\nabc", cut], GOOD],
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
        check=lambda outcome: no_cookie_of_trailers(outcome),
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


def folded(outcome: Outcome) -> None:
    assert outcome.responses[0].headers["x-a"].split() == ["a", "b"]
    assert not set("\r\n\t") & set(outcome.responses[0].headers["x-a"])


def no_cookie_of_trailers(outcome: Outcome) -> None:
    assert len(outcome.session.cookies) == 0
    assert "set-cookie" not in outcome.responses[0].headers


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
        check=lambda outcome: folded(outcome),
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
            f"{status} without end",
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
        [[read, pause(1.3), answer(b"x")]],
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


def two(first: bytes, name: str, statuses: list[int] | None = None, **more: Any) -> Case:
    """What the first answer has too much must not become the second request's answer."""

    def check(outcome: Outcome) -> None:
        assert outcome.contents[-1] == b"good", outcome.contents
        assert b"evil" not in b"".join(outcome.contents)
        assert outcome.connections == 2

    return Case(
        name,
        [[read_all, first, read_all, answer(b"evil")], GOOD],
        paths=["/1", "/2"],
        check=more.pop("check", check),
        **more,
    )


EVIL = answer(b"evil")
SURPLUS = [
    two(answer(b"one") + EVIL, "two answers to one request"),
    two(answer(b"one") + b"HTTP/1.1 200 OK\r\n", "half an answer too much"),
    two(answer(b"one") + b"\r\n", "an empty line too much"),
    two(answer(b"one") + b"x", "a byte too much"),
    two(answer(b"", status=b"204 No Content")[:-23] + b"\r\n\r\nevil", "a body of 204"),
    two(b"HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil", "204 with a length and a body"),
    two(b"HTTP/1.1 304 Not\r\nContent-Length: 4\r\n\r\nevil", "304 with a body"),
    two(b"HTTP/1.1 304 Not\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", "304 with chunks"),
    two(answer(b"one", b"Connection: close") + EVIL, "Connection: close and more bytes"),
    two(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\none" + EVIL, "HTTP/1.0 and more bytes"),
    two(CHUNKED + b"3\r\none\r\n0\r\n\r\n" + EVIL, "chunks and another answer"),
    two(
        OK + b"Content-Length: 3\r\nConnection: keep-alive, close\r\n\r\none", "keep-alive and close at once"
    ),
    Case(
        "a body of HEAD",
        [[read, answer(b"evil"), read, EVIL], GOOD],
        method="HEAD",
        paths=["/1", "/2"],
        status=200,
        content=b"",
        check=lambda outcome: surplus_of_head(outcome),
    ),
    Case(
        "an answer before the request, and none after it",
        [[EVIL, hold]],
        Timeout,
        paths=["/1", "/2"],
        use=SHORT,
    ),
    Case(
        "surplus that comes later",
        [[read, answer(b"one"), pause(0.05), EVIL, hold], GOOD],
        paths=["/1", "/2"],
        use={"hooks": lambda: {"response": waits}},
        check=lambda outcome: never_evil(outcome),
    ),
    Case(
        "a server that does not close after it said so",
        [[read, answer(b"one", b"Connection: close"), hold], GOOD],
        paths=["/1", "/2"],
        content=b"good",
    ),
    Case(
        "keep-alive that is none",
        [[read, answer(b"one", b"Connection: keep-alive", b"Keep-Alive: timeout=1000, max=1000")], GOOD],
        paths=["/1", "/2"],
        content=b"good",
        requests=2,
    ),
]


def surplus_of_head(outcome: Outcome) -> None:
    assert outcome.contents == [b"", b""]
    assert outcome.connections == 2


def never_evil(outcome: Outcome) -> None:
    assert b"evil" not in b"".join(outcome.contents)
    assert outcome.contents[-1] == b"good"


def waits(response: Any) -> None:
    from portico import sleep

    _ = response.content
    sleep(0.2)


def seen(number: int) -> Any:
    def check(outcome: Outcome) -> None:
        assert len(outcome.seen) == number, outcome.seen

    return check


BIG = b"x" * (4 << 20)
STALE = [
    Case(
        "a kept connection that was closed, GET",
        [[read, answer(b"one")], GOOD],
        paths=["/1", "/2"],
        content=b"good",
        requests=2,
    ),
    Case(
        "a kept connection closed as the request comes, GET",
        [[read, answer(b"one"), read, cut], GOOD],
        paths=["/1", "/2"],
        content=b"good",
        requests=3,
    ),
    Case(
        "a kept connection reset as the request comes, GET",
        [[read, answer(b"one"), read, reset], GOOD],
        paths=["/1", "/2"],
        content=b"good",
        requests=3,
    ),
    Case(
        "a kept connection closed as the request comes, PUT",
        [[read_all, answer(b"one"), read_all, cut], GOOD],
        method="PUT",
        use={"data": b"abc"},
        paths=["/1", "/2"],
        content=b"good",
        requests=3,
    ),
    Case(
        "a kept connection closed as the request comes, POST",
        [[read_all, answer(b"one"), read_all, cut], GOOD],
        ConnectionLost,
        method="POST",
        use={"data": b"abc"},
        paths=["/1", "/2"],
        requests=2,
    ),
    Case(
        "a kept connection reset as the request comes, PATCH",
        [[read_all, answer(b"one"), read_all, reset], GOOD],
        ConnectionLost,
        method="PATCH",
        use={"data": b"abc"},
        paths=["/1", "/2"],
        requests=2,
    ),
    Case(
        "an iterator as a body is not sent again",
        [[read_chunks, answer(b"one"), read_chunks, cut], GOOD],
        ConnectionLost,
        method="PUT",
        use={"data": lambda: iter([b"abc"])},
        paths=["/1", "/2"],
        requests=2,
    ),
    Case(
        "a kept connection that is closed every time",
        [[read, answer(b"one"), read, cut], [read, cut], GOOD],
        ConnectionLost,
        paths=["/1", "/2"],
        requests=3,
    ),
    Case(
        "a new connection that is closed is not tried again", [[read, cut], GOOD], ConnectionLost, requests=1
    ),
    Case(
        "part of an answer came: no second try",
        [[read, answer(b"one"), read, b"HTTP/1.1 2", cut], GOOD],
        ConnectionLost,
        paths=["/1", "/2"],
        requests=2,
    ),
    Case(
        "a body is cut: no second try",
        [[read, answer(b"one"), read, OK + b"Content-Length: 9\r\n\r\nabc", cut], GOOD],
        EndOfStream,
        paths=["/1", "/2"],
        requests=2,
    ),
    *[
        Case(
            f"early {status.decode()}, then {name}",
            [[read, answer(b"no", b"Connection: close", status=status), *ending]],
            status=int(status[:3]),
            content=b"no",
            method="POST",
            use={"data": BIG},
            requests=1,
        )
        for status in (b"413 Too Large", b"401 Who", b"200 OK", b"303 See")
        for name, ending in (("an end", []), ("silence", [hold]))
    ],
    Case(
        "early 413 and a reset",
        [[read, answer(b"no", status=b"413 Too Large"), pause(0.1), reset]],
        None,
        status=413,
        method="POST",
        use={"data": BIG},
        requests=1,
    ),
    Case(
        "early 500 without close, kept open",
        [[read, answer(b"no", status=b"500 No"), hold], GOOD],
        None,
        status=500,
        method="POST",
        use={"data": BIG},
        requests=1,
    ),
    Case(
        "early 200 while everything is read",
        [[read, OK + b"Content-Length: 4\r\n\r\n", lambda peer: swallow(peer, len(BIG)), b"done"]],
        content=b"done",
        method="POST",
        use={"data": BIG},
    ),
    Case(
        "an answer to a body that is never read",
        [[read, answer(b"ok"), hold]],
        (Timeout,),
        method="POST",
        use={"data": BIG * 4, "timeout": 0.5},
    ),
]


def swallow(peer: Any, size: int) -> None:
    size -= len(peer.early)
    while size > 0:
        size -= len(peer.sock.recv(65536)) or size


MANY = [
    Case(
        "50,000 chunks of a byte",
        [[read, CHUNKED, b"1\r\na\r\n" * 50_000 + b"0\r\n\r\n"]],
        content=b"a" * 50_000,
    ),
    Case(
        "more than is gathered",
        [[read, OK + b"\r\n", flood(b"a" * 65536)]],
        LimitExceeded,
        "read it in pieces",
        session={"limits": Limits(answer=1 << 20)},
    ),
]

CASES = list(chain(TRUNCATED, SLOW, FRAMING, HEADS, INTERIM, SURPLUS, STALE, MANY))
