"""Where connections are parked: what the engines ``threads`` and ``events`` share.

One thread at a time, the one that leads, polls all parked connections and advances them. ``run()`` goes
where the engine sends it; here is how it goes to a pool thread, which then goes on until there is
something to wait for and parks the connection itself, or leaves it to the leading one, if others stand in
line for the thread. While a thread is inside a connection (``running``), the leading one only leaves word
(``again``).
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import partial
from math import inf
from time import monotonic

from portico.compiled import mypyc_attr
from portico.engines import door
from portico.engines.accepting import Reception
from portico.engines.asking import Asking
from portico.engines.contract import AGAIN, DONE, RUN, Connection, Engine, Listening, Serving
from portico.engines.household import LAST_WORDS, Household
from portico.engines.poller import HANGUP, Poller, make_poller
from portico.engines.pool import Pool
from portico.errors import ConnectionLost, TLSError
from portico.figures import GAUGE, SOURCES, Figure
from portico.limits import Limits

__all__ = ["CONVERSATION_THREADS", "REQUEST_THREADS", "Lot"]

REQUEST_THREADS = 32
"""Requests that may hold a thread at once: enough for handlers that wait for a database."""
CONVERSATION_THREADS = 1000
"""A thread costs about 30 KiB; a thousand talking at once is what threads are for."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Lot(Engine):
    """Parked connections, the poller that watches them, their deadlines, and their end."""

    relistens = True

    _serving: Serving
    _poller: Poller
    _pool: Pool
    _reception: Reception
    _asking: Asking

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._household = Household()
        self._all: set[Connection] = set()
        self._table: dict[int, Connection] = {}  # by descriptor: what the poller watches
        self._woken: deque[Connection | Listening] = deque()
        self._polling = False
        self._drain_wanted = False
        self._draining = False
        self._quiet_until = inf
        self._over = threading.Event()
        self._cut: set[Connection] = set()
        # For conversations where requests are served.
        self._talks = Pool(CONVERSATION_THREADS, inf, self._household.enter)
        self._finished = False
        self._retired = False
        self._left_for_good = threading.Event()

    @property
    def connections(self) -> int:
        return len(self._all)

    @property
    def inside(self) -> bool:
        return self._household.inside

    def figures(self) -> Iterable[Figure]:
        """What the engine can tell of itself, see ``portico.figures``."""
        states = Counter(connection.state for connection in self._all.copy())
        for state, count in states.items():
            yield Figure("portico_connections", count, GAUGE, (("state", state),))
        yield Figure("portico_pool_busy", self._pool.busy, GAUGE)
        yield Figure("portico_pool_size", self._pool.size, GAUGE)
        yield Figure("portico_pool_queue", self._pool.queued, GAUGE)

    # -- beginning and end

    def start(self, serving: Serving) -> None:
        self._serving = serving
        self._tick = _sweep_interval(serving.limits)
        self._next_sweep = 0.0
        self._poller = make_poller()
        self._pool = self._make_pool()
        self._asking = Asking(serving.limits.queue, self._rouse, self._household.enter)
        self._reception = Reception(self._poller, serving, self._begin, self._all.__len__, self.notify)
        SOURCES.add(self)  # now it has what it tells of
        self._reception.open()
        try:
            self._launch()
        except BaseException:
            self._finished = True
            self._pool.close()
            self._poller.close()
            raise

    def relisten(self, listeners: Sequence[Listening]) -> None:
        for listener in listeners:
            self.notify(listener)

    @abstractmethod
    def _make_pool(self) -> Pool:
        """The threads for ``run()``."""

    @abstractmethod
    def _launch(self) -> None:
        """Begin to lead, in a thread of the engine's own. Raises ``ConfigError``."""

    def stop(self, grace: float, quiet: float) -> list[str]:
        with self._lock:
            if self._finished:
                return []
            self._quiet_until = min(self._quiet_until, monotonic() + min(quiet, grace))
            self._drain_wanted = True
        self._poller.wake()
        until = monotonic() + grace
        self._over.wait(grace)
        cut = self._cut_rest()
        cut += [what for what in self._end_tasks(until) if what not in cut]
        self._finish()
        return cut

    def _end_tasks(self, until: float) -> list[str]:
        """What handlers have left ends as they do."""
        return self._household.drain(until)

    def _cut_rest(self) -> list[str]:
        """Cut what is open, and what is taken from a listener in the last moment."""
        cut, until = [], monotonic() + LAST_WORDS
        called_off: set[Connection] = set()
        while not self._over.is_set():
            for connection in self._all.copy() - self._cut:
                self._cut.add(connection)
                cut.append(connection.describe())
                connection.cut()
                self.notify(connection)
            if monotonic() >= until:
                break
            self._over.wait(0.02)
            for connection in self._all.copy() - called_off:
                called_off.add(connection)
                self._call_off(connection)
        return cut

    def _call_off(self, connection: Connection) -> None:
        """Who waits for something else than the connection that was cut is told as well."""
        if connection.running and connection.thread:
            door.THREADS.cancel(connection.thread)

    def _finish(self) -> None:
        """Send every thread home; one that is stuck in user code follows when that returns."""
        SOURCES.discard(self)
        with self._lock:
            self._finished = True
        self._over.set()  # a call of stop() with more grace need not wait any longer
        self._asking.close()
        self._pool.close()
        self._talks.close()
        self._poller.wake()
        self._left_for_good.wait(LAST_WORDS)

    def _retire(self) -> None:
        """Who leads leaves: nothing stays open that no thread is inside."""
        for connection in self._all.copy():
            if not connection.running:
                self._drop(connection)
        with self._lock:
            self._retired = True
        self._poller.close()
        self._left_for_good.set()

    def _drain(self) -> None:
        self._drain_wanted = False
        self._reception.close()
        self._draining = True
        for connection in self._all.copy():
            if connection.question is None:
                self._tell(connection, partial(connection.drain, self._quiet_until))
        self._next_sweep = 0.0
        if not self._all:
            self._over.set()

    # -- what comes

    def notify(self, item: Connection | Listening) -> None:
        """From any thread: look at this again."""
        self._woken.append(item)
        self._rouse()

    def _rouse(self) -> None:
        """From any thread: let the poll end, for there is word."""
        if self._polling:
            self._poller.wake()

    def _poll(self, seconds: float) -> list[tuple[int, int]]:
        self._polling = True
        try:
            # Whoever has left word before the flag was up rang no bell.
            left_word = self._woken or self._asking.answers or self._finished or self._drain_wanted
            return self._poller.poll(0.0 if left_word else seconds)
        finally:
            self._polling = False

    def _find(self, descriptor: int, events: int) -> Connection | None:
        """Whose event it is; a listener's is dealt with at once."""
        connection = self._table.get(descriptor)
        if connection is None:
            self._reception.answers(descriptor)
        elif events & HANGUP and connection.transport.short_read_drains:
            connection.transport.short_read_drains = False
        return connection

    def _leave_word(self, connection: Connection) -> bool:
        with self._lock:
            if connection.running:
                connection.again = True
                if not self._poller.edge:
                    self._unwatch(connection)
            return connection.running

    def _begin(self, connection: Connection) -> None:
        self._all.add(connection)
        if connection.question is None:
            self._welcome(connection)
        elif not self._asking.ask(connection):
            self._give_up(connection, "too many questions are open")

    def _hear(self) -> None:
        """Go on with those whose question has its answer."""
        while self._asking.answers:
            connection, admitted, since = self._asking.answers.popleft()
            if connection not in self._all or connection.transport.closed:
                continue  # cut meanwhile
            connection.question = None
            connection.deadline += monotonic() - since
            if not admitted:
                self._turn_away(connection)
                continue
            self._welcome(connection)
            if self._draining:
                self._tell(connection, partial(connection.drain, self._quiet_until))

    def _give_up(self, connection: Connection, why: str) -> None:
        if connection.question is not None:
            connection.question.give_up(why)
        self._turn_away(connection)

    def _turn_away(self, connection: Connection) -> None:
        connection.transport.abort()
        self._drop(connection)

    def _welcome(self, connection: Connection) -> None:
        connection.notify, connection.aside = self.notify, self._pool.aside
        connection.transport.waiters.add(connection)
        # Most peers ask as soon as they are connected: with luck it is read before it has to be watched.
        self._woken.append(connection)

    # -- run() in the pool

    def _hand(self, connection: Connection) -> bool:
        """Give ``run()`` to a pool thread; refuse it when the queue is full. ``False``: there are no threads
        at all, and a request is better run late than never."""
        connection.running, connection.thread = True, 0
        if connection.conversation or not self._poller.edge:
            self._unwatch(connection)
        # What talks for hours must not take the place of requests.
        pool = self._pool if connection.conversation is self._serving.conversations else self._talks
        if not pool.submit(self._work, connection):
            connection.running = False
            if not connection.conversation and not pool.busy:
                return False
            connection.refuse()
            self.notify(connection)
        return True

    def _work(self, connection: Connection) -> bool:
        """A pool thread's job: run, then go on until there is something to wait for, or to be run."""
        connection.thread = threading.get_ident()
        try:
            if not connection.transport.closed:  # cut while it stood in line
                connection.run()
        except Exception as error:  # noqa: BLE001  (an engine must outlive any bug)
            self._crashed(connection, error)
        else:
            if not self._pool.pressed or not self._hand_back(connection):
                self._after_run(connection)
        return True

    def _hand_back(self, connection: Connection) -> bool:
        """Others stand in line for this thread: let who leads see to it that the answer leaves."""
        with self._lock:
            # Word that was left is news of what has come, such as the next request: it is told once.
            if self._retired or connection.again:
                return False
            connection.running = False
        self.notify(connection)
        return True

    def _after_run(self, connection: Connection) -> None:
        try:
            while not self._left(connection, connection.advance()):
                pass
        except Exception as error:  # noqa: BLE001  (as above)
            self._crashed(connection, error)

    def _left(self, connection: Connection, step: int) -> bool:
        """Whether this thread is through with a connection that no other may enter yet."""
        if step == RUN:
            connection.run()
            return False
        with self._lock:
            if connection.again and step != AGAIN:
                connection.again = False
                return False
            if step != DONE and not self._retired:
                connection.again = False
                self._park(connection, step)
                connection.running = False
                return True
        if step == DONE:
            self._forget(connection)
        else:
            self._drop(connection)
        return True

    # -- parking

    def _settle(self, connection: Connection, step: int) -> None:
        if step == DONE:
            self._forget(connection)
        elif step == AGAIN:
            self._woken.append(connection)
        elif connection.transport.interest(step) != connection.watched:
            with self._lock:
                self._park(connection, step)

    def _park(self, connection: Connection, step: int) -> None:
        """Watch for what the connection waits for. Call with the lock held."""
        if step == AGAIN:
            self.notify(connection)
            return
        descriptor = connection.transport.fileno()
        if descriptor < 0:
            if connection.transport.closed or connection.transport.ready(step):
                self.notify(connection)  # nobody else will say so
            return
        wanted = connection.transport.interest(step)
        before = connection.watched
        if wanted != before:
            # First the table: what is there already is told at once, and once, to whoever polls beside us.
            connection.watched, connection.descriptor = wanted, descriptor
            self._table[descriptor] = connection
            self._poller.watch(descriptor, wanted, before)

    def _unwatch(self, connection: Connection) -> None:
        if connection.watched and self._table.get(connection.descriptor) is connection:
            del self._table[connection.descriptor]
            self._poller.watch(connection.descriptor, 0, connection.watched)
        connection.watched = 0

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            # The descriptor is closed already, and may be another connection's by now.
            if self._table.get(connection.descriptor) is connection:
                del self._table[connection.descriptor]
                if not self._poller.edge:
                    self._poller.watch(connection.descriptor, 0, connection.watched)
        connection.transport.waiters.discard(connection)
        if connection in self._all:
            self._all.discard(connection)
            self._serving.disconnected(connection)
        if self._draining and not self._all:
            self._over.set()

    def _crashed(self, connection: Connection, error: Exception) -> None:
        """What went wrong in a connection's own code costs that connection, and a bug is reported."""
        closed = connection.transport.closed
        self._drop(connection)
        # The peer may go while it is being refused, and stop() may close what is about to be watched.
        if not isinstance(error, (ConnectionLost, TLSError)) and not (closed and isinstance(error, OSError)):
            self._serving.failed(connection, error)

    def _drop(self, connection: Connection) -> None:
        """Cut a connection that no other thread is inside, and let it give back what it holds."""
        try:
            connection.cut()
            connection.advance()
        except Exception as error:  # noqa: BLE001  (as above)
            self._serving.failed(connection, error)
        self._forget(connection)

    # -- time

    def _idle_for(self, now: float) -> float:
        """How long the poll may last; deadlines are looked at first, where it is time."""
        if self._asking.answers:
            self._hear()
        if now >= self._next_sweep or now >= self._reception.resume_at:
            self._sweep(now)
        until = min(self._next_sweep if self._all else inf, self._reception.resume_at)
        return -1.0 if until == inf else max(until - now, 0.0)

    def _sweep(self, now: float) -> None:
        """Deadlines of parked connections. A look at each costs less than keeping them in order."""
        self._next_sweep = now + self._tick
        for connection in self._all.copy():
            if connection.deadline <= now and not connection.running and connection.question is None:
                self._tell(connection, connection.expire)
        for connection in self._asking.overdue(now):
            self._give_up(connection, "it did not answer in time")
        self._reception.resume(now)

    def _tell(self, connection: Connection, word: Callable[[], None]) -> None:
        """Say something to a connection, then look at it again."""
        try:
            word()
        except Exception as error:  # noqa: BLE001  (as above)
            self._crashed(connection, error)
        else:
            self._woken.append(connection)


def _sweep_interval(limits: Limits) -> float:
    """How often to look at deadlines: a quarter of the shortest, within 0.02 and 1 second."""
    times = [getattr(limits, field.name) for field in fields(limits) if "float" in str(field.type)]
    shortest: float = min(value for value in times if value is not None)
    return min(max(shortest / 4, 0.02), 1.0)
