"""What belongs to one engine: the code that it runs, and the tasks that such code has spawned.

It goes by a context variable, which tasks inherit: so a task that a handler waits for counts as inside just
as the handler does, and one that a handler leaves behind is known at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic
from typing import Any

from portico.deadline import timeout
from portico.engines import door
from portico.engines.door import KEEPER, Task
from portico.engines.tasks import Ending
from portico.errors import Cancelled, Timeout
from portico.sockets.transport import Waiter

__all__ = ["LAST_WORDS", "Household", "outside"]

LAST_WORDS = 0.25
"""Seconds that what was cut gets to notice."""


class Household:
    """The tasks of one engine's handlers. ``enter()`` is for the engine's own threads, from any of them."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._tasks: set[Task[Any]] = set()
        self._waiting: set[Waiter] = set()

    def enter(self) -> None:
        """The code of this context belongs here from now on."""
        KEEPER.set(self)

    @property
    def inside(self) -> bool:
        """Whether the calling code belongs here."""
        return KEEPER.get() is self

    def keep(self, task: Task[Any]) -> None:
        with self._guard:
            self._tasks.add(task)
        task.tell(Ending(task, self._ended))

    def _ended(self, task: Task[Any]) -> None:
        with self._guard:
            self._tasks.discard(task)
            waiting = () if self._tasks else tuple(self._waiting)
        for each in waiting:
            each.wake()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for all tasks to end; whether they did, within so many seconds and before a cancellation."""
        me = door.waiter()
        self._waiting.add(me)
        try:
            with timeout(seconds, shield=True):
                while self._tasks:
                    door.park(me, "waiting for tasks that handlers have left")
        except (Timeout, Cancelled):
            pass
        finally:
            self._waiting.discard(me)
        return not self._tasks

    def drain(self, until: float) -> list[str]:
        """Let the tasks end until a time of ``time.monotonic``; cancel the rest, and name it."""
        if self.wait(max(until - monotonic(), 0.0)):
            return []
        with self._guard:
            rest = tuple(self._tasks)
        for task in rest:
            task.cancel()
        self.wait(LAST_WORDS)
        return [f"the task {task.name}, which a handler had left" for task in rest]


@contextmanager
def outside() -> Iterator[None]:
    """What is spawned in this block belongs to nobody."""
    token = KEEPER.set(None)
    try:
        yield
    finally:
        KEEPER.reset(token)
