"""The body of an answer: one that has come, and one that comes over a connection of a pool."""

from __future__ import annotations

import warnings
from math import inf
from time import monotonic

from portico.client.exchange import Exchange
from portico.client.pool import Pool
from portico.client.timeouts import Timeouts
from portico.deadline import timeout
from portico.errors import PorticoError
from portico.http.client_connection import ClientEvent
from portico.http.messages import End, Fields

__all__ = ["HeldBody", "WireBody"]

_DRAINED = 1 << 18
"""Bytes that are passed over at most, when a body is not wanted, to use its connection again."""


class HeldBody:
    """A body that is there already."""

    __slots__ = ("_data", "trailers")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.trailers: Fields = ()

    def piece(self) -> bytes:
        """All of it; then ``b""``."""
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        """Forget it."""
        self._data = b""


class WireBody:
    """Pieces of a body as they come. The connection goes back to ``pool`` with the last one.

    ``times.read``: seconds that may pass between two pieces; ``until``: when ``times.total`` is over, on the
    clock of ``time.monotonic``.
    """

    __slots__ = ("_done", "_exchange", "_pool", "_times", "_until", "trailers")

    def __init__(self, exchange: Exchange, pool: Pool, times: Timeouts, until: float) -> None:
        self.trailers: Fields = ()
        self._exchange = exchange
        self._pool = pool
        self._times = times
        self._until = until
        self._done = False

    def piece(self) -> bytes:
        """The next piece; ``b""`` at the end. Raises what streams raise."""
        if self._done:
            return b""
        try:
            event = self._event()
        except BaseException:
            self._drop()
            raise
        if isinstance(event, bytes):
            return event
        if isinstance(event, End):
            self.trailers = event.trailers
        self._done = True
        self._pool.give_back(self._exchange.connection)
        return b""

    def close(self) -> None:
        """Nothing more is wanted. The connection is kept if the rest has come already."""
        passed = 0
        foreign = not self._done and self._exchange.connection.foreign
        while not self._done:
            try:
                event = self._exchange.try_event() if passed < _DRAINED and not foreign else None
            except PorticoError:
                event = None
            except BaseException:  # even who does not wait lets others go first at times
                self._drop()
                raise
            if event is None:
                self._drop()
            elif isinstance(event, bytes):
                passed += len(event)
            else:
                self._done = True
                self._pool.give_back(self._exchange.connection)

    def _event(self) -> ClientEvent:
        left = self._until - monotonic() if self._until != inf else None
        if left is None or left > 0:
            event = self._exchange.try_event()
            if event is not None:
                return event
        silence = self._times.read
        if left is None or (silence is not None and silence < left):
            with timeout(silence):
                return self._exchange.event()
        with timeout(max(0.0, left)) as rest:
            rest.seconds = self._times.total  # what an error names: not the rest, but all of it
            return self._exchange.event()

    def _drop(self) -> None:
        self._done = True
        self._pool.drop(self._exchange.connection, abort=True)

    def __del__(self) -> None:
        if not getattr(self, "_done", True):
            connection = self._exchange.connection
            try:
                warnings.warn(
                    f"unclosed response on {connection!r}", ResourceWarning, stacklevel=2, source=self
                )
            finally:  # a warning may be made an error
                self._drop()
