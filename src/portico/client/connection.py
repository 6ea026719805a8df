"""Making a connection to an origin: look-up, TCP, proxy, TLS, each with its time."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from portico.client.url import Origin
from portico.compiled import mypyc_attr
from portico.errors import PorticoError
from portico.http.client_connection import ClientConnection
from portico.limits import Limits
from portico.sockets import names
from portico.sockets.dial import connect
from portico.sockets.names import Resolver
from portico.sockets.stream import Stream
from portico.sockets.tls import ClientTLS

__all__ = ["RESTED", "Connection", "Route", "Steps", "Trace", "open_connection"]

Trace: TypeAlias = Callable[[str, dict[str, Any]], None]
"""Called with the name of what has happened and its facts: see ``portico.client.session``."""


class Route(NamedTuple):
    """What connections have to have in common to stand in for each other."""

    origin: Origin
    tls: ClientTLS | None
    proxy: Any = None
    memory: str = ""
    """Of an application in memory: the address at which it is served, whatever the origin."""


class Steps(NamedTuple):
    """How long it took to make a connection, in seconds; the handshake of TLS is in ``tls``."""

    lookup: float = 0.0
    connect: float = 0.0
    tls: float = 0.0


RESTED = Steps()
"""Of a connection that was there already."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(ClientConnection):
    """A connection of a pool. ``steps``: how long it took to make; ``requests`` it has been used for."""

    def __init__(self, stream: Stream, limits: Limits, route: Route, steps: Steps) -> None:
        super().__init__(stream, limits)
        self.route = route
        self.steps = steps
        self.peer, self.tls = stream.peer, stream.tls
        self._process = os.getpid()
        self.rested_at = 0.0
        self.home: Any = None
        """The pool's record of its route."""
        self.reused = False
        self.trace: Trace | None = None
        """Who hears of its end: the one for whom it was made."""
        self.lines: list[tuple[str, str]] = []
        """The header fields of its last request, as they were given; and ``fields``, as they were sent."""
        self.fields: list[tuple[str, str]] = []

    @property
    def foreign(self) -> bool:
        """Whether another process made it, of which this is a fork: that goes on with it, so that nothing may
        be taken from it here, and its server must not hear of its end."""
        return self._process != os.getpid()


def open_connection(
    route: Route, limits: Limits, *, resolve: Resolver | None = None, trace: Trace | None = None
) -> Connection:
    """Connect, through the proxy if there is one, and make TLS. Raises what ``portico.connect`` does; its
    ``reached`` says at which step."""
    clock = _Clock(trace)
    stream = _reach(route, resolve, clock)

    def dial() -> Stream:
        nonlocal stream
        stream = _reach(route, resolve, clock)
        clock.step = "proxy"
        route.proxy.secure(stream)
        return stream

    try:
        if route.proxy is not None:
            clock.step = "proxy"
            route.proxy.secure(stream)
            if route.tls is not None or not route.proxy.forwards:
                stream = route.proxy.lead(stream, route.origin.host, route.origin.port, dial, resolve)
            clock.passed(peer=stream.peer)
        if route.tls is not None:
            clock.step = "tls"
            stream.start_tls(route.tls, route.origin.host)
            clock.passed(tls=stream.tls)
    except BaseException as error:
        stream.abort()
        clock.blame(error)
        raise
    connection = Connection(stream, limits, route, Steps(*map(clock.times.__getitem__, Steps._fields)))
    connection.trace = trace
    return connection


class _Clock:
    """Which step is under way, since when, and how long those before took."""

    def __init__(self, trace: Trace | None) -> None:
        self.times = {"lookup": 0.0, "connect": 0.0, "proxy": 0.0, "tls": 0.0}
        self.step = "resolve"
        self._began = monotonic()
        self._trace = trace

    def passed(self, **facts: Any) -> None:
        now = monotonic()
        seconds, self._began = now - self._began, now
        self.times["lookup" if self.step == "resolve" else self.step] = seconds
        if self._trace is not None:
            self._trace(self.step, {**facts, "seconds": seconds})

    def blame(self, error: BaseException) -> None:
        if isinstance(error, PorticoError):
            error.reached = error.reached or self.step


def _reach(route: Route, resolve: Resolver | None, clock: _Clock) -> Stream:
    clock.step = "resolve"
    try:
        if route.memory:
            clock.step = "connect"
            return _passed(clock, connect(route.memory))
        if route.origin.scheme == "http+unix":
            clock.step = "connect"
            return _passed(clock, connect(f"unix:{route.origin.host}"))
        where = route.proxy.address if route.proxy is not None else route.origin
        found = names.resolve(where.host, where.port, resolver=resolve)
        addresses = [one.ip for one in found]
        clock.passed(host=where.host, addresses=addresses)
        clock.step = "connect"
        return _passed(clock, connect((where.host, where.port), resolve=lambda host, port: addresses))
    except BaseException as error:
        clock.blame(error)
        raise


def _passed(clock: _Clock, stream: Stream) -> Stream:
    clock.passed(peer=stream.peer, local=stream.local)
    return stream
