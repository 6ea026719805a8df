"""What a session does beside its requests, and ends with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from portico.deadline import timeout
from portico.errors import Cancelled, PorticoError
from portico.sync import Guard, Task, spawn

__all__ = ["Background"]

_ENDING = 5.0
"""Seconds that a task gets to end after it has been called off."""


class Background:
    """Tasks that nobody waits for, one for each key at a time. ``close()`` ends them."""

    def __init__(self) -> None:
        self._guard = Guard()
        self._tasks: dict[Hashable, Task[None] | None] = {}
        self._closed = False

    def start(self, key: Hashable, function: Callable[..., object], *args: Any) -> None:
        """Run ``function(*args)`` beside the caller, unless one of this ``key`` runs, or all is over."""
        with self._guard:
            if self._closed or key in self._tasks:
                return
            self._tasks[key] = None
        task = spawn(self._run, key, function, args, name="a request in the background")
        with self._guard:
            if key in self._tasks:  # else it has ended already
                self._tasks[key] = task
            closed: bool = self._closed  # meanwhile
        if closed:
            task.cancel()

    def close(self) -> None:
        """Call off what runs, and wait for its end; nothing starts any more."""
        with self._guard:
            self._closed = True
            tasks = [task for task in self._tasks.values() if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            try:
                with timeout(_ENDING, shield=True):
                    task.join()
            except (PorticoError, Cancelled):
                pass  # it was called off, or is in code that cannot be

    def _run(self, key: Hashable, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            function(*args)
        finally:
            with self._guard:
                self._tasks.pop(key, None)
