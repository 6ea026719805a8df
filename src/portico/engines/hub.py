"""A hub: many greenlets in one thread, each running plain blocking code, and one loop that waits for all.

A **strand** is such a greenlet. Where it must wait it switches to the loop, which polls and switches to
whoever can go on. Sockets are registered once, edge-triggered: an event that nobody waits for is kept in
its ``_Watch`` until somebody does, so that none is lost, and a wait costs no system call of its own.
All state belongs to the hub's thread; others only append to ``_woken``.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from time import monotonic
from typing import Any, TypeVar

from greenlet import getcurrent

from portico.deadline import check, expired, expiry, in_force, settle
from portico.engines.door import Door, Task, enter, leave, refuse_asyncio
from portico.engines.poller import BROKEN, HANGUP, Poller, make_poller
from portico.engines.pool import Pool
from portico.engines.strand import Alarm, Strand
from portico.engines.watchdog import Watchdog
from portico.errors import Cancelled, LocalProtocolError
from portico.sockets.transport import READ, WRITE, SocketTransport, Transport, Waitable, Waiter

__all__ = ["Hub"]

log = logging.getLogger("portico.engines")

T = TypeVar("T")

BLOCKING_THREADS = 32
"""Calls of ``run_blocking`` that may hold a thread at once; the rest waits in line."""
LAST_WORDS = 0.25
"""Seconds that what is called off at the end gets to notice."""
PATIENCE = 1000
"""Waits refused to a strand at the end before it is left behind: it would hold the thread for ever."""
STALE = 64
"""So many alarms that ring for nobody may lie in the heap, or as many as the others."""
_READY = READ | WRITE
_modules = sys.modules


class _Watch:
    """A transport that the poller watches, and which strands wait for it; nearly always at most one.

    ``ready``: what has come while nobody waited for it.
    """

    __slots__ = ("descriptor", "hub", "others", "plain", "ready", "strand", "transport", "wants")

    def __init__(self, hub: Hub, transport: Waitable, descriptor: int) -> None:
        self.hub = hub
        self.transport = transport
        self.descriptor = descriptor
        self.plain = type(transport) is SocketTransport  # its interest is what is wanted of it
        self.ready = 0
        self.strand: Strand | None = None
        self.wants = 0
        self.others: list[tuple[Strand, int]] = []

    def enlist(self, strand: Strand, wants: int) -> None:
        if self.strand is None:
            self.strand, self.wants = strand, wants
        else:
            self.others.append((strand, wants))

    def delist(self, strand: Strand) -> None:
        if self.strand is strand:
            self.strand = None
        elif self.others:
            self.others = [pair for pair in self.others if pair[0] is not strand]

    def wake(self) -> None:
        """The transport was closed, by whatever thread: nobody must go on waiting for it."""
        for strand in self.strands():
            strand.wake()
        if self.transport.closed:
            self.hub._wake(self)

    def strands(self) -> list[Strand]:
        first = self.strand
        return [*([] if first is None else [first]), *(strand for strand, _ in self.others)]

    def wanted(self) -> int:
        wants = 0 if self.strand is None else self.wants
        for _, other in self.others:
            wants |= other
        return wants


class Hub(Door):
    """The loop of one thread, and its door. Made in the thread it belongs to; see ``running``."""

    def __init__(self, poller: Poller | None = None) -> None:
        self.main = getcurrent()
        self.thread = threading.get_ident()
        self.native_id = threading.get_native_id()
        self.poller: Poller = poller or make_poller()
        self._own_poller = poller is None
        self.watchdog: Watchdog | None = None
        self._edge = self.poller.edge
        self.polling = False
        self.resumed = 0  # how often a strand was; for who watches that the loop turns
        self.current: object = None  # what is being run
        self.strands: set[Strand] = set()
        self.stranger: Callable[[int, int], None] = _ignore  # gets events of descriptors that are not ours
        self.turn: Callable[[], float] = _nothing_due  # called before each poll: how long that may last
        self._table: dict[int, _Watch] = {}
        self._ready: deque[Strand] = deque()
        self._woken: deque[Strand | _Watch] = deque()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._stale = 0  # how many of them nobody waits for any more
        self._order = count()
        self._pool: Pool | None = None
        self._closing = False
        self._refused = 0  # how many waits of the strand that is being ended
        self._switch = self.main.switch
        self.root: Strand | None = None  # whom the keyboard interrupts

    # -- the loop

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Make this the door of its thread; at the end everything that still runs is called off."""
        before = enter(self)
        try:
            yield
        finally:
            try:
                self._call_off()
            finally:
                leave(before)
                self.root = self.current = None  # no circle, or what ended here is freed late
                if self._own_poller:
                    self.poller.close()
                if self._pool is not None:
                    self._pool.close()

    def loop(self, over: Callable[[], bool]) -> None:
        """Turn until ``over()``; asked once a turn."""
        table = self._table
        while True:
            if self._woken:
                self._wake_up()
            for _ in range(len(self._ready)):  # who gets ready meanwhile has the next turn
                self.resume(self._ready.popleft())
            if self._alarms:
                self._ring(monotonic())
            if over():
                return
            seconds = self.turn()
            if self._alarms:  # looked at now: whoever was resumed in the turn may have set one
                left = max(self._alarms[0][0] - monotonic(), 0.0)
                seconds = left if seconds < 0 else min(left, seconds)
            self.current = watch = strand = None  # what ended is not kept for as long as nothing comes
            found = self._poll(seconds)
            if self.watchdog is not None and self.watchdog.resting:
                self.watchdog.rouse()
            for descriptor, events in found:
                watch = table.get(descriptor)
                if watch is None:
                    self.stranger(descriptor, events)
                    continue
                watch.transport.drained = False
                strand = watch.strand
                if events & HANGUP or watch.others:
                    self._dispatch(watch, events)
                elif strand is not None and watch.wants & events:
                    # As resume() does, written out: this is what a hub spends its life with.
                    watch.strand = None
                    strand._got = events
                    strand._waiting = False
                    self.resumed += 1
                    self.current = strand
                    strand.switch()
                else:
                    watch.ready |= events

    def make(self, job: Callable[[Any], object], name: object) -> Strand:
        """A new strand, in an empty context, that begins with its first ``resume``.

        It calls ``job(name)``, and not a ``partial``: while a strand waits, it keeps its part of the C stack,
        and each call through C adds a third to that.
        """
        strand = Strand(self, job, name)
        self.strands.add(strand)
        strand._waiting = True
        return strand

    def start(self, job: Callable[[Any], object], name: object, context: contextvars.Context) -> Strand:
        """A new strand in a context of its own, that begins at the loop's next turn."""
        strand = self.make(job, name)
        strand.gr_context = context
        self._ready.append(strand)
        return strand

    def resume(self, strand: Strand) -> None:
        """Switch to a strand that waits, for the loop's own code."""
        if strand._waiting:
            strand._waiting = False
            self.resumed += 1
            self.current = strand
            strand.switch()

    def _poll(self, seconds: float) -> list[tuple[int, int]]:
        self.polling = True
        try:
            # Whoever has left word before the flag was up rang no bell.
            return self.poller.poll(0.0 if self._ready or self._woken else seconds)
        finally:
            self.polling = False

    def _dispatch(self, watch: _Watch, events: int) -> None:
        if events & HANGUP:
            if isinstance(watch.transport, Transport):
                watch.transport.short_read_drains = False
            if events & BROKEN:
                events |= _READY
        strand = watch.strand
        if strand is not None and watch.wants & events:
            watch.strand = None
            strand._got = events
            self.resume(strand)
        elif not watch.others:
            watch.ready |= events & _READY
        if watch.others:
            self._dispatch_others(watch, events)

    def _dispatch_others(self, watch: _Watch, events: int) -> None:
        met = [strand for strand, wants in watch.others if wants & events]
        watch.others = [pair for pair in watch.others if pair[0] not in met]
        if not met:
            watch.ready |= events & _READY
        for strand in met:
            strand._got = events
            self.resume(strand)

    def _wake_up(self) -> None:
        for _ in range(len(self._woken)):
            item = self._woken.popleft()
            if isinstance(item, _Watch):
                self._forget(item)
                continue
            item._rung = False  # first: who wakes it from now on has news
            if item._waiting:
                self.resume(item)
            else:
                item._woken = True

    def _wake(self, item: Strand | _Watch) -> None:
        self._woken.append(item)
        if self.polling:
            self.poller.wake()

    def _ring(self, now: float) -> None:
        """Resume whose time is over. An alarm that is early by now is set anew."""
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heappop(self._alarms)[2]
            strand = alarm.strand
            if strand is None:
                self._stale -= 1
                continue
            strand._alarm = None
            if not strand._waiting:
                continue
            if strand._until <= now:
                self.resume(strand)
            elif strand._until != inf:
                self._set_alarm(strand, strand._until)

    def _set_alarm(self, strand: Strand, at: float) -> None:
        self._drop_alarm(strand)
        strand._alarm = Alarm(at, strand)
        heappush(self._alarms, (at, next(self._order), strand._alarm))

    def _drop_alarm(self, strand: Strand) -> None:
        """Its alarm stays in the heap, and rings for nobody, until there are too many such."""
        if strand._alarm is None:
            return
        strand._alarm.strand = None
        strand._alarm = None
        self._stale += 1
        if self._stale > STALE and 2 * self._stale > len(self._alarms):
            self._alarms = [each for each in self._alarms if each[2].strand is not None]
            heapify(self._alarms)
            self._stale = 0

    def _ended(self, strand: Strand) -> None:
        self.strands.discard(strand)
        self._drop_alarm(strand)

    def _call_off(self) -> None:
        """The end: every strand is cancelled, has a moment for its clean-up, then cannot wait any more."""
        for strand in tuple(self.strands):
            strand.cancel()
        until = monotonic() + LAST_WORDS
        self.turn = lambda: max(until - monotonic(), 0.0)
        try:
            self.loop(lambda: not self.strands or monotonic() >= until)
        finally:
            self._closing = True
            while self.strands:
                self._end(self.strands.pop())
            for watch in self._table.values():
                watch.transport.waiters.discard(watch)  # it may live on, at other doors

    def _end(self, strand: Strand) -> None:
        strand._waiting = False
        self._refused = 0
        if strand:
            strand.throw(Cancelled("the hub has ended"))
        else:
            # Not begun: what is thrown now would come out here, and whoever joins it would wait for ever.
            strand.switch()

    # -- the door

    def wait(self, transport: Waitable, events: int, doing: str) -> int:
        me = getcurrent()
        if type(me) is not Strand:
            me = self._me(doing)
        descriptor = transport.fileno()
        watch = self._table.get(descriptor)
        if watch is None or watch.transport is not transport:
            if descriptor < 0:
                return self._wait_unwatched(me, transport, events, doing)
            if transport.closed:
                return 0
            watch = self._watch(transport, descriptor)
        wanted = events if watch.plain else transport.interest(events)
        if watch.ready & wanted:
            watch.ready &= ~wanted
            return events
        if watch.strand is None:
            watch.strand, watch.wants = me, wanted
        else:
            watch.others.append((me, wanted))
        if not self._edge:
            self._arm(watch)
        me._got = 0
        try:
            # Whoever closes it says so first, and looks for waiters then.
            if transport.closed:
                return 0
            # As _suspend does, written out: most waits are such.
            if "asyncio.events" in _modules:
                refuse_asyncio(doing)
            if me._thrown is not None or self._closing:
                self._raise_thrown(me)
            me._until = until = inf if in_force() is None else expiry()
            if until != inf and ((alarm := me._alarm) is None or until < alarm.at):
                self._set_alarm(me, until)
            me._waiting = True
            self._switch()
            if me._thrown is not None:
                self._raise_thrown(me)
            if until != inf and not me._got and until <= monotonic():
                raise expired(doing)
            return events if me._got and not transport.closed else 0
        finally:
            if not me._got:
                watch.delist(me)
            if not self._edge:
                self._arm(watch)

    def wait_any(self, wanted: Sequence[tuple[Waitable, int]], doing: str) -> list[int]:
        me = self._me(doing)
        watches = [self._watch_of(transport) for transport, _ in wanted]
        for watch, (transport, events) in zip(watches, wanted, strict=True):
            self._enlist(me, watch, transport, events)
        try:
            ready = self._ready_of(watches, wanted)
            if not any(ready) and not any(transport.closed for transport, _ in wanted):
                self._suspend(me, doing)
                ready = self._ready_of(watches, wanted, me)
            return ready
        finally:
            for watch, (transport, _) in zip(watches, wanted, strict=True):
                transport.waiters.discard(me)
                if watch is not None:
                    watch.delist(me)
                    if not self._edge:
                        self._arm(watch)

    def waiter(self) -> Waiter:
        return self._me("waiting")

    def park(self, waiter: Waiter, doing: str) -> None:
        me = self._me(doing)
        if me._woken:
            me._woken = False
            self._raise_thrown(me)
            return
        self._suspend(me, doing)

    def sleep(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"sleep({seconds!r}): expected seconds, zero or more")
        check("sleeping")
        if seconds == 0:
            self.breathe()
            return
        me, end = self._me("sleeping"), monotonic() + seconds
        while True:
            self._suspend(me, "sleeping", end)
            if monotonic() >= end:
                return

    def spawn(self, function: Callable[..., T], *args: Any, name: str = "") -> Task[T]:
        if self._closing:
            raise Cancelled("the hub has ended: no task can begin")
        task: Task[T] = Task(name or getattr(function, "__name__", "task"))
        context = contextvars.copy_context()
        context.run(settle)
        body = partial(self._body, function, args)
        self.start(partial(_begin, [partial(task._run, self._canceller, body)]), task.name, context)
        return task

    def _canceller(self) -> Callable[[], None]:
        return self._me("starting").cancel

    def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        if self._pool is None:
            self._pool = Pool(BLOCKING_THREADS, inf)
        task: Task[T] = Task(getattr(function, "__name__", "blocking code"))
        context = contextvars.copy_context()
        context.run(settle)
        body = partial(context.run, function, *args)

        def work(_: object) -> bool:
            task._run(lambda: _do_nothing, body)
            return True

        if not self._pool.submit(work, None):
            return function(*args)  # no threads at all: late is better than never
        return task.join()

    def _body(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            return function(*args)
        except KeyboardInterrupt:
            if self.root is not None and self.root is not getcurrent():
                self.root.interrupt(KeyboardInterrupt())  # a key was pressed, in the middle of anybody's work
            raise

    def breathe(self) -> None:
        me = self._me("going on")
        refuse_asyncio("going on")
        if self._closing:
            self._raise_thrown(me)
        me._waiting = True
        self._ready.append(me)
        self._switch()
        self._raise_thrown(me)

    # -- inside

    def _me(self, doing: str) -> Strand:
        me = getcurrent()
        if type(me) is not Strand or me.hub is not self:
            raise LocalProtocolError(f"{doing} would block the hub itself; only its strands may wait")
        return me

    def _suspend(self, me: Strand, doing: str, end: float = inf) -> None:
        """Switch to the loop until resumed. Raises ``Timeout`` at the deadline, and what was thrown."""
        if "asyncio.events" in _modules:
            refuse_asyncio(doing)
        me._got = 0
        if me._thrown is not None or self._closing:
            self._raise_thrown(me)
        deadline = inf if in_force() is None else expiry()
        me._until = until = min(end, deadline)
        if until != inf:
            alarm = me._alarm
            if alarm is None or until < alarm.at:
                self._set_alarm(me, until)
        me._waiting = True
        self._switch()
        if me._thrown is not None:
            self._raise_thrown(me)
        if deadline != inf and not me._got and deadline <= monotonic():
            raise expired(doing)

    def _raise_thrown(self, me: Strand) -> None:
        error, me._thrown = me._thrown, None
        if error is None and self._closing:
            self._refused += 1
            if self._refused > PATIENCE:
                log.error("%s is left behind: it does not let itself be called off", me.name)
                self._switch()  # for ever
            error = Cancelled("the hub has ended")
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads to this frame: no circle

    def _wait_unwatched(self, me: Strand, transport: Waitable, events: int, doing: str) -> int:
        """For what the kernel does not know: memory. It wakes us itself."""
        transport.waiters.add(me)
        try:
            if transport.closed:
                return 0
            if ready := transport.ready(events):
                return ready
            self._suspend(me, doing)
            return self._ready_of((None,), ((transport, events),))[0]
        finally:
            transport.waiters.discard(me)

    def _watch_of(self, transport: Waitable) -> _Watch | None:
        descriptor = transport.fileno()
        if descriptor < 0:
            return None
        watch = self._table.get(descriptor)
        if watch is None or watch.transport is not transport:
            watch = self._watch(transport, descriptor)
        return watch

    def _watch(self, transport: Waitable, descriptor: int) -> _Watch:
        before = self._table.get(descriptor)
        # Whoever closes a transport says so first, unless nobody else knew it (an attempt to connect).
        same = before is not None and before.transport.fileno() == descriptor and not before.transport.closed
        known = _READY if same else 0
        watch = _Watch(self, transport, descriptor)
        if self._edge:
            try:
                self.poller.watch(descriptor, _READY, known)
            except PermissionError:  # epoll watches no regular files, because they are always ready
                watch.ready = _READY
                return watch
        self._table[descriptor] = watch
        transport.waiters.add(watch)
        return watch

    def _enlist(self, me: Strand, watch: _Watch | None, transport: Waitable, events: int) -> None:
        if watch is None:
            transport.waiters.add(me)
        else:
            watch.enlist(me, transport.interest(events))
            if not self._edge:
                self._arm(watch)

    def _ready_of(
        self,
        watches: Sequence[_Watch | None],
        wanted: Sequence[tuple[Waitable, int]],
        me: Strand | None = None,
    ) -> list[int]:
        ready = []
        for watch, (transport, events) in zip(watches, wanted, strict=True):
            if transport.closed:
                ready.append(0)
            elif watch is None:
                ready.append(transport.ready(events))
            else:
                ready.append(self._taken(watch, transport, events, me))
        return ready

    def _taken(self, watch: _Watch, transport: Waitable, events: int, me: Strand | None) -> int:
        wants = transport.interest(events)
        got = watch.ready & wants
        watch.ready &= ~wants
        # Whoever was resumed by a watch is not in its list any more.
        if me is not None and watch.strand is not me and all(pair[0] is not me for pair in watch.others):
            got |= me._got & wants
        return (got & events or events) if got else 0

    def _arm(self, watch: _Watch) -> None:
        """Where events are levels, only what somebody waits for is watched, and only so long."""
        try:
            self.poller.watch(watch.descriptor, 0 if watch.transport.closed else watch.wanted(), 0)
        except PermissionError:  # as in _watch
            watch.ready = _READY

    def release(self, transport: Waitable) -> None:
        """Strands are through with a transport that lives on: its events are for whoever watches it next."""
        watch = self._table.get(transport.fileno())
        if watch is not None and watch.transport is transport:
            transport.waiters.discard(watch)
            self._forget(watch)

    def _forget(self, watch: _Watch) -> None:
        if self._table.get(watch.descriptor) is watch:
            del self._table[watch.descriptor]


def _ignore(descriptor: int, events: int) -> None:
    pass


def _nothing_due() -> float:
    return -1.0


def _begin(jobs: list[Callable[[], object]], name: str) -> None:
    jobs.pop()()  # not kept here: the traceback of what it raises leads to this frame


def _do_nothing() -> None:
    pass
