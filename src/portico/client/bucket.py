"""A rate for what passes, shared by everybody who takes from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic

from portico.sync import Guard, sleep

__all__ = ["Bucket"]


class Bucket:
    """So many bytes a second, for everybody who takes from it."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due = monotonic()
        self._guard = Guard()

    def paced(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces, cut so small that none holds up for more than a quarter of a second."""
        most = max(1, int(self._rate / 4))
        for piece in pieces:
            for start in range(0, len(piece), most):
                part = piece[start : start + most]
                self.take(len(part))
                yield part

    def take(self, size: int) -> None:
        """Wait until so many bytes may pass."""
        with self._guard:
            now = monotonic()
            self._due = max(self._due, now - 0.1) + size / self._rate
            pause = self._due - now
        if pause > 0:
            sleep(pause)
