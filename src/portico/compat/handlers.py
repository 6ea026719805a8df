"""Handler classes of ``socketserver`` and ``http.server`` as handlers of Portico's."""

from __future__ import annotations

import logging
import socketserver
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from portico.address import Address
from portico.compat.engined import converse, process
from portico.compat.sockets import DatagramSocket, name_of
from portico.errors import ConfigError
from portico.server import Server
from portico.sockets.datagram_port import Datagram

__all__ = ["Host", "handler"]

log = logging.getLogger("portico.server")


def handler(kind: Callable[..., Any]) -> Host:
    """``serve(handler(MyHandler), "tcp://:8000")``: a subclass of ``socketserver.BaseRequestHandler`` (those
    of ``http.server`` among them), or a ``functools.partial`` of one, served as it is, at any address and on
    every engine.

    ``Server`` recognises such classes by themselves. Raises ``ConfigError`` for another class.
    """
    plain = _class_of(kind)
    if not (isinstance(plain, type) and issubclass(plain, socketserver.BaseRequestHandler)):
        raise ConfigError(f"{kind!r} is no handler class of socketserver's or http.server's")
    return Host(kind)


def _class_of(kind: Any) -> Any:
    return kind.func if isinstance(kind, partial) else kind


class Host(socketserver.BaseServer):
    """What such a handler finds as its ``server``, and what is called with each stream or datagram.

    ``server_address``, ``server_name`` and ``server_port`` are the first of the addresses it is served at;
    ``shutdown()`` ends the whole server.
    """

    def __init__(self, kind: Any) -> None:
        super().__init__(("", 0), kind)
        self.__name__ = _class_of(kind).__name__
        self._kind = kind
        self._server: Server | None = None

    def served_by(self, server: Server) -> Host:
        """The same for one server: it calls this before it serves."""
        mine = Host(self._kind)
        mine._server = server
        return mine

    def __call__(self, subject: Any) -> None:
        self._learn(subject.local)
        if isinstance(subject, Datagram):
            process(self, (subject.data, DatagramSocket(subject)), name_of(subject.peer))
        else:
            converse(self, subject)

    def shutdown(self) -> None:
        """Stop the server, when this request is over."""
        if self._server is not None:
            self._server.stop()

    def shutdown_request(self, request: Any) -> None:
        """A stream ends properly; a datagram is over anyway."""
        if not isinstance(request, tuple):
            try:
                request.shutdown(1)
            except OSError:
                pass  # the peer has gone
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a handler raised: a peer that has gone is no fault of its."""
        error = sys.exception()
        if isinstance(error, ConnectionError):
            log.info("%s with %s: %s", self.__name__, client_address, error)
        else:
            log.error("%s with %s failed: %r", self.__name__, client_address, error, exc_info=error)

    def fileno(self) -> int:
        """There are listeners, but none that is ours."""
        return -1

    def _learn(self, local: Address | None) -> None:
        if local is not None and self.server_address == ("", 0):
            self.server_address = name_of(local)
            self.server_name, self.server_port = self.server_address[:2]
