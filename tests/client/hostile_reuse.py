"""What is wrong between two requests on one connection, and answers that come too early."""

from __future__ import annotations

from typing import Any

from portico.errors import ConnectionLost, EndOfStream, LimitExceeded, Timeout
from portico.limits import Limits
from tests.client.hostile import (
    Script,
    answer,
    cut,
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
from tests.client.hostile_checks import never_evil, surplus_of_head

__all__ = ["CASES"]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


OK = b"HTTP/1.1 200 OK\r\n"


GOOD: Script = [every(answer(b"good"))]


EVIL = answer(b"evil")


BIG = b"x" * (4 << 20)


def waits(response: Any) -> None:
    from portico import sleep

    _ = response.content
    sleep(0.2)


def swallow(peer: Any, size: int) -> None:
    size -= len(peer.early)
    while size > 0:
        size -= len(peer.sock.recv(65536)) or size


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
        check=surplus_of_head,
    ),
    Case(
        "an answer before the request, and none after it",
        [[EVIL, hold]],
        Timeout,
        paths=["/1", "/2"],
        use={"timeout": 0.3},
    ),
    Case(
        "surplus that comes later",
        [[read, answer(b"one"), pause(0.05), EVIL, hold], GOOD],
        paths=["/1", "/2"],
        use={"hooks": lambda: {"response": waits}},
        check=never_evil,
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

CASES = [*SURPLUS, *STALE, *MANY]
