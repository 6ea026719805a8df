"""``portico.run``: a program of many tasks in one thread, or in many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakSet

from portico.deadline import timeout
from portico.engines.door import THREADS, Task, ThreadDoor, ThreadWaiter, current, enter, leave
from portico.errors import Cancelled, ConfigError, LocalProtocolError, Timeout

__all__ = ["run"]

T = TypeVar("T")

LAST_WORDS = 0.25
"""Seconds that threads which are called off at the end get to notice."""


def run(function: Callable[..., T], *args: Any, engine: str = "events") -> T:
    """Call ``function(*args)`` so that all it starts runs beside it, and return what it returns.

    With ``events`` its tasks (``TaskGroup``, ``spawn``) are greenlets of the calling thread, by the thousand;
    code must wait through Portico. With ``threads`` each is a thread. What still runs at the end is called
    off; a thread that waits for something else than Portico is left behind. Raises what ``function`` raises,
    ``ConfigError`` for another engine, ``LocalProtocolError`` inside another ``run`` or an asyncio loop.
    """
    if engine not in ("events", "threads"):
        raise ConfigError(f"run(engine={engine!r}): expected 'events' or 'threads'")
    loops = sys.modules.get("asyncio.events")
    if not isinstance(current(), ThreadDoor) or (loops is not None and loops._get_running_loop() is not None):
        raise LocalProtocolError(
            "run() inside another run() or an asyncio loop: call the function itself there"
        )
    return _run_in_hub(function, args) if engine == "events" else _run_in_threads(function, args)


def _run_in_hub(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    from portico.engines.hub import Hub
    from portico.engines.keyboard import heard_by

    hub = Hub()
    with hub.installed():
        task = hub.spawn(function, *args)
        root = hub.root = next(iter(hub.strands))
        with heard_by(hub, root):
            while not task.done:
                try:
                    hub.loop(lambda: task.done)
                except KeyboardInterrupt as interrupt:
                    root.interrupt(interrupt)
    if isinstance(root.thrown, KeyboardInterrupt):
        raise root.thrown  # it came too late for any wait
    return task.join()


def _run_in_threads(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    here = _Threads()
    before = enter(here)
    try:
        return function(*args)
    finally:
        leave(before)
        here.call_off()


class _Threads(ThreadDoor):
    """The door of plain threads, that remembers what was spawned."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = Lock()
        self._tasks: WeakSet[Task[Any]] = WeakSet()  # its thread keeps one that runs
        self._over = False

    def waiter(self) -> ThreadWaiter:
        return THREADS.waiter()  # by which others know this thread

    def spawn(self, function: Callable[..., T], *args: Any, name: str = "") -> Task[T]:
        with self._guard:
            if self._over:
                raise Cancelled("this run has ended: no task can begin")
            name = name or getattr(function, "__name__", "task")
            task = super().spawn(self._call, function, args, name=name)
            self._tasks.add(task)
        return task

    def _call(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        enter(self)
        return function(*args)

    def call_off(self) -> None:
        """Cancel what still runs, and wait a moment for it."""
        with self._guard:
            self._over = True
            tasks = [task for task in self._tasks if not task.done]
        me = self.waiter()
        for task in tasks:
            task.tell(me)
            task.cancel()
        try:
            with timeout(LAST_WORDS, shield=True):
                while not all(task.done for task in tasks):
                    self.park(me, "waiting for tasks that were called off")
        except Timeout:
            pass  # they are daemons, and end with the program
