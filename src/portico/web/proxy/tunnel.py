"""Two streams joined after a switch of protocols (WebSocket): bytes both ways, until both have ended."""

from __future__ import annotations

from portico.deadline import timeout
from portico.errors import ConnectionLost, PorticoError, Timeout
from portico.http.client_connection import ClientConnection
from portico.sockets.stream import Stream, wait_any
from portico.web.proxy.upstream import Upstream

__all__ = ["Tunnel", "join"]

_CHUNK = 65536
_TURNS = 16
"""Moves of one direction before the other has its turn."""


class _Way:
    """One direction: at most one chunk is held, and the end is passed on when that has gone."""

    def __init__(self, source: Stream, target: Stream) -> None:
        self.source = source
        self.target = target
        self.held = b""
        self.over = False
        self._ended = False

    def move(self) -> bool:
        """Pass on what can be. Whether anything was."""
        moved = False
        for _ in range(_TURNS):
            if self.over:
                break
            if self.held:
                sent = self.target.try_write(self.held)
                if not sent:
                    break
                self.held, moved = self.held[sent:], True
            elif self._ended:
                self.target.shutdown_write()
                self.over = moved = True
            else:
                data = self.source.try_read(_CHUNK)
                if data is None:
                    break
                self.held, self._ended = data, not data
        return moved


def join(client: Stream, upstream: Stream, idle: float | None) -> None:
    """Pass bytes between two streams until both have ended, one is lost, or nothing has come for ``idle``
    seconds. Both are closed then; a reset of one becomes a reset of the other."""
    ways = (_Way(client, upstream), _Way(upstream, client))
    try:
        while not all(way.over for way in ways):
            if ways[0].move() | ways[1].move():
                continue
            reading = [way.source for way in ways if not way.over and not way.held]
            writing = [way.target for way in ways if way.held]
            with timeout(idle):
                wait_any(reading, writing, "waiting for either end of a tunnel")
    except (ConnectionLost, Timeout):
        client.abort()
        upstream.abort()
    except PorticoError:
        upstream.abort()
        raise
    finally:
        client.close()
        upstream.close()


class Tunnel:
    """What a client talks to after a switch. An upstream gets its connection back also when nobody came to
    talk: the client may be gone before its 101 has left."""

    def __init__(self, upstream: Upstream, connection: ClientConnection, idle: float | None) -> None:
        self._upstream = upstream
        self._connection = connection
        self._idle = idle
        self._stream = connection.switch()
        self.open = False

    def __call__(self, client: Stream) -> None:
        try:
            join(client, self._stream, self._idle)
        finally:
            self._end()

    def _end(self) -> None:
        if self.open:
            self.open = False
            self._upstream.let_go(self._connection)

    def __del__(self) -> None:
        self._end()
