"""HTTP/1.1 served: one connection as a machine that advances and never waits.

::

    handshake → head ⇄ body → run → leave ─┬→ head (kept alive)
                  │      │                 ├→ discard → head (what the gateway did not read)
                  └──────┴→ refuse → leave └→ linger → over

Each state is a method that goes as far as it can and returns what to wait for, or ``None`` after it has
set the next state. Only ``run`` calls a gateway, in whatever thread the engine chooses; it may read the
body and write the answer with blocking calls. All else is parked: it holds no thread.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, BinaryIO

from portico.deadline import check, timeout
from portico.engines import door
from portico.engines.contract import DONE, RUN, WAIT_READ, WAIT_WRITE, Connection, Load
from portico.errors import (
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    PorticoError,
    ProtocolError,
    StreamClosed,
    Timeout,
    TLSError,
)
from portico.http.body import Spool, StreamedBody
from portico.http.codec import Codec
from portico.http.exchange import Exchange, Mount, Route
from portico.http.messages import CLOSED, NEED_DATA, End, RequestHead
from portico.http.outbox import Outbox
from portico.http.pages import REASONS, SERVER_LINE, date_line, error_page, server_lines
from portico.http.states import Role
from portico.limits import Limits
from portico.sockets.transport import READ, WRITE, Bytes, Transport

__all__ = ["HTTPConnection", "Service"]

log = logging.getLogger("portico.http")

CHUNK = 65536
_WHOLE = 65536
"""An answer up to this size is joined with its head into one buffer; copying more costs more than a call."""
_DISCARD = 1 << 18
"""So much of an unread body is read and thrown away to keep the connection."""
_DATE, _NAMED = 1, 2


class _Ours(dict[str, int]):
    """Which of the server's own fields a gateway's field replaces; remembers names, within bounds."""

    def __missing__(self, name: str) -> int:
        kind = {"date": _DATE, "server": _NAMED}.get(name.lower(), 0)
        if len(self) < 1024:
            self[name] = kind
        return kind


_OURS = _Ours()


class Service:
    """What the connections of one server share.

    ``route`` finds the mount; ``access(exchange, seconds)`` is called after each answer when set.
    """

    def __init__(
        self, route: Route, limits: Limits, access: Callable[[Exchange, float], None] | None = None
    ) -> None:
        self.route = route
        self.limits = limits
        self.access = access
        self.load = Load()

    def connect(self, transport: Transport) -> HTTPConnection:
        """Make a connection of an accepted transport."""
        return HTTPConnection(transport, self)


class HTTPConnection(Connection):
    """One client's connection. ``scratch`` is for gateways that keep something for its lifetime."""

    __slots__ = (
        "_began",
        "_body_began",
        "_close_after",
        "_continued",
        "_drain_until",
        "_drained",
        "_ended",
        "_exchange",
        "_fed",
        "_in_head",
        "_mount",
        "_outbox",
        "_over",
        "_received",
        "_spool",
        "_state",
        "_streaming",
        "codec",
        "limits",
        "scratch",
        "service",
    )

    def __init__(self, transport: Transport, service: Service) -> None:
        super().__init__(transport, service.load)
        self.service = service
        self.limits = service.limits
        self.codec = Codec(Role.SERVER, service.limits)
        self.scratch: dict[Any, Any] = {}
        self._outbox = Outbox()
        self._exchange: Exchange | None = None
        self._mount: Mount | None = None
        self._spool: Spool | None = None
        self._state: Callable[[], int | None] = self._handshake if transport.handshaking else self._head
        self._over = False
        self._fed = False  # the codec may hold bytes it has not looked at
        self._drained = False  # the last read was short: there is nothing more now
        self._in_head = False
        self._streaming = False
        self._continued = False
        self._ended = False
        self._close_after = False
        self._drain_until = inf
        self._body_began = 0.0
        self._received = 0
        self._began = monotonic()
        self.deadline = self._began + (
            service.limits.handshake if transport.handshaking else service.limits.head
        )

    # -- what the engine calls

    def advance(self) -> int:
        if self.transport.closed:
            return self._close()
        try:
            while True:
                step = self._state()
                if step is not None:
                    return step
        except (ConnectionLost, TLSError, StreamClosed) as error:
            log.debug("%s: %s", self.describe(), error)
            return self._close()

    def run(self) -> None:
        exchange, mount = self._exchange, self._mount
        assert exchange is not None and mount is not None
        self._state = self._leave
        try:
            mount.gateway(exchange)
            if not exchange.started:
                raise LookupError("the gateway returned without an answer")
            if not self._ended:
                self.answer_end()
        except BaseException as error:
            self._failed(exchange, error)

    def expire(self) -> None:
        state = self._state
        if state == self._head and self._in_head:
            self._refuse(408, "The request took too long to arrive.")
        elif state == self._body:
            self._refuse(408, "The body of the request arrives too slowly.")
        else:
            # An idle connection, a handshake, a reader that takes nothing: nobody listens to an answer.
            if state == self._leave:
                log.info("%s: the reader took nothing for %g s", self.describe(), self.limits.write_stall)
                self.transport.abort()
            self.transport.closed = True

    def refuse(self) -> None:
        self._refuse(503, "The server is busy.", [("Retry-After", "1")])

    def drain(self, until: float) -> None:
        self._drain_until = until
        if self._state == self._head and not self._in_head and not self.running:
            self.deadline = min(self.deadline, until)

    def cut(self) -> None:
        self.transport.closed = True
        self.transport.wake()

    def describe(self) -> str:
        exchange = self._exchange
        what = "idle" if exchange is None else f"{exchange.method} {exchange.target[:200]}"
        return f"{self.transport.peer} ({what})"

    # -- states

    def _handshake(self) -> int | None:
        wanted = self.transport.handshake()
        if wanted:
            return wanted
        self._state = self._head
        self.deadline = monotonic() + self.limits.head
        return None

    def _head(self) -> int | None:
        while True:
            if self._fed:
                event = self._next_event()
                if type(event) is RequestHead:
                    return self._request(event)
                if event is CLOSED or event is None:
                    return None if event is None else self._close()
                self._fed = False
                if not self._in_head:
                    self._in_head = True
                    self.deadline = monotonic() + self.limits.head
            if not self._receive():
                return WAIT_READ

    def _request(self, head: RequestHead) -> int | None:
        """A head is complete: find who answers, and decide how the body reaches them."""
        self._in_head = False
        self._continued = self._ended = False
        exchange = self._exchange = Exchange(self, head)
        if self.service.access is not None:
            self._began = monotonic()
        mount = self._mount = self.service.route(exchange)
        if mount is None:
            return self._refuse(404, "Nothing is mounted here.", close=head.body_length != 0)
        exchange.mount = mount.prefix
        self.load = mount.load
        length = head.body_length
        if length == 0:
            exchange.body = io.BytesIO()
            self._state = self._ready
            return RUN
        exchange.body_length = length
        most = self.limits.body
        if length is not None and most is not None and length > most:
            return self._refuse(413, f"The body has {length} bytes; at most {most} are taken.")
        self._body_began, self._received = monotonic(), 0
        if head.expects_continue or mount.gateway.streams(head):
            self._streaming = True
            exchange.body = io.BufferedReader(StreamedBody(self), CHUNK)
            self._state = self._ready
            return RUN
        self._spool = Spool(self.limits.body_memory)
        self._fed = True
        self._state = self._body
        return None

    def _body(self) -> int | None:
        spool, exchange = self._spool, self._exchange
        assert spool is not None and exchange is not None
        while True:
            if self._fed:
                event = self._next_event()
                if isinstance(event, bytes):
                    spool.add(event)
                    self._received = spool.size
                    continue
                if type(event) is End:
                    exchange.body, exchange.body_length = spool.file(), spool.size
                    self._spool = None
                    self._state = self._ready
                    return RUN
                if event is not NEED_DATA:
                    return None
                self._fed = False
            self.deadline = self._body_deadline()
            if not self._receive():
                return WAIT_READ

    def _ready(self) -> int | None:
        return RUN

    def _leave(self) -> int | None:
        """The answer leaves as fast as the reader takes it."""
        if self._outbox:
            moved = self._outbox.send(self.transport)
            if self._outbox:
                if moved or self.deadline == inf:
                    self.deadline = monotonic() + self.limits.write_stall
                return WAIT_WRITE
        if not self.transport.flush():
            self.deadline = monotonic() + self.limits.write_stall
            return WAIT_WRITE
        return self._answered()

    def _answered(self) -> int | None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            if exchange.body is not None:
                exchange.body.close()
            if self.service.access is not None:
                self.service.access(exchange, monotonic() - self._began)
        if self._streaming and not self._close_after:
            self._streaming = False
            self._received = 0
            self._fed = True
            self.deadline = monotonic() + self.limits.linger
            self._state = self._discard
            return None
        if self._close_after or not self.codec.keep_alive:
            return self._end(unread=self._close_after)
        return self._again()

    def _again(self) -> int | None:
        """Kept alive: on to the next request."""
        self.codec.start_next_cycle()
        self._fed = self.codec.buffered > 0
        self._state = self._head
        self.deadline = min(monotonic() + self.limits.idle, self._drain_until)
        return None

    def _discard(self) -> int | None:
        """The gateway may have left some of the body unread: a little is read for it."""
        while True:
            if self._fed:
                event = self._next_event(answer=False)
                if isinstance(event, bytes):
                    self._received += len(event)
                    if self._received > _DISCARD:
                        return self._end(unread=True)
                    continue
                if event is not NEED_DATA:
                    if event is None or not self.codec.keep_alive:
                        return self._end(unread=event is None)
                    return self._again()
                self._fed = False
            if not self._receive():
                return WAIT_READ

    def _end(self, unread: bool) -> int | None:
        """Close; after an answer that came before its request was read, not at once, lest the reset
        that unread bytes cause destroy the answer on its way (RFC 9112, 9.6)."""
        if not unread:
            return self._close()
        self.transport.shutdown_write()
        self.deadline = monotonic() + self.limits.linger
        self._state = self._linger
        return None

    def _linger(self) -> int | None:
        for _ in range(64):
            data = self.transport.recv(CHUNK)
            if data is None:
                return WAIT_READ
            if not data:
                return self._close()
        return self._close()

    # -- pieces of states

    def _receive(self) -> bool:
        """Feed the codec what is there. ``False``: nothing, now."""
        if self._drained:
            self._drained = False
            return False
        data = self.transport.recv(CHUNK)
        if data is None:
            return False
        self._drained = self.transport.short_read_drains and 0 < len(data) < CHUNK
        self.codec.feed(data)
        self._fed = True
        return True

    def _next_event(self, answer: bool = True) -> Any:
        """The codec's next event; ``None`` when it was an error, which has been answered."""
        try:
            return self.codec.next_event()
        except (ProtocolError, LimitExceeded) as error:
            if answer:
                self._refuse(error.status, str(error))
        return None

    def _body_deadline(self) -> float:
        """When the body will have been slower than the least rate, should nothing more come."""
        return self._body_began + self.limits.body_grace + self._received / self.limits.body_rate

    def _refuse(
        self, status: int, detail: str, headers: list[tuple[str, str]] | None = None, *, close: bool = True
    ) -> None:
        """Answer without calling anybody."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._close_after = close
        fields, page = error_page(status, detail)
        if self._exchange is not None:
            self._exchange.status, self._exchange.started = status, True
        self.answer_whole(status, REASONS.get(status, ""), fields + (headers or []), page)
        self.deadline = inf
        self._state = self._leave

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        """A gateway raised. The client gets a 500 while that is possible, else sees the answer cut."""
        if isinstance(error, (ConnectionLost, StreamClosed)) and not isinstance(error, EndOfStream):
            log.debug("%s: %s", self.describe(), error)
            self.transport.closed = True
            return
        status = 500
        if isinstance(error, (ProtocolError, LimitExceeded)):
            status = error.status
            log.info("%s: %s", self.describe(), error)
        else:
            log.error("%s: %s failed", self.describe(), self._mount, exc_info=error)
        if exchange.started:
            self._outbox.close()
            self.transport.abort()
            self.transport.closed = True
            return
        detail = str(error) if status != 500 else "The program behind this address failed; see the server's log."
        try:
            self._refuse(status, detail, close=self._streaming)
        except PorticoError as second:
            log.debug("%s: %s", self.describe(), second)
            self.transport.closed = True

    def _close(self) -> int:
        if not self._over:
            self._over = True
            self.transport.closed = True
            self._outbox.close()
            if self._spool is not None:
                self._spool.close()
            if self._exchange is not None and self._exchange.body is not None:
                self._exchange.body.close()
            self.transport.close()
        return DONE

    # -- what an exchange calls

    def answer_whole(self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer in one piece."""
        if len(body) > _WHOLE:
            self.answer_head(status, reason, [*headers, *_length(headers, body)])
            self.answer_data(body)
            self.answer_end()
            return
        data = self.codec.respond(status, reason, headers, body, self._ready_lines(headers))
        self._ended = True
        self._send(data)

    def answer_head(self, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        """Begin an answer; the head waits for the first part of the body."""
        ready = [(name, value) for name, _, value in map(_parted, self._ready_lines(headers).split("\r\n")[:-1])]
        self._outbox.add(self.codec.send_response(status, reason, [*headers, *ready], body_length=None))

    def answer_data(self, data: Bytes) -> None:
        """Send a part of the body; block while too much waits for a slow reader."""
        for part in self.codec.send_data(data):
            self._outbox.add(part)
        self._push()

    def answer_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of a file, which is closed when it has gone."""
        around = self.codec.send_around(count)
        if around is None:
            file.close()
            return
        self._outbox.add(around[0])
        self._outbox.add_file(file, offset, count)
        self._outbox.add(around[1])
        self._push()

    def answer_end(self) -> None:
        """The answer is complete."""
        data = self.codec.send_end()
        self._ended = True
        self._send(data)

    def next_piece(self) -> bytes:
        """The next part of a streamed body, blocking; ``b""`` at its end. Raises what the peer did."""
        while True:
            event = self.codec.next_event()
            if isinstance(event, bytes):
                self._received += len(event)
                return event
            if type(event) is End:
                self._streaming = False
                return b""
            if event is not NEED_DATA:
                return b""
            self._continue()
            data = self.transport.recv(CHUNK)
            while data is None:
                self._block(READ, self._body_deadline(), "reading the body of the request from")
                data = self.transport.recv(CHUNK)
            self.codec.feed(data)

    def _continue(self) -> None:
        """Ask for the body, when the client waits to be asked (RFC 9110, 10.1.1)."""
        exchange = self._exchange
        if exchange is None or self._continued or exchange.started or not exchange.request.expects_continue:
            return
        self._continued = True
        self._send(self.codec.send_informational(100))

    def _ready_lines(self, headers: list[tuple[str, str]]) -> str:
        """The server's own lines: ``Date`` and ``Server``, unless the gateway has them."""
        if self._must_close():
            self.codec.close_after()
        present = 0
        for name, _ in headers:
            present |= _OURS[name]
        if not present:
            return server_lines()
        date = "" if present & _DATE else date_line()
        return date if present & _NAMED else date + SERVER_LINE

    def _must_close(self) -> bool:
        # A server that drains keeps nobody; a codec that met an error is done.
        return self._close_after or self._drain_until != inf

    def _send(self, data: bytes) -> None:
        if self._outbox:
            self._outbox.add(data)
            self._outbox.send(self.transport)
        elif data:
            sent = self.transport.send(data)
            if sent < len(data):
                self._outbox.add(memoryview(data)[sent:])
        if self._outbox:
            self.deadline = monotonic() + self.limits.write_stall

    def _push(self) -> None:
        self._outbox.send(self.transport)
        while self._outbox.memory > self.limits.response_memory:
            self._block(WRITE, monotonic() + self.limits.write_stall, "waiting for the reader to take the answer:")
            self._outbox.send(self.transport)

    def _block(self, events: int, until: float, doing: str) -> None:
        """Wait inside ``run``, where that is allowed; the gateway's own deadlines count too."""
        whom = str(self.transport.peer)
        if self.transport.closed:
            raise StreamClosed(f"the server was stopped while {doing} {whom}")
        try:
            with timeout(max(until - monotonic(), 0.0)):
                door.wait(self.transport, events, f"{doing} {whom}")
        except Timeout:
            check(doing)
            if events == READ:
                raise ProtocolError("the body of the request arrives too slowly", 408) from None
            raise ConnectionLost(f"{whom} took nothing of the answer for {self.limits.write_stall:g} s") from None


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(": ")


def _length(headers: list[tuple[str, str]], body: bytes) -> list[tuple[str, str]]:
    if any(name.lower() == "content-length" for name, _ in headers):
        return []
    return [("Content-Length", str(len(body)))]
