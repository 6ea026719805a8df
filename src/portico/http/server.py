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
_TURN = 16
"""So many reads of a body, before other connections get their turn."""
_DATE, _NAMED = 1, 2
_CLIENTS = (ConnectionLost, ProtocolError, LimitExceeded, StreamClosed, TLSError)
"""What reading a body and sending an answer raise when it is no fault of the gateway's."""


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
    """One client's connection.

    For gateways that keep something: ``scratch`` for its lifetime; ``derived`` for what follows from a
    header block, as long as requests repeat it byte for byte. ``cycle`` counts answers.
    """

    __slots__ = (
        "_answers",
        "_began",
        "_body_began",
        "_close_after",
        "_continued",
        "_drain_until",
        "_drained",
        "_ended",
        "_fault",
        "_fed",
        "_in_head",
        "_left_body",
        "_mount",
        "_outbox",
        "_over",
        "_received",
        "_spool",
        "_state",
        "_streaming",
        "_timed",
        "_until",
        "codec",
        "cycle",
        "derived",
        "exchange",
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
        self.derived: dict[Any, Any] = {}
        self._outbox = Outbox()
        self.exchange: Exchange | None = None
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
        self._body_began = self._left_body = 0.0
        self._received = 0
        self.cycle = 0
        self._answers = 0  # requests answered since others had their turn
        self._fault: PorticoError | None = None  # what the client did, or the network, while a gateway ran
        self._timed = service.access is not None or service.limits.request is not None
        self._until = inf  # when the present request must have been answered
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

    def _stall(self) -> float:
        """When the reader will have taken nothing for too long."""
        return min(monotonic() + self.limits.write_stall, self._until)

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

    def _body_deadline(self) -> float:
        """When the body will have been slower than the least rate, should nothing more come."""
        until = self._body_began + self.limits.body_grace + self._received / self.limits.body_rate
        return min(until, self._until)

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
            if self.exchange is not None and self.exchange.body is not None:
                self.exchange.body.close()
            self.transport.close()
        return DONE

    # -- what an exchange calls

    def answer_whole(self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer in one piece."""
        if len(body) > _WHOLE:
            self.answer_head(status, reason, [*headers, *_length(headers, body)])
            # It is in memory as a whole: its thread need not wait until it has left.
            for part in self.codec.send_data(body):
                self._outbox.add(part)
            self.answer_end()
            return
        data = self.codec.respond(status, reason, headers, body, self._ready_lines(headers))
        self._ended = True
        self._send(data)

    def answer_head(self, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        """Begin an answer; the head waits for the first part of the body."""
        ready = [_parted(line) for line in self._ready_lines(headers).split("\r\n")[:-1]]
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
        # The gateway's own time is not the client's slowness.
        self._body_began += monotonic() - self._left_body
        try:
            return self._read_piece()
        except _CLIENTS as error:
            self._fault = error
            raise
        finally:
            self._left_body = monotonic()

    def _read_piece(self) -> bytes:
        while True:
            event = self.codec.next_event()
            if isinstance(event, bytes):
                self._received += len(event)
                return event
            if event is not NEED_DATA:
                self._streaming = self._streaming and type(event) is not End
                return b""
            self._continue()
            data = self.transport.recv(CHUNK)
            while data is None:
                self._block(READ, self._body_deadline(), "reading the body of the request from")
                data = self.transport.recv(CHUNK)
            self.codec.feed(data)

    def _continue(self) -> None:
        """Ask for the body, when the client waits to be asked (RFC 9110, 10.1.1)."""
        exchange = self.exchange
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
        return self._close_after or self._drain_until != inf or (self._streaming and self._leaves_much())

    def _leaves_much(self) -> bool:
        """Whether so much of a body is unread that nobody will read it to keep the connection."""
        length = None if self.exchange is None else self.exchange.body_length
        return length is not None and length - self._received > _DISCARD

    def _send(self, data: bytes) -> None:
        try:
            if self._outbox:
                self._outbox.add(data)
                self._outbox.send(self.transport)
            elif data:
                sent = self.transport.send(data)
                if sent < len(data):
                    self._outbox.add(memoryview(data)[sent:])
        except _CLIENTS as error:
            self._fault = error
            raise
        if self._outbox:
            self.deadline = self._stall()

    def _push(self) -> None:
        try:
            self._outbox.send(self.transport)
            while self._outbox.memory > self.limits.response_memory:
                self._block(WRITE, self._stall(), "waiting for the reader to take the answer:")
                self._outbox.send(self.transport)
        except _CLIENTS as error:
            self._fault = error
            raise

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
            stall = self.limits.write_stall
            raise ConnectionLost(f"{whom} took nothing of the answer for {stall:g} s") from None


def _stems_from(error: BaseException | None, fault: BaseException) -> bool:
    """Whether ``error`` is ``fault``, or was raised while that was being handled."""
    while error is not None and error is not fault:
        error = error.__cause__ or error.__context__
    return error is fault


def _parted(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value


def _length(headers: list[tuple[str, str]], body: bytes) -> list[tuple[str, str]]:
    if any(name.lower() == "content-length" for name, _ in headers):
        return []
    return [("Content-Length", str(len(body)))]
