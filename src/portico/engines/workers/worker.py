"""A worker: the process that runs the handler, with an engine of its own inside.

Its main thread talks to the supervisor and takes signals: SIGTERM finishes what is begun and ends, a second
SIGTERM ends now; SIGINT is ignored, because the first process of the server decides what Ctrl-C means. When
the supervisor is gone, the worker finishes what is begun and ends, too.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from time import monotonic
from typing import Any

from portico.engines.contract import Connection, Engine, Listening, Serving, Tally
from portico.engines.workers.channel import Channel
from portico.engines.workers.children import told
from portico.engines.workers.loop import Loop
from portico.engines.workers.plan import Plan
from portico.engines.workers.scoreboard import Row
from portico.engines.workers.slots import Outline, requests_of
from portico.limits import Limits
from portico.sockets.transport import Transport

__all__ = ["Inner", "Share", "WithThreads", "Worker", "name_log_records"]

log = logging.getLogger("portico.workers")


class Share:
    """The server as one worker sees it: the listeners of its slot; what happens is counted in its row."""

    _serving: Serving

    def __init__(self, outline: Outline, listeners: Sequence[Listening], row: Row) -> None:
        self.listeners = listeners
        self.slots: Sequence[Sequence[Listening]] = [listeners]
        self.limits: Limits = outline.limits
        self.grace = outline.grace
        self.row = row
        self.full: Callable[[], object] | None = None
        """Called once, when as many requests have been answered as a worker should."""
        self.tell: Callable[[int], None] = self._add
        """What ``answered`` does with its figure; a child of this process tells its parent instead."""
        self.tell_refused: Callable[[int, int], object] = row.set_refused
        """The same of ``refused``."""
        self._find = outline.find
        self._most = 0
        # next() of a counter is one step, whichever threads count.
        self._opened, self._closed, self._answered = count(1), count(1), count(1)
        self._dropping = threading.Lock()
        self.deaf: Callable[[], object] = _nothing
        """Called when nobody will be accepted any more."""

    def limit_requests(self, most: int | None, full: Callable[[], object]) -> None:
        self._most, self.full = most or 0, full

    @property
    def conversations(self) -> bool:
        return self._serving.conversations

    def prepare(self, tally: Tally | None = None) -> None:
        self._serving = self._find()
        self._serving.prepare(self)
        for listener in self.listeners:
            listener.on_drop(self._dropped)

    def finish(self) -> None:
        self._serving.finish()

    def ended(self, reason: str, cut: Sequence[str]) -> None:
        self._serving.ended(reason, cut)

    def connected(self, transport: Transport) -> Connection | None:
        connection = self._serving.connected(transport)
        if connection is not None:
            self.row.opened = next(self._opened)
        return connection

    def disconnected(self, connection: Connection) -> None:
        self._serving.disconnected(connection)
        self.row.closed = next(self._closed)
        if connection.conversation:
            self.answered()

    def answered(self, many: int = 1) -> None:
        """Requests (or whole conversations) have been served."""
        self.tell(many)

    def refused(self, reason: int, number: int) -> None:
        self.tell_refused(reason, number)

    def _dropped(self, many: int) -> None:
        with self._dropping:  # any socket of ours
            self.row.dropped += many

    def _add(self, many: int) -> None:
        for _ in range(many):
            number = self.row.requests = next(self._answered)
            if number == self._most and self.full is not None:
                self.full()

    def accept_failed(self, listener: Listening, error: OSError) -> None:
        self._serving.accept_failed(listener, error)

    def stopped_accepting(self) -> None:
        self.deaf()

    def failed(self, connection: Connection, error: BaseException) -> None:
        self._serving.failed(connection, error)


class Inner(ABC):
    """What serves inside a worker, as its main thread knows it: nothing here waits."""

    @abstractmethod
    def start(self, share: Share, loop: Loop) -> None: ...

    @abstractmethod
    def stop(self, grace: float, quiet: float, done: Callable[[list[str]], object]) -> None:
        """As ``Engine.stop``; ``done`` is called in the main thread, with what was cut."""


class WithThreads(Inner):
    """Any engine that has threads of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, share: Share, loop: Loop) -> None:
        self._loop = loop
        self._engine.start(share)

    def stop(self, grace: float, quiet: float, done: Callable[[list[str]], object]) -> None:
        target = partial(self._stop, grace, quiet, done)
        threading.Thread(target=target, name="portico drain", daemon=True).start()

    def _stop(self, grace: float, quiet: float, done: Callable[[list[str]], object]) -> None:
        cut: list[str] = []
        try:
            cut = self._engine.stop(grace, quiet)
        finally:
            self._loop.call(partial(done, cut))


class Worker:
    """The main thread of a worker. ``run()`` returns when all is over."""

    def __init__(
        self, share: Share, plan: Plan, slot: int, channel: Channel, make: Callable[[], Inner]
    ) -> None:
        self._share = share
        self._plan = plan
        self._slot = slot
        self._channel = channel
        self._make = make
        self._inner: Inner | None = None
        self._loop = Loop()
        self._ending = False
        self._cut: list[str] = []
        self._stops = 0
        self._terminations = 0

    def run(self) -> None:
        name_log_records(f"worker {self._slot}")
        self._loop.on_signal(signal.SIGTERM, self._terminated)
        if self._try(self._prepare) and self._channel.send(prepared=True):
            self._loop.watch(self._channel.fileno(), self._heard)
            self._loop.run()
            self._share.finish()

    def _try(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except BaseException as error:
            log.debug("worker %d (pid %d) cannot start", self._slot, os.getpid(), exc_info=True)
            self._channel.send(failed=told(error))
            return False
        return True

    def _prepare(self) -> None:
        self._share.limit_requests(requests_of(self._plan), self._full)
        self._share.deaf = partial(self._channel.send, deaf=True)
        self._share.prepare()

    def _begin(self) -> None:
        self._inner = self._make()
        self._inner.start(self._share, self._loop)

    def _heard(self) -> None:
        for message in self._channel.receive():
            if "go" not in message:
                self._drain(message["grace"], message["quiet"])
            elif self._try(self._begin):
                self._channel.send(ready=True)
            else:
                self._loop.stop()
        if self._channel.ended and not self._ending:
            log.error("worker %d (pid %d) ends: its supervisor is gone", self._slot, os.getpid())
            self._drain(self._share.grace, self._share.limits.drain_quiet)
        if self._channel.ended:
            self._loop.forget(self._channel.fileno())

    def _full(self) -> None:
        self._channel.send(full=f"it has answered {self._share.row.requests} requests")

    def _terminated(self) -> None:
        self._terminations += 1
        if self._terminations > 1:
            self._drain(0.0, 0.0)
        elif not self._ending:  # else a service manager has told us all, and the supervisor was first
            self._channel.send(leaving=True)
            self._drain(self._share.grace, self._share.limits.drain_quiet)

    def _drain(self, grace: float, quiet: float) -> None:
        self._ending = True
        if self._inner is None:  # it was not let go
            self._loop.stop()
            return
        self._stops += 1
        quiet = min(quiet, grace)
        self._share.row.quiet_until = monotonic() + quiet
        self._inner.stop(grace, quiet, self._stopped)

    def _stopped(self, cut: list[str]) -> None:
        self._cut += [what for what in cut if what not in self._cut]
        self._stops -= 1
        if not self._stops:  # a later call that shortened the first may know less of what was cut
            self._channel.send(cut=self._cut)
            self._loop.stop()


def name_log_records(name: str) -> None:
    """Let ``%(processName)s`` of all log records say who we are."""
    before = logging.getLogRecordFactory()

    def make(*args: Any, **named: Any) -> logging.LogRecord:
        record = before(*args, **named)
        record.processName = name
        return record

    logging.setLogRecordFactory(make)


def _nothing() -> None:
    pass
