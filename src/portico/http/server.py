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
from typing import Any

from portico.deadline import timeout
from portico.engines.contract import DONE, RUN, WAIT_READ, WAIT_WRITE, Load
from portico.errors import (
    Cancelled,
    ConnectionLost,
    EndOfStream,
    LimitExceeded,
    PorticoError,
    ProtocolError,
    StreamClosed,
    Timeout,
    TLSError,
)
from portico.http.answering import CHUNK, DISCARD, Answering
from portico.http.body import Spool, StreamedBody
from portico.http.exchange import CutAnswer, Exchange, Mount, Route
from portico.http.messages import CLOSED, NEED_DATA, End, RequestHead
from portico.http.pages import REASONS, error_page
from portico.limits import Limits
from portico.sockets.transport import Transport

__all__ = ["HTTPConnection", "Service"]

log = logging.getLogger("portico.http")

_TURN = 16
"""So many reads of a body, before other connections get their turn."""


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


class HTTPConnection(Answering):
    """One client's connection."""

    __slots__ = (
        "_answers",
        "_began",
        "_drained",
        "_fed",
        "_in_head",
        "_mount",
        "_over",
        "_spool",
        "_state",
        "_timed",
        "service",
    )

    def __init__(self, transport: Transport, service: Service) -> None:
        super().__init__(transport, service.load, service.limits)
        self.service = service
        self._mount: Mount | None = None
        self._spool: Spool | None = None
        self._state: Callable[[], int | None] = self._handshake if transport.handshaking else self._head
        self._over = False
        self._fed = False  # the codec may hold bytes it has not looked at
        self._drained = False  # the last read was short: there is nothing more now
        self._in_head = False
        self._answers = 0  # requests answered since others had their turn
        self._timed = service.access is not None or service.limits.request is not None
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
        exchange, mount = self.exchange, self._mount
        assert exchange is not None
        assert mount is not None
        self._state = self._leave
        try:
            if self._until == inf:
                mount.gateway(exchange)
            else:
                with timeout(max(self._until - monotonic(), 0.0)):
                    mount.gateway(exchange)
            if not exchange.started:
                raise LookupError("the gateway returned without an answer")
            if not self._ended:
                self.answer_end()
        except BaseException as error:  # noqa: BLE001  (a thread of the engine's must outlive any handler)
            self._failed(exchange, error)

    def expire(self) -> None:
        state = self._state
        if state == self._head and self._in_head:
            self._turn_away(408, "The request took too long to arrive.")
        elif state == self._body:
            self._turn_away(408, "The body of the request arrives too slowly.")
        else:
            # An idle connection, a handshake, a reader that takes nothing: nobody listens to an answer.
            if state == self._leave:
                log.info("%s: the reader took nothing for %g s", self.describe(), self.limits.write_stall)
                self._abort()
            self.transport.closed = True

    def refuse(self) -> None:
        self._turn_away(503, "The server is busy.", [("Retry-After", "1")])

    def drain(self, until: float) -> None:
        self._drain_until = until
        if self._state == self._head and not self._in_head and not self.running:
            self.deadline = min(self.deadline, until)

    def cut(self) -> None:
        self.transport.closed = True
        self.transport.wake()

    def describe(self) -> str:
        exchange = self.exchange
        what = "idle" if exchange is None else f"{exchange.method} {exchange.target[:200]}"
        return f"{self.transport.peer} ({what})"

    # -- states

    def _handshake(self) -> int | None:
        wanted = self.transport.handshake()
        if wanted:
            return wanted
        self._state = self._head
        self.deadline = min(monotonic() + self.limits.head, self._drain_until)
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
                    self._began = monotonic()
                    self.deadline = self._began + min(self.limits.head, self.limits.request or inf)
            if not self._receive():
                self._answers = 0
                return WAIT_READ

    def _request(self, head: RequestHead) -> int | None:
        """A head is complete: find who answers, and decide how the body reaches them."""
        self._continued = self._ended = False
        self._fault = None
        if not head.repeated and self.derived:
            self.derived.clear()
        exchange = self.exchange = Exchange(self, head)
        if self._timed:
            self._start_clock()
        self._in_head = False
        if head.method == "CONNECT":
            self._refuse(501, "There are no tunnels here.")
            return None
        mount = self._mount = self.service.route(exchange)
        if mount is None:
            self._unmounted(head)
            return None
        exchange.mount = mount.prefix
        self.load = mount.load
        length = head.body_length
        if length == 0:
            exchange.body = io.BytesIO()
            self._state = self._ready
            return RUN
        exchange.body_length = length
        return self._request_body(head, mount)

    def _start_clock(self) -> None:
        """For who wants to know or to bound how long a request takes, from its first byte."""
        if not self._in_head:
            self._began = monotonic()
        if self.limits.request is not None:
            self._until = self._began + self.limits.request

    def _unmounted(self, head: RequestHead) -> None:
        close = head.body_length != 0
        if head.target != "*":
            self._refuse(404, "Nothing is mounted here.", close=close)
            return
        # RFC 9110, 9.3.7: it asks about the server as a whole, as a ping does.
        self._conclude(204, [("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")], b"", close)

    def _request_body(self, head: RequestHead, mount: Mount) -> int | None:
        """Let the gateway read the body as it comes, or gather it first."""
        self._body_began, self._received = monotonic(), 0
        asks = head.expects_continue
        # Whoever waits for a 100 may be turned away before sending a body. Not where its length is still
        # to come: a gateway that does not stream has to be told one.
        if mount.gateway.streams(head) or (asks and head.body_length is not None):
            self._streaming = True
            self._drained = False
            self._left_body = self._body_began
            exchange = self.exchange
            assert exchange is not None
            exchange.body = io.BufferedReader(StreamedBody(self), CHUNK)
            self._state = self._ready
            return RUN
        self._spool = Spool(self.limits.body_memory)
        self._fed = True
        self._state = self._body
        if asks:
            self._continue()
        return None

    def _body(self) -> int | None:
        spool, exchange = self._spool, self.exchange
        assert spool is not None
        assert exchange is not None
        reads = 0
        while True:
            if self._fed:
                event = self._next_event()
                if isinstance(event, bytes):
                    if not self._gather(spool, event):
                        return None
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
            reads += 1
            if reads % _TURN == 0 and (step := self._turn_reading()):
                return step
            if not self._receive():
                return WAIT_READ

    def _gather(self, spool: Spool, data: bytes) -> bool:
        try:
            spool.add(data)
        except OSError as error:
            log.error("%s: the body cannot be kept: %s", self.describe(), error)
            self._refuse(503, "The server has no room for this body now.")
            return False
        self._received = spool.size
        return True

    def _ready(self) -> int | None:
        return RUN

    def _leave(self) -> int | None:
        """The answer leaves as fast as the reader takes it."""
        if self._outbox:
            moved = self._outbox.send(self.transport)
            if self._outbox:
                if moved or self.deadline == inf:
                    self.deadline = self._stall()
                return WAIT_WRITE if self._outbox.blocked else self._turn(WAIT_WRITE)
        if not self.transport.flush():
            self.deadline = self._stall()
            return WAIT_WRITE
        return self._answered()

    def _answered(self) -> int | None:
        exchange, self.exchange = self.exchange, None
        self.cycle += 1
        if exchange is not None:
            if exchange.body is not None:
                exchange.body.close()
            if self.service.access is not None:
                self.service.access(exchange, monotonic() - self._began)
        if self._close_after or not self.codec.keep_alive:
            # What came after the last request is ignored, and must not cost the client its answer.
            return self._end(unread=self._close_after or self._streaming or self.codec.waiting > 0)
        if self._streaming:
            self._streaming = False
            self._received = 0
            self._fed = True
            self.deadline = monotonic() + self.limits.linger
            self._state = self._discard
            return None
        return self._again()

    def _again(self) -> int | None:
        """Kept alive: on to the next request."""
        self.codec.start_next_cycle()
        self._fed = self.codec.waiting > 0
        self._state = self._head
        self._until = inf
        self.deadline = min(monotonic() + self.limits.idle, self._drain_until)
        self._answers += 1
        if self._answers < self.limits.pipelined:
            return None
        self._answers = 0
        return self._turn(WAIT_WRITE)

    def _turn(self, step: int) -> int | None:
        """Let other connections go first. A change of what is watched makes the poller look here again,
        after them; ``None``: none can be made, so go on."""
        for wanted in (step, WAIT_READ | WAIT_WRITE):
            if self.transport.interest(wanted) != self.watched:
                self._drained = False
                return wanted
        return None

    def _turn_reading(self) -> int | None:
        # Under TLS more may be there that the kernel does not know of; to write is nearly always possible.
        return self._turn(WAIT_READ if self.transport.tls is None else WAIT_WRITE)

    def _discard(self) -> int | None:
        """The gateway may have left some of the body unread: a little is read for it."""
        while True:
            if self._fed:
                event = self._next_event(answer=False)
                if isinstance(event, bytes):
                    self._received += len(event)
                    if self._received > DISCARD:
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
        for _ in range(_TURN):
            data = self.transport.recv(CHUNK)
            if data is None:
                return WAIT_READ
            if not data or self.deadline <= monotonic():
                return self._close()
        return self._turn_reading()

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

    def _refuse(
        self, status: int, detail: str, headers: list[tuple[str, str]] | None = None, *, close: bool = True
    ) -> None:
        """Answer with an error page, without calling anybody."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        fields, page = error_page(status, detail)
        self._conclude(status, fields + (headers or []), page, close)

    def _turn_away(
        self, status: int, detail: str, headers: list[tuple[str, str]] | None = None, *, close: bool = True
    ) -> None:
        """``_refuse`` where nobody catches: a client that has gone needs no answer."""
        try:
            self._refuse(status, detail, headers, close=close)
        except PorticoError as error:
            log.debug("%s: %s", self.describe(), error)
            self.transport.closed = True

    def _conclude(self, status: int, headers: list[tuple[str, str]], body: bytes, close: bool) -> None:
        self._close_after = close
        if self.exchange is not None:
            self.exchange.status, self.exchange.started = status, True
        self.answer_whole(status, REASONS.get(status, ""), headers, body)
        self.deadline = inf
        self._state = self._leave

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        """A gateway raised. The client gets an error page while that is possible, else sees a cut."""
        fault, self._fault = self._fault, None
        called_off = isinstance(error, Cancelled) and self.transport.closed
        if called_off or (isinstance(error, CutAnswer) and exchange.started):
            self._abort()
            return
        if fault is None or not _stems_from(error, fault):
            log.error("%s: %s failed", self.describe(), self._mount, exc_info=error)
            status, detail = 500, "The program behind this address failed; see the server's log."
            if isinstance(error, Timeout) and self._until <= monotonic():
                status, detail = 503, "The request took too long."
        elif isinstance(fault, (ProtocolError, LimitExceeded)):
            log.info("%s: %s", self.describe(), fault)
            status, detail = fault.status, str(fault)
        elif isinstance(fault, EndOfStream):
            log.info("%s: %s", self.describe(), fault)
            status, detail = 400, str(fault)
        else:
            log.debug("%s: %s", self.describe(), fault)
            self._abort()
            return
        if self._ended:
            return  # the answer is complete: it may leave
        if exchange.started:
            self._abort()
            return
        self._turn_away(status, detail, close=self._streaming)

    def _abort(self) -> None:
        """Let the peer see that this is no proper end."""
        self._outbox.close()
        self.transport.abort()
        self.transport.closed = True

    def _close(self) -> int:
        if not self._over:
            self._over = True
            self.transport.closed = True
            self._outbox.close()
            if self._spool is not None:
                self._spool.close()
            if self.exchange is not None:
                self._cut_short(self.exchange)
            self.transport.close()
        return DONE

    def _cut_short(self, exchange: Exchange) -> None:
        """The connection ends before the answer has left, or before there is one."""
        if exchange.body is not None:
            exchange.body.close()
        if exchange.started and self.service.access is not None:
            self.service.access(exchange, monotonic() - self._began)


def _stems_from(error: BaseException | None, fault: BaseException) -> bool:
    """Whether ``error`` is ``fault``, or was raised while that was being handled."""
    while error is not None and error is not fault:
        error = error.__cause__ or error.__context__
    return error is fault
