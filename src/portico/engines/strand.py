"""A greenlet of a hub, and its alarm."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from greenlet import greenlet

from portico.errors import Cancelled

if TYPE_CHECKING:
    from portico.engines.hub import Hub

__all__ = ["Alarm", "Strand"]


class Strand(greenlet):
    """One greenlet of a hub; also what it waits with."""

    __slots__ = ("_alarm", "_got", "_job", "_rung", "_thrown", "_until", "_waiting", "_woken", "hub", "name")

    def __init__(self, hub: Hub, job: Callable[[Any], object], name: object) -> None:
        super().__init__(None, hub.main)
        self.hub = hub
        self.name = name
        self._job: Callable[[Any], object] | None = job
        self._waiting = False
        self._rung = False  # lies among the hub's woken
        self._woken = False  # before it waited
        self._thrown: BaseException | None = None  # what its next wait raises
        self._got = 0  # the events that ended its wait
        self._until = inf  # when its present wait is over
        self._alarm: Alarm | None = None  # the one that will ring, not later than that

    def run(self) -> None:
        job, self._job = self._job, None
        assert job is not None
        try:
            job(self.name)
        except Cancelled:
            pass  # called off: that is what was asked for
        finally:
            self.hub._ended(self)
            del job  # what it raised leads to this frame: no circle

    def wake(self) -> None:
        """End its wait early, or the next one if there is none now. From any thread."""
        if not self._rung:
            self._rung = True
            self.hub._wake(self)

    def cancel(self) -> None:
        """Let its present (or next) wait raise ``Cancelled``. From any thread."""
        self.interrupt(Cancelled("this wait was cancelled"))

    def interrupt(self, error: BaseException) -> None:
        """Let its present (or next) wait raise ``error``. From any thread."""
        self._thrown = error
        self.wake()

    @property
    def cancelled(self) -> bool:
        """Whether a cancellation is still to be raised."""
        return self._thrown is not None

    @property
    def thrown(self) -> BaseException | None:
        """What its next wait raises."""
        return self._thrown

    def __repr__(self) -> str:
        state = "ended" if self.dead else "waiting" if self._waiting else "ready"
        return f"<Strand {self.name}: {state}>"


class Alarm:
    """A place in the hub's heap of times. A strand that ends leaves it without a strand."""

    __slots__ = ("at", "strand")

    def __init__(self, at: float, strand: Strand | None) -> None:
        self.at = at
        self.strand = strand
