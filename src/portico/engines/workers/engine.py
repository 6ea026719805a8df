"""The engines ``workers`` and ``forks``, as the process of the server has them.

Everything happens elsewhere: in the supervisor, which this process starts (``link``), and in its workers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from math import inf

from portico.deadline import timeout
from portico.engines import door
from portico.engines.contract import Engine, Serving
from portico.engines.workers.channel import Message
from portico.engines.workers.link import Here, Link, here
from portico.engines.workers.plan import MOST, Plan, inner_engine, make_plan, processors
from portico.engines.workers.scoreboard import Totals
from portico.engines.workers.staff import LAST_WORDS
from portico.errors import Cancelled, ConfigError, Timeout
from portico.sockets.transport import READ, Waitable, Waiter

__all__ = ["Forks", "Workers"]

log = logging.getLogger("portico.workers")

FORKS = 100
"""Connections that ``forks`` serves at once: a process each, and each costs some megabytes."""
PATIENCE = 5.0
"""Seconds beyond all grace, after which a supervisor that does not end is killed."""


class Workers(Engine):
    """``workers`` processes (default: one for each processor that we may use), each with its own engine
    inside: ``inner`` is ``inline``, ``threads[:N]`` or ``events[:N]``.

    A worker is replaced, without losing a connection, after ``max_requests`` requests (or conversations),
    when it holds more than ``max_memory`` bytes, and after ``max_age`` seconds: each up to a tenth earlier,
    lest all go at once. Raises ``ConfigError``.
    """

    processes = True

    def __init__(
        self,
        workers: int | None = None,
        inner: str = "threads",
        *,
        max_requests: int | None = None,
        max_memory: int | None = None,
        max_age: float | None = None,
    ) -> None:
        count = processors() if workers is None else workers
        if not 1 <= count <= MOST:
            raise ConfigError(f"workers:{count}: expected a number from 1 to {MOST}")
        self._plan = make_plan(count, inner, None, max_requests, max_memory, max_age)
        self._prepare()

    def _prepare(self) -> None:
        self.slots = self._plan.workers
        inner = None if self._plan.forks is not None else inner_engine(self._plan.inner)
        self.awaits = inner is not None and inner.awaits
        self.threaded = inner is not None and inner.threaded
        self._link = Link(self._told, self._ended)
        self._home = 0  # the process that started it
        self._waiting: set[Waiter] = set()
        self._ready = self._over = self._stopping = False
        self._failure = ""
        self._bell: Waitable | None = None
        self._told_to_end: Callable[[], bool] = bool
        self._cut: list[str] = []
        self._reloads: list[str | None] = []

    def __getstate__(self) -> Plan:
        return self._plan

    def __setstate__(self, plan: Plan) -> None:
        self._plan = plan
        self._prepare()

    def _worker(self) -> Here | None:
        """In a worker of ours: that. A server that somebody's worker has started is none of its master's."""
        return None if self._home == os.getpid() else here()

    @property
    def connections(self) -> int:
        worker = self._worker()
        return self._link.connections if worker is None else worker.board.connections

    @property
    def accepted(self) -> int:  # type: ignore[override]
        return self._totals.accepted

    @property
    def dropped(self) -> int:  # type: ignore[override]
        return self._totals.dropped

    @property
    def refused(self) -> Sequence[int]:  # type: ignore[override]
        return self._totals.refused

    @property
    def requests(self) -> int:
        """Requests (or whole conversations) answered so far, in all workers."""
        return self._totals.requests

    @property
    def _totals(self) -> Totals:
        return (
            self._link.totals if self._worker() is None else Totals()
        )  # the server in a worker counts its own

    @property
    def workers(self) -> list[tuple[int, int, str]]:
        """Slot, process id and state (``starting serving draining``) of each worker there is."""
        return sorted((slot, pid, state.name.lower()) for slot, pid, state in self._link.workers if state)

    @property
    def supervisor(self) -> int:
        """Its process id; 0 before the start and after the end."""
        return 0 if self._over else self._link.pid

    @property
    def inside(self) -> bool:
        return False

    # -- beginning

    def heed(self, bell: Waitable, told: Callable[[], bool]) -> None:
        self._bell, self._told_to_end = bell, told

    def start(self, serving: Serving) -> None:
        self._serving, self._home = serving, os.getpid()
        self._link.start(serving, self._plan)
        try:
            self._await(lambda: self._ready or self._told_to_end(), "the start of the workers", self._bell)
            if not self._ready and not self._over and self._told_to_end():
                raise Cancelled("told to end while the workers start")
        except BaseException:
            self.stop(0.0, 0.0)
            raise
        if not self._ready:
            raise ConfigError(self._failure or "the supervisor of the workers ended at its start")

    # -- what the supervisor says

    def _told(self, message: Message) -> None:
        if "ready" in message:
            self._ready = True
        elif "failed" in message:
            self._failure = message["failed"]
        elif "reloaded" in message:
            self._reloads.append(message["reloaded"])
        elif "stopping" in message:
            self._close_listeners()  # else who connects would wait in a queue that nobody serves
        else:
            self._cut += message["stopped"]
            self._stopping = True
        self._wake()

    def _ended(self, how: str) -> None:
        expected = self._stopping or not self._ready
        self._over = True
        reason = "" if expected else f"the supervisor (pid {self._link.pid}) {how}; the server has stopped"
        if reason:
            log.error("%s", reason)
        if self._ready:
            self._serving.ended(reason, self._cut)
        self._wake()

    def _wake(self) -> None:
        for waiter in tuple(self._waiting):
            waiter.wake()

    def _await(self, condition: Callable[[], bool], doing: str, bell: Waitable | None = None) -> None:
        """Until something is so, or all is over. Raises ``Timeout``, ``Cancelled``."""
        me = door.waiter()
        self._waiting.add(me)
        try:
            while not self._over and not condition():
                if bell is None:
                    door.park(me, f"waiting for {doing}")
                else:
                    door.wait(bell, READ, f"waiting for {doing}")
        finally:
            self._waiting.discard(me)

    # -- orders

    def stop(self, grace: float, quiet: float) -> list[str]:
        worker = self._worker()
        if worker is not None:  # a handler asks for it: the supervisor sees to it
            worker.channel.send(stop=[grace, quiet])
            return []
        self._stopping = True
        self._link.order(stop=[grace, quiet])
        self._close_listeners()
        try:
            with timeout(None if grace == inf else grace + LAST_WORDS + PATIENCE, shield=True):
                self._await(lambda: False, "the end of the workers")
        except (Timeout, Cancelled):
            self._kill()
        if self._over:
            self._link.join(LAST_WORDS)  # the next server may want to fork, which takes a single thread
        return self._cut

    def _close_listeners(self) -> None:
        for slot in self._serving.slots:
            for listener in slot:
                listener.close()

    def _kill(self) -> None:
        if not self._over:
            self._cut.append(f"the supervisor (pid {self._link.pid}), which did not end")
            self._link.kill()

    def reload(self) -> str | None:
        before = len(self._reloads)
        if not self._link.order(reload=True):
            return "the server has stopped"
        self._await(lambda: len(self._reloads) > before, "new workers")
        return self._reloads[before] if len(self._reloads) > before else "the server has stopped"

    def resize(self, by: int) -> None:
        self._link.order(resize=by)

    def __repr__(self) -> str:
        states = ", ".join(f"{pid} {state}" for _, pid, state in self.workers)
        return f"<{self._name}{f': {states}' if states else ''}>"

    @property
    def _name(self) -> str:
        return f"Workers {self._plan.workers}/{self._plan.inner}"


class Forks(Workers):
    """A process for each connection, ``size`` at once (default 100); then accepting pauses.

    They are forked from one worker, which has loaded the handler; ``max_requests``, ``max_memory`` and
    ``max_age`` are that one's, as in ``Workers``. Raises ``ConfigError``.
    """

    def __init__(
        self,
        size: int | None = None,
        *,
        max_requests: int | None = None,
        max_memory: int | None = None,
        max_age: float | None = None,
    ) -> None:
        if size is not None and size < 1:
            raise ConfigError(f"engine forks:{size}: at least one process is needed")
        self._plan = make_plan(1, "", FORKS if size is None else size, max_requests, max_memory, max_age)
        self._prepare()

    @property
    def _name(self) -> str:
        return f"Forks {self._plan.forks}"
