"""HTTP/1.1 served: one connection as a machine that advances and never waits.

::

    handshake → head ⇄ body → run → leave ─┬→ head (kept alive)
                  │      │                 ├→ discard → head (what the gateway did not read)
                  └──────┴→ refuse → leave ├→ linger → over
                                           └→ conversation (after a 101) → over

Each state is a method that goes as far as it can and returns what to wait for, or ``None`` after it has
set the next state. Only ``run`` calls a gateway, in whatever thread the engine chooses; it may read the
body and write the answer with blocking calls. All else is parked: it holds no thread.
"""

from __future__ import annotations

import io
import logging
from math import inf
from time import monotonic
from typing import Final

from portico.deadline import timeout
from portico.engines.contract import AGAIN, RUN, WAIT_READ, WAIT_WRITE, Load
from portico.engines.conversation import Conversation
from portico.errors import ConnectionLost, LimitExceeded, ProtocolError, StreamClosed, TLSError
from portico.http.codec import Codec
from portico.http.ending import Access
from portico.http.exchange import Exchange, Mount, Route
from portico.http.gathering import BODY, DISCARDING, LATER, LINGER, READY, Gathering, State
from portico.http.messages import CLOSED, RequestHead
from portico.http.room import Room
from portico.limits import Limits
from portico.refusals import Refusals, reason_of
from portico.sockets.transport import Transport
from portico.wires import report

__all__ = ["HTTPConnection", "Service"]

log = logging.getLogger("portico.http")

_HEADS = 16384
"""Bytes asked for where a head is expected: with a larger buffer, the memory costs more than the read."""
_REST = 2.0
"""Seconds without a request after which the next is not worth holding memory for."""


class Service:
    """What the connections of one server share.

    ``route`` finds the mount; ``access(exchange, seconds)`` is called after each answer when set;
    ``refusals`` counts what is refused. ``side_by_side``: see ``Server``.
    """

    side_by_side = (True, False)

    def __init__(
        self, route: Route, limits: Limits, access: Access | None = None, refusals: Refusals | None = None
    ) -> None:
        self.route = route
        self.limits = limits
        self.access = access
        self.refusals = refusals or Refusals()
        self.room = Room(limits.memory)
        self.load = Load()

    def connect(self, transport: Transport) -> HTTPConnection:
        """Make a connection of an accepted transport."""
        return HTTPConnection(transport, self)


class HTTPConnection(Gathering):
    """One client's connection."""

    __slots__ = (
        "_answers",
        "_idle_until",
        "_plain",
        "_talking",
        "_timed",
        "conversation",
        "service",
        "strand",
    )

    _talking: Conversation
    """After a switch of protocols, which makes this a ``conversation``."""

    def __init__(self, transport: Transport, service: Service) -> None:
        super().__init__(transport, service)
        self.service = service
        self.conversation = self.strand = False
        self._state = _HANDSHAKE if transport.handshaking else _HEAD
        self._idle_until = 0.0  # how long a kept connection may be idle
        self._answers = 0  # requests answered since others had their turn
        self._plain = True  # the limits are the server's
        self._timed = service.access is not None or service.limits.request is not None
        self.deadline = self._began + (
            service.limits.handshake if transport.handshaking else service.limits.head
        )

    # -- what the engine calls

    def advance(self) -> int:
        if self.transport.closed:
            return self._talking.advance() if self.conversation else self._close()
        try:
            while True:
                step = self._state(self)
                if step is not None:
                    return step
        except (ConnectionLost, TLSError, StreamClosed) as error:
            log.debug("%s: %s", self.describe(), error)
            return self._close()

    def run(self) -> None:
        exchange, mount = self.exchange, self._mount
        if exchange is None:
            self._talking.run()
            return
        assert mount is not None
        self._state = _LEAVE
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
        if state is _HEAD and not self._in_head and self.deadline < self._idle_until < self._drain_until:
            if not self._fed:
                self.rest()
            self.deadline = self._idle_until
        elif state is _HEAD and self._in_head:
            self._turn_away(408, "The request took too long to arrive.", "head")
        elif state is BODY:
            self._turn_away(408, "The body of the request arrives too slowly.", "body_rate")
        else:
            # An idle connection, a handshake, a reader that takes nothing: nobody listens to an answer.
            if state is _LEAVE:
                self.refusals.count("write_stall")
                log.info("%s: the reader took nothing for %g s", self.describe(), self.limits.write_stall)
                self._abort()
            elif state is _HANDSHAKE:
                self.refusals.count("handshake")
            self.transport.closed = True

    def refuse(self) -> None:
        if self.conversation:
            self._talking.refuse()
            return
        self._turn_away(503, "The server is busy.", "busy", LATER)

    def drain(self, until: float) -> None:
        self._drain_until = until
        if self._state is _HEAD and not self._in_head and not self.running:
            self.deadline = min(self._idle_until or self.deadline, until)

    def cut(self) -> None:
        if self.conversation:
            self._talking.cut()
            return
        self.transport.closed = True
        self.transport.wake()

    @property
    def state(self) -> str:
        if self.conversation:
            return self._talking.state
        if self.running:
            return "running"
        return "reading" if self._in_head else _STATES[self._state]

    def describe(self) -> str:
        if self.conversation:
            return self._talking.describe()
        exchange = self.exchange
        if exchange is None or not exchange.method:
            return f"{self.transport.peer} (idle)"
        named = f", {exchange.notes.request_id}" if exchange.notes and exchange.notes.request_id else ""
        return f"{exchange.peer} ({exchange.method} {exchange.target[:200]}{named})"

    def rest(self) -> None:
        super().rest()
        # What is made anew for the next request is made for the server, not for the last mount.
        self.limits, self._plain = self.service.limits, True

    # -- states

    def _handshake(self) -> int | None:
        wanted = self.transport.handshake()
        if wanted:
            return wanted
        self._state = _HEAD
        self.deadline = min(monotonic() + self.limits.head, self._drain_until)
        return None

    def _head(self) -> int | None:
        while True:
            if self._fed:
                event = self._next_event()
            else:
                data = None if self._drained else self.transport.recv(_HEADS)
                if data is None:
                    self._drained = False
                    self._answers = 0
                    if self._in_head:
                        return self._await_head()
                    if self._drain_until < self.deadline:  # said while another thread was about to park it
                        self.deadline = self._drain_until
                    return WAIT_READ
                self._drained = 0 < len(data) < _HEADS and self.transport.short_read_drains
                try:
                    event = (self._codec or self.codec).receive(data)
                except (ProtocolError, LimitExceeded) as error:
                    self._refuse(error.status, str(error), reason_of(error))
                    return None
            if type(event) is RequestHead:
                return self._request(event)
            if event is CLOSED or event is None:
                return None if event is None else self._close()
            self._fed = False
            if not self._in_head:
                self._in_head = True
                self._began = monotonic()
                self.deadline = self._began + min(self.limits.head, self.limits.request or inf)

    def _await_head(self) -> int | None:
        waiting = self.codec.waiting
        self._hold_head(waiting)
        if self.room.crowded_by(waiting):
            self._refuse(503, "The server has no room for this head now.", "room", LATER)
            return None
        return WAIT_READ

    def _request(self, head: RequestHead) -> int | None:
        """A head is complete: find who answers, and decide how the body reaches them."""
        self._continued = self._ended = False
        self._fault = None
        if head.changed is None:
            self.derived = None
        exchange = self.exchange = Exchange(self, head)
        if self._timed:
            self._start_clock()
        if self._in_head:
            self._in_head = False
            self._hold_head(0)
        if exchange.method == "CONNECT":
            self._refuse(501, "There are no tunnels here.", "method")
            return None
        mount = self._mount = self.service.route(exchange)
        if mount is None:
            self._unmounted(head)
            return None
        exchange.mount = mount.prefix
        self.load = mount.load
        self.strand = mount.strand
        length = head.facts.body_length
        if not (mount.plain and self._plain) and not self._agree(mount, exchange, length):
            return None
        if length == 0:
            exchange.body = io.BytesIO()
            self._state = READY
            return RUN
        exchange.body_length = length
        return self._request_body(head, mount)

    def _agree(self, mount: Mount, exchange: Exchange, length: int | None) -> bool:
        """Let a mount's own limits and fields hold, or those of the server again. ``False``: refused."""
        self._plain = mount.plain
        exchange.edit = mount.edit
        limits = self.limits = mount.limits or self.service.limits
        if mount.limits is None:
            return True
        if limits.request is not None:
            self._until = monotonic() + limits.request
        if limits.body is None or length is None or length <= limits.body:
            return True
        self._refuse(413, f"A body of {length} bytes, more than {limits.body}.", "body")
        return False

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

    def _leave(self) -> int | None:
        """The answer leaves as fast as the reader takes it."""
        if self._held:
            held, self._held = self._held, b""
            sent = self.transport.send(held)
            if sent < len(held):
                self._wait_for_reader(self._put(memoryview(held)[sent:]))
        outbox = self._outbox
        if outbox is not None:
            moved = outbox.send(self.transport)
            if outbox:
                if moved or self.deadline == inf:
                    self.deadline = self._stall()
                self._make_room(outbox)
                return WAIT_WRITE if outbox.blocked else self._others_first()
            self._drop_outbox()
        if self.transport.tls is not None and not self.transport.flush():
            self.deadline = self._stall()
            return WAIT_WRITE
        return self._answered()

    def _answered(self) -> int | None:
        exchange, self.exchange = self.exchange, None
        self.cycle += 1
        if exchange is not None:
            if exchange.body is not None:
                exchange.body.close()
            if self._access is not None:
                self._access(exchange, monotonic() - self._began)
        codec = self._codec or self.codec
        if not self._close_after and codec.went_on():
            return self._kept(codec)
        if self.talk is not None:
            return self._switch(codec.leftover)
        if self._close_after or not codec.keep_alive:
            # What came after the last request is ignored, and must not cost the client its answer.
            return self._end(unread=self._close_after or self._streaming or codec.waiting > 0)
        # The gateway has not read all of the body.
        self._streaming = False
        self._received = 0
        self._fed = True
        self.deadline = monotonic() + self.limits.linger
        self._state = DISCARDING
        return None

    def _switch(self, early: bytes) -> int:
        """The 101 has left: from now on this is a conversation, which the client has begun with ``early``.
        The engine finds a thread or a strand for it, as for any."""
        assert self.talk is not None
        self._talking = Conversation(self.transport, self.talk, self.limits, report, early)
        self.rest()
        self.conversation = self.strand = True
        self.deadline = inf
        self._state = READY
        return AGAIN

    def _kept(self, codec: Codec) -> int | None:
        """On to the next request."""
        self._streaming = False
        self._fed = codec.waiting > 0
        self._state = _HEAD
        self._until = inf
        limits = self.limits
        now = monotonic()
        self._idle_until = self.deadline = now + limits.idle
        if self._drain_until != inf:
            self.deadline = min(self.deadline, self._drain_until)
        elif limits.idle > _REST:
            self.deadline = now + _REST
        if self.cycle == 1 and not self._fed:
            self.rest()  # many clients ask once, and keep the connection for nothing
        if self._drained and not self._fed:  # what _head would find, most of the time
            self._drained = False
            self._answers = 0
            return WAIT_READ
        self._answers += 1
        if self._answers < limits.pipelined:
            return None
        self._answers = 0
        return self._others_first()

    def _begin_leaving(self) -> None:
        self._state = _LEAVE


_HANDSHAKE: Final[State] = HTTPConnection._handshake
_HEAD: Final[State] = HTTPConnection._head
_LEAVE: Final[State] = HTTPConnection._leave
_STATES: Final[dict[State, str]] = {
    _HANDSHAKE: "handshake",
    _HEAD: "idle",
    BODY: "reading",
    READY: "running",
    _LEAVE: "writing",
    DISCARDING: "reading",
    LINGER: "closing",
}
"""What a connection that is parked does, in a word."""
