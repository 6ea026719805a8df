"""Where an application in memory lives: connections are accepted and served beside each other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from itertools import count
from time import monotonic
from typing import Any

from portico.address import Address
from portico.deadline import timeout
from portico.engines import door
from portico.engines.contract import Connection
from portico.engines.drive import drive
from portico.errors import ConnectError, StreamClosed, Timeout
from portico.http.exchange import Exchange, Mount, Route
from portico.http.server import Service
from portico.limits import Limits
from portico.sockets.memory import MemoryListener, listen
from portico.sockets.transport import READ
from portico.sync import Event, Task, spawn

__all__ = ["Home"]

log = logging.getLogger("portico.client")

_GRACE = 1.0
"""Seconds that what is under way gets at the end; and once more, to clean up after it was called off."""
_BACKLOG = 1024
_PEER = Address("tcp", "127.0.0.1", 0)
"""Who asks: applications expect somebody."""

_numbers = count(1)


class Home:
    """Serves ``route`` from ``live()``, which its maker lets run where the application is to run, until
    ``close()``. ``life``: a context around all requests. ``call_off`` ends what runs it, if it still does."""

    def __init__(self, route: Route, life: Callable[[], AbstractContextManager[Any]]) -> None:
        number = next(_numbers)
        self._life = life
        self._services = {scheme: Service(_told(route, scheme), Limits()) for scheme in ("http", "https")}
        self._listeners = {
            scheme: listen(f"memory:portico-session-{number}-{scheme}", backlog=_BACKLOG)
            for scheme in self._services
        }
        self._connections: dict[Connection, Task[None]] = {}
        self._until: float | None = None
        self._failure: BaseException | None = None
        self._started = Event()
        self.over = Event()
        self.call_off: Callable[[], object] = lambda: None

    def address(self, *, secure: bool) -> str:
        """Where it answers, once it has started. Raises ``ConnectError`` when it did not."""
        self._started.wait()
        if self._failure is not None:
            raise ConnectError(str(self._failure)) from self._failure
        return str(self._listeners["https" if secure else "http"].address)

    def close(self) -> None:
        """End it: requests under way get a moment."""
        self._until = monotonic() + _GRACE
        self._close_listeners()
        with suppress(Timeout), timeout(3 * _GRACE if self._started.is_set() else 0.0, shield=True):
            self.over.wait()
        self.call_off()
        with suppress(Timeout), timeout(_GRACE, shield=True):
            self.over.wait()

    def ended(self, error: BaseException | None) -> None:
        """What ``live()`` ended with, if whoever runs it tells; it may never have begun."""
        self._failure = self._failure or error
        self._started.set()
        self.over.set()

    def live(self) -> None:
        """The whole life."""
        try:
            with self._life():
                self._started.set()
                try:
                    self._accept()
                finally:
                    self._part()
        except Exception as error:
            self._failure = error
            if self._started.is_set():
                log.error("the application in memory failed: %r", error, exc_info=error)
        finally:
            self._close_listeners()
            self.ended(None)

    def _accept(self) -> None:
        wanted = [(listener, READ) for listener in self._listeners.values()]
        while self._until is None:
            try:
                found = [self._accepted(scheme, listener) for scheme, listener in self._listeners.items()]
            except StreamClosed:
                return
            if not any(found):
                door.wait_any(wanted, "waiting for requests in memory")

    def _accepted(self, scheme: str, listener: MemoryListener) -> bool:
        transport = listener.accept()
        if transport is None:
            return False
        connection = self._services[scheme].connect(transport)
        task = spawn(self._serve, connection, name="a connection in memory")
        self._connections[connection] = task
        if task.done:
            self._connections.pop(connection, None)
        return True

    def _serve(self, connection: Connection) -> None:
        try:
            drive(connection, lambda: self._until)
        finally:
            connection.cut()
            connection.advance()
            self._connections.pop(connection, None)

    def _part(self) -> None:
        """Let what is under way end; then call it off."""
        self._until = self._until or monotonic() + _GRACE
        for connection in tuple(self._connections):
            connection.transport.wake()
        self._await_tasks(self._until - monotonic())
        for connection, task in tuple(self._connections.items()):
            connection.cut()
            task.cancel()
        self._await_tasks(_GRACE)

    def _await_tasks(self, seconds: float) -> None:
        with suppress(Timeout), timeout(max(seconds, 0.0), shield=True):
            for task in list(self._connections.values()):
                task.wait()

    def _close_listeners(self) -> None:
        for listener in self._listeners.values():
            listener.close()


def _told(route: Route, scheme: str) -> Route:
    """``route``, for requests that say who asks and by which scheme."""

    def found(exchange: Exchange) -> Mount | None:
        notes = exchange.note()
        notes.scheme, notes.peer = scheme, _PEER
        return route(exchange)

    return found
