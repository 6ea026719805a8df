"""What belongs to one engine: the code that it runs, and the tasks that such code has spawned.

It goes by a context variable, which tasks inherit: so a task that a handler waits for counts as inside just
as the handler does, and one that a handler leaves behind is known at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock
from time import monotonic
from typing import Any

from portico.engines.door import KEEPER, Task
from portico.engines.tasks import Ending

__all__ = ["LAST_WORDS", "Household", "outside"]

LAST_WORDS = 0.25
"""Seconds that what was cut gets to notice."""


class Household:
    """The tasks of one engine's handlers. Any thread may call."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._tasks: set[Task[Any]] = set()
        self._none_left = Event()
        self._none_left.set()

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
            self._none_left.clear()
        task.tell(Ending(task, self._ended))

    def _ended(self, task: Task[Any]) -> None:
        with self._guard:
            self._tasks.discard(task)
            if not self._tasks:
                self._none_left.set()

    @property
    def tasks(self) -> list[Task[Any]]:
        """Those that have not ended."""
        with self._guard:
            return list(self._tasks)

    def drain(self, until: float) -> list[str]:
        """Let the tasks end until a time of ``time.monotonic``; cancel the rest, and name it. Blocks."""
        if self._none_left.wait(max(until - monotonic(), 0.0)):
            return []
        rest = self.tasks
        for task in rest:
            task.cancel()
        self._none_left.wait(LAST_WORDS)
        return [f"the task {task.name}, which a handler had left" for task in rest]


@contextmanager
def outside() -> Iterator[None]:
    """What is spawned in this block belongs to nobody."""
    token = KEEPER.set(None)
    try:
        yield
    finally:
        KEEPER.reset(token)
