"""One request and its answer between a client and an upstream, both directions at once.

Nothing is gathered: a piece of the body is taken from the client when the upstream has taken the one
before, and a piece of the answer is read when the client has room for it. While the upstream thinks, the
client is listened to, too: when it goes, the upstream learns it at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic

from portico.engines import door
from portico.errors import (
    EndOfStream,
    LimitExceeded,
    LocalProtocolError,
    PorticoError,
    ProtocolError,
    Timeout,
)
from portico.http.client_connection import ClientConnection, ClientEvent
from portico.http.exchange import Exchange
from portico.http.messages import End, ResponseHead
from portico.sockets.transport import READ, WRITE
from portico.web.proxy.deadlines import Deadlines, UpstreamError
from portico.web.proxy.fields import passed_trailers, response_fields
from portico.web.proxy.upload import MORE, Upload

__all__ = ["Question", "Relay"]

_CONTINUE = 1.0
"""Seconds after which a body is sent although the upstream has not asked for it (RFC 9110, 10.1.1)."""
_INTERIMS = 100
"""Informational answers to one request: an upstream that sends more will never come to the point."""


@dataclass(frozen=True, slots=True)
class Question:
    """The request as the upstream gets it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body_length: int | None


class Relay:
    """One exchange over one connection to ``name``. ``ask``, then ``answer``.

    ``rewrite`` changes the fields of the answer. Both raise ``UpstreamError`` for what the upstream does, and
    what the client does as it comes.
    """

    def __init__(
        self, exchange: Exchange, connection: ClientConnection, name: str, deadlines: Deadlines
    ) -> None:
        self._exchange = exchange
        self._connection = connection
        self._name = name
        self._deadlines = deadlines
        self.upload = Upload(exchange, connection)

    def ask(self, question: Question) -> ResponseHead:
        """Send the request, and wait for the head of its answer, or for 101. Other informational heads are
        passed on as they come."""
        headers = [*question.headers, ("Expect", "100-continue")] if self.upload.held else question.headers
        self._connection.put_head(question.method, question.target, headers, body_length=question.body_length)
        if question.body_length == 0:
            self._connection.put_end()
        began = monotonic()
        for _ in range(_INTERIMS):
            head = self._head(began)
            if head.status >= 200 or head.status == 101:
                return head
            if head.status == 100:
                self.upload.held = False
            else:
                self._exchange.inform(head.status, response_fields(head, takes_trailers=False))
        raise UpstreamError("bad_answer", f"{self._name} sent {_INTERIMS} informational answers and no other")

    def answer(
        self, head: ResponseHead, rewrite: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]
    ) -> None:
        """Pass the answer on, to its end."""
        exchange = self._exchange
        fields = rewrite(response_fields(head, exchange.takes_trailers))
        try:
            exchange.start(head.status, fields, head.reason)
        except LocalProtocolError as error:
            raise UpstreamError(
                "bad_answer", f"{self._name}: its answer cannot be passed on: {error}"
            ) from error
        if head.status >= 400:
            self.upload.stop()  # whoever has said no reads no further, or only to be polite
        written, since = False, monotonic()
        while True:
            event = self._event("cut")
            if event is None:
                if not written:
                    exchange.write(b"")  # lets the head go
                    written = True
                wanted = self.upload.advance()
                self._await(self._limit(since), wanted)
                if wanted != READ:
                    self._exchange.connection.hear()
            elif isinstance(event, bytes):
                exchange.write(event)
                written, since = True, monotonic()
            elif isinstance(event, End):
                break
        exchange.finish(passed_trailers(event.trailers))

    def _head(self, began: float) -> ResponseHead:
        while True:
            wanted = self.upload.advance()
            event = self._event("reset")
            if isinstance(event, ResponseHead):
                return event
            self._await(self._until(began, wanted), wanted)
            if wanted != READ:
                self._exchange.connection.hear()

    def _until(self, began: float, wanted: int) -> float:
        """When the upstream will have been waited for too long."""
        if wanted == READ:
            return inf  # it is the client's turn, who has limits of its own
        if self.upload.held:
            return began + _CONTINUE
        if wanted == WRITE:
            return self.upload.moved + (self._deadlines.between or inf)
        return max(began, self.upload.moved) + (self._deadlines.first_byte or inf)

    def _limit(self, since: float) -> float:
        return max(since, self.upload.moved) + (self._deadlines.between or inf)

    def _await(self, until: float, wanted: int) -> None:
        if wanted == MORE:
            door.breathe()  # to wait would be wrong: what can be written now is not told a second time
            return
        interest = READ | WRITE if wanted == WRITE else READ
        upstream = [(self._connection.transport, interest)]
        try:
            self._exchange.connection.await_client(upstream, until, body=wanted == READ)
        except Timeout as error:
            if self.upload.held and until <= monotonic():
                self.upload.held = False
                return
            detail = f"{self._name} did not go on within its time"
            raise UpstreamError("timeout", detail) from error

    def _event(self, reason: str) -> ClientEvent | None:
        """What has come from the upstream; ``reason`` is why it is an error that nothing more can."""
        try:
            return self._connection.try_event()
        except (ProtocolError, LimitExceeded) as error:
            raise UpstreamError("bad_answer", f"{self._name}: {error}") from error
        except PorticoError as error:
            nothing = not self._connection.received
            if isinstance(error, EndOfStream) and self._connection.received and reason == "reset":
                reason = "bad_answer"
            raise UpstreamError(reason, f"{self._name}: {error}", stale=nothing) from error
