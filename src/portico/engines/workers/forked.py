"""One connection in a process of its own: what a child of ``Forking`` does."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from time import monotonic, sleep
from typing import Any

from portico.engines import door
from portico.engines.contract import Connection
from portico.engines.door import Task
from portico.engines.drive import admitted, drive
from portico.engines.household import Household
from portico.engines.workers.worker import Share
from portico.errors import Cancelled

__all__ = ["UNANSWERED", "Forked"]

UNANSWERED = signal.SIGALRM
"""Ends a child whose question has had its time."""
_MARGIN = 0.1  # seconds for a question that can end by itself to do so
_TOLD_TWICE = 3
"""SIGTERMs by which a child knows that somebody insists: a service manager's goes to all, and the parent's
comes on top of it."""


class Forked:
    """Made in the parent; ``serve`` and ``terminated`` are called in the child. ``report`` leads back."""

    def __init__(self, share: Share, connection: Connection, report: int) -> None:
        self._share = share
        self._connection = connection
        self._question = connection.question
        self._report = report
        self._parent = os.getpid()
        self._waiter: door.ThreadWaiter | None = None
        self._quiet_until: float | None = None
        self._terminations = 0
        self._alone = False
        self._answered = 0
        self._refusals: Counter[int] = Counter()

    def serve(self) -> None:
        self._waiter = door.THREADS.waiter()
        self._share.tell = self._count
        self._share.tell_refused = self._count_refused
        household = Household()
        household.enter()
        try:
            if self._admitted():
                drive(self._connection, lambda: self._quiet_until)
            while left := household.tasks:  # which would end with this process
                _see_end(left[0])
        except BaseException as error:  # noqa: BLE001  (what is wrong with one connection ends here)
            self._connection.cut()
            self._connection.advance()
            if not isinstance(error, Cancelled):
                self._share.failed(self._connection, error)
        self._say("")

    def _admitted(self) -> bool:
        """Whether the connection may begin. A child stuck in the code that says so can only be ended."""
        if self._question is None:
            return True
        self._question.silent = True
        signal.signal(UNANSWERED, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(self._question.until - monotonic(), 0.0) + _MARGIN)
        try:
            return admitted(self._connection)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _count(self, many: int) -> None:
        self._answered += many

    def _count_refused(self, reason: int, number: int) -> None:
        self._refusals[reason] += 1

    def terminated(self) -> None:
        """SIGTERM: to finish what is begun; to leave it, when our parent says so, or somebody insists."""
        self._terminations += 1
        if self._share.row.cutting or self._terminations >= _TOLD_TWICE:
            self._leave()
            return
        # Zero: told before our parent was.
        quiet_until = self._share.row.quiet_until
        self._quiet_until = quiet_until or monotonic() + self._share.limits.drain_quiet
        if not self._alone and os.getppid() != self._parent:  # nobody will come to say that it is enough
            self._alone = True
            threading.Thread(target=self._give_up, daemon=True).start()
        if self._waiter is not None:
            self._waiter.wake()

    def _leave(self) -> None:
        self._say(self._connection.describe())
        self._connection.cut()
        if self._waiter is not None:
            self._waiter.cancel()

    def _give_up(self) -> None:
        sleep(self._share.grace)
        os._exit(1)

    def _say(self, cut: str) -> None:
        answered, self._answered = self._answered, 0
        question = self._question
        refused = [why[:300] for why in (question and question.refused) or ()]
        refusals, self._refusals = list(self._refusals.items()), Counter()
        line = json.dumps([os.getpid(), answered, cut[:1000], refused, refusals]).encode() + b"\n"
        try:
            os.write(self._report, line)  # shorter than PIPE_BUF: no other's line gets into it
        except OSError:
            pass  # our parent is gone, and nobody counts any more


def _see_end(task: Task[Any]) -> None:
    """Wait until it has ended, in whatever way. Raises ``Cancelled`` when we are told to leave."""
    me = door.waiter()
    task.tell(me)
    while not task.done:
        door.park(me, f"waiting for {task.name}, which the handler has left")
