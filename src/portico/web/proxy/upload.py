"""A request's body on its way to an upstream, without ever waiting."""

from __future__ import annotations

from time import monotonic

from portico.errors import PorticoError
from portico.http.client_connection import ClientConnection
from portico.http.exchange import Exchange
from portico.sockets.transport import READ, WRITE
from portico.web.proxy.fields import passed_trailers

__all__ = ["MORE", "Upload"]

MORE = -1
"""Nobody is being waited for: there is more to do at once, when others have had their turn."""

_PIECES = 16
"""So many pieces in a row, before the answer is looked at again."""


class Upload:
    """Hands the body on, as the client sends it and the upstream takes it: one piece is held at a time.

    ``held``: the upstream has yet to say that it wants the body (``Expect: 100-continue``). ``touched``:
    some of a body that comes from the client has been taken, so that it cannot be sent to another.
    ``moved``: when something was last handed on (``time.monotonic``).
    """

    def __init__(self, exchange: Exchange, connection: ClientConnection) -> None:
        self._exchange = exchange
        self._connection = connection
        self._ended = exchange.body_length == 0
        self._stopped = False
        self.held = exchange.request.expects_continue and exchange.connection.streaming
        self.moved = monotonic()
        self.touched = False

    @property
    def complete(self) -> bool:
        """Whether all of the request has left."""
        return self._ended and not self._stopped and self._connection.request_sent

    def advance(self) -> int:
        """Go on as far as possible, and say who is being waited for: the client (``READ``), the upstream
        (``WRITE``), nobody (0, ``MORE``). What the client does wrong is raised; an upstream that takes no
        more may still answer."""
        for _ in range(_PIECES):
            if self._stopped:
                return 0
            try:
                if not self._flush():
                    return WRITE
            except PorticoError:
                self._stopped = True
                return 0
            if self._ended or self.held:
                return 0
            piece = self._exchange.read_some()
            if piece is None:
                return READ
            self._put(piece)
        return MORE

    def stop(self) -> None:
        """No more of it is wanted."""
        if not self.complete:
            self._stopped = True

    def _put(self, piece: bytes) -> None:
        self.moved = monotonic()
        self.touched = self.touched or self._exchange.connection.streaming
        if piece:
            self._connection.put(piece)
        else:
            self._ended = True
            chunked = self._exchange.body_length is None
            self._connection.put_end(passed_trailers(self._exchange.trailers) if chunked else ())

    def _flush(self) -> bool:
        before = self._connection.unsent
        done = self._connection.flush()
        if self._connection.unsent < before:
            self.moved = monotonic()
        return done
