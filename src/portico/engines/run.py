"""``portico.run``: a program of many tasks in one thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from portico.engines.door import THREADS, current
from portico.errors import ConfigError, LocalProtocolError

__all__ = ["run"]

T = TypeVar("T")


def run(function: Callable[..., T], *args: Any, engine: str = "events") -> T:
    """Call ``function(*args)`` so that all it starts runs beside it, and return what it returns.

    With ``events`` its tasks (``TaskGroup``, ``spawn``) are greenlets of the calling thread, by the thousand;
    code must wait through Portico. With ``threads`` each is a thread. What still runs at the end is called
    off. Raises what ``function`` raises, ``ConfigError`` for another engine, ``LocalProtocolError``
    inside another ``run`` or an asyncio loop.
    """
    if engine == "threads":
        return function(*args)
    if engine != "events":
        raise ConfigError(f"run(engine={engine!r}): expected 'events' or 'threads'")
    loops = sys.modules.get("asyncio.events")
    if current() is not THREADS or (loops is not None and loops._get_running_loop() is not None):
        raise LocalProtocolError(
            "run() inside another run() or an asyncio loop: call the function itself there"
        )
    return _run_in_hub(function, args)


def _run_in_hub(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    from portico.engines.hub import Hub

    hub = Hub()
    with hub.installed():
        task = hub.spawn(function, *args)
        root = hub.root = next(iter(hub.strands))
        while not task.done:
            try:
                hub.loop(lambda: task.done)
            except KeyboardInterrupt as interrupt:
                root.interrupt(interrupt)
    return task.join()
