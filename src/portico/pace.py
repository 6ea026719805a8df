"""How often somebody may come: a token bucket for each, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from portico.errors import ConfigError

__all__ = ["Pace"]

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_MOST = 10**9  # a count above it is a slip of the pen


class Pace:
    """A token bucket for each peer, in one number: the time at which it will be full again (as in GCRA).

    ``rate``: ``10/s``, ``100/m``, ``5000/h``; so many may come at once, or as many as a number after a
    colon says (``10/s:50``). Raises ``ConfigError``. At most ``most`` peers are remembered; who has not
    been seen for longest is forgotten first. That gives a peer a full bucket, which an attacker with so
    many addresses has anyway. One thread at a time.
    """

    def __init__(self, rate: str, most: int) -> None:
        count, period, burst = _read(rate)
        self._interval = period / count
        # The thousandth is for rounding: sums of intervals must not refuse who is exactly in time.
        self._slack = (burst - 1 + 0.001) * self._interval
        self._most = most
        self._full: OrderedDict[Hashable, float] = OrderedDict()

    def allows(self, peer: Hashable, now: float) -> bool:
        """Whether a peer may come now (seconds that only grow); if so, it has."""
        full = max(self._full.get(peer, now), now)
        allowed = full - now <= self._slack
        self._full[peer] = full + self._interval if allowed else full
        self._full.move_to_end(peer)
        if len(self._full) > self._most:
            self._full.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        return len(self._full)


def _read(text: str) -> tuple[int, float, int]:
    """How many, in how many seconds, and how many at once."""
    pace, colon, burst = str(text).partition(":")
    count, slash, unit = pace.partition("/")
    if not slash or unit not in _PERIODS or not _is_count(count) or (colon and not _is_count(burst)):
        raise ConfigError(
            f"rate {text!r}: write how many a second, minute or hour, as in 10/s, 100/m or 5000/h, and "
            "after a colon how many at once, as in 10/s:50"
        )
    return int(count), _PERIODS[unit], int(burst if colon else count)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= _MOST
