"""How a connection's requests end when they do not end well: refused, failed, cut."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from portico.engines.contract import DONE
from portico.errors import (
    Cancelled,
    EndOfStream,
    FormError,
    LimitExceeded,
    PorticoError,
    ProtocolError,
    Timeout,
)
from portico.http.answering import Answering
from portico.http.body import Spool
from portico.http.exchange import CutAnswer, Exchange, Mount
from portico.http.messages import RequestHead
from portico.http.pages import REASONS, error_page
from portico.refusals import reason_of
from portico.sockets.transport import Transport

if TYPE_CHECKING:
    from portico.http.server import Service

__all__ = ["Access", "Ending"]

log = logging.getLogger("portico.http")

Access = Callable[[Exchange, float], None]
"""Told of each answer, and of the seconds since its request began. The ``method`` is empty where a request
was refused before anybody knew what it asks for."""

_UNREAD = RequestHead.of("", "*")


class Ending(Answering):
    """A server's connection, as far as it answers by itself, and closes."""

    __slots__ = ("_access", "_began", "_head_held", "_in_head", "_mount", "_over", "_spool")

    def __init__(self, transport: Transport, service: Service) -> None:
        super().__init__(transport, service)
        self._access = service.access
        self._mount: Mount | None = None
        self._spool: Spool | None = None
        self._over = False
        self._head_held = 0
        self._in_head = False
        self._began = monotonic()  # the present request, or the connection

    def _begin_leaving(self) -> None:
        """The next state is that in which an answer leaves."""
        raise NotImplementedError

    def _refuse(
        self,
        status: int,
        detail: str,
        reason: str = "",
        headers: Sequence[tuple[str, str]] = (),
        *,
        close: bool = True,
    ) -> None:
        """Answer with an error page, without calling anybody; counted, where there is a ``reason``."""
        if reason:
            self.refusals.count(reason)
        if self.exchange is None:
            self._refuse_unread(detail)
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        fields, page = error_page(status, detail)
        self._conclude(status, [*fields, *headers], page, close)

    def _refuse_unread(self, detail: str) -> None:
        """What was asked could not be read, or was not waited for: the logs shall know of the answer."""
        log.info("%s: %s", self.describe(), detail)
        if self._access is None:
            return
        if not self._in_head:
            self._began = monotonic()
        self.exchange = Exchange(self, _UNREAD)

    def _turn_away(
        self,
        status: int,
        detail: str,
        reason: str = "",
        headers: Sequence[tuple[str, str]] = (),
        *,
        close: bool = True,
    ) -> None:
        """``_refuse`` where nobody catches: a client that has gone needs no answer."""
        try:
            self._refuse(status, detail, reason, headers, close=close)
        except PorticoError as error:
            log.debug("%s: %s", self.describe(), error)
            self.transport.closed = True

    def _conclude(self, status: int, headers: list[tuple[str, str]], body: bytes, close: bool) -> None:
        self._close_after = close
        if self.exchange is not None:
            self.exchange.status, self.exchange.started, self.exchange.sent = status, True, len(body)
            if self.exchange.edit is not None:
                headers = self.exchange.edit(headers)
        self.answer_whole(status, REASONS.get(status, ""), headers, body)
        self.deadline = inf
        self._begin_leaving()

    def _failed(self, exchange: Exchange, error: BaseException) -> None:
        """A gateway raised. The client gets an error page while that is possible, else sees a cut."""
        fault, self._fault = self._fault, None
        called_off = isinstance(error, Cancelled) and self.transport.closed
        if called_off or (isinstance(error, CutAnswer) and exchange.started):
            self._abort()
            return
        if isinstance(error, FormError):
            log.info("%s: %s", self.describe(), error)
            status, detail, reason = error.status, str(error), ""  # the gateway asked, and is not counted
        elif fault is None or not _stems_from(error, fault):
            log.error("%s: %s failed", self.describe(), self._mount, exc_info=error)
            status, detail, reason = 500, "The program behind this address failed; see the server's log.", ""
            if isinstance(error, Timeout) and self._until <= monotonic():
                status, detail, reason = 503, "The request took too long.", "request"
        elif isinstance(fault, (ProtocolError, LimitExceeded)):
            log.info("%s: %s", self.describe(), fault)
            status, detail, reason = fault.status, str(fault), reason_of(fault)
        elif isinstance(fault, EndOfStream):
            log.info("%s: %s", self.describe(), fault)
            status, detail, reason = 400, str(fault), reason_of(fault)
        else:
            log.debug("%s: %s", self.describe(), fault)
            self._abort()
            return
        if self._ended:
            return  # the answer is complete: it may leave
        if exchange.started:
            if reason:
                self.refusals.count(reason)
            self._abort()
            return
        self._turn_away(status, detail, reason, close=self._streaming)

    def _abort(self) -> None:
        """Let the peer see that this is no proper end."""
        self._drop_outbox()
        self._let_go()
        self.transport.abort()

    def _let_go(self) -> None:
        """Before the transport is given back: whoever waits for it or watches it has to learn of it. A hub
        still does for a gateway that has waited here, and would take the number's next owner for this."""
        self.transport.closed = True
        self.transport.waiters.discard(self)
        self.transport.wake()

    def _drop_outbox(self) -> None:
        self._held = b""
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None

    def _close(self) -> int:
        if not self._over:
            self._over = True
            self._let_go()
            self._drop_outbox()
            self._hold_head(0)
            if self._spool is not None:
                self._spool.close()
            if self.exchange is not None:
                self._cut_short(self.exchange)
            self.transport.close()
        return DONE

    def _hold_head(self, size: int) -> None:
        """So much of a head waits for the rest."""
        self._head_held = self.room.account(self._head_held, size)

    def _cut_short(self, exchange: Exchange) -> None:
        """The connection ends before the answer has left, or before there is one."""
        if exchange.body is not None:
            exchange.body.close()
        if exchange.started and self._access is not None:
            self._access(exchange, monotonic() - self._began)


def _stems_from(error: BaseException | None, fault: BaseException) -> bool:
    """Whether ``error`` is ``fault``, or was raised while that was being handled."""
    while error is not None and error is not fault:
        error = error.__cause__ or error.__context__
    return error is fault
