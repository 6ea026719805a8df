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
queue that its successor goes on with. While a thread is inside a connection (``running``), the leader only
leaves word (``again``). The last leader gives everything back when it leaves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from math import inf
from time import monotonic, sleep

from portico.engines import door
from portico.engines.contract import DONE, RUN, WAIT_READ, Connection, Engine, Listening, Serving
from portico.engines.observe import is_waiting, voluntary_switches
from portico.engines.poller import HANGUP, Poller, make_poller
from portico.engines.pool import Pool
from portico.errors import ConfigError, ConnectionLost, TLSError
from portico.limits import Limits
from portico.sockets.transport import READ

__all__ = ["Threads"]

REQUEST_THREADS = 32
"""Requests that may hold a thread at once: enough for handlers that wait for a database."""
CONVERSATION_THREADS = 1000
"""A thread costs about 30 KiB; a thousand talking at once is what this engine is for."""
TICK = 0.005
"""Seconds that the leader may be inside one request before another takes over."""
SLOW = 0.001
"""Seconds; a request that takes longer is a reason to expect the same of its kind."""
LAST_WORDS = 0.25
"""Seconds that what was cut gets to notice."""
ACCEPT_BATCH = 64
ACCEPT_PAUSE = 0.1
"""Without descriptors, accepting rests for so long: nothing spins, and service resumes."""
_RESTFUL = 20  # ticks without a request, after which the watchdog sleeps until one comes


class _Bell:
    """Wakes the leader when somebody dials a listener that has no descriptor."""

    def __init__(self, engine: Threads, listener: Listening) -> None:
        self._engine = engine
        self._listener = listener

    def wake(self) -> None:
        self._engine.notify(self._listener)


class _Term:
    """One thread's time as the leader.

    ``inside`` holds the connection that the leader is running. Taking it out is one atomic step, done by
    the leader when the request has ended, or by the watchdog when it deposes: whoever gets it has won.
    """

    __slots__ = ("inside", "native_id", "thread")

    def __init__(self) -> None:
        self.inside: list[Connection] = []
        self.native_id = self.thread = 0


class Threads(Engine):
    """A leader, a watchdog, and up to ``size`` threads inside user code."""

    _serving: Serving
    _poller: Poller
    _pool: Pool

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ConfigError(f"engine threads:{size}: at least one thread is needed")
        self.promotions = 0
        self._wanted = size
        self._lock = threading.Lock()
        self._all: set[Connection] = set()
        self._table: dict[int, Connection] = {}  # by descriptor: what the poller watches
        self._listening: dict[int, Listening] = {}
        self._paused: dict[Listening, float] = {}  # until when
        self._bells: dict[Listening, _Bell] = {}
        self._batch: deque[tuple[int, int]] = deque()
        self._woken: deque[Connection | Listening] = deque()
        self._polling = False
        self._term = _Term()
        self._requests = 0  # how many the leaders have run
        self._switches = 0
        self._leaderless = False
        self._watchdog = threading.Event()
        self._watching = False
        self._drain_wanted = False
        self._draining = False
        self._quiet_until = inf
        self._over = threading.Event()
        self._cut: set[Connection] = set()
        self._finished = False
        self._retired = False
        self._led = threading.Event()

    @property
    def connections(self) -> int:
        return len(self._all)

    @property
    def inside(self) -> bool:
        return self._pool.inside

    # -- beginning and end

    def start(self, serving: Serving) -> None:
        self._serving = serving
        self._tick = _sweep_interval(serving.limits)
        self._next_sweep = 0.0
        self._poller = make_poller()
        if serving.conversations:
            self._pool = Pool(self._wanted or CONVERSATION_THREADS, inf)
        else:
            self._pool = Pool(self._wanted or REQUEST_THREADS, serving.limits.queue)
        for listener in serving.listeners:
            self._listen(listener)
        if not self._start_threads():
            self._finished = True
            self._watchdog.set()
            self._poller.close()
            raise ConfigError("engine threads: the system gives no more threads; raise the limit (ulimit -u)")

    def _start_threads(self) -> bool:
        try:
            threading.Thread(target=self._watch, name="portico watchdog", daemon=True).start()
        except RuntimeError:
            return False
        return self._pool.beyond(self._lead, self._term)

    def stop(self, grace: float, quiet: float) -> list[str]:
        with self._lock:
            if self._finished:
                return []
            self._quiet_until = min(self._quiet_until, monotonic() + min(quiet, grace))
            self._drain_wanted = True
        self._poller.wake()
        self._over.wait(grace)
        cut = self._cut_rest()
        self._finish()
        return cut

    def _cut_rest(self) -> list[str]:
        """Cut what is open, and what the leader takes from a listener in the last moment."""
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
            self._call_off(called_off)
        return cut

    def _call_off(self, called_off: set[Connection]) -> None:
        """Who waits for something else than the connection that was cut is told as well, once."""
        for connection in self._all.copy() - called_off:
            if connection.running and connection.thread:
                called_off.add(connection)
                door.THREADS.cancel(connection.thread)

    def _finish(self) -> None:
        """Send every thread home; one that is stuck in user code follows when that returns."""
        with self._lock:
            self._finished = True
        self._over.set()  # a call of stop() with more grace need not wait any longer
        self._pool.close()
        self._watchdog.set()
        self._poller.wake()
        self._led.wait(LAST_WORDS)

    def _retire(self) -> None:
        """The last leader leaves: nothing stays open that no thread is inside."""
        for connection in self._all.copy():
            if not connection.running:
                self._drop(connection)
        with self._lock:
            self._retired = True
        self._poller.close()
        self._led.set()

    # -- the leader

    def _lead(self, term: _Term) -> bool:
        """Lead until deposed (``True``: this thread has become one of the pool's) or finished."""
        term.native_id, term.thread = threading.get_native_id(), threading.get_ident()
        while True:
            for _ in range(len(self._woken)):  # whom these wake waits for the next round
                if not self._look_at(self._woken.popleft(), term):
                    return True
            while self._batch:
                if not self._handle(*self._batch.popleft(), term):
                    return True
            if self._finished:
                self._retire()
                return False
            if self._drain_wanted:
                self._drain()
                continue  # what had come before the end is read before any deadline is looked at
            now = monotonic()
            if now >= self._next_sweep:
                self._sweep(now)
            self._poll(now)

    def _poll(self, now: float) -> None:
        seconds = max(self._next_sweep - now, 0.0) if self._all or self._paused else -1.0
        self._polling = True
        try:
            # Whoever has left word before the flag was up rang no bell.
            left_word = self._woken or self._finished or self._drain_wanted
            events = self._poller.poll(0.0 if left_word else seconds)
        finally:
            self._polling = False
        self._batch.extend(events)
        self._switches = voluntary_switches()

    def notify(self, item: Connection | Listening) -> None:
        """From any thread: look at this again."""
        self._woken.append(item)
        if self._polling:
            self._poller.wake()

    def _look_at(self, item: Connection | Listening, term: _Term) -> bool:
        """Go on with what somebody woke. ``False``: deposed while doing so."""
        if isinstance(item, Connection):
            return self._deliver(item, term)
        if not item.closed:
            self._accept(item)
        return True

    def _handle(self, descriptor: int, events: int, term: _Term) -> bool:
        """Go on with what the poller found. ``False``: deposed while doing so."""
        connection = self._table.get(descriptor)
        if connection is None:
            if descriptor in self._listening:
                self._accept(self._listening[descriptor])
            return True
        if events & HANGUP and connection.transport.short_read_drains:
            connection.transport.short_read_drains = False
        return self._deliver(connection, term)

    def _deliver(self, connection: Connection, term: _Term) -> bool:
        if connection.running and self._leave_word(connection):
            return True
        try:
            return self._advance(connection, term)
        except Exception as error:  # noqa: BLE001  (a leader must outlive any bug)
            self._crashed(connection, error)
            term.inside.clear()
            return self._term is term or self._resume(term)

    def _leave_word(self, connection: Connection) -> bool:
        with self._lock:
            if connection.running:
                connection.again = True
                if not self._poller.edge:
                    self._unwatch(connection)
            return connection.running

    def _advance(self, connection: Connection, term: _Term) -> bool:
        step = connection.advance()
        while step == RUN:
            began = monotonic()
            busy = self._pool.busy >= self._pool.size
            if (connection.conversation or busy or began < connection.load.until) and self._hand(connection):
                return True
            if not self._run_inline(connection, term, began):
                self._after_run(connection)
                return self._resume(term)
            step = connection.advance()
        self._settle(connection, step)
        return True

    def _run_inline(self, connection: Connection, term: _Term, began: float) -> bool:
        """Run a request on the leader's own thread. ``False``: deposed meanwhile."""
        self._requests += 1
        term.inside.append(connection)
        if not self._watching:
            self._watchdog.set()
        connection.run()
        try:
            term.inside.pop()
        except IndexError:
            return False
        ended = monotonic()
        if ended - began > SLOW:
            self._judge(connection, ended)
        return True

    def _resume(self, term: _Term) -> bool:
        """A deposed leader leads on when there was no thread to take over. ``False``: there was."""
        with self._lock:  # the watchdog may still be about it
            if not self._leaderless:
                return False
            self._leaderless = False
            self._term = term
        self._pool.release()
        return True

    def _judge(self, connection: Connection, now: float) -> None:
        """A request took long on the leader's thread: did it wait, or was it only not given the processor?

        Waiting gives the processor up, which the system counts; being pushed off it does not. While pool
        threads are busy the wait may have been for the interpreter, and says nothing.
        """
        switches = voluntary_switches()
        if switches != self._switches and not self._pool.busy:
            connection.load.slow(now)
        self._switches = switches

    def _hand(self, connection: Connection) -> bool:
        """Give ``run()`` to a pool thread; refuse it when the queue is full. ``False``: there are no threads
        at all, and a request is better run late than never."""
        connection.running, connection.thread = True, 0
        if connection.conversation or not self._poller.edge:
            self._unwatch(connection)
        if not self._pool.submit(self._work, connection):
            connection.running = False
            if not connection.conversation and not self._pool.busy:
                return False
            connection.refuse()
            self.notify(connection)
        return True

    def _work(self, connection: Connection) -> bool:
        """A pool thread's job: run, then go on until there is something to wait for."""
        connection.thread = threading.get_ident()
        try:
            if not connection.transport.closed:  # cut while it stood in line
                connection.run()
        except Exception as error:  # noqa: BLE001  (as above)
            self._crashed(connection, error)
        else:
            self._after_run(connection)
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
            if connection.again:
                connection.again = False
                return False
            if step != DONE and not self._retired:
                self._park(connection, step)
                connection.running = False
                return True
        if step == DONE:
            self._forget(connection)
        else:
            self._drop(connection)
        return True

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

    # -- parking

    def _settle(self, connection: Connection, step: int) -> None:
        if step == DONE:
            self._forget(connection)
        elif connection.transport.interest(step) != connection.watched:
            with self._lock:
                self._park(connection, step)

    def _park(self, connection: Connection, step: int) -> None:
        """Watch for what the connection waits for. Call with the lock held."""
        descriptor = connection.transport.fileno()
        if descriptor < 0:
            if connection.transport.closed or connection.transport.ready(step):
                self.notify(connection)  # nobody else will say so
            return
        wanted = connection.transport.interest(step)
        if wanted != connection.watched:
            self._poller.watch(descriptor, wanted, connection.watched)
            connection.watched = wanted
            connection.descriptor = descriptor
            self._table[descriptor] = connection

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

    # -- accepting

    def _listen(self, listener: Listening) -> None:
        descriptor = listener.fileno()
        if descriptor >= 0:
            self._listening[descriptor] = listener
            self._poller.watch(descriptor, READ, 0, level=True)
            return
        if listener not in self._bells:
            self._bells[listener] = _Bell(self, listener)
            listener.waiters.add(self._bells[listener])
        self.notify(listener)

    def _unlisten(self, listener: Listening) -> None:
        descriptor = listener.fileno()
        # Closing would not do: an inherited socket stays open elsewhere, and the poller goes on with it.
        if descriptor >= 0 and self._listening.pop(descriptor, None) is not None:
            self._poller.watch(descriptor, 0, READ)

    def _accept(self, listener: Listening) -> bool:
        """Take who waits. Whether there may be more."""
        if listener in self._paused:
            return False
        for _ in range(ACCEPT_BATCH):
            if len(self._all) >= self._serving.limits.connections:
                self._pause(listener)
                return False
            try:
                transport = listener.accept()
            except OSError as error:
                self._serving.accept_failed(listener, error)
                self._pause(listener)
                return False
            if transport is None:
                return False
            connection = self._serving.connected(transport)
            if connection is not None:
                self._begin(connection)
        if listener.fileno() < 0:
            self.notify(listener)
        return True

    def _begin(self, connection: Connection) -> None:
        self._all.add(connection)
        connection.notify = self.notify
        connection.transport.waiters.add(connection)
        try:
            if connection.conversation or connection.transport.fileno() < 0:
                self._woken.append(connection)
            else:
                self._settle(connection, WAIT_READ)
        except OSError as error:  # the poller takes no more
            self._crashed(connection, error)

    def _pause(self, listener: Listening) -> None:
        self._unlisten(listener)
        until = monotonic() + ACCEPT_PAUSE
        self._paused[listener] = until
        self._next_sweep = min(self._next_sweep, until)

    # -- time

    def _sweep(self, now: float) -> None:
        """Deadlines of parked connections. A look at each costs less than keeping them in order."""
        self._next_sweep = now + self._tick
        for connection in self._all.copy():
            if connection.deadline <= now and not connection.running:
                self._tell(connection, connection.expire)
        for listener, until in tuple(self._paused.items()):
            if until <= now:
                del self._paused[listener]
                self._listen(listener)
            else:
                self._next_sweep = min(self._next_sweep, until)

    def _tell(self, connection: Connection, word: Callable[[], None]) -> None:
        """Say something to a connection, then look at it again."""
        try:
            word()
        except Exception as error:  # noqa: BLE001  (as above)
            self._crashed(connection, error)
        else:
            self._woken.append(connection)

    def _drain(self) -> None:
        self._drain_wanted = False
        self._paused.clear()
        for listener in self._serving.listeners:
            if not listener.closed:
                self._accept_last(listener)
                self._unlisten(listener)
                listener.close()
        self._paused.clear()
        self._draining = True
        for connection in self._all.copy():
            self._tell(connection, partial(connection.drain, self._quiet_until))
        self._next_sweep = 0.0
        if not self._all:
            self._over.set()

    def _accept_last(self, listener: Listening) -> None:
        """Who came before the end is still served: at most as many as the kernel could hold."""
        for _ in range(self._serving.limits.backlog // ACCEPT_BATCH + 1):
            if not self._accept(listener):
                return

    # -- the watchdog

    def _watch(self) -> None:
        seen = resting = 0
        while not self._finished:
            if resting > _RESTFUL:
                self._rest(seen)
                resting = 0
            sleep(TICK)
            number, inside = self._requests, bool(self._term.inside)
            resting = 0 if inside or number != seen else resting + 1
            if inside and number == seen:
                self._depose(number)
            elif self._leaderless:
                resting = 0
                self._appoint()
            seen = number

    def _rest(self, seen: int) -> None:
        self._watching = False
        self._watchdog.clear()
        # A request that began before the flag was down rang no bell.
        if self._requests == seen and not self._term.inside and not self._finished:
            self._watchdog.wait()
        self._watching = True

    def _appoint(self) -> None:
        """There was no thread to take over: try again, unless the deposed leader is back."""
        with self._lock:
            if self._leaderless:
                self._leaderless = not self._pool.beyond(self._lead, self._term)

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


def _sweep_interval(limits: Limits) -> float:
    """How often to look at deadlines: a quarter of the shortest, within 0.02 and 1 second."""
    times = [getattr(limits, field.name) for field in fields(limits) if "float" in str(field.type)]
    shortest: float = min(value for value in times if value is not None)
    return min(max(shortest / 4, 0.02), 1.0)
