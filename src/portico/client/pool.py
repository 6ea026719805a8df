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
from portico.compiled import mypyc_attr
from portico.deadline import timeout
from portico.errors import ConfigError, PorticoError, StreamClosed, Timeout
from portico.sync import Event, Guard

__all__ = ["Pool", "PoolSize"]

_SWEEP = 10.0
"""Seconds between two looks for connections that have rested too long."""
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
        self.may_open = False  # one more, which is counted already


class _Host:
    """The connections of one route: how many are open, those that rest (the latest last), and who waits."""

    __slots__ = ("line", "open", "resting")

    def __init__(self) -> None:
        self.open = 0
        self.resting: list[Connection] = []
        self.line: deque[_Turn] = deque()

    def latest(self) -> Connection | None:
        """Take one that rests, if one does. Threads do so without a lock."""
        try:
            return self.resting.pop() if self.resting else None
        except IndexError:  # another thread was faster
            return None


@mypyc_attr(native_class=False)  # such can be referred to weakly
class Pool:
    """Keeps connections, up to ``size``."""

    def __init__(self, size: PoolSize | None = None) -> None:
        self.size = size or PoolSize()
        self._hosts: dict[Route, _Host] = {}
        self._guard = Guard()
        # Nothing is made while it is held: the collector of garbage could run then, and an answer that it
        # finds gives its place up.
        self._sweeping = Guard()
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
            while (connection := host.latest()) is not None:
                if fresh:
                    self.drop(connection)
                elif self._serves_again(connection):
                    return connection
            turn = self._turn(host)
            if not turn.may_open:
                self._wait(host, turn, route, seconds)
            if turn.may_open:
                return self._made(host, make)
            if turn.connection is not None and self._serves_again(turn.connection):
                return turn.connection

    def give_back(self, connection: Connection) -> None:
        """A connection whose exchange is complete. It rests, or is closed where it cannot be used again."""
        host = self._hosts.get(connection.route)
        if self._closed or host is None or host is not connection.home or not connection.went_on():
            self.drop(connection)
            return
        now = connection.rested_at = monotonic()
        host.resting.append(connection)
        if host.line or self._closed:
            self._rested(host)
        self._given += 1
        if now >= self._next_sweep or (not self._given % _OFTEN and self.resting > self.size.rest):
            self._next_sweep = now + _SWEEP
            if self._sweeping.acquire(False):
                try:
                    self._sweep(now)
                finally:
                    self._sweeping.release()

    def drop(self, connection: Connection, *, abort: bool = False) -> None:
        """A connection that is not to be used again."""
        peer = connection.stream.peer
        try:
            if connection.foreign:
                connection.stream.forget()
            elif abort:
                connection.abort()
            else:
                connection.close()
        finally:
            if connection.home is not None:
                self._one_less(connection.home)
        if connection.trace is not None:  # last: it may raise
            connection.trace("close", {"peer": peer, "aborted": abort})

    def close(self) -> None:
        """Close what rests; what is in use is closed when it is given back. Who waits gets
        ``StreamClosed``."""
        with self._guard:
            self._closed = True
        for host in list(self._hosts.values()):
            line: deque[_Turn] = deque()
            with self._guard:
                line, host.line = host.line, line
            for turn in line:
                turn.set()
            self._drop_resting(host)

    @property
    def resting(self) -> int:
        """How many connections rest."""
        return sum(len(host.resting) for host in list(self._hosts.values()))

    @property
    def open(self) -> int:
        """How many connections are open, those that rest included."""
        return sum(host.open for host in list(self._hosts.values()))

    # -- inside

    def _serves_again(self, connection: Connection) -> bool:
        """Whether a connection that rested is of use; else it is dropped. However short its rest: what came
        behind its last answer would be taken for the next one. After a long one, what is between us and the
        server may have forgotten it, and says nothing."""
        try:
            rested = monotonic() - connection.rested_at
            if rested <= self.size.idle and not connection.stream.readable:
                connection.reused = True
                return True
        except PorticoError:  # closed, here or there
            pass
        except BaseException:  # looking may let others go first
            self.drop(connection)
            raise
        self.drop(connection)
        return False

    def _turn(self, host: _Host) -> _Turn:
        """A place in the line, unless one more connection may be opened at once."""
        turn = _Turn()
        with self._guard:
            closed = self._closed
            turn.may_open = not closed and host.open < self.size.per_host
            if turn.may_open:
                host.open += 1
            elif not closed:
                host.line.append(turn)
        if closed:
            raise StreamClosed("the session is closed")
        if host.line and host.resting:  # given back between the two looks
            self._serve_line(host)
        return turn

    def _made(self, host: _Host, make: Callable[[], Connection]) -> Connection:
        try:
            connection = make()
        except BaseException:
            self._one_less(host)
            raise
        connection.home = host
        return connection

    def _wait(self, host: _Host, turn: _Turn, route: Route, seconds: float | None) -> None:
        try:
            with timeout(seconds):
                turn.wait()
        except BaseException as error:
            with self._guard:
                if turn in host.line:
                    host.line.remove(turn)
            self._decline(host, turn)
            if isinstance(error, Timeout):
                doing = f"waiting for one of the {self.size.per_host} connections to {route.origin}"
                late = Timeout(doing, seconds=error.seconds)
                late.reached = "pool"
                raise late from None
            raise
        if self._closed:
            self._decline(host, turn)
            raise StreamClosed("the session was closed while waiting for a connection")

    def _decline(self, host: _Host, turn: _Turn) -> None:
        """What came of a turn is for the next in line."""
        if turn.connection is not None:
            host.resting.append(turn.connection)
            self._rested(host)
        elif turn.may_open:
            self._one_less(host)

    def _rested(self, host: _Host) -> None:
        """One more rests there."""
        if host.line:
            self._serve_line(host)
        if self._closed:  # meanwhile
            self._drop_resting(host)

    def _drop_resting(self, host: _Host) -> None:
        while (connection := host.latest()) is not None:
            self.drop(connection)

    def _serve_line(self, host: _Host) -> None:
        """Connections that rest go to those who wait, first come, first served."""
        while True:
            with self._guard:
                connection = host.latest() if host.line else None
                if connection is None:
                    return
                turn = host.line.popleft()
                turn.connection = connection
            turn.set()

    def _one_less(self, host: _Host) -> None:
        """There is room for another connection: it belongs to the first in line, whoever comes meanwhile."""
        with self._guard:
            turn = host.line.popleft() if host.line else None
            if turn is None:
                host.open -= 1
            else:
                turn.may_open = True
        if turn is not None:
            turn.set()

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
        for route, host in list(self._hosts.items()):
            if not host.open and not host.line:  # what is opened for it meanwhile is not kept
                del self._hosts[route]

    def _forget(self) -> None:
        """In a child process: the connections are the parent's."""
        for host in self._hosts.values():
            for connection in host.resting:
                connection.stream.forget()
        self._hosts = {}
        self._guard, self._sweeping = Guard(), Guard()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forget_all() -> None:
    for pool in list(_pools):
        pool._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
