"""An asyncio loop in a thread of its own, where an engine runs what is written with ``async def``."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from portico.errors import Cancelled, LocalProtocolError

__all__ = ["LAST_WORDS", "LoopThread"]

log = logging.getLogger("portico.engines")

LAST_WORDS = 1.0
"""Seconds that a cancelled coroutine gets for its clean-up."""

Make = Callable[[], Coroutine[Any, Any, Any]]
Report = Callable[[BaseException | None], None]


class LoopThread:
    """One asyncio loop (uvloop's where it is installed) and its thread.

    ``start()``, then ``submit()`` from any thread, then ``stop()``, from any other thread than its own. All
    coroutines begin in an empty context, in which ``enter()`` has been called.
    """

    def __init__(self, name: str = "portico loop", enter: Callable[[], object] | None = None) -> None:
        self._name = name
        self._enter = enter
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Future[None] | None = None
        # What follows belongs to the loop's thread.
        self._tasks: dict[asyncio.Task[Any], str] = {}  # in the order in which they began
        self._until = inf
        self._stopping = self._called_off = False
        self._timer: asyncio.TimerHandle | None = None
        self._cut: list[str] = []

    @property
    def inside(self) -> bool:
        """Whether the caller runs on this loop."""
        return self._thread is threading.current_thread()

    @property
    def tasks(self) -> int:
        """How many coroutines run."""
        return len(self._tasks)

    @property
    def thread_ids(self) -> tuple[int, int]:
        """The numbers of its thread: Python's and the system's; 0 before it runs."""
        return (self._thread.ident or 0, self._thread.native_id or 0) if self._thread is not None else (0, 0)

    def running(self) -> str | None:
        """The name of the coroutine that is being run this moment, if any. From any thread."""
        task = None if self._loop is None else asyncio.current_task(self._loop)
        return None if task is None else task.get_name()

    def start(self) -> None:
        """Begin; returns at once. Raises ``LocalProtocolError`` the second time."""
        if self._thread is not None:
            raise LocalProtocolError("this loop was started before")
        self._loop = loop = _new_loop()
        self._over = loop.create_future()
        self._thread = threading.Thread(
            target=self._main, args=(loop, self._over), name=self._name, daemon=True
        )
        try:
            self._thread.start()
        except BaseException:
            loop.close()
            raise

    def submit(self, make: Make, report: Report, name: str = "") -> None:
        """Run the coroutine that ``make()`` gives, which is called on the loop. From any thread.

        ``report`` is called there too, once: with ``None``, the error, or ``Cancelled``. ``name`` is for the
        log. Raises ``LocalProtocolError`` when the loop does not run.
        """
        self._call(self._begin, make, report, name)

    def soon(self, function: Callable[[], None]) -> None:
        """Call a function on the loop, from any thread. Raises ``LocalProtocolError`` when that has ended."""
        self._call(function)

    def stop(self, grace: float) -> list[str]:
        """Let what runs end within ``grace`` seconds, cancel the rest, and end the thread.

        The names of what was cancelled. A second call with less grace, from another thread, shortens the
        first. Blocks at most ``LAST_WORDS`` longer than ``grace``; then a coroutine that holds the thread
        is left behind, and logged.
        """
        if self._thread is None or self._loop is None:
            return []
        try:
            self._call(self._wind_up, monotonic() + grace)
        except LocalProtocolError:
            pass  # it has ended already
        if self.inside:
            return []
        self._thread.join(grace + 2 * LAST_WORDS)
        if self._thread.is_alive():
            log.error("%s does not end: a handler blocks it; what may block belongs in a thread", self._name)
        return list(self._cut)

    # -- on the loop

    def _main(self, loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
        try:
            while not over.done():
                try:
                    loop.run_until_complete(over)
                except (SystemExit, KeyboardInterrupt):
                    pass  # of one task, which has it and is reported: asyncio lets it end all others as well
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            for task in self._tasks:
                log.error("%s is left behind: it does not let itself be cancelled", task.get_name())
            loop.close()

    def _call(self, function: Callable[..., None], *args: object) -> None:
        if self._loop is None:
            raise LocalProtocolError("this loop was not started")
        try:
            # Else the loop's work would inherit the caller's deadline.
            self._loop.call_soon_threadsafe(function, *args, context=contextvars.Context())
        except RuntimeError:
            raise LocalProtocolError("this loop has ended") from None

    def _begin(self, make: Make, report: Report, name: str) -> None:
        assert self._loop is not None
        assert self._over is not None
        if self._over.done():
            report(Cancelled("the loop is ending"))
            return
        if self._enter is not None:
            self._enter()
        try:
            coroutine = make()
        except Exception as error:  # noqa: BLE001  (a handler's own; it is reported as the others are)
            report(error)
            return
        task = self._loop.create_task(coroutine, name=name or None)
        self._tasks[task] = task.get_name()
        task.add_done_callback(partial(self._ended, report))

    def _ended(self, report: Report, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        try:
            report(Cancelled("called off") if task.cancelled() else task.exception())
        finally:
            if self._stopping:
                self._finish_if_idle()

    def _finish_if_idle(self) -> None:
        """What ran may have left tasks of its own, which end as it does."""
        if self._tasks:
            return
        for task in asyncio.all_tasks(self._loop):
            self._tasks[task] = f"the task {task.get_name()}, which a handler had left"
            task.add_done_callback(self._left_ended)
        if self._called_off:
            self._cancel_all()
        if not self._tasks:
            self._finish()

    def _left_ended(self, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        self._finish_if_idle()

    def _wind_up(self, until: float) -> None:
        self._stopping = True
        self._finish_if_idle()
        if not self._tasks:
            return
        if until < self._until and self._loop is not None:
            self._until = until
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(max(until - monotonic(), 0.0), self._call_off)

    def _call_off(self) -> None:
        assert self._loop is not None
        self._called_off = True
        self._cancel_all()
        self._timer = self._loop.call_later(LAST_WORDS, self._finish)

    def _cancel_all(self) -> None:
        for task, name in self._tasks.items():
            self._cut.append(name)
            task.cancel()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._over is not None and not self._over.done():
            self._over.set_result(None)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
