"""Answers that are cut, slow or silent."""

from __future__ import annotations

from typing import Any

from portico.errors import ConnectError, ConnectionLost, EndOfStream, LimitExceeded, ProtocolError, Timeout
from tests.client.hostile import Script, answer, cut, drip, every, flood, hold, pause, read, reset
from tests.client.hostile_case import Case
from tests.client.hostile_checks import partial

__all__ = ["CASES"]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


OK = b"HTTP/1.1 200 OK\r\n"


SHORT: dict[str, Any] = {"timeout": 0.1}


def sends(data: bytes) -> list[Script]:
    """One answer, then the end."""
    return [[read, data]]


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
    Case("reset after accepting", [[reset]], (ConnectionLost, ConnectError)),  # whichever sees it first
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

CASES = [*TRUNCATED, *SLOW]
