"""What has been changed lately: an answer that was asked for before is not kept after (RFC 9111, 4.4)."""

from __future__ import annotations

from collections import OrderedDict
from math import inf

from portico.sync import Guard

__all__ = ["Changes"]

_REMEMBERED = 4096
"""URLs; what was changed so many changes ago is hardly still being read."""


class Changes:
    """When URLs were last changed by a request through this cache, on the cache's clock."""

    def __init__(self) -> None:
        self._guard = Guard()
        self._at: OrderedDict[str, float] = OrderedDict()

    def note(self, key: str, now: float) -> None:
        """A URL has been changed."""
        with self._guard:
            self._at[key] = now
            self._at.move_to_end(key)
            if len(self._at) > _REMEMBERED:
                self._at.popitem(last=False)

    def since(self, key: str, asked: float) -> bool:
        """Whether a URL has been changed after ``asked``."""
        return self._at.get(key, -inf) >= asked
