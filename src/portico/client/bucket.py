"""A rate for what passes, shared by everybody who takes from it."""

from __future__ import annotations

from time import monotonic

from portico.sync import Guard, sleep

__all__ = ["Bucket"]


class Bucket:
    """So many bytes a second, for everybody who takes from it."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due = monotonic()
        self._guard = Guard()

    def take(self, size: int) -> None:
        """Wait until so many bytes may pass."""
        with self._guard:
            now = monotonic()
            self._due = max(self._due, now - 0.1) + size / self._rate
            pause = self._due - now
        if pause > 0:
            sleep(pause)
