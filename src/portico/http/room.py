"""What unfinished heads, bodies and answers hold in memory, all connections of a server together.

One connection's share is bounded by limits of its own; a thousand of them would still be too much. So what
a *parked* connection holds is counted here (what is through at once never is), and beyond ``limits.memory``
there is none to be had: bodies and answers go to temporary files, and large heads are refused.
"""

from __future__ import annotations

from portico.sync import Guard

__all__ = ["SMALL", "Room"]

SMALL = 4096
"""Bytes that anybody may hold, though the room is full: refusing those would hit those who are no trouble."""


class Room:
    """A number of bytes, and how much of it is taken. Any thread may call."""

    __slots__ = ("_guard", "size", "taken")

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._guard = Guard()

    @property
    def full(self) -> bool:
        return self.taken > self.size

    def crowded_by(self, holding: int) -> bool:
        """Whether the room is full, and who holds so much is one of many: nobody else has to make place for
        one that fills it alone, so that would help nobody."""
        return self.taken > self.size and SMALL < holding < self.taken // 2

    def account(self, before: int, now: int) -> int:
        """Whoever held ``before`` bytes holds ``now``, which is returned."""
        if now != before:
            with self._guard:
                self.taken += now - before
        return now
