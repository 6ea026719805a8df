"""What both directions of a stream share: who is inside, who waits, and how it ends."""

from __future__ import annotations

import threading
from math import inf
from time import monotonic

from portico.address import Address
from portico.deadline import expired, expiry
from portico.engines import door
from portico.errors import ConnectionLost, PorticoError, StreamBusy, StreamClosed, TLSError
from portico.sockets.transport import Transport

__all__ = ["BREATH", "CHUNK", "FATAL", "Sides"]

CHUNK = 65536
FATAL = (ConnectionLost, TLSError)
BREATH = 64
"""So many operations without a wait, then others go first: a peer that sends without pause starves nobody."""


class Sides:
    """A transport with a reading and a writing side, each for one at a time.

    Two locks, taken without waiting, make a second reader or writer an error instead of a riddle, and let
    ``close()`` come from any thread: it marks, wakes whoever waits, and the last one out gives the
    descriptor back, so that no number is ever used again under somebody's feet.
    """

    __slots__ = (
        "_aborted",
        "_broken",
        "_buffer",
        "_closed",
        "_ended",
        "_failed",
        "_finishing",
        "_reading",
        "_transport",
        "_turns",
        "_words",
        "_write_ended",
        "_writing",
    )

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._finishing = False
        self._ended = False
        self._failed: tuple[type[PorticoError], str] | None = None  # an exception would keep its frames alive
        self._write_ended = False
        self._broken = ""
        self._closed = False
        self._aborted = False
        self._turns = 0  # operations since the last wait
        self._words: tuple[str, str] | None = None  # what the last wait was for, and the whole sentence

    @property
    def peer(self) -> Address | None:
        """The other end's address."""
        return self._transport.peer

    def _whom(self) -> str:
        return "the peer" if self.peer is None else str(self.peer)

    # -- one at a time

    def _start(self, side: threading.Lock, doing: str) -> None:
        self._turns += 1
        if self._turns > BREATH:
            self._breathe()
        if not side.acquire(False):
            raise self._taken(doing)
        if self._closed:
            self._stop(side)
            raise self._taken(doing)

    def _stop(self, side: threading.Lock) -> None:
        side.release()
        if self._closed:
            self._finish()

    def _taken(self, doing: str) -> PorticoError:
        """Why an operation cannot begin."""
        if self._closed:
            return StreamClosed(f"{doing}: the stream to {self._whom()} is closed")
        return StreamBusy(f"somebody else is {doing} on the stream to {self._whom()}")

    def _finish(self) -> None:
        """Give the transport back when nobody is inside; else the last one out does it."""
        if not self._reading.acquire(False):
            return
        if not self._writing.acquire(False):
            self._reading.release()
            # The writer may have left between the two lines above without finding the reader's side free.
            if self._writing.acquire(False):
                self._writing.release()
                self._finish()
            return
        # Both sides stay taken for good: no operation can begin any more.
        if not self._finishing:
            self._finishing = True
            if self._aborted:
                self._transport.abort()
            else:
                self._transport.close()

    # -- waiting

    def _breathe(self) -> None:
        self._turns = 0
        door.breathe()

    def _go_on(self, doing: str) -> None:
        """Once more within one operation: it may be as long as the peer likes, and counts like another."""
        self._turns += 1
        if self._turns > BREATH:
            self._breathe()
            if self._closed:
                raise self._taken(doing)

    def _await(self, events: int, doing: str) -> None:
        self._turns = 0
        words = self._words
        if words is None or words[0] is not doing:
            words = self._words = doing, f"{doing} {self._whom()}"
        door.current().wait(self._transport, events, words[1])
        if self._closed:
            raise StreamClosed(f"the stream to {self._whom()} was closed while {doing} it")

    def _check(self, doing: str) -> None:
        until = expiry()
        if until != inf and until <= monotonic():
            raise expired(f"{doing} {self._whom()}")
