"""Connections that are kept for the next request: a bounded number for each route.

What is taken was tried: a connection that its server has closed, or on which something came that nobody asked
for, is not handed out. Any thread and any strand may take and give back.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from portico.client.connection import Connection, Route
from portico.deadline import timeout
from portico.errors import ConfigError, StreamClosed, Timeout
from portico.sync import Event, Guard

__all__ = ["Pool", "PoolSize"]

_SWEEP = 10.0
"""Seconds between two looks for connections that have rested too long."""
_FRESH = 0.002
"""Seconds within which a connection is not looked at again: what it was given back with was all there was."""
_OFTEN = 64
"""So many that are given back between two looks whether too many rest."""


@dataclass(frozen=True, slots=True)
class PoolSize:
    """``per_host`` connections at most to one origin by one way, ``rest`` of them all may rest, each for
    ``idle`` seconds. Raises ``ConfigError``."""

    per_host: int = 100
    rest: int = 200
    idle: float = 50.0  # less than the minute after which many servers close

    def __post_init__(self) -> None:
        if self.per_host < 1 or self.rest < 0 or not self.idle > 0:
            raise ConfigError(f"{self}: expected at least one connection per host, and seconds above zero")


class _Turn(Event):
    """A place in the line for a connection, and what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.connection: Connection | None = None


class _Host:
    """The connections of one route: how many are open, those that rest (the latest last), and who waits."""

    __slots__ = ("line", "open", "resting")

    def __init__(self) -> None:
        self.open = 0
        self.resting: list[Connection] = []
        self.line: deque[_Turn] = deque()


class Pool:
    """Keeps connections, up to ``size``."""

    def __init__(self, size: PoolSize | None = None) -> None:
        self.size = size or PoolSize()
        self._hosts: dict[Route, _Host] = {}
        self._guard = Guard()
        self._closed = False
        self._next_sweep = 0.0
        self._given = 0
        _pools.add(self)

    def take(
        self, route: Route, make: Callable[[], Connection], seconds: float | None, *, fresh: bool = False
    ) -> Connection:
        """A connection that rests, or a new one from ``make``; where as many are open as may be, wait up to
        ``seconds`` for one. ``fresh``: a new one, and those that rest are closed. Raises ``Timeout``
        (``reached == "pool"``), ``StreamClosed``, and what ``make`` does.

        ``give_back`` or ``drop`` it afterwards.
        """
        host = self._hosts.get(route)
        if host is None:
            host = self._hosts.setdefault(route, _Host())
        while True:
            resting = host.resting
            while fresh and resting:
                self.drop(resting.pop())
            while resting:
                try:
                    connection = resting.pop()
                except IndexError:  # another thread was faster
                    break
                if monotonic() - connection.rested_at < _FRESH or not connection.stale:
                    connection.reused = True
                    return connection
                self.drop(connection)
            turn = self._turn(host)
            if turn is None:
                connection = self._made(host, make)
                connection.home = host
                return connection
            self._wait(host, turn, route, seconds)
            if turn.connection is not None:
                turn.connection.reused = True
                return turn.connection

    def give_back(self, connection: Connection) -> None:
        """A connection whose exchange is complete. It rests, or is closed where it cannot be used again."""
        host = self._hosts.get(connection.route)
        if self._closed or host is None or host is not connection.home or not connection.went_on():
            self.drop(connection)
            return
        now = connection.rested_at = monotonic()
        host.resting.append(connection)
        if host.line:
            self._serve_line(host)
        self._given += 1
        if now >= self._next_sweep or (not self._given % _OFTEN and self.resting > self.size.rest):
            self._next_sweep = now + _SWEEP
            self._sweep(now)

    def drop(self, connection: Connection, *, abort: bool = False) -> None:
        """A connection that is not to be used again."""
        peer = connection.stream.peer
        if connection.foreign:
            connection.stream.forget()
        elif abort:
            connection.abort()
        else:
            connection.close()
        if connection.home is not None:
            self._one_less(connection.home)
        if connection.trace is not None:  # last: it may raise
            connection.trace("close", {"peer": peer, "aborted": abort})

    def close(self) -> None:
        """Close what rests; what is in use is closed when it is given back. Who waits gets
        ``StreamClosed``."""
        self._closed = True
        with self._guard:
            hosts = list(self._hosts.values())
            for turn in (turn for host in hosts for turn in host.line):
                turn.set()
        for host in hosts:
            while host.resting:
                self.drop(host.resting.pop())

    @property
    def resting(self) -> int:
        """How many connections rest."""
        return sum(len(host.resting) for host in list(self._hosts.values()))

    @property
    def open(self) -> int:
        """How many connections are open, those that rest included."""
        return sum(host.open for host in list(self._hosts.values()))

    # -- inside

    def _turn(self, host: _Host) -> _Turn | None:
        """A place in the line; ``None``: one more connection may be opened, and is counted already."""
        with self._guard:
            if self._closed:
                raise StreamClosed("the session is closed")
            if host.open < self.size.per_host:
                host.open += 1
                return None
            turn = _Turn()
            host.line.append(turn)
        if host.resting:  # given back between the two looks
            self._serve_line(host)
        return turn

    def _made(self, host: _Host, make: Callable[[], Connection]) -> Connection:
        try:
            return make()
        except BaseException:
            self._one_less(host)
            raise

    def _wait(self, host: _Host, turn: _Turn, route: Route, seconds: float | None) -> None:
        try:
            with timeout(seconds):
                turn.wait()
        except BaseException as error:
            with self._guard:
                if turn in host.line:
                    host.line.remove(turn)
            if turn.connection is not None:
                host.resting.append(turn.connection)
                self._serve_line(host)
            elif turn.is_set():
                self._call_next(host)
            if isinstance(error, Timeout):
                doing = f"waiting for one of the {self.size.per_host} connections to {route.origin}"
                late = Timeout(doing, seconds=error.seconds)
                late.reached = "pool"
                raise late from None
            raise
        if self._closed:
            raise StreamClosed("the session was closed while waiting for a connection")

    def _serve_line(self, host: _Host) -> None:
        """Connections that rest go to those who wait, first come, first served."""
        with self._guard:
            while host.line and host.resting:
                connection = host.resting.pop()
                turn = host.line.popleft()
                turn.connection = connection
                turn.set()

    def _one_less(self, host: _Host) -> None:
        with self._guard:
            host.open -= 1
        self._call_next(host)

    def _call_next(self, host: _Host) -> None:
        """There is room for another connection: the first in line may open it."""
        with self._guard:
            if host.line:
                host.line.popleft().set()

    def _sweep(self, now: float) -> None:
        """Close what has rested too long, and of too many those that have rested longest."""
        resting = [
            (one.rested_at, host, one) for host in list(self._hosts.values()) for one in list(host.resting)
        ]
        resting.sort(key=lambda each: each[0])
        surplus = len(resting) - self.size.rest
        for number, (since, host, connection) in enumerate(resting):
            if number < surplus or since + self.size.idle < now:
                try:
                    host.resting.remove(connection)
                except ValueError:
                    continue  # taken meanwhile
                self.drop(connection)
        with self._guard:
            for route in [route for route, host in self._hosts.items() if not host.open and not host.line]:
                del self._hosts[route]

    def _forget(self) -> None:
        """In a child process: the connections are the parent's."""
        for host in self._hosts.values():
            for connection in host.resting:
                connection.stream.forget()
        self._hosts = {}
        self._guard = Guard()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_pools):
        pool._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
