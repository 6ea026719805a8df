"""Questions asked before a connection begins, each in a thread: who answers slowly delays nobody else."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from portico.engines import door
from portico.engines.contract import Connection
from portico.engines.pool import Pool

__all__ = ["THREADS", "Asking"]

THREADS = 64
"""Questions asked at once; more wait in line, in order, up to ``limits.queue``, and no longer than theirs
may."""


class Asking:
    """The open questions of one engine. ``wake()`` is called after each answer, from another thread.

    All but the asking itself is done by the thread that leads. ``enter``: see ``Pool``.
    """

    def __init__(self, queue: int, wake: Callable[[], None], enter: Callable[[], object]) -> None:
        self.answers: deque[tuple[Connection, bool, float]] = deque()  # and since when it was open
        self._queue = queue
        self._wake = wake
        self._enter = enter
        self._lock = threading.Lock()
        self._open: dict[Connection, float] = {}  # since when
        self._inside: set[int] = set()  # the threads that ask just now
        self._closed = False
        self._pool: Pool | None = None

    def ask(self, connection: Connection) -> bool:
        """Let a connection's question be asked. ``False``: too many wait already, or this is the end."""
        with self._lock:
            if self._closed:
                return False
            if self._pool is None:
                self._pool = Pool(THREADS, self._queue, self._enter)
            self._open[connection] = monotonic()
        if self._pool.submit(self._ask, connection):
            return True
        self._open.pop(connection, None)
        return False

    def overdue(self, now: float) -> list[Connection]:
        """Whose question has had its time; an answer that comes later will be ignored."""
        with self._lock:
            late = [each for each in self._open if each.question is not None and each.question.until <= now]
            for connection in late:
                del self._open[connection]
        return late

    def close(self) -> None:
        """No answer is wanted any more. Who waits in a question is called off."""
        with self._lock:
            self._closed = True
            self._open.clear()
            for thread in self._inside:
                door.THREADS.cancel(thread)
        if self._pool is not None:
            self._pool.close()

    def _ask(self, connection: Connection) -> bool:
        me, question = threading.get_ident(), connection.question
        door.THREADS.waiter()  # so that there is something to call off, however early that is wanted
        with self._lock:
            if question is None or connection not in self._open:
                return True
            self._inside.add(me)
        answer = question()
        with self._lock:
            self._inside.discard(me)
            if connection not in self._open:
                return True
            self.answers.append((connection, answer, self._open.pop(connection)))
        self._wake()
        return True
