"""What the matrix serves. Found by name, because some engines run it in a fresh interpreter.

What cannot be told on the connection itself, because that is broken, is reported on another one, to the
address in the conversation's first line.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

from portico import Stream, connect, sleep, timeout
from portico.errors import Cancelled, ConnectionLost, StreamClosed, Timeout
from portico.http.exchange import Exchange
from portico.sync import Event, Queue, TaskGroup, spawn
from tests.engines.serving import SECONDS

__all__ = [
    "ENDLESS",
    "HTTP",
    "LARGE",
    "PAYLOAD",
    "Answering",
    "cancelled",
    "closed_elsewhere",
    "digest",
    "echo",
    "impatient",
    "transfer",
    "unlucky",
]

SHORT = 0.1
"""Seconds until a handler's own deadline: long enough to be inside the wait, whatever the machine does."""
PAYLOAD = bytes(range(256)) * 16384
"""4 MiB: many times what a socket's buffers hold."""
LARGE = 1 << 20
ENDLESS = bytes(1 << 26)
"""64 MiB: more than any peer takes that has stopped to read."""


def echo(stream: Stream) -> None:
    for line in stream:
        stream.write(line)


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def transfer(stream: Stream) -> None:
    """An upload, and its digest; then a download, in one piece and in several."""
    size = int(stream.read_line())
    stream.write(digest(stream.read_exactly(size)) + b"\n")
    stream.write(PAYLOAD)
    stream.write_many([PAYLOAD[:LARGE]] * 4)


class Answering:
    """A gateway: the body's digest and the path; a large answer where that is asked for."""

    name = "matrix"

    def streams(self, request: object) -> bool:
        return False

    def __call__(self, exchange: Exchange) -> None:
        body = exchange.body.read()
        answer = PAYLOAD if exchange.path == "/large" else exchange.path.encode() + b" " + digest(body)
        exchange.respond(200, [("Content-Type", "application/octet-stream")], answer)


HTTP = Answering()


def report(address: str, **facts: Any) -> None:
    """Tell the test, on a connection of its own."""
    with timeout(SECONDS), connect(address) as stream:
        stream.write(json.dumps(facts).encode())


def impatient(stream: Stream) -> None:
    """Deadlines of the handler's own: each cuts one wait, and what comes after goes on."""
    address = stream.read_line().decode()
    for name, wait in (("read", stream.read_line), ("sleep", lambda: sleep(SECONDS))):
        stream.write(f"{name}: {_late(wait)}\n".encode())
    stream.write(b"heard " + stream.read_line() + b"\n")
    late = _late(lambda: stream.write(ENDLESS))
    report(address, late=str(late), sent=getattr(late, "sent", None), after=_failed(stream))


def _late(wait: Callable[[], object]) -> Timeout | None:
    try:
        with timeout(SHORT):
            wait()
    except Timeout as late:
        return late
    return None


def _failed(stream: Stream) -> str:
    """What another write says."""
    try:
        stream.write(b"more")
    except ConnectionLost as error:
        return str(error)
    return ""


def unlucky(stream: Stream) -> None:
    """The peer goes while it sends, or while it is sent to."""
    address, what = stream.read_line().decode().split()
    stream.write(b"begin\n")
    try:
        if what == "upload":
            stream.read_exactly(len(ENDLESS))
        else:
            stream.write(ENDLESS)
    except ConnectionLost as error:
        report(address, lost=type(error).__name__, text=str(error))
    else:
        report(address, lost="", text=f"the {what} was completed")


def closed_elsewhere(stream: Stream) -> None:
    """Somebody else closes the stream while the handler waits on it."""
    address, who, what = stream.read_line().decode().split()
    closer = _closing(stream, who)
    try:
        if what == "read":
            stream.read_line()
        else:
            stream.write(ENDLESS)
    except StreamClosed as error:
        report(address, closed=str(error))
    else:
        report(address, closed="")
    closer()


def _closing(stream: Stream, who: str) -> Callable[[], object]:
    """Let it be closed in a moment; to be joined by calling what is returned."""
    if who == "task":
        return spawn(_close_soon, stream).join
    timer = threading.Timer(SHORT, stream.close)
    timer.start()
    return timer.join


def _close_soon(stream: Stream) -> None:
    sleep(SHORT)
    stream.close()


def cancelled(stream: Stream) -> None:
    """Tasks that wait, each for something else, and are called off; the handler goes on."""
    address = stream.read_line().decode()
    waits: dict[str, Callable[[], object]] = {
        "read": stream.read_line,
        "sleep": lambda: sleep(SECONDS),
        "event": Event().wait,
        "queue": Queue().get,
        "group": _group,
    }
    for name, wait in waits.items():
        stream.write(f"{name}: {_cancelled(wait)}\n".encode())
    stream.write(b"heard " + stream.read_line() + b"\n")
    outcome = _cancelled(lambda: stream.write(ENDLESS))
    report(address, outcome=outcome, after=_failed(stream))


def _cancelled(wait: Callable[[], object]) -> str:
    """How a task ended that was cancelled while it waited."""
    begun = Event()

    def body() -> None:
        begun.set()
        wait()

    task = spawn(body)
    begun.wait()
    sleep(SHORT / 10)  # it is inside now, or about to be: both must do
    task.cancel()
    try:
        task.join()
    except Cancelled:
        return "called off"
    return "went on"


def _group() -> None:
    with TaskGroup() as group:
        group.start(sleep, SECONDS)
        group.start(sleep, SECONDS)
