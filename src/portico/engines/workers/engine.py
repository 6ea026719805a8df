"""The engines ``workers`` and ``forks``, as the process of the server has them.

Everything happens elsewhere: in the supervisor, which this process starts, and in its workers. One thread
here listens to what the supervisor says.
"""

from __future__ import annotations

import logging
import os
import pickle
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from portico.deadline import timeout
from portico.engines import door
from portico.engines.contract import Engine, Serving
from portico.engines.workers.channel import Channel, Message
from portico.engines.workers.children import ended_how, fork, has_one_thread
from portico.engines.workers.forking import Forking
from portico.engines.workers.fresh import Logs, pack, start
from portico.engines.workers.plan import MOST, Plan, inner_engine, make_plan, processors
from portico.engines.workers.scoreboard import Scoreboard, Totals
from portico.engines.workers.slots import Outline
from portico.engines.workers.staff import LAST_WORDS
from portico.engines.workers.supervisor import Supervisor
from portico.engines.workers.worker import Inner, WithThreads
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
        self._supervisor = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._board: Scoreboard | None = None
        self._logs: Logs | None = None
        self._lock = threading.Lock()
        self._listening: threading.Thread | None = None
        self._waiting: set[Waiter] = set()
        self._ready = self._over = self._stopping = False
        self._failure = ""
        self._bell: Waitable | None = None
        self._told_to_end: Callable[[], bool] = bool
        self._cut: list[str] = []
        self._reloads: list[str | None] = []
        self._did = Totals()

    def __getstate__(self) -> Plan:
        return self._plan

    def __setstate__(self, plan: Plan) -> None:
        self._plan = plan
        self._prepare()

    @property
    def connections(self) -> int:
        with self._lock:
            board = self._board if _here is None else _here.board
            return 0 if board is None else board.connections

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
        if _here is not None:
            return Totals()  # the server in a worker counts its own
        with self._lock:
            return self._did if self._board is None else self._board.totals

    @property
    def workers(self) -> list[tuple[int, int, str]]:
        """Slot, process id and state (``starting serving draining``) of each worker there is."""
        with self._lock:
            rows = [] if self._board is None else self._board.living()
            # Read once: a row may become free meanwhile.
            facts = [(row.slot, row.pid, row.state) for row in rows]
        return sorted((slot, pid, state.name.lower()) for slot, pid, state in facts if state)

    @property
    def supervisor(self) -> int:
        """Its process id; 0 before the start and after the end."""
        return 0 if self._over else self._supervisor

    @property
    def inside(self) -> bool:
        return False

    # -- beginning

    def start(self, serving: Serving) -> None:
        self._serving = serving
        named = not has_one_thread()
        ours, theirs = Channel.pair()
        self._channel, self._board = ours, Scoreboard(named=named)
        try:
            if named:
                found = partial(pickle.loads, pack(serving))
                outline = Outline(serving.slots, serving.limits, serving.grace, found)
                work = partial(_supervise_afresh, outline, self._plan, self._board.descriptor)
                self._logs = Logs()
                self._process = start(work, self._board.descriptor, channel=theirs, logs=self._logs)
                self._supervisor = self._process.pid
            else:
                outline = Outline(serving.slots, serving.limits, serving.grace, lambda: serving)
                self._supervisor = fork(lambda: self._in_the_supervisor(outline, theirs))
        except BaseException:
            self._release()
            raise
        finally:
            theirs.close()
        self._board.close_descriptor()
        if self._logs is not None:
            self._logs.theirs.close()
        # In a context of its own: a deadline of whoever starts the server is none of the supervisor's.
        listen = partial(threading.Thread, target=self._listen, name="portico supervisor", daemon=True)
        self._listening = Context().run(listen)
        self._listening.start()
        self._await_start()

    def _in_the_supervisor(self, outline: Outline, channel: Channel) -> None:
        assert self._channel is not None
        assert self._board is not None
        self._channel.close()
        _supervise(outline, self._plan, self._board, channel)

    def _await_start(self) -> None:
        try:
            self._await(lambda: self._ready or self._told_to_end(), "the start of the workers", self._bell)
            if not self._ready and not self._over and self._told_to_end():
                raise Cancelled("told to end while the workers start")
        except BaseException:
            self.stop(0.0, 0.0)
            raise
        if not self._ready:
            raise ConfigError(self._failure or "the supervisor of the workers ended at its start")

    def heed(self, bell: Waitable, told: Callable[[], bool]) -> None:
        self._bell, self._told_to_end = bell, told

    # -- what the supervisor says

    def _listen(self) -> None:
        assert self._channel is not None
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        if self._logs is not None:
            poll.register(self._logs.ours.fileno(), select.POLLIN)
        while not self._channel.ended:
            poll.poll()
            self._replay()  # first, what was said before
            for message in self._channel.receive():
                self._told(message)
        how = ended_how(self._reap())
        self._replay()
        self._end(how)

    def _replay(self) -> None:
        if self._logs is not None:
            self._logs.replay()

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

    def _reap(self) -> int:
        if self._process is None:
            return os.waitpid(self._supervisor, 0)[1]
        code = self._process.wait()
        return -code if code < 0 else code << 8

    def _end(self, how: str) -> None:
        expected = self._stopping or not self._ready
        with self._lock:
            if self._board is not None:
                self._did = self._board.totals
        self._release()
        self._over = True
        reason = "" if expected else f"the supervisor (pid {self._supervisor}) {how}; the server has stopped"
        if reason:
            log.error("%s", reason)
        if self._ready:
            self._serving.ended(reason, self._cut)
        self._wake()

    def _release(self) -> None:
        with self._lock:
            channel, board, logs = self._channel, self._board, self._logs
            self._channel = self._board = self._logs = None
        for each in (channel, board, logs):
            if each is not None:
                each.close()

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

    def _order(self, **message: Any) -> bool:
        with self._lock:
            return self._channel is not None and self._channel.send(**message)

    def stop(self, grace: float, quiet: float) -> list[str]:
        if _here is not None:  # a handler asks for it: the supervisor sees to it
            _here.channel.send(stop=[grace, quiet])
            return []
        self._stopping = True
        self._order(stop=[grace, quiet])
        self._close_listeners()
        try:
            with timeout(None if grace == inf else grace + LAST_WORDS + PATIENCE, shield=True):
                self._await(lambda: False, "the end of the workers")
        except (Timeout, Cancelled):
            self._kill()
        listening = self._listening
        if self._over and listening is not None and listening is not threading.current_thread():
            listening.join(LAST_WORDS)  # the next server may want to fork, which takes a single thread
        return self._cut

    def _close_listeners(self) -> None:
        for slot in self._serving.slots:
            for listener in slot:
                listener.close()

    def _kill(self) -> None:
        """The supervisor does not end. Its workers do, as soon as they miss it."""
        if not self._over:
            self._cut.append(f"the supervisor (pid {self._supervisor}), which did not end")
            os.kill(self._supervisor, signal.SIGKILL)

    def reload(self) -> str | None:
        before = len(self._reloads)
        if not self._order(reload=True):
            return "the server has stopped"
        self._await(lambda: len(self._reloads) > before, "new workers")
        return self._reloads[before] if len(self._reloads) > before else "the server has stopped"

    def resize(self, by: int) -> None:
        self._order(resize=by)

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


@dataclass(frozen=True, slots=True)
class _Here:
    """What a worker's copy of the engine works with."""

    channel: Channel
    board: Scoreboard


_here: _Here | None = None
"""Set in workers only: a process is one, or is none."""


def _supervise_afresh(outline: Outline, plan: Plan, descriptor: int, channel: Channel) -> None:
    """In a fresh interpreter."""
    board = Scoreboard(descriptor=descriptor)
    board.close_descriptor()
    _supervise(outline, plan, board, channel)


def _supervise(outline: Outline, plan: Plan, board: Scoreboard, channel: Channel) -> None:
    Supervisor(outline, plan, board, channel, partial(_make_inner, plan, board)).run()


def _make_inner(plan: Plan, board: Scoreboard, channel: Channel) -> Inner:
    """In a worker: what serves there. ``channel`` leads to the supervisor."""
    from portico.engines import make_engine

    global _here  # noqa: PLW0603  (it is the process itself that becomes a worker)
    _here = _Here(channel, board)
    return WithThreads(make_engine(plan.inner)) if plan.forks is None else Forking(plan.forks)
