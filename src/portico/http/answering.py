"""What an exchange may do to its connection while its gateway runs: read the body, write the answer.

This half of a connection may wait, for it is called from ``run()``, in whatever thread that is; the other
half (``http/server.py``) never does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from portico.deadline import check, timeout
from portico.engines import door
from portico.engines.contract import Connection
from portico.errors import (
    ConnectionLost,
    LimitExceeded,
    PorticoError,
    ProtocolError,
    StreamClosed,
    Timeout,
    TLSError,
)
from portico.http.codec import Codec
from portico.http.messages import NEED_DATA, End, Fields
from portico.http.outbox import Outbox
from portico.http.outgoing import with_defaults
from portico.http.pages import server_fields
from portico.http.room import SMALL
from portico.http.states import Role
from portico.sockets.transport import READ, WRITE, Bytes, Transport, Waitable

if TYPE_CHECKING:
    from portico.http.exchange import Exchange
    from portico.http.server import Service
    from portico.sockets.stream import Stream

__all__ = ["CHUNK", "DISCARD", "Answering"]

log = logging.getLogger("portico.http")

CHUNK = 65536
_JOINED = 16384
"""An answer up to this size is joined with its head into one buffer; of a larger one the copy, in memory that
is new each time, costs more than all the rest."""
DISCARD = 1 << 18
"""So much of an unread body is read and thrown away to keep the connection."""
_CLIENTS = (ConnectionLost, ProtocolError, LimitExceeded, StreamClosed, TLSError)
"""What reading a body and sending an answer raise when it is no fault of the gateway's."""


class Answering(Connection):
    """A server's connection, as far as its exchanges use it.

    ``cycle`` counts answers. ``derived`` is for gateways to keep what follows from a head: whoever finds
    ``None`` makes a dictionary, which lasts until ``RequestHead.changed`` is ``None``, or the connection
    rests. ``trailers``: those of the last body. ``talk``: who has the connection after a switch.
    """

    __slots__ = (
        "_body_began",
        "_close_after",
        "_codec",
        "_continued",
        "_drain_until",
        "_ended",
        "_fault",
        "_held",
        "_left_body",
        "_outbox",
        "_received",
        "_streaming",
        "_until",
        "cycle",
        "derived",
        "exchange",
        "limits",
        "refusals",
        "room",
        "talk",
        "trailers",
    )

    def __init__(self, transport: Transport, service: Service) -> None:
        super().__init__(transport, service.load)
        self.limits = service.limits
        self.refusals = service.refusals
        self.room = service.room
        self._codec: Codec | None = None
        self.derived: dict[Any, Any] | None = None
        self.exchange: Exchange | None = None
        self.cycle = 0
        self._outbox: Outbox | None = None  # nothing waits to leave
        self._held = b""  # an answer that leaves with the next ``advance()``
        self._streaming = False  # the gateway reads the body from the connection
        self._continued = False
        self._ended = False
        self._close_after = False
        self._drain_until = inf
        self._body_began = self._left_body = 0.0
        self._received = 0
        self._fault: PorticoError | None = None  # what the client did, or the network, while a gateway ran
        self.trailers: Fields = ()
        self.talk: Callable[[Stream], object] | None = None
        self._until = inf  # when the present request must have been answered

    # What a connection that rests does not hold: see ``rest``.

    @property
    def codec(self) -> Codec:
        """What reads the requests and frames the answers."""
        if self._codec is None:
            self._codec = Codec(Role.SERVER, self.limits)
        return self._codec

    def rest(self) -> None:
        """Give back all that only makes the next request cheaper, and may be long in coming."""
        self._codec = self.derived = None

    def answer_interim(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Say something before the answer (1xx)."""
        self._send(self.codec.send_informational(status, headers))

    def answer_switch(self, headers: Sequence[tuple[str, str]], talk: Callable[[Stream], object]) -> None:
        """Agree to another protocol (101): ``talk`` gets the connection once that has left."""
        data = self.codec.send_informational(101, headers)
        self.talk = talk
        self._ended = True
        self._send(data)

    def answer_whole(
        self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes, hold: bool = False
    ) -> None:
        """Answer in one piece; with ``hold`` it leaves when ``run()`` is over."""
        if len(body) > _JOINED:
            self._answer_large(status, reason, headers, body)
            return
        if self._close_after or self._streaming or self._drain_until != inf:
            self._persist()
        data = (self._codec or self.codec).respond(status, reason, headers, body, server_fields())
        self._ended = True
        if self._outbox is not None:
            self._send(data)
            return
        if hold:
            self._held = data
            return
        try:
            sent = self.transport.send(data)
        except _CLIENTS as error:
            self._fault = error
            raise
        if sent < len(data):
            self._wait_for_reader(self._put(memoryview(data)[sent:]))

    def _answer_large(self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self._persist()
        head = self.codec.respond_around(status, reason, headers, len(body), server_fields())
        if head is None:
            self.answer_head(status, reason, headers, len(body))
            # It is in memory as a whole: its thread need not wait until it has left.
            for part in self.codec.send_data(body):
                self._put(part)
            self.answer_end()
            return
        self._ended = True
        self._put(head)
        self._send(body)

    def answer_with_file(
        self,
        status: int,
        reason: str,
        headers: list[tuple[str, str]],
        file: BinaryIO,
        offset: int,
        count: int,
    ) -> None:
        """Answer in one piece with a part of a file, which is closed when it has gone."""
        self._persist()
        head = self.codec.respond_around(status, reason, headers, count, server_fields())
        if head is None:
            self.answer_head(status, reason, headers, count)
            self.answer_file(file, offset, count)
            self.answer_end()
            return
        self._ended = True
        self._put(head).add_file(file, offset, count)
        self._send(b"")

    def answer_head(
        self, status: int, reason: str, headers: list[tuple[str, str]], length: int | None = None
    ) -> None:
        """Begin an answer; the head waits for the first part of the body. ``length``: in bytes, if known."""
        self._persist()
        fields = with_defaults(headers, server_fields())
        self._put(self.codec.send_response(status, reason, fields, body_length=length))

    def answer_data(self, data: Bytes) -> None:
        """Send a part of the body; block while too much waits for a slow reader."""
        for part in self.codec.send_data(data):
            self._put(part)
        self._push()

    def answer_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of a file, which is closed when it has gone."""
        around = self.codec.send_around(count)
        if around is None:
            file.close()
            return
        outbox = self._put(around[0])
        outbox.add_file(file, offset, count)
        outbox.add(around[1])
        self._push()

    def answer_end(self, trailers: Iterable[tuple[str, str]] = ()) -> None:
        """The answer is complete."""
        data = self.codec.send_end(trailers)
        self._ended = True
        self._send(data)

    def next_piece(self) -> bytes:
        """The next part of a streamed body, blocking; ``b""`` at its end. Raises what the peer did."""
        try:
            while (piece := self._try_piece()) is None:
                self._block(READ, self._body_deadline(), "reading the body of the request from")
            return piece
        except _CLIENTS as error:
            self._fault = error
            raise

    def try_piece(self) -> bytes | None:
        """As ``next_piece``, but never waits: ``None`` when nothing has come."""
        try:
            return self._try_piece()
        except _CLIENTS as error:
            self._fault = error
            raise

    def _try_piece(self) -> bytes | None:
        # The gateway's own time is not the client's slowness.
        if self._left_body:
            self._body_began += monotonic() - self._left_body
            self._left_body = 0.0
        piece = self._read_piece()
        if piece is not None:
            self._left_body = monotonic()
        return piece

    def _read_piece(self) -> bytes | None:
        while True:
            event = self.codec.next_event()
            if isinstance(event, bytes):
                self._received += len(event)
                if self.limits.body is not None and self._received > self.limits.body:
                    raise LimitExceeded(f"a body of more than {self.limits.body} bytes", "body", 413)
                return event
            if event is not NEED_DATA:
                if type(event) is End and self._streaming:
                    self._streaming = False
                    self.trailers = event.trailers
                return b""
            self._continue()
            data = self.transport.recv(CHUNK)
            if data is None:
                return None
            self.codec.feed(data)

    @property
    def received(self) -> int:
        """Bytes of the last body so far."""
        return self._received

    @property
    def streaming(self) -> bool:
        """Whether there is more of a body to be read from the connection."""
        return self._streaming

    def await_client(self, others: Sequence[tuple[Waitable, int]], until: float, *, body: bool) -> None:
        """Wait for one of ``others``, or until the client sends: its ``body``, or news, see ``hear``.

        Raises ``Timeout`` at ``until`` (``time.monotonic``), and what the client did: a body that comes too
        slowly.
        """
        late = self._body_deadline() if body else inf
        mine = [(self.transport, READ)] if body or self._hears else []
        seconds = min(until, late, self._until) - monotonic()
        doing = "waiting for an upstream" if not body else "waiting for the body of a request"
        aside = self.aside is not None and self.aside(True)
        try:
            with timeout(max(seconds, 0.0) if seconds != inf else None):
                door.wait_any([*mine, *others], doing)
        except Timeout:
            if late <= monotonic():
                self._fault = ProtocolError("the body of the request arrives too slowly", 408)
                raise self._fault from None
            raise
        finally:
            if aside and self.aside is not None:
                self.aside(False)

    def hear(self) -> None:
        """Take in what the client sends while it waits for its answer: its next requests, as long as they are
        few. Raises ``ConnectionLost`` when it has gone, or ended its direction: these look the same."""
        while self._hears:
            try:
                data = self.transport.recv(CHUNK)
                if data == b"":
                    raise ConnectionLost(f"{self.transport.peer} has gone before it was answered")
            except _CLIENTS as error:
                self._fault = error
                raise
            if data is None:
                return
            self.codec.feed(data)

    @property
    def _hears(self) -> bool:
        return self.codec.waiting < CHUNK

    def _continue(self) -> None:
        """Ask for the body, when the client waits to be asked (RFC 9110, 10.1.1)."""
        exchange = self.exchange
        if exchange is None or self._continued or exchange.started or not exchange.request.expects_continue:
            return
        self._continued = True
        self._send(self.codec.send_informational(100))

    def give_up(self, why: str) -> NoReturn:
        """The client is not there any more: raise ``ConnectionLost``, as a failing write would."""
        self._fault = ConnectionLost(f"{self.transport.peer} {why}")
        raise self._fault

    def _persist(self) -> None:
        """Before an answer begins: see that it says so when it is the last."""
        # A server that drains keeps nobody; a codec that met an error is done.
        if self._close_after or self._drain_until != inf or (self._streaming and self._leaves_much()):
            self.codec.close_after()

    def _leaves_much(self) -> bool:
        """Whether so much of a body is unread that nobody will read it to keep the connection."""
        length = None if self.exchange is None else self.exchange.body_length
        return length is not None and length - self._received > DISCARD

    def _put(self, data: Bytes) -> Outbox:
        """Let bytes wait to leave. They must not change afterwards."""
        if self._outbox is None:
            self._outbox = Outbox()
        self._outbox.add(data)
        return self._outbox

    def _send(self, data: bytes) -> None:
        """Send what the transport takes now, behind what waits already; the rest waits."""
        if data:
            self._put(data)
        if self._outbox is None:
            return
        try:
            self._outbox.send(self.transport)
        except _CLIENTS as error:
            self._fault = error
            raise
        if self._outbox:
            self._wait_for_reader(self._outbox)

    def _wait_for_reader(self, outbox: Outbox) -> None:
        """The connection is about to be parked with this; where all memory is taken it waits in a file."""
        self.deadline = self._stall()
        self._make_room(outbox)

    def _make_room(self, outbox: Outbox) -> None:
        outbox.hold(self.room)
        if self.room.crowded_by(outbox.spillable):
            try:
                outbox.spill()
            except OSError as error:
                log.error("%s: an answer waits in memory: %s", self.describe(), error)

    def _push(self) -> None:
        outbox = self._outbox
        if outbox is None:
            return
        try:
            outbox.send(self.transport)
            while outbox.memory > (SMALL if self.room.full else self.limits.response_memory):
                outbox.hold(self.room)
                if outbox.blocked:
                    self._block(WRITE, self._stall(), "waiting for the reader to take the answer:")
                outbox.send(self.transport)
        except _CLIENTS as error:
            self._fault = error
            raise

    def _block(self, events: int, until: float, doing: str) -> None:
        """Wait inside ``run``, where that is allowed; the gateway's own deadlines count too."""
        whom = str(self.transport.peer)
        if self.transport.closed:
            raise StreamClosed(f"the server was stopped while {doing} {whom}")
        aside = self.aside is not None and self.aside(True)
        try:
            with timeout(max(until - monotonic(), 0.0)):
                door.wait(self.transport, events, f"{doing} {whom}")
        except Timeout:
            if monotonic() < self._until:  # else it is the peer that has used up the request's time
                check(doing)
            if events == READ:
                raise ProtocolError("the body of the request arrives too slowly", 408) from None
            self.refusals.count("write_stall")
            stall = self.limits.write_stall
            raise ConnectionLost(f"{whom} took nothing of the answer for {stall:g} s") from None
        finally:
            if aside and self.aside is not None:
                self.aside(False)

    def _stall(self) -> float:
        """When the reader will have taken nothing for too long."""
        return min(monotonic() + self.limits.write_stall, self._until)

    def _body_deadline(self) -> float:
        """When the body will have been slower than the least rate, should nothing more come."""
        until = self._body_began + self.limits.body_grace + self._received / self.limits.body_rate
        return min(until, self._until)
