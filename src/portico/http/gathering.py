"""Requests' bodies: gathered before their gateway runs, or handed to it as they come."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from portico.engines.contract import AGAIN, RUN, WAIT_READ
from portico.errors import LimitExceeded, ProtocolError
from portico.http.answering import CHUNK, DISCARD
from portico.http.body import Spool, StreamedBody
from portico.http.codec import Codec
from portico.http.ending import Ending
from portico.http.exchange import Mount
from portico.http.messages import NEED_DATA, End, RequestHead
from portico.refusals import reason_of
from portico.sockets.transport import Transport

if TYPE_CHECKING:
    from portico.http.server import Service

__all__ = ["BODY", "DISCARDING", "LATER", "LINGER", "READY", "Gathering", "State"]

log = logging.getLogger("portico.http")

State: TypeAlias = Callable[[Any], int | None]
"""A method that goes as far as it can: what to wait for, or ``None`` after it has set the next state."""
LATER: Final = (("Retry-After", "1"),)
_TURN = 16
"""So many reads of a body, before other connections get their turn."""


class Gathering(Ending):
    """A server's connection, as far as it reads bodies. ``_fed``: the codec may hold bytes it has not looked
    at; ``_drained``: the last read was short, so there is nothing more now."""

    __slots__ = ("_drained", "_fed", "_state")

    _state: State

    def __init__(self, transport: Transport, service: Service) -> None:
        super().__init__(transport, service)
        self._fed = self._drained = False

    def _kept(self, codec: Codec) -> int | None:
        """On to the next request."""
        raise NotImplementedError

    # -- states

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
            self._state = READY
            return RUN
        if not asks and self._came_whole(head.body_length):
            return RUN
        self._spool = Spool(self.limits.body_memory)
        self._fed = True
        self._state = BODY
        if asks:
            self._continue()
        return None

    def _came_whole(self, length: int | None) -> bool:
        """Whether the body came with its head, as most small ones do: there is nothing to gather then."""
        body = None
        if length is not None and length <= min(CHUNK, self.limits.body_memory):
            body = self.codec.rest_of_body()
        exchange = self.exchange
        if body is None or exchange is None:
            return False
        exchange.body = io.BytesIO(body)
        self._received = len(body)
        self._state = READY
        return True

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
                    if spool.size > CHUNK and not self._settle(spool):  # it may stand in line for long
                        return None
                    self.trailers = event.trailers
                    exchange.body, exchange.body_length = spool.file(), spool.size
                    self._spool = None
                    self._state = READY
                    return RUN
                if event is not NEED_DATA:
                    return None
                self._fed = False
            self.deadline = self._body_deadline()
            reads += 1
            if reads % _TURN == 0:
                return self._others_first()
            if not self._receive():
                return WAIT_READ if self._settle(spool) else None

    def _gather(self, spool: Spool, data: bytes) -> bool:
        most = self.limits.body
        if most is not None and spool.size + len(data) > most:  # of a mount; the server's are the codec's
            self._refuse(413, f"A body of more than {most} bytes.", "body")
            return False
        try:
            spool.add(data)
        except OSError as error:
            self._no_room(error)
            return False
        self._received = spool.size
        return True

    def _settle(self, spool: Spool) -> bool:
        try:
            spool.settle(self.room)
        except OSError as error:
            self._no_room(error)
            return False
        return True

    def _no_room(self, error: OSError) -> None:
        log.error("%s: the body cannot be kept: %s", self.describe(), error)
        self._refuse(503, "The server has no room for this body now.", "room", LATER)

    def _ready(self) -> int | None:
        return RUN

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
                    if event is None or not self.codec.went_on():
                        return self._end(unread=event is None)
                    return self._kept(self.codec)
                self._fed = False
            if not self._receive():
                return WAIT_READ

    def _linger(self) -> int | None:
        for _ in range(_TURN):
            data = self.transport.recv(CHUNK)
            if data is None:
                return WAIT_READ
            if not data or self.deadline <= monotonic():
                return self._close()
        return self._others_first()

    # -- pieces of states

    def _end(self, unread: bool) -> int | None:
        """Close; after an answer that came before its request was read, not at once, lest the reset
        that unread bytes cause destroy the answer on its way (RFC 9112, 9.6)."""
        if not unread:
            return self._close()
        self.transport.shutdown_write()
        self.deadline = monotonic() + self.limits.linger
        self._state = LINGER
        return None

    def _others_first(self) -> int:
        # What comes meanwhile is told now and not again: so a short read proves nothing any more.
        self._drained = False
        return AGAIN

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
                self._refuse(error.status, str(error), reason_of(error))
        return None


# Functions, not methods of an object: that would be a cycle for the collector to find.
READY: Final[State] = Gathering._ready
BODY: Final[State] = Gathering._body
DISCARDING: Final[State] = Gathering._discard
LINGER: Final[State] = Gathering._linger
