"""The engine ``threads``: any code, many connections.

One thread, the **leader**, polls all parked connections and advances them; what is cheap it runs itself,
as fast as a single-threaded loop. What may hold a thread goes to another:

* conversations (raw stream handlers), always: a thread each, up to the bound, then in line, in order;
* requests of a kind that has blocked of late (``Load``), or while all threads are busy: to the pool, up
  to the bound; beyond it they queue, in order, and beyond ``limits.queue`` they are refused;
* a request that blocks by surprise: the watchdog sees the leader inside one request for longer than a
  tick and makes another thread the leader. The deposed one finishes its request as a pool thread.

Leadership is a term: whoever holds the newest is the leader. What the leader is running lies in its term,
and is taken out either by the leader, when it is done, or by the watchdog; undelivered events are in one
queue, and connections whose request it has run in another, which its successor goes on with. The last
leader gives everything back when it leaves.

A connection whose request was run inline is advanced, which sends the answer, only together with others,
or when ``HOLD`` is over: a peer on the same machine is then woken once for several answers, where waking
it costs more than all the rest of a small answer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from math import inf
from time import monotonic

from portico.engines.contract import RUN, WAIT_READ, Connection, Listening
from portico.engines.lot import CONVERSATION_THREADS, REQUEST_THREADS, Lot
from portico.engines.observe import is_waiting, voluntary_switches
from portico.engines.pool import Pool
from portico.engines.watchdog import Watchdog
from portico.errors import ConfigError
from portico.figures import MAX, Figure
from portico.sockets.transport import READ

__all__ = ["Threads"]

TICK = 0.005
"""Seconds that the leader may be inside one request before another takes over."""
SLOW = 0.001
"""Seconds; a request that takes longer is a reason to expect the same of its kind."""
HOLD = 0.0002
"""Seconds after the beginning of a request in which others are run before its answer leaves."""


class _Term:
    """One thread's time as the leader.

    ``inside`` holds the connection that the leader is running. Taking it out is one atomic step, done by
    the leader when the request has ended, or by the watchdog when it deposes: whoever gets it has won.
    """

    __slots__ = ("inside", "native_id", "thread")

    def __init__(self) -> None:
        self.inside: list[Connection] = []
        self.native_id = self.thread = 0


class Threads(Lot):
    """A leader, a watchdog, and up to ``size`` threads inside user code."""

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ConfigError(f"engine threads:{size}: at least one thread is needed")
        super().__init__()
        self.promotions = 0
        self.longest = 0.0  # seconds that a request took which began on the leader's thread
        self._wanted = size
        self._batch: deque[tuple[int, int]] = deque()
        self._ran: deque[Connection] = deque()  # to be advanced, for a request of theirs has been run
        self._due = 0.0  # when these have to be
        self._term = _Term()
        self._requests = 0  # how many the leaders have run
        self._switches = 0
        self._leaderless = False
        self._watchdog = Watchdog(
            TICK, lambda: self._requests, lambda: bool(self._term.inside), self._depose, self._appoint
        )

    def figures(self) -> Iterable[Figure]:
        yield from super().figures()
        yield Figure("portico_leader_changes_total", self.promotions)
        yield Figure("portico_longest_block_seconds", self.longest, MAX)

    def _make_pool(self) -> Pool:
        if self._serving.conversations:
            return Pool(self._wanted or CONVERSATION_THREADS, inf, self._household.enter)
        return Pool(self._wanted or REQUEST_THREADS, self._serving.limits.queue, self._household.enter)

    def _launch(self) -> None:
        if not self._watchdog.start() or not self._pool.beyond(self._lead, self._term):
            self._watchdog.stop()
            raise ConfigError("engine threads: the system gives no more threads; raise the limit (ulimit -u)")

    def _finish(self) -> None:
        self._watchdog.stop()
        super()._finish()

    # -- the leader

    def _lead(self, term: _Term) -> bool:
        """Lead until deposed (``True``: this thread has become one of the pool's) or finished."""
        term.native_id, term.thread = threading.get_native_id(), threading.get_ident()
        while True:
            for _ in range(len(self._woken)):  # whom these wake waits for the next round
                if not self._look_at(self._woken.popleft(), term):
                    return True
                if self._ran and not self._go_through(term):
                    return True
            if not self._go_through(term):
                return True
            if self._finished:
                self._retire()
                return False
            if self._drain_wanted:
                self._drain()
                continue  # what had come before the end is read before any deadline is looked at
            self._batch.extend(self._poll(self._idle_for(monotonic())))
            self._switches = voluntary_switches()

    def _look_at(self, item: Connection | Listening, term: _Term) -> bool:
        """Go on with what somebody woke. ``False``: deposed while doing so."""
        if isinstance(item, Connection):
            return self._deliver(item, term)
        self._reception.look_at(item)
        return True

    def _go_through(self, term: _Term) -> bool:
        """Deal with all that has come. ``False``: deposed while doing so."""
        batch, ran, table = self._batch, self._ran, self._table
        while batch or ran:
            if batch and (not ran or monotonic() < self._due):
                descriptor, events = batch.popleft()
                connection = table.get(descriptor)
                if connection is None or events != READ:
                    connection = self._find(descriptor, events)
                if connection is None:
                    continue
            else:
                connection = ran.popleft()
            if not self._deliver(connection, term):
                return False
        return True

    def _deliver(self, connection: Connection, term: _Term) -> bool:
        """Go on with a connection. ``False``: deposed while doing so."""
        if connection.running and self._leave_word(connection):
            return True
        try:
            step = connection.advance()
            if step == RUN:
                return self._run(connection, term)
            if step != WAIT_READ or connection.transport.interest(step) != connection.watched:
                self._settle(connection, step)
        except Exception as error:  # noqa: BLE001  (a leader must outlive any bug)
            self._crashed(connection, error)
            term.inside.clear()
            return self._term is term or self._resume(term)
        return True

    def _run(self, connection: Connection, term: _Term) -> bool:
        """Run a request here or in the pool. ``False``: deposed meanwhile."""
        began, pool = monotonic(), self._pool
        blocks = connection.conversation or pool.busy >= pool.size or began < connection.load.until
        if blocks and self._hand(connection):
            return True
        self._requests += 1
        term.inside.append(connection)
        if self._watchdog.resting:
            self._watchdog.rouse()
        connection.run()
        try:
            term.inside.pop()
        except IndexError:
            self.longest = max(self.longest, monotonic() - began)
            self._after_run(connection)
            return self._resume(term)
        if not self._ran:
            self._due = began + HOLD
        self._ran.append(connection)
        ended = monotonic()
        if ended - began > SLOW:
            self._judge(connection, began, ended)
        return True

    def _judge(self, connection: Connection, began: float, now: float) -> None:
        """A request took long on the leader's thread: did it wait, or was it only not given the processor?

        Waiting gives the processor up, which the system counts; being pushed off it does not. While pool
        threads are busy the wait may have been for the interpreter, and says nothing.
        """
        self.longest = max(self.longest, now - began)
        switches = voluntary_switches()
        if switches != self._switches and not self._pool.busy:
            connection.load.slow(now)
        self._switches = switches

    # -- one leader after the other

    def _depose(self, number: int) -> None:
        """The leader has been inside one request for a whole tick: let another thread lead."""
        with self._lock:
            term = self._term
            if self._requests != number or self._finished:
                return
            waiting = is_waiting(term.native_id)
            try:
                connection = term.inside.pop()
            except IndexError:
                return
            connection.running, connection.thread = True, term.thread
            connection.load.rescued(monotonic(), waiting)
            self.promotions += 1
            self._pool.adopt()
            self._term = _Term()
            self._leaderless = not self._pool.beyond(self._lead, self._term)

    def _appoint(self) -> bool:
        """There was no thread to take over: try again, unless the deposed leader is back."""
        with self._lock:
            if self._leaderless:
                self._leaderless = not self._pool.beyond(self._lead, self._term)
                return True
        return False

    def _resume(self, term: _Term) -> bool:
        """A deposed leader leads on when there was no thread to take over. ``False``: there was."""
        with self._lock:  # the watchdog may still be about it
            if not self._leaderless:
                return False
            self._leaderless = False
            self._term = term
        self._pool.release()
        return True
