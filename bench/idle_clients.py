"""Connections that are used once and then left alone."""

from __future__ import annotations

import select
import socket
import ssl

from bench.common import Wrong
from bench.peers.process import Running

__all__ = ["Clients"]

SAMPLE = 100


class Clients:
    """Many connections to one server.

    A TLS client forgets its keys after the exchange and keeps the socket: what waits is the server, and
    ten thousand sessions in this process would only take memory and time.
    """

    def __init__(self, server: Running) -> None:
        self._server = server
        self._open: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self._open)

    def open(self, count: int) -> None:
        """So many more, each used once. Raises ``Wrong``."""
        for _ in range(count):
            try:
                s = self._server.connect()
                self._open.append(s)
                self._server.peer.check(s)
            except (OSError, ValueError) as error:
                raise Wrong(f"connection {len(self) + 1}: {error}") from None
            if isinstance(s, ssl.SSLSocket):
                self._open[-1] = socket.socket(fileno=s.detach())

    def check(self) -> None:
        """None has been closed by the server, and a sample of the plain ones answers. Raises ``Wrong``."""
        poller = select.poll()
        for s in self._open:
            poller.register(s, select.POLLIN)
        if ended := poller.poll(0):
            raise Wrong(f"{len(ended)} of {len(self)} idle connections were closed by the server")
        if self._server.peer.tls is None:
            self._ask_some()

    def _ask_some(self) -> None:
        for s in self._open[:: max(1, len(self) // SAMPLE)]:
            try:
                self._server.peer.check(s)
            except (OSError, ValueError) as error:
                raise Wrong(f"an idle connection did not answer afterwards: {error}") from None

    def close(self) -> None:
        for s in self._open:
            s.close()
        self._open.clear()
