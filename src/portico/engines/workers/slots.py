"""What the supervisor knows of its workers: the places, and who stands in them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic

from portico.engines.contract import Listening, Serving
from portico.engines.workers.channel import Channel
from portico.engines.workers.loop import Timer
from portico.engines.workers.plan import Plan
from portico.engines.workers.scoreboard import Row, State
from portico.limits import Limits

__all__ = ["Hand", "Outline", "Slot", "listeners_of", "requests_of", "resident"]

YOUNG = 5.0
"""A worker that ends sooner than so many seconds after its start may do so again and again."""
_AT_ONCE = 3  # young deaths in a row, after which the next replacement has to wait
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_SPREAD = 0.1  # workers of one age must not all go at once: each bound is up to so much lower


@dataclass(frozen=True, slots=True)
class Outline:
    """What the supervisor has of the server: all but the handler, which ``find`` brings to a worker."""

    slots: Sequence[Sequence[Listening]]
    limits: Limits
    grace: float
    find: Callable[[], Serving]


@dataclass(eq=False, slots=True)
class Slot:
    """A place for one worker, and the listeners that whoever stands in it accepts from."""

    number: int
    listeners: list[Listening]
    current: Hand | None = None
    coming: Hand | None = None
    young_deaths: int = 0
    retry: Timer | None = None
    stale: set[Hand] = field(default_factory=set)
    """Workers of a slot that was given up, until the next one here accepts in their stead."""

    def pause_after(self, young: bool, served: bool = False) -> float:
        """One here has come to its end, early or not: seconds to wait before the next one is tried.

        Whoever connects to a slot waits for it in the kernel's queue. Where one that ``served`` is gone the
        next one will serve them: they are not kept for longer than the shortest pause.
        """
        self.young_deaths = self.young_deaths + 1 if young else 1
        beyond = self.young_deaths - _AT_ONCE
        longest = _FIRST_PAUSE if served else _LONGEST_PAUSE
        return 0.0 if beyond <= 0 else min(_FIRST_PAUSE * 2.0 ** min(beyond - 1, 16), longest)

    def rest(self) -> None:
        """No new try is due any more."""
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None


@dataclass(eq=False, slots=True)
class Hand:
    """A worker, from its fork to its burial."""

    slot: Slot
    row: Row
    channel: Channel
    plan: Plan
    generation: int
    """Which reload it was hired by: who has the same number has the same code."""
    pid: int = 0
    born: float = field(default_factory=monotonic)
    failure: str = ""
    prepared: bool = False
    """It has loaded the handler, and waits to be let go."""
    going: bool = False
    """It was let go: it accepts."""
    deaf: bool = False
    """It does not accept any more."""
    expected: bool = False
    """Its end is."""
    left: int = 0
    """The connections that it had at its end."""
    killing: Timer | None = None
    end: float = field(default=inf)
    most_memory: float = field(default=inf)

    def __post_init__(self) -> None:
        if self.plan.max_memory is not None:
            self.most_memory = self.plan.max_memory * _less()

    def go(self) -> None:
        """It is let go; its age counts from now on."""
        self.going = True
        self.channel.send(go=True)
        if self.plan.max_age is not None:
            self.end = monotonic() + self.plan.max_age * _less()

    @property
    def young(self) -> bool:
        return monotonic() - self.born < YOUNG

    @property
    def state(self) -> State:
        return self.row.state

    @property
    def accepts(self) -> bool:
        """Whether it may still accept a connection."""
        return self.going and not self.deaf

    @property
    def too_old(self) -> str:
        """Why it should be replaced for its age; empty while it need not."""
        now = monotonic()
        return f"it has run for {now - self.born:.0f} s" if now >= self.end else ""

    @property
    def too_large(self) -> str:
        """The same for its size."""
        size = resident(self.pid) if self.most_memory < inf else 0
        return f"it has grown to {size >> 20} MiB" if size > self.most_memory else ""

    def weigh(self) -> str:
        """At its start: why one like it can never be small enough; empty where it can."""
        bound = self.plan.max_memory
        size = 0 if bound is None else resident(self.pid)
        if bound is None or size < self.most_memory:
            return ""
        self.most_memory = bound if size < bound else size * 1.5
        if size < bound:
            return ""
        return (
            f"max_memory is {bound >> 20} MiB, and a worker holds {size >> 20} MiB as soon as it has loaded "
            "the handler; allow more"
        )

    def __str__(self) -> str:
        return f"worker {self.slot.number} (pid {self.pid})"


def requests_of(plan: Plan) -> int | None:
    """One worker's share of ``max_requests``."""
    return None if plan.max_requests is None else max(round(plan.max_requests * _less()), 1)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 when it has ended. Linux only."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def listeners_of(slots: Sequence[Slot]) -> set[Listening]:
    """Each once, also what is shared."""
    return {listener for slot in slots for listener in slot.listeners}


def _less() -> float:
    return 1.0 - random.random() * _SPREAD
