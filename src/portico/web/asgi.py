"""ASGI 3 applications as a gateway, where blocking code runs on an asyncio loop.

::

    await portico.aio.run(drive, service.connect(transport))     # whose mount is an ASGI(app)

The application is a task of that loop, and what it awaits of us is the blocking code of every other gateway.
Its body is streamed both ways. Source: the ASGI specification (asgi.readthedocs.io), "HTTP & WebSocket", of
which this is the HTTP part in version 2.4: ``send()`` raises an ``OSError`` when the client has gone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote

from portico.address import Address
from portico.deadline import check, timeout
from portico.engines.bridge import result, run
from portico.errors import ConnectionLost, LocalProtocolError, Timeout
from portico.http.exchange import CutAnswer, Exchange
from portico.http.messages import RequestHead
from portico.sync import Event, Task, spawn
from portico.web.asgi_lifespan import Lifespan, versions
from portico.web.headers import HOP_BY_HOP

__all__ = ["ASGI", "Application", "Message"]

log = logging.getLogger("portico.web")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[str, str]]

_PIECE = 65536
"""Bytes of a request's body that one event holds at most."""
_LOOKS = (0.05, 0.5)
"""Seconds between two looks whether a client that is silent has gone: at first, and after a while."""
_LAST_WORDS = 1.0
"""Seconds that an application which is called off gets for its clean-up."""
_EXTENSIONS = ("http.response.trailers", "http.response.early_hint")


class ASGI:
    """Serves ``app(scope, receive, send)``, on one loop.

    ``lifespan()`` is a context in which the application has started; the ``state`` that it filled then is
    part of each scope.
    """

    strand = True

    def __init__(self, app: Application, *, name: str = "") -> None:
        self.app = app
        self.name = f"asgi:{name or getattr(app, '__name__', type(app).__name__)}"
        self.state: dict[str, Any] = {}
        self._after: dict[_Answer, Task[None]] = {}
        """What goes on although its answer is complete."""

    def streams(self, request: RequestHead) -> bool:
        return True

    @contextmanager
    def lifespan(self, seconds: float = 1.0) -> Iterator[None]:
        """A context around all requests, in which the application has started; at the end it has so many
        ``seconds`` for what goes on after its answers, and as many to shut down. Raises ``ConnectError`` when
        it says that it cannot start."""
        with Lifespan(self.app, self.state, seconds):
            try:
                yield
            finally:
                self._end_what_goes_on(seconds)

    def _end_what_goes_on(self, seconds: float) -> None:
        tasks = list(self._after.values())
        for allowed in (seconds, _LAST_WORDS):
            with suppress(Timeout), timeout(allowed, shield=True):
                for task in tasks:
                    task.wait()
            for task in tasks:
                task.cancel()

    def __call__(self, exchange: Exchange) -> None:
        answer = _Answer(exchange)
        task = spawn(self._run, answer, self._scope(exchange), name=self.name)
        try:
            answer.over.wait()
        except BaseException:
            task.cancel()
            with suppress(Timeout), timeout(_LAST_WORDS, shield=True):
                task.wait()
            raise
        if answer.finished:
            if not task.done:
                self._after[answer] = task
            return
        task.join()
        answer.left_unfinished(self.name)

    def _run(self, answer: _Answer, scope: Message) -> None:
        try:
            result(self.app(scope, answer.receive, answer.send))
        except Exception as error:
            if not answer.finished:
                raise
            log.error("%s failed after its answer: %r", self.name, error, exc_info=error)
        finally:
            answer.over.set()
            self._after.pop(answer, None)

    def _scope(self, exchange: Exchange) -> Message:
        line = exchange.request.line
        return {
            "type": "http",
            "asgi": versions("2.4"),
            "http_version": line.version.partition("/")[2],
            "method": exchange.method,
            "scheme": exchange.scheme,
            "path": unquote(line.raw_path),
            "raw_path": line.raw_path.encode("latin-1"),
            "query_string": exchange.query.encode("latin-1"),
            "root_path": exchange.mount.encode("latin-1").decode("utf-8", "replace"),
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in exchange.headers
            ],
            "client": _end(exchange.peer),
            "server": _end(exchange.local),
            "state": self.state.copy(),
            "extensions": {name: {} for name in _EXTENSIONS},
        }


def _end(address: Address | None) -> tuple[str, int | None] | None:
    """One end of a connection, as a scope tells it."""
    return None if address is None else (address.host or str(address.path or address), address.port)


class _Answer:
    """The application's side of one exchange. ``over``: it is complete, or the application has ended."""

    def __init__(self, exchange: Exchange) -> None:
        self.over = Event()
        self.finished = False
        self._exchange = exchange
        self._read = 0
        self._more = True
        """There is, or may be, more of the request's body."""
        self._head: tuple[int, Headers] | None = None
        self._trailers: Headers | None = None
        """``None``: none are to follow the body, or the body has not ended."""
        self._wants_trailers = False
        self._gone: ConnectionLost | None = None

    # -- what the application awaits

    async def receive(self) -> Message:
        """The next event: a piece of the body, or that the client has gone, or nothing more is to be said."""
        return await run(self._next if self._more and not self.finished else self._until_gone)

    async def send(self, message: Message) -> None:
        """Take a part of the answer; waits while the client is too slow. Raises ``ConnectionLost``, and
        ``LocalProtocolError`` for what does not fit."""
        kind = message["type"]
        take = _TAKES.get(kind)
        if take is None:
            raise LocalProtocolError(f"{kind!r} is no part of an answer over HTTP")
        try:
            await run(take, self, message)
        except ConnectionLost as error:
            self._gone = error
            raise

    # -- the request

    def _next(self) -> Message:
        exchange = self._exchange
        try:
            data: bytes = exchange.body.read1(_PIECE)
        except ConnectionLost as error:
            self._gone, self._more = error, False
            return {"type": "http.disconnect"}
        self._read += len(data)
        length = exchange.body_length
        self._more = bool(data) and (length is None or self._read < length)
        return {"type": "http.request", "body": data, "more_body": self._more}

    def _until_gone(self) -> Message:
        pause, longest = _LOOKS
        while not self.over.is_set() and self._gone is None:
            if self._exchange.client_ended:
                self._gone = ConnectionLost(f"{self._exchange.peer} has gone before it was answered")
                break
            with suppress(Timeout), timeout(pause):
                self.over.wait()
            check("waiting for the client")  # a deadline of the application's own
            pause = min(pause * 2, longest)
        return {"type": "http.disconnect"}

    # -- the answer

    def _start(self, message: Message) -> None:
        if self._head is not None:
            raise LocalProtocolError("http.response.start was sent twice")
        status = message["status"]
        if not isinstance(status, int):
            raise LocalProtocolError(f"http.response.start: the status {status!r} is no number")
        self._head = status, _fields(message.get("headers", ()))
        self._wants_trailers = bool(message.get("trailers", False))

    def _body(self, message: Message) -> None:
        if self._head is None:
            raise LocalProtocolError("http.response.body was sent before http.response.start")
        if self.finished or self._trailers is not None:
            raise LocalProtocolError("http.response.body was sent after the end of the body")
        data, more = message.get("body", b""), message.get("more_body", False)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise LocalProtocolError(f"http.response.body: expected bytes, not {type(data).__name__}")
        exchange = self._exchange
        if not exchange.started and not more and not self._wants_trailers:
            exchange.respond(*self._head, bytes(data))
            self._finish()
            return
        if not exchange.started:
            exchange.start(*self._head)
        exchange.write(data)
        if more:
            return
        if self._wants_trailers:
            self._trailers = []
            return
        exchange.finish()
        self._finish()

    def _trail(self, message: Message) -> None:
        if self._trailers is None or self.finished:
            raise LocalProtocolError("http.response.trailers: none were announced, or the body has not ended")
        self._trailers += _fields(message.get("headers", ()))
        if not message.get("more_trailers", False):
            self._exchange.finish(self._trailers)
            self._finish()

    def _hint(self, message: Message) -> None:
        self._exchange.inform(103, [("Link", _text(link)) for link in message.get("links", ())])

    def _finish(self) -> None:
        self.finished = True
        self.over.set()

    def left_unfinished(self, name: str) -> None:
        """The application has ended, and its answer is not complete. Raises why, if it has begun one."""
        if self._gone is not None:
            self._exchange.connection.give_up("has gone before it was answered")
        if self._head is not None:
            log.error("%s ended in the middle of its answer", name)
            raise CutAnswer


_TAKES: dict[str, Callable[[_Answer, Message], None]] = {
    "http.response.start": _Answer._start,
    "http.response.body": _Answer._body,
    "http.response.trailers": _Answer._trail,
    "http.response.early_hint": _Answer._hint,
}


def _fields(fields: Iterable[Iterable[bytes]]) -> Headers:
    """Header fields as text; those that are between us and the next hop (RFC 9110, 7.6.1) are ours."""
    decoded = [(_text(name), _text(value)) for name, value in fields]
    return [field for field in decoded if field[0].lower() not in HOP_BY_HOP]


def _text(data: object) -> str:
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise LocalProtocolError(f"a header is two byte strings, not {data!r}")
    return bytes(data).decode("latin-1")
