"""One server behind the proxy: its address, the connections to it that rest, and how it has been doing."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, fields
from math import inf
from time import monotonic

from portico.address import Address
from portico.deadline import check, timeout
from portico.errors import ConfigError, ConnectError, PorticoError, ResolveError, Timeout, TLSError
from portico.http.client_connection import ClientConnection
from portico.limits import Limits
from portico.sockets.dial import connect
from portico.sockets.tls import ClientTLS
from portico.sync import Guard
from portico.web.proxy.deadlines import UpstreamError

__all__ = ["Rules", "Upstream"]

log = logging.getLogger("portico.proxy")

_LONGEST_OUT = 60.0
"""Seconds: an upstream that fails again and again is tried once in so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How connections to an upstream are kept, and when it is left out. Raises ``ConfigError``.

    ``connections`` in use at most; ``keep`` rest, each for ``idle`` seconds. After ``failures`` in a row it
    is out: for ``pause`` seconds, twice as long each time it fails again, up to a minute; then one request
    tries it.
    """

    connections: int
    keep: int
    idle: float
    failures: int
    pause: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "keep" else 1 if str(field.type) == "int" else 0.001
            if isinstance(value, bool) or not value >= least:
                raise ConfigError(f"proxy: {field.name}={value!r}: expected a number of at least {least}")


class Upstream:
    """A server, and the pool of connections to it, kept by ``rules``. Any thread may call.

    ``active``: connections in use.
    """

    def __init__(self, address: str | Address, rules: Rules, tls: ClientTLS | None, limits: Limits) -> None:
        self.address = _checked(address)
        self.name = str(self.address)
        self.base = self.address.path if self.address.wire == "http" else ""
        self.active = 0
        self._rules = rules
        self._tls = tls
        self._limits = limits
        self._next_pause = rules.pause
        self._resting: deque[tuple[ClientConnection, float]] = (
            deque()
        )  # the one that came last is on the right
        self._failed = 0  # in a row
        self._out_until = 0.0
        self._guard = Guard()

    @property
    def authority(self) -> str:
        """What ``Host`` says where the upstream's own is asked for."""
        return self.address.authority if self.address.host else "localhost"

    @property
    def secure(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.address.secure or self._tls is not None

    @property
    def full(self) -> bool:
        """Whether as many connections are in use as may be."""
        return self.active >= self._rules.connections

    def is_out(self, now: float) -> bool:
        """Whether it has failed of late, so that others are to be asked."""
        return now < self._out_until

    def take(self, seconds: float | None, *, rested: float = inf) -> tuple[ClientConnection, bool]:
        """A connection, and whether it has rested: then it may be closed already.

        ``seconds`` to connect; ``rested``: for so long it may have. Raises ``UpstreamError``
        (``untouched``). Call ``give_back`` or ``let_go`` afterwards.
        """
        with self._guard:
            if self.full:
                detail = f"{self.name}: {self.active} connections are in use, as many as may be"
                raise UpstreamError("unavailable", detail, untouched=True)
            self.active += 1
        try:
            found = self._rested(rested)
            if found is not None:
                return found, True
            return self._connect(seconds), False
        except BaseException:
            with self._guard:
                self.active -= 1
            raise

    def give_back(self, connection: ClientConnection) -> None:
        """A connection is no longer in use; it rests where it can be used again, else it is closed."""
        with self._guard:
            self.active -= 1
            surplus: ClientConnection | None = connection
            if connection.reusable and self._rules.keep:
                connection.start_next_cycle()
                self._resting.append((connection, monotonic()))
                surplus = self._resting.popleft()[0] if len(self._resting) > self._rules.keep else None
        if surplus is not None:
            surplus.close()
        self._drop_old()

    def let_go(self, connection: ClientConnection) -> None:
        """A connection is not to be used any more: the upstream sees that at once."""
        connection.abort()
        with self._guard:
            self.active -= 1

    def answered(self) -> None:
        """It has answered: it is well."""
        if self._failed:
            with self._guard:
                if self._out_until:
                    log.info("%s answers again", self.name)
                self._failed, self._out_until, self._next_pause = 0, 0.0, self._rules.pause

    def failed(self, why: str) -> None:
        """It has not answered, by its own fault."""
        with self._guard:
            self._failed += 1
            if self._failed < self._rules.failures:
                return
            pause = self._next_pause
            self._out_until = monotonic() + pause
            self._next_pause = min(pause * 2, _LONGEST_OUT)
        log.warning("%s is left out for %g s: %s", self.name, pause, why)

    def try_again(self, now: float) -> None:
        """Somebody tries it after a pause: nobody else does, until it is known how that went."""
        with self._guard:
            if self._out_until and self._out_until <= now:
                self._out_until = now + self._next_pause

    def close(self) -> None:
        """Close what rests."""
        while self._resting:
            self._resting.pop()[0].close()

    def __repr__(self) -> str:
        out = ", out" if self.is_out(monotonic()) else ""
        return f"<Upstream {self.name}, {self.active} active, {len(self._resting)} resting{out}>"

    def __del__(self) -> None:
        if hasattr(self, "_resting"):
            self.close()

    # -- inside

    def _rested(self, seconds: float) -> ClientConnection | None:
        """The connection that has rested least, which is the least likely to have been closed."""
        self._drop_old()
        since = monotonic() - seconds
        while True:
            with self._guard:
                if not self._resting or self._resting[-1][1] <= since:
                    return None
                connection = self._resting.pop()[0]
            if not connection.stale:
                return connection
            connection.close()

    def _drop_old(self) -> None:
        before = monotonic() - self._rules.idle
        while self._resting and self._resting[0][1] < before:
            with self._guard:
                if not self._resting or self._resting[0][1] >= before:
                    return
                connection = self._resting.popleft()[0]
            connection.close()

    def _connect(self, seconds: float | None) -> ClientConnection:
        try:
            with timeout(seconds):
                stream = connect(self.address, tls=self._tls)
        except Timeout as error:
            check(f"connecting to {self.name}")  # a deadline of the caller's
            raise UpstreamError("connect_timeout", f"{self.name}: {error}", untouched=True) from error
        except (ConnectError, ResolveError, TLSError) as error:
            raise UpstreamError("connect", str(error), untouched=True) from error
        except PorticoError as error:
            raise UpstreamError("connect", f"{self.name}: {error}", untouched=True) from error
        return ClientConnection(stream, self._limits)


def _checked(text: str | Address) -> Address:
    address = Address.parse(text, scheme="http")
    if address.transport not in ("tcp", "tls", "unix", "memory") or address.wire not in ("http", "stream"):
        raise ConfigError(
            f"proxy: {address} is no HTTP server: write http://127.0.0.1:9000, https://host or unix:/app.sock"
        )
    if address.transport in ("tcp", "tls") and not (address.host and address.port):
        raise ConfigError(f"proxy: {address} names no host and port to connect to")
    return address
