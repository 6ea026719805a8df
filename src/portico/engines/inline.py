"""The engine ``inline``: one connection after the other, in one thread. For tests and tools.

A conversation has its turn until it ends. A kept connection, which may have more requests at any time, has
the thread to itself only while nobody else waits: then its next answer closes it, or the want of a request
(``drive.TURN``). So whoever waits is behind two requests, at most, of each connection that came before; of
one that pipelines, behind as many as are answered in a row (``limits.pipelined``).
"""

from __future__ import annotations

from collections import deque
from contextvars import Context
from functools import partial
from math import inf
from threading import Lock
from time import monotonic

from portico.deadline import timeout
from portico.engines import door
from portico.engines.contract import Connection, Engine, Listening, Serving
from portico.engines.drive import drive
from portico.engines.household import LAST_WORDS, Household
from portico.errors import Cancelled, Timeout
from portico.sockets.transport import READ, Transport, Waiter

__all__ = ["Inline"]

_ACCEPT_PAUSE = 0.1  # seconds without accepting after the system ran out of descriptors


class Inline(Engine):
    """Serves its connections in turn; the others wait in the kernel's queue."""

    _serving: Serving

    threaded = False

    def __init__(self) -> None:
        self._task: door.Task[None] | None = None
        self._household = Household()
        self._waiter: Waiter | None = None
        self._current: Connection | None = None
        self._last: deque[Transport] = deque()  # who came before the end
        self._accepting = Lock()
        self._stopping = False
        self._quiet_until = inf

    @property
    def connections(self) -> int:
        return len(self._last) + (self._current is not None)

    @property
    def inside(self) -> bool:
        return self._household.inside

    def start(self, serving: Serving) -> None:
        self._serving = serving
        # In a context of its own: a deadline of whoever starts the server is none of the server's.
        self._task = Context().run(partial(door.THREADS.spawn, self._loop, name="inline"))

    # -- the end

    def stop(self, grace: float, quiet: float) -> list[str]:
        task, until = self._task, monotonic() + grace
        if task is None:
            return []
        self._quiet_until = min(self._quiet_until, monotonic() + min(quiet, grace))
        self._accept_last()
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()  # whatever the thread waits for; a wake that comes before is not lost
        cut = [] if _joined(task, grace) else self._cut(task)
        return cut + self._household.drain(until)

    def _accept_last(self) -> None:
        """Who came before the end is still served, and nobody else comes, however long the thread is busy."""
        with self._accepting:
            if self._stopping:
                return
            self._stopping = True
            for listener in self._serving.listeners:
                while len(self._last) < self._serving.limits.backlog and self._take(listener, self._last):
                    pass
                listener.close()
        self._serving.stopped_accepting()

    def _cut(self, task: door.Task[None]) -> list[str]:
        cut, current = [], self._current
        while self._last:
            transport = self._last.pop()
            cut.append(f"the connection from {transport.peer}, which had not begun")
            transport.abort()
        if current is not None:
            cut.append(current.describe())
            current.cut()
        task.cancel()
        _joined(task, LAST_WORDS)
        return cut

    # -- the thread

    def _loop(self) -> None:
        self._household.enter()
        self._waiter = door.waiter()
        listeners = self._serving.listeners
        try:
            while not self._stopping:
                if not self._round() and not self._stopping:
                    door.wait_any([(listener, READ) for listener in listeners], "accepting")
            self._accept_last()  # or wait until the thread that stops us has done so
            while self._last:
                self._serve(self._last.popleft())
        finally:
            self._waiter = None
            self._accept_last()  # whatever it was that ended us

    def _round(self) -> bool:
        """One connection of each listener. Whether there was any."""
        served = [self._next(listener) for listener in self._serving.listeners]
        return any(served)

    def _next(self, listener: Listening) -> bool:
        come: deque[Transport] = deque()
        with self._accepting:
            found = not self._stopping and self._take(listener, come)
        if found is None:
            door.sleep(_ACCEPT_PAUSE)
        for transport in come:
            self._serve(transport)
        return bool(come)

    def _take(self, listener: Listening, into: deque[Transport]) -> bool | None:
        """Whether somebody was there; ``None``: the system did not say."""
        try:
            transport = listener.accept()
        except OSError as error:
            self._serving.accept_failed(listener, error)
            return None
        if transport is not None:
            into.append(transport)
        return transport is not None

    def _serve(self, transport: Transport) -> None:
        serving = self._serving
        connection = serving.connected(transport)
        if connection is None:
            return
        self._current = connection
        try:
            drive(connection, lambda: self._quiet_until if self._stopping else None, serving.listeners)
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
