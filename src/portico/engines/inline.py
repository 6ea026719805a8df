"""The engine ``inline``: one connection after the other, in one thread. For tests and tools."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context
from functools import partial
from math import inf
from threading import get_ident
from time import monotonic

from portico.deadline import timeout
from portico.engines import door
from portico.engines.contract import Connection, Engine, Listening, Serving
from portico.engines.drive import drive
from portico.errors import Cancelled, Timeout
from portico.sockets.transport import READ, Waiter

__all__ = ["Inline"]

LAST_WORDS = 0.25  # seconds that what was cut gets to notice
_ACCEPT_PAUSE = 0.1  # seconds without accepting after the system ran out of descriptors


class Inline(Engine):
    """Serves its connections strictly in turn; the others wait in the kernel's queue."""

    def __init__(self) -> None:
        self._listeners: Sequence[Listening] = ()
        self._task: door.Task[None] | None = None
        self._thread = 0
        self._waiter: Waiter | None = None
        self._current: Connection | None = None
        self._stopping = False
        self._cutting = False
        self._quiet_until = inf

    @property
    def connections(self) -> int:
        return 0 if self._current is None else 1

    @property
    def inside(self) -> bool:
        return get_ident() == self._thread

    def start(self, serving: Serving) -> None:
        self._listeners = serving.listeners
        # In a context of its own: a deadline of whoever starts the server is none of the server's.
        self._task = Context().run(partial(door.THREADS.spawn, self._loop, serving, name="inline"))

    def stop(self, grace: float, quiet: float) -> list[str]:
        task = self._task
        if task is None or task.done:
            return []
        self._quiet_until = min(self._quiet_until, monotonic() + min(quiet, grace))
        self._stopping = True
        self._nudge()
        return [] if _joined(task, grace) else self._cut(task)

    def _cut(self, task: door.Task[None]) -> list[str]:
        self._cutting = True
        cut, current = [], self._current
        if current is not None:
            cut.append(current.describe())
            current.cut()
        task.cancel()
        if not _joined(task, LAST_WORDS):
            for listener in self._listeners:  # its thread will not come to do it
                listener.close()
        return cut

    def _nudge(self) -> None:
        """Wake the thread, whatever it waits for; a wake that comes before the wait is not lost."""
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    def _loop(self, serving: Serving) -> None:
        self._thread, self._waiter = get_ident(), door.waiter()
        try:
            while not self._stopping:
                if not self._round(serving) and not self._stopping:
                    door.wait_any([(listener, READ) for listener in serving.listeners], "accepting")
            while not self._cutting and self._round(serving):
                pass  # who came before the end is still served
        finally:
            self._thread, self._waiter = 0, None
            for listener in serving.listeners:
                listener.close()

    def _round(self, serving: Serving) -> bool:
        """One connection of each listener. Whether there was any."""
        served = [self._accept(serving, listener) for listener in serving.listeners]
        return any(served)

    def _accept(self, serving: Serving, listener: Listening) -> bool:
        try:
            transport = listener.accept()
        except OSError as error:
            serving.accept_failed(listener, error)
            door.sleep(_ACCEPT_PAUSE)
            return False
        if transport is None:
            return False
        connection = serving.connected(transport)
        if connection is not None:
            self._serve(serving, connection)
        return True

    def _serve(self, serving: Serving, connection: Connection) -> None:
        self._current = connection
        try:
            drive(connection, lambda: self._quiet_until if self._stopping else None)
        except BaseException as error:
            connection.cut()
            connection.advance()
            if not isinstance(error, Exception):
                raise
            serving.failed(connection, error)
        finally:
            self._current = None
            serving.disconnected(connection)


def _joined(task: door.Task[None], seconds: float) -> bool:
    try:
        with timeout(seconds, shield=True):
            task.join()
    except (Timeout, Cancelled):
        return task.done
    return True
