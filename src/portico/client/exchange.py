"""One request over one connection: its body goes out while an early answer is listened for.

A server may answer before it has read everything. When it says no, or that it will close, the rest of the
body stays here; else both directions go on at once, so that neither side waits for the other for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from portico.client.body import Body
from portico.client.connection import Connection
from portico.client.timeouts import Timeouts
from portico.deadline import check, timeout
from portico.engines import door
from portico.errors import (
    ConnectionLost,
    EndOfStream,
    LocalProtocolError,
    PorticoError,
    ProtocolError,
    StreamClosed,
    Timeout,
)
from portico.http.client_connection import INTERIMS, ClientEvent
from portico.http.messages import End, ResponseHead
from portico.sockets.transport import READ, WRITE

__all__ = ["Exchange"]

_CONTINUE = 1.0
"""Seconds after which a body is sent although nobody has asked for it (RFC 9110, 10.1.1)."""
_PIECE = 1 << 18
"""Bytes that are handed over at once: between two pieces an early answer is noticed."""


class Exchange:
    """A request on its way over ``connection``, and what comes back.

    ``reached``: ``"send"``, ``"wait"``, ``"head"`` or ``"body"``. ``times`` bound the silence of the server.
    """

    __slots__ = ("_closes", "_early", "_early_size", "_interims", "_times", "connection", "reached")

    def __init__(self, connection: Connection, times: Timeouts) -> None:
        self.connection = connection
        self.reached = "send"
        self._early: list[ClientEvent] = []  # parts of an answer that came before the request had left
        self._early_size = 0
        self._closes = False
        self._interims = 0
        self._times = times

    def ask(self, method: str, target: str, fields: Sequence[tuple[str, str]], body: Body) -> ResponseHead:
        """Send a request with a body, and wait for the head of its answer (or a 101)."""
        connection = self.connection
        waits = any(name.lower() == "expect" for name, _ in fields)
        if waits and body.length == 0:  # nothing is to be asked for (RFC 9110, 10.1.1)
            waits, fields = False, [field for field in fields if field[0].lower() != "expect"]
        with timeout(self._times.write):
            connection.send_head(method, target, fields, body_length=body.length)
        head = self._asked_to_go_on() if waits else None
        return self._sent(body) if head is None else head

    def event(self) -> ClientEvent:
        """The next part of the answer after its head."""
        if self._early:
            return self._early.pop(0)
        return self.connection.read_event()

    def try_event(self) -> ClientEvent | None:
        """As ``event``, but never waits: ``None`` when nothing more has come."""
        if self._early:
            return self._early.pop(0)
        return self.connection.try_event()

    # -- the answer's head

    def final_head(self, came: ResponseHead | None) -> ResponseHead:
        """The head of the answer to a request that has been sent. ``came``: one that has come already."""
        self.reached = "wait" if came is None else "head"
        if came is not None and self._is_final(came):
            return came
        return self._final_head()

    def _final_head(self) -> ResponseHead:
        connection = self.connection
        while True:
            with timeout(self._times.read):
                event = connection.read_event()
            self.reached = "head"
            if isinstance(event, ResponseHead) and self._is_final(event):
                return event

    def _is_final(self, head: ResponseHead) -> bool:
        if head.status >= 200 or head.status == 101:
            self.reached = "body"
            return True
        self._interims += 1
        if self._interims > INTERIMS:
            raise ProtocolError(f"{INTERIMS} informational answers and no other")
        return False

    def _asked_to_go_on(self) -> ResponseHead | None:
        """Wait for a 100: the answer, if that comes instead."""
        with timeout(_CONTINUE) as patience:
            try:
                while True:
                    event = self.connection.read_event()
                    if isinstance(event, ResponseHead):
                        if self._is_final(event):
                            return event
                        if event.status == 100:
                            return None
            except Timeout:
                if not patience.expired:
                    raise
        return None

    # -- the request's body

    def _sent(self, body: Body) -> ResponseHead:
        pieces = body.chunks()
        try:
            for piece in _pieces(pieces):
                self.connection.put(piece)
                head = self._push()
                if head is not None:
                    return head
            self.connection.put_end()
            return self._push() or self._waited()
        except LocalProtocolError:
            raise
        except ConnectionLost as error:
            return self._answered_all_the_same(error)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def _waited(self) -> ResponseHead:
        self.reached = "wait"
        for number, event in enumerate(self._early):
            if isinstance(event, ResponseHead):
                del self._early[: number + 1]
                return event
        return self._final_head()

    def _push(self) -> ResponseHead | None:
        """Send what waits. The answer, if it came already and is one after which nothing more is wanted."""
        connection = self.connection
        while True:
            check("sending the body of a request")  # flush() never does, nor lets others go first
            connection.stream.try_write(b"")
            sent = connection.flush()
            head = self._overheard()
            if head is not None or sent:
                return head
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        listening = self._early_size < self.connection.limits.response_memory
        interest = READ | WRITE if listening else WRITE
        stream = self.connection.stream
        with timeout(self._times.write):
            door.wait_any([(self.connection.transport, interest)], f"writing to {stream.peer}")
        if stream.closed:
            raise StreamClosed(f"the stream to {stream.peer} was closed while a request was being sent")

    def _overheard(self) -> ResponseHead | None:
        connection = self.connection
        if self._early_size >= connection.limits.response_memory:
            return None
        while (event := self._heard()) is not None:
            if isinstance(event, ResponseHead):
                self.reached = "head"
                if not self._is_final(event):
                    continue
                if event.status >= 300:
                    return event  # whoever has said no reads no further
                self._closes = not event.keep_alive
            elif isinstance(event, bytes):
                self._early_size += len(event)
            self._early.append(event)
            if self._closes and isinstance(event, End):
                return self._waited()  # whoever has said all, and that it will close, reads no further
        return None

    def _heard(self) -> ClientEvent | None:
        if self._early and not isinstance(self._early[-1], (bytes, ResponseHead)):
            return None  # the answer has come to its end
        try:
            return self.connection.try_event()
        except EndOfStream:
            if self.connection.received:
                raise
            return None  # it has ended its direction; writing will tell

    def _answered_all_the_same(self, error: PorticoError) -> ResponseHead:
        """A server that has closed while we wrote may have said why before."""
        if self._early:
            return self._waited()
        try:
            return self._final_head()
        except PorticoError:
            raise error from None


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes | memoryview]:
    for chunk in chunks:
        if len(chunk) <= _PIECE:
            if chunk:
                yield chunk
        else:
            view = memoryview(chunk)
            yield from (view[at : at + _PIECE] for at in range(0, len(view), _PIECE))
