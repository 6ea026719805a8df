"""The one place where a wait happens.

Whatever blocks in Portico goes through the door of the engine it runs on; where engines differ is this,
and nothing else. ``current()`` finds the door of the calling code, and the functions of this module are
the short way to it:

* ``wait(transport, events, doing)``: until the transport may be read or written;
* ``wait_any(wanted, doing)``: until one of several may;
* ``park(waiter, doing)``: until somebody, in any thread, calls ``waiter.wake()``; locks, queues and
  name look-ups are built on it, once for all engines;
* ``sleep``, ``spawn`` (a task beside this one, with ``join`` and ``cancel``), ``run_blocking`` (code
  that would hold up a hub).

Rules, each with a test: the deadline in force bounds every wait; every wait may return early, so callers
try again in a loop; closing a transport wakes its waiters before the descriptor goes (closing it would
wake neither ``poll`` nor ``epoll``); cancellation is ``Cancelled``, raised at a wait, once a ``cancel()``.
"""

from __future__ import annotations

import contextvars
import logging
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from portico.deadline import check, expired, expiry, in_force, settle
from portico.engines.readiness import descriptors, ready_now, ready_of
from portico.engines.thread_waiter import ThreadWaiter, make_waiter
from portico.errors import Cancelled, LocalProtocolError
from portico.sockets.transport import Waitable, Waiter

__all__ = [
    "KEEPER",
    "THREADS",
    "Door",
    "Keeper",
    "Task",
    "ThreadDoor",
    "ThreadWaiter",
    "breathe",
    "current",
    "enter",
    "leave",
    "park",
    "refuse_asyncio",
    "run_blocking",
    "sleep",
    "spawn",
    "wait",
    "wait_any",
    "waiter",
]

log = logging.getLogger("portico.engines")

T = TypeVar("T")
_modules = sys.modules


class Door(ABC):
    """What an engine offers to blocking code. One instance serves many threads or greenlets."""

    @abstractmethod
    def wait(self, transport: Waitable, events: int, doing: str) -> int:
        """Block until one of ``events`` is possible; the ready ones, or 0 after an early wake.

        Raises ``Timeout`` (naming ``doing``) and ``Cancelled``.
        """

    @abstractmethod
    def wait_any(self, wanted: Sequence[tuple[Waitable, int]], doing: str) -> list[int]:
        """Block until one of several is ready: their ready events, in order (0: not yet)."""

    @abstractmethod
    def waiter(self) -> Waiter:
        """The waiter of the calling thread or greenlet, to be parked and to be woken.

        Beside ``wake()`` it has ``cancel()``, which lets the present or next wait raise ``Cancelled``,
        and ``cancelled``, which tells that it is still to come.
        """

    @abstractmethod
    def park(self, waiter: Waiter, doing: str) -> None:
        """Block until ``waiter.wake()``; a wake that came before is not lost."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Block for so long. Raises ``Timeout`` at the deadline when that comes first."""

    @abstractmethod
    def spawn(self, function: Callable[..., T], *args: Any, name: str = "") -> Task[T]:
        """Run a function beside the caller; it inherits context variables, deadlines included."""

    @abstractmethod
    def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Call what may block outside Portico (disk, C code) without holding up others."""

    def breathe(self) -> None:
        """Let others go first, where code that never waits would hold them up. Raises ``Cancelled``."""
        return


class Task(Generic[T]):
    """A function running beside its starter. What it raises, ``join()`` tells; else it is logged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self.told = False  # somebody has heard, or will hear, of the error
        self._joining: set[Waiter] = set()
        self._cancelling = threading.Lock()
        self._canceller: Callable[[], None] | None = None
        self._cancel_early = False

    def join(self) -> T:
        """Wait for the end: the function's value, or the exception that it raised."""
        self.wait()
        if self._error is None:
            return self._value  # type: ignore[return-value]
        self.told = True
        try:
            raise self._error
        finally:
            # The error's traceback leads to this frame: no circle, or what failed is freed late.
            del self

    def wait(self) -> None:
        """Wait for the end, whatever it is; of an error nobody has heard then."""
        me = waiter()
        self._joining.add(me)
        try:
            while not self.done:
                park(me, f"waiting for {self.name} to end")
        finally:
            self._joining.discard(me)

    def tell(self, waiter: Waiter) -> None:
        """Wake somebody, who need not be waiting, at the end; now if that has come."""
        self._joining.add(waiter)
        if self.done:
            waiter.wake()

    def cancel(self) -> None:
        """Let the task's present (or next) wait raise ``Cancelled``. From any thread."""
        with self._cancelling:
            if self._canceller is None:
                self._cancel_early = not self.done
            else:
                self._canceller()

    def _attach(self, canceller: Callable[[], None]) -> None:
        """The task has something to be cancelled by: now, if that was asked for before it ran."""
        with self._cancelling:
            self._canceller = canceller
            if self._cancel_early:
                canceller()

    def _run(self, find_canceller: Callable[[], Callable[[], None]], body: Callable[[], T]) -> None:
        try:
            self._attach(find_canceller())
            self._value = body()
        except BaseException as error:  # noqa: BLE001  (join() raises it)
            self._error = error
        with self._cancelling:
            # A task that is kept for its value must not keep its waiter's descriptor.
            self._canceller = None
            self.done = True
        for each in tuple(self._joining):
            each.wake()
        del self, body  # as in join()

    def __repr__(self) -> str:
        state = "running" if not self.done else "done" if self._error is None else "failed"
        return f"<Task {self.name}: {state}>"

    def __del__(self) -> None:
        error = getattr(self, "_error", None)
        if error is None or self.told or isinstance(error, Cancelled) or sys.is_finalizing():
            return
        log.error("the task %s failed, and nobody joined it: %r", self.name, error, exc_info=error)


class ThreadDoor(Door):
    """The door of code that has a thread to itself: ``poll()`` and a waiter per thread."""

    def __init__(self) -> None:
        self.forget_waiters()

    def waiter(self) -> ThreadWaiter:
        try:
            mine: ThreadWaiter = self._mine.waiter
        except AttributeError:
            mine = self._mine.waiter = self._waiters[threading.get_ident()] = make_waiter()
        return mine

    def cancel(self, thread: int) -> None:
        """Let the present (or next) wait of a thread raise ``Cancelled``; nothing if it never waited here."""
        waiter = self._waiters.get(thread)
        if waiter is not None:
            waiter.cancel()

    def forget_waiters(self) -> None:
        """After a fork: the child must not share its parent's wakes."""
        self._mine = threading.local()
        self._waiters: WeakValueDictionary[int, ThreadWaiter] = WeakValueDictionary()

    def wait(self, transport: Waitable, events: int, doing: str) -> int:
        # As wait_any, for the one transport of almost every wait: less than half the time.
        if "asyncio.events" in _modules:
            refuse_asyncio(doing)
        me, until = self.waiter(), inf if in_force() is None else expiry()
        transport.waiters.add(me)
        try:
            if me.cancelled:
                me.clear()
            if transport.closed:
                return 0
            descriptor = transport.fileno()
            if descriptor < 0:
                return self._wait_unseen(me, transport, events, until, doing)
            got = me.poll_one(descriptor, transport.interest(events), until)
            if got == events and not transport.closed:
                return got
            if not got and until <= monotonic():
                raise expired(doing)
            return ready_of(((descriptor, got),) if got > 0 else (), transport, events)
        finally:
            transport.waiters.discard(me)

    def _wait_unseen(
        self, me: ThreadWaiter, transport: Waitable, events: int, until: float, doing: str
    ) -> int:
        """Wait for what the kernel does not watch; it wakes us."""
        ready = transport.ready(events)
        if not ready:
            if me.poll((), until) == [] and until <= monotonic():
                raise expired(doing)
            ready = ready_of((), transport, events)
        return ready

    def wait_any(self, wanted: Sequence[tuple[Waitable, int]], doing: str) -> list[int]:
        refuse_asyncio(doing)
        me, until = self.waiter(), expiry()
        for transport, _ in wanted:
            transport.waiters.add(me)
        try:
            if me.cancelled:
                me.clear()
            if any(transport.closed for transport, _ in wanted):
                return [0] * len(wanted)
            ready = [ready_now(transport, events) for transport, events in wanted]
            if any(ready):
                return ready
            found = me.poll(descriptors(wanted), until)
            if found == [] and until <= monotonic():
                raise expired(doing)
            return [ready_of(found or (), transport, events) for transport, events in wanted]
        finally:
            for transport, _ in wanted:
                transport.waiters.discard(me)

    def park(self, waiter: Waiter, doing: str) -> None:
        refuse_asyncio(doing)
        until = expiry()
        assert isinstance(waiter, ThreadWaiter)
        if waiter.cancelled:
            waiter.clear()
        if waiter.poll((), until) == [] and until <= monotonic():
            raise expired(doing)

    def sleep(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"sleep({seconds!r}): expected seconds, zero or more")
        refuse_asyncio("sleeping")
        check("sleeping")
        me, until, end = self.waiter(), expiry(), monotonic() + seconds
        if me.cancelled:
            me.clear()
        while monotonic() < end:
            me.poll((), min(until, end))
            if until <= monotonic() and until < end:
                raise expired("sleeping")

    def spawn(self, function: Callable[..., T], *args: Any, name: str = "") -> Task[T]:
        task: Task[T] = Task(name or getattr(function, "__name__", "task"))
        context = contextvars.copy_context()
        context.run(settle)
        parts = (lambda: self.waiter().cancel, partial(context.run, function, *args))
        threading.Thread(target=task._run, args=parts, name=f"portico {task.name}", daemon=True).start()
        return task

    def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)


def refuse_asyncio(doing: str) -> None:
    """A blocking wait would stop a whole asyncio loop: say so instead. Raises ``LocalProtocolError``."""
    events = sys.modules.get("asyncio.events")
    if events is not None and events._get_running_loop() is not None:
        raise LocalProtocolError(
            f"{doing} would block the asyncio loop of this thread; "
            "use `await portico.aio.run(function, …)` around the blocking call"
        )


class Keeper(Protocol):
    """Told of every task that code which belongs to it spawns."""

    def keep(self, task: Task[Any]) -> None: ...


KEEPER: ContextVar[Keeper | None] = ContextVar("portico_keeper", default=None)
"""Whom the running code, and what it spawns, belongs to: a server's engine."""
THREADS = ThreadDoor()
_local = threading.local()


def current() -> Door:
    """The door of the calling thread: that of its hub, or the one for plain threads."""
    door: Door = getattr(_local, "door", THREADS)
    return door


def enter(door: Door) -> Door:
    """From now on this thread's code waits at ``door``; the one before, for ``leave``."""
    before: Door = getattr(_local, "door", THREADS)
    _local.door = door
    return before


def leave(before: Door) -> None:
    """As before ``enter``."""
    _local.door = before


def wait(transport: Waitable, events: int, doing: str) -> int:
    """``Door.wait`` of the calling code."""
    return current().wait(transport, events, doing)


def wait_any(wanted: Sequence[tuple[Waitable, int]], doing: str) -> list[int]:
    """``Door.wait_any`` of the calling code."""
    return current().wait_any(wanted, doing)


def waiter() -> Waiter:
    """``Door.waiter`` of the calling code."""
    return current().waiter()


def park(waiter: Waiter, doing: str) -> None:
    """``Door.park`` of the calling code."""
    current().park(waiter, doing)


def sleep(seconds: float) -> None:
    """Sleep, within the deadline in force. Raises ``Timeout``, ``Cancelled``."""
    current().sleep(seconds)


def spawn(function: Callable[..., T], *args: Any, name: str = "") -> Task[T]:
    """Run a function beside this one, on the engine of the caller."""
    task = current().spawn(function, *args, name=name)
    if (keeper := KEEPER.get()) is not None:
        keeper.keep(task)
    return task


def breathe() -> None:
    """``Door.breathe`` of the calling code."""
    current().breathe()


def run_blocking(function: Callable[..., T], *args: Any) -> T:
    """Call what blocks outside Portico without holding up other connections."""
    return current().run_blocking(function, *args)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=THREADS.forget_waiters)
