"""When a request is tried again, and after how long.

What may have been acted upon is repeated only where that does no harm: a method that is idempotent
(RFC 9110, 9.2.2) or allowed by name, an ``Idempotency-Key`` that the caller set, or nothing sent yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from time import time
from typing import TYPE_CHECKING, Any, TypeAlias

from portico.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    PorticoError,
    ResolveError,
    Timeout,
)
from portico.http.dates import parse_date

if TYPE_CHECKING:
    from portico.client.connection import Trace
    from portico.client.request import Request
    from portico.client.response import Response
    from portico.client.retrying import Forward

__all__ = ["IDEMPOTENT", "Retry", "RetryLike", "as_retry", "seconds_asked"]

IDEMPOTENT = frozenset("DELETE GET HEAD OPTIONS PUT TRACE PROPFIND REPORT SEARCH".split())
"""Methods of which several requests do what one does (RFC 9110, 9.2.2), and of WebDAV what only asks."""

_CONNECTING = frozenset(("resolve", "connect", "proxy", "tls"))
_BEFORE_SENDING = _CONNECTING | {"pool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, when and for what a request is repeated. Raises ``ConfigError`` for what cannot be.

    ``attempts``: tries in all. Before the second one a random time of up to ``base`` seconds passes, before
    each further one up to ``factor`` times as much, never more than ``cap`` (full jitter: clients that failed
    together do not come back together). ``statuses``: answers that are tried again; after those with
    ``Retry-After`` exactly that long passes, but what asks for more than ``longest`` seconds is given to the
    caller. ``methods``: what may be repeated although it may have been acted upon.
    """

    attempts: int = 3
    base: float = 0.5
    factor: float = 2.0
    cap: float = 30.0
    longest: float = 120.0
    statuses: frozenset[int] = frozenset((429, 502, 503, 504))
    """Not 500: that is mostly a bug, which stays."""
    methods: frozenset[str] = IDEMPOTENT
    retry_after: bool = True
    """Whether ``Retry-After`` is listened to."""

    def __post_init__(self) -> None:
        if not _number(self.attempts, 1, int):
            raise ConfigError(f"retry: attempts={self.attempts!r}: expected a number of tries, 1 or more")
        for name in ("base", "factor", "cap", "longest"):
            if not _number(value := getattr(self, name), 0, int | float):
                raise ConfigError(f"retry: {name}={value!r}: expected a number, 0 or more")
        for name in ("statuses", "methods"):
            value = getattr(self, name)
            if not isinstance(value, Iterable) or isinstance(value, str | bytes):
                raise ConfigError(f"retry: {name}={value!r}: expected several of them, in a set")
            object.__setattr__(self, name, frozenset(value))
        upper = frozenset(method.upper() for method in self.methods)
        object.__setattr__(self, "methods", self.methods | upper)

    def layer(
        self, trace: Trace | None = None, whole: bool = False
    ) -> Callable[[Request, Forward], Response]:
        """What surrounds the sending of requests; see ``retrying``."""
        from portico.client.retrying import retrying

        return lambda request, forward: retrying(self, request, forward, trace, whole)

    def delay(
        self,
        request: Request,
        attempt: int,
        response: Response | None = None,
        error: BaseException | None = None,
    ) -> float | None:
        """Seconds until the next try, after ``attempt`` of them; ``None``: this outcome stands."""
        if attempt >= self.attempts:
            return None
        if error is not None:
            again = self._may_pass(error) and self._harmless(request, error)
            return self._backoff(attempt) if again else None
        if response is None or response.status not in self.statuses or not self._harmless(request, None):
            return None
        asked = seconds_asked(response) if self.retry_after else None
        if asked is None:
            return self._backoff(attempt)
        return asked if asked <= self.longest else None

    def _backoff(self, attempt: int) -> float:
        from random import uniform  # not needed where all goes well

        try:
            most = min(self.cap, self.base * self.factor ** (attempt - 1))
        except OverflowError:
            most = self.cap
        return uniform(0, most)

    def _may_pass(self, error: BaseException) -> bool:
        """Whether it is a failure that another try may not meet."""
        if isinstance(error, ResolveError):
            return error.temporary
        if isinstance(error, Timeout):
            return error.reached in _CONNECTING
        return isinstance(error, (ConnectError, ConnectionLost))

    def _harmless(self, request: Request, error: BaseException | None) -> bool:
        """Whether another try asks for nothing that may have been done, and can be made at all."""
        if _unsent(error):
            return True
        repeatable = request.method in self.methods or "idempotency-key" in request.headers
        return repeatable and (request.body is None or request.body.replayable)


RetryLike: TypeAlias = Retry | int | bool | None
"""``True``: the defaults; a number: so many more tries after the first; ``None``, ``False``, 0: none."""


def as_retry(value: RetryLike) -> Retry | None:
    """What a caller gives as ``retry=``; ``None``: nothing is repeated. Raises ``ConfigError``."""
    if isinstance(value, Retry):
        return value
    if value is None or isinstance(value, bool):
        return Retry() if value else None
    if not isinstance(value, int):
        raise ConfigError(f"retry={value!r}: expected a Retry(…), a number of further tries, True or False")
    if value < 0:
        raise ConfigError(f"retry={value}: expected a number of further tries, 0 or more")
    return Retry(attempts=value + 1) if value else None


def _number(value: Any, least: int, kind: Any) -> bool:
    """A number of its kind, which ``True`` and ``nan`` are not."""
    return isinstance(value, kind) and not isinstance(value, bool) and isfinite(value) and value >= least


def _unsent(error: BaseException | None) -> bool:
    """Whether nothing of the request can have reached the server."""
    if isinstance(error, (ConnectError, ResolveError)):
        return True
    return isinstance(error, PorticoError) and error.reached in _BEFORE_SENDING


def seconds_asked(response: Response) -> float | None:
    """Seconds that ``Retry-After`` asks for (RFC 9110, 10.2.3); ``None`` where it says nothing readable.

    A date is held against the server's own clock, where the answer tells it.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    now = time()
    at = parse_date(text, now)
    if at is None:
        return None
    there = parse_date(response.headers.get("date", ""), now)
    return max(0.0, at - (now if there is None else there))
