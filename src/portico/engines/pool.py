"""Threads made on demand, up to a bound, that leave when they have had nothing to do for a while."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Pool"]

IDLE = 10.0
"""Seconds after which a thread without work leaves."""

ASIDE = 1000
"""Jobs that only wait for their peers, beside those that are counted. A thread costs about 30 KiB."""

Job = tuple[Callable[[Any], bool], Any]


class _Slot:
    """Where an idle thread waits: whoever fills ``job`` releases ``bell``."""

    __slots__ = ("bell", "job")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.job: Job | None = None


class Pool:
    """Runs jobs ``function(argument)`` in threads; at most ``size`` at once, the rest in line, in order.

    ``busy`` counts jobs inside the bound. A job returns whether it was one of them when it ended. ``enter()``
    is called by each thread at its beginning.
    """

    def __init__(self, size: int, queue: float, enter: Callable[[], object] | None = None) -> None:
        self.size = size
        self.busy = 0
        self.threads = 0
        self._aside = 0
        self._queue = queue
        self._lock = threading.Lock()
        self._idle: list[_Slot] = []
        self._waiting: deque[Job] = deque()
        self._closed = False
        self._enter = enter

    @property
    def queued(self) -> int:
        """How many jobs stand in line."""
        return len(self._waiting)

    @property
    def pressed(self) -> bool:
        """Whether jobs wait in line for a thread."""
        return bool(self._waiting)

    def submit(self, function: Callable[[Any], bool], argument: Any) -> bool:
        """Run a job, now or in its turn. ``False``: the queue is full, or no thread can be made."""
        job = (function, argument)
        with self._lock:
            if self.busy >= self.size:
                if len(self._waiting) >= self._queue:
                    return False
                self._waiting.append(job)
                return True
            self.busy += 1
        if self._begin(job):
            return True
        with self._lock:
            self.busy -= 1
            # Whoever is busy comes back for it.
            if not self.busy or len(self._waiting) >= self._queue:
                return False
            self._waiting.append(job)
        return True

    def beyond(self, function: Callable[[Any], bool], argument: Any) -> bool:
        """Run a job now and outside the bound; the engine's own business."""
        return self._begin((function, argument))

    def adopt(self) -> None:
        """A job that began outside the bound has turned into one inside it."""
        with self._lock:
            self.busy += 1

    def release(self) -> None:
        """An adopted job has left the bound again."""
        with self._lock:
            self.busy -= 1

    def aside(self, steps: bool) -> bool:
        """A job inside the bound only waits for a slow peer: let another have its place, and count it again
        (``False``) when it goes on. Says whether it did: so many may stand aside at once and no more."""
        job = None
        with self._lock:
            if steps and self._aside >= ASIDE:
                return False
            self._aside += 1 if steps else -1
            self.busy += -1 if steps else 1
            if steps and self._waiting and self.busy < self.size:
                job = self._waiting.popleft()
                self.busy += 1
        if job is not None and not self._begin(job):
            with self._lock:
                self.busy -= 1
                self._waiting.appendleft(job)
        return True

    def close(self) -> None:
        """Let idle threads go now, and busy ones when they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for slot in idle:
            slot.bell.release()

    def _begin(self, job: Job) -> bool:
        with self._lock:
            idle = bool(self._idle)
            slot = self._idle.pop() if idle else _Slot()
            slot.job = job
            self.threads += not idle
        if idle:
            slot.bell.release()
            return True
        try:
            threading.Thread(target=self._main, args=(slot,), name="portico worker", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            with self._lock:
                self.threads -= 1
            return False
        return True

    def _main(self, slot: _Slot) -> None:
        if self._enter is not None:
            self._enter()
        # Nothing but the slot holds the job: an idle thread must not keep its last connection alive.
        while slot.job is not None:
            counted = slot.job[0](slot.job[1])
            slot.job = None
            self._next(slot, counted)

        with self._lock:
            self.threads -= 1

    def _next(self, slot: _Slot, counted: bool) -> None:
        """Put the next job into the slot; leave it empty when the thread may go."""
        with self._lock:
            if counted:
                if self._waiting and self.busy <= self.size:  # not while those who stood aside are too many
                    slot.job = self._waiting.popleft()
                    return
                self.busy -= 1
            if self._closed:
                return
            self._idle.append(slot)
        if slot.bell.acquire(timeout=IDLE):
            return
        with self._lock:
            if slot in self._idle:
                self._idle.remove(slot)
                return
        slot.bell.acquire()  # somebody took the slot in the last moment: the bell is about to ring
