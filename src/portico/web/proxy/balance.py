"""Which of several upstreams is asked next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from time import monotonic

from portico.errors import ConfigError
from portico.web.proxy.deadlines import UpstreamError
from portico.web.proxy.upstream import Upstream

__all__ = ["Balancer"]

_POLICIES = ("round_robin", "least")


class Balancer:
    """Upstreams, and a policy: ``round_robin``, or ``least`` connections. Raises ``ConfigError``.

    Who has failed of late is passed over, and tried again by one request after its pause. One that stands
    alone is never passed over: there is nobody else to ask.
    """

    def __init__(
        self, upstreams: Sequence[Upstream], policy: str, clock: Callable[[], float] = monotonic
    ) -> None:
        if policy not in _POLICIES:
            raise ConfigError(f"proxy: balance={policy!r}: expected one of {', '.join(_POLICIES)}")
        self.upstreams = tuple(upstreams)
        self._least = policy == "least"
        self._clock = clock
        self._turn = count()

    def pick(self, tried: Sequence[Upstream]) -> Upstream:
        """The next to ask, none of those that were ``tried``. Raises ``UpstreamError``."""
        now = self._clock()
        begin = next(self._turn) % len(self.upstreams)
        ring = [*self.upstreams[begin:], *self.upstreams[:begin]]
        alone = len(ring) == 1
        able = [
            each for each in ring if each not in tried and not each.full and (alone or not each.is_out(now))
        ]
        if not able:
            raise UpstreamError("unavailable", self._why(now), untouched=True)
        found = min(able, key=lambda each: each.active) if self._least else able[0]
        found.try_again(now)
        return found

    def failed(self, upstream: Upstream, why: str) -> None:
        """An upstream has not answered, by its own fault."""
        if len(self.upstreams) > 1:
            upstream.failed(why)

    def _why(self, now: float) -> str:
        states = (
            "is out" if each.is_out(now) else "is full" if each.full else "failed" for each in self.upstreams
        )
        return "; ".join(f"{each.name} {state}" for each, state in zip(self.upstreams, states, strict=True))
