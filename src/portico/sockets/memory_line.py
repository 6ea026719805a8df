"""One direction of a line in memory, and what may be wrong with it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from time import monotonic

from portico.errors import ConfigError

__all__ = ["NONE", "FaultPlan", "Faults", "Line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with one direction of a line. Raises ``ConfigError`` for impossible numbers.

    The three last ones strike when so many bytes have reached the reader's buffer, from where they can
    still be read. Of several, the one with the smallest count strikes, and then no other.
    """

    delay: float = 0.0
    """Seconds that every delivery takes, the end of the stream included."""
    fragment: int | None = None
    """The most bytes that one read returns."""
    accept: int | None = None
    """The most bytes that one send takes."""
    reset_after: int | None = None
    """Then the connection is reset: both ends see ``ConnectionLost``."""
    end_after: int | None = None
    """Then the reader sees a clean, premature end; what the writer still sends is lost without a word."""
    stall_after: int | None = None
    """Then silence: the writer fills the buffer, and nothing arrives any more, not even the end."""

    def __post_init__(self) -> None:
        least = {"fragment": 1, "accept": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value >= least.get(field.name, 0):
                wanted = f"{least.get(field.name, 0)} or more"
                raise ConfigError(f"Faults({field.name}={value!r}): expected {wanted}")

    def last(self) -> tuple[str, int] | None:
        """The fault that ends the line, and the byte count at which it does."""
        limits = {"reset": self.reset_after, "end": self.end_after, "stall": self.stall_after}
        known = [(at, name) for name, at in limits.items() if at is not None]
        return (min(known)[1], min(known)[0]) if known else None


FaultPlan = Faults | tuple[Faults | None, Faults | None] | None
"""One for both directions, or one each: there, and back."""

NONE = Faults()


class Line:
    """One direction: bytes under way, then bytes that have arrived. Guarded by the pair's lock."""

    __slots__ = (
        "_capacity",
        "_coming",
        "_delivered",
        "_in_flight",
        "_last",
        "buffer",
        "ended",
        "faults",
        "reset",
    )

    def __init__(self, capacity: int, faults: Faults) -> None:
        self.faults = faults
        self.buffer = bytearray()
        self.ended = False
        self.reset = False
        self._capacity = capacity
        self._coming: deque[tuple[float, bytes]] = deque()
        self._in_flight = 0
        self._delivered = 0
        self._last = faults.last()
        self._strike()

    @property
    def room(self) -> int:
        return max(0, self._capacity - len(self.buffer) - self._in_flight)

    def put(self, data: bytes) -> float | None:
        """Send ``data`` on its way (``b""``: the end). When it is due, or ``None``: it has arrived."""
        if not self.faults.delay:
            self._arrive(data)
            return None
        due = monotonic() + self.faults.delay
        self._coming.append((due, data))
        self._in_flight += len(data)
        return due

    def arrivals(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            data = self._coming.popleft()[1]
            self._in_flight -= len(data)
            self._arrive(data)

    def take(self, size: int) -> bytes:
        size = min(size, self.faults.fragment or size)
        with memoryview(self.buffer) as view:
            data = bytes(view[:size])
        del self.buffer[:size]
        return data

    def clear(self) -> None:
        self.buffer.clear()
        self._coming.clear()
        self._in_flight = 0

    def _arrive(self, data: bytes) -> None:
        if self._struck("stall"):
            self._in_flight += len(data)  # it fills the line and stays there
            return
        if self.reset or self.ended:
            return
        room = len(data) if self._last is None else min(len(data), self._last[1] - self._delivered)
        self.buffer += data[:room]
        self._delivered += room
        self.ended = not data
        self._strike()
        if room < len(data):
            self._arrive(data[room:])

    def _struck(self, fault: str) -> bool:
        return self._last is not None and self._last[0] == fault and self._delivered >= self._last[1]

    def _strike(self) -> None:
        self.ended |= self._struck("end")
        self.reset |= self._struck("reset")
