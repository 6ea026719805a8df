"""A peer to whom single messages go: each piece of what we say is a datagram."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from portico.address import Address
from portico.cli.talk_ends import Convert
from portico.cli.talk_record import RECEIVED, SENT, Record
from portico.sockets.datagram import Datagrams
from portico.sockets.datagram_port import Datagram

__all__ = ["PATIENCE", "SIZE", "DatagramPeer"]

PATIENCE = 1.0
"""Seconds for answers once stdin has ended: a peer has no way to say that there are no more."""
SIZE = 8192
"""Most bytes of one datagram; socat's. Everything takes so much, and lines that were typed are shorter."""


class DatagramPeer:
    """The far end of datagrams: the peer of a socket, or, where it has none, who spoke first.

    ``others``: which datagrams of others are heard; the last one who was is answered. ``None``: nobody else
    is. Who listens has no reason to end with stdin.
    """

    def __init__(
        self,
        socket: Datagrams,
        first: Datagram | None = None,
        *,
        others: Callable[[Datagram], bool] | None = None,
        record: Record | None = None,
        convert: Convert | None = None,
    ) -> None:
        self.patience = PATIENCE if first is None else inf
        self._socket = socket
        self._first = first
        self._peer: Address | None = None if first is None else first.peer
        self._others = others
        self._record, self._convert = record, convert

    def read(self) -> bytes:
        """The next datagram that is not empty; there is no end."""
        while True:
            data = self._next()
            if data:
                if self._record is not None:
                    self._record.note(RECEIVED, data)
                return data

    def _next(self) -> bytes:
        first, self._first = self._first, None
        if first is not None:
            return first.data
        datagram = self._socket.receive()
        if self._others is not None:
            if not self._others(datagram):
                return b""
            self._peer = datagram.peer
        elif self._peer is not None and datagram.peer != self._peer:
            return b""  # somebody else's
        return datagram.data

    def write(self, data: bytes) -> None:
        """Send it, in as many datagrams as it takes."""
        if self._convert is not None:
            data = self._convert(data)
        for at in range(0, len(data), SIZE):
            piece = data[at : at + SIZE]
            if self._peer is None:
                self._socket.send(piece)
            else:
                self._socket.send_to(piece, self._peer)
            if self._record is not None:
                self._record.note(SENT, piece)

    def finish(self) -> None:
        """Datagrams have no end that could be told."""
