"""The door inside asyncio: blocking code waits, and the loop goes on meanwhile.

``await run(function, …)`` runs a blocking function in a greenlet of its own, on the loop's thread. Where it
has to wait it hands the coroutine that awaits it a future, and sleeps until that is done; a function that
never waits costs no future, and gives the loop no turn. Everything travels across: the value, exceptions
with their tracebacks, context variables (it is the awaiting task's own context that is seen and changed),
deadlines, and cancellation, which is ``Cancelled`` at the wait inside and ``CancelledError`` outside.

Descriptors are watched by the loop for as long as one wait lasts, never longer: numbers are reused, and a
loop that still watched one would wake the wrong call, or refuse its new owner.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf
from threading import get_ident
from time import monotonic
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

from greenlet import getcurrent, greenlet

from portico.deadline import check, expired, expiry, settle, timeout
from portico.engines import door
from portico.engines.door import Door, Task
from portico.errors import Cancelled, LocalProtocolError
from portico.sockets.transport import READ, WRITE, Transport, Waitable, Waiter

__all__ = ["BridgeDoor", "Call", "bridge", "result", "run"]

P = ParamSpec("P")
T = TypeVar("T")

_CALLED_OFF = "the asyncio task that waits for this was cancelled"


class Call:
    """One blocking function on a loop, and the waiter by which it is woken: from any thread, and twice."""

    __slots__ = (
        "__weakref__",
        "_abandoned",
        "_alarm",
        "_alarm_at",
        "_door",
        "_future",
        "_greenlet",
        "_woken",
        "cancelled",
        "found",
        "watches",
    )

    def __init__(self, bridge: BridgeDoor) -> None:
        self.cancelled = False
        self.found: dict[int, int] = {}  # what the loop saw at the descriptors of the present wait
        self.watches: list[_Watched] = []
        self._door = bridge
        self._greenlet: greenlet | None = None
        self._future: asyncio.Future[None] | None = None
        self._woken = False
        self._abandoned = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf

    # -- as a waiter

    def wake(self) -> None:
        if self._woken:
            return
        self._woken = True
        # Read after the line above; pause() writes and reads in the other order, so one sees the other.
        if self._future is None:
            return
        if get_ident() == self._door.thread:
            if any(watched.lent for watched in self.watches):
                self._door.unwatch(self)  # what woke us is about to close it, and its port shall be free then
            self._ring()
            return
        try:
            self._door.loop.call_soon_threadsafe(self._ring)
        except RuntimeError:
            pass  # the loop is closed, and nobody waits there any more

    def cancel(self) -> None:
        """Let the present (or next) wait raise ``Cancelled``. From any thread."""
        self.cancelled = True
        self.wake()

    def check(self) -> None:
        """Raise ``Cancelled`` when that is due."""
        if self.cancelled:
            self.cancelled = False
            raise Cancelled("this wait was cancelled")
        if self._abandoned:
            raise LocalProtocolError("nobody awaits this call any more: it cannot wait for anything")

    def _ring(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    # -- inside the greenlet

    def pause(self, until: float) -> bool:
        """Let the loop go on until this is woken (``True``) or, about, until the time comes."""
        self.check()
        self._future = self._door.loop.create_future()
        try:
            if not self._woken:
                self._set_alarm(until)
                self._switch(self._future)
            woken = self._woken
        finally:
            self._future = None
            self._woken = False
        self.check()
        return woken

    def breathe(self) -> None:
        """Let the loop run once."""
        self.check()
        self._switch(None)
        self.check()

    def _switch(self, future: asyncio.Future[None] | None) -> None:
        me = getcurrent()
        if me is not self._greenlet or me.parent is None:
            raise LocalProtocolError("this greenlet is not the one that portico.aio.run() made")
        me.parent.switch(future)

    def _set_alarm(self, until: float) -> None:
        """One timer serves many waits: their deadline moves away while it still runs."""
        if until >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = until
        self._alarm = self._door.loop.call_later(max(until - monotonic(), 0.0), self._alarmed)

    def _alarmed(self) -> None:
        self._alarm, self._alarm_at = None, inf
        self._ring()

    # -- on the loop's side

    async def drive(self, function: Callable[[], T]) -> T:
        """Run the function in its greenlet, awaiting for it whatever it waits for."""
        self._greenlet = child = _Greenlet(self, function)
        # The awaiting task's own context, not a copy.
        child.gr_context = getcurrent().gr_context
        try:
            got = self._resume(child.switch)
            while not child.dead:
                try:
                    await (asyncio.sleep(0) if got is None else got)
                except BaseException as error:  # noqa: BLE001  (the function has to hear of it)
                    got = self._interrupt(child, error)
                else:
                    got = self._resume(child.switch)
            return cast(T, got)
        finally:
            self._greenlet = None
            if self._alarm is not None:
                self._alarm.cancel()

    def _interrupt(self, child: greenlet, error: BaseException) -> Any:
        try:
            if isinstance(error, asyncio.CancelledError):
                return self._resume(child.throw, Cancelled(*error.args or (_CALLED_OFF,)))
            if not isinstance(error, GeneratorExit):
                return self._resume(child.throw, error)
            self._abandon(child)
            raise error
        finally:
            del error  # no circle, as in Task.join()

    def _abandon(self, child: greenlet) -> None:
        """The coroutine is being closed: the function ends now, for there will be no more turns."""
        self._abandoned = True
        try:
            self._resume(child.throw, Cancelled("nobody awaits this call any more"))
        except Cancelled:
            pass  # as it should

    def _resume(self, step: Callable[..., Any], *args: object) -> Any:
        """A turn for the function, with its door in place for as long as it lasts."""
        before = door.enter(self._door)
        try:
            return step(*args)
        finally:
            door.leave(before)
            del args  # as above


class _Watched(NamedTuple):
    """A descriptor that the loop watches for a call. ``lent``: a duplicate, to be closed afterwards."""

    number: int
    events: int
    lent: bool


class _Greenlet(greenlet):
    """A greenlet that knows its call."""

    def __init__(self, call: Call, function: Callable[[], object]) -> None:
        super().__init__()
        self.call = call
        self._function = [function]

    # A frame of ours at the bottom: a generator that is run directly would look suspended to timeout(). It
    # does not keep the function, because tracebacks keep it.
    def run(self) -> object:
        return self._function.pop()()


class BridgeDoor(Door):
    """The door of blocking code on one asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = get_ident()
        self._waiting: dict[tuple[int, int], list[Call]] = {}  # by descriptor and direction
        self._tasks: set[asyncio.Task[None]] = set()  # a loop itself holds them only weakly

    def waiter(self) -> Call:
        me = getcurrent()
        if not isinstance(me, _Greenlet):
            raise LocalProtocolError("a wait in a greenlet that portico.aio.run() did not make")
        return me.call

    def wait(self, transport: Waitable, events: int, doing: str) -> int:
        return self.wait_any(((transport, events),), doing)[0]

    def wait_any(self, wanted: Sequence[tuple[Waitable, int]], doing: str) -> list[int]:
        call, until = self.waiter(), expiry()
        for transport, _ in wanted:
            transport.waiters.add(call)
        try:
            call.check()
            if any(transport.closed for transport, _ in wanted):
                return [0] * len(wanted)
            ready = [door.ready_now(transport, events) for transport, events in wanted]
            if not any(ready):
                found = self._found(call, wanted, until, doing)
                ready = [door.ready_of(found, transport, events) for transport, events in wanted]
            return ready
        finally:
            for transport, _ in wanted:
                transport.waiters.discard(call)

    def _found(
        self, call: Call, wanted: Sequence[tuple[Waitable, int]], until: float, doing: str
    ) -> list[tuple[int, int]]:
        """What the loop saw at the descriptors; nothing after an early wake."""
        if until <= monotonic():
            raise expired(doing)
        found: dict[int, int] = {}
        call.found = found
        try:
            for transport, events in wanted:
                if transport.fileno() >= 0:
                    self._watch(transport, transport.interest(events), call)
            if not found and not call.pause(until) and until <= monotonic():
                raise expired(doing)
        finally:
            self.unwatch(call)
        return list(found.items())

    def _watch(self, transport: Waitable, events: int, call: Call) -> None:
        # A stream gives its descriptor back when nobody is inside; a listener at once, and from any thread:
        # a number of our own cannot be reused before the loop has let go of it.
        descriptor, lent = transport.fileno(), not isinstance(transport, Transport)
        number = os.dup(descriptor) if lent else descriptor
        call.watches.append(_Watched(number, events, lent))
        for direction, add in ((READ, self.loop.add_reader), (WRITE, self.loop.add_writer)):
            if not events & direction:
                continue
            waiting = self._waiting.setdefault((number, direction), [])
            waiting.append(call)
            if len(waiting) == 1:
                try:
                    add(number, _saw, descriptor, direction, waiting)
                except PermissionError:  # epoll watches no regular files, because they are always ready
                    del self._waiting[number, direction]
                    call.found[descriptor] = events

    def unwatch(self, call: Call) -> None:
        """Let the loop forget what it watches for a call."""
        while call.watches:
            number, events, lent = call.watches.pop()
            for direction, remove in ((READ, self.loop.remove_reader), (WRITE, self.loop.remove_writer)):
                waiting = self._waiting.get((number, direction), [])
                if not events & direction or call not in waiting:
                    continue
                waiting.remove(call)
                if not waiting:
                    del self._waiting[number, direction]
                    remove(number)
            if lent:
                os.close(number)

    def park(self, waiter: Waiter, doing: str) -> None:
        assert isinstance(waiter, Call)
        until = expiry()
        if not waiter.pause(until) and until <= monotonic():
            raise expired(doing)

    def sleep(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"sleep({seconds!r}): expected seconds, zero or more")
        check("sleeping")
        call, until, end = self.waiter(), expiry(), monotonic() + seconds
        if not seconds:
            call.breathe()
        while monotonic() < end:
            call.pause(min(until, end))
            if until <= monotonic() and until < end:
                raise expired("sleeping")

    def breathe(self) -> None:
        """Let the loop, and so everybody else on it, have a turn."""
        self.waiter().breathe()

    def spawn(self, function: Callable[..., T], *args: Any, name: str = "") -> Task[T]:
        task: Task[T] = Task(name or getattr(function, "__name__", "task"))
        context = contextvars.copy_context()
        context.run(settle)
        carrying = self._carry(task, partial(function, *args))
        carrier = self.loop.create_task(carrying, name=f"portico {task.name}", context=context)
        self._tasks.add(carrier)
        carrier.add_done_callback(partial(self._carried, task))
        return task

    async def _carry(self, task: Task[T], body: Callable[[], T]) -> None:
        call = Call(self)
        await call.drive(partial(task._run, lambda: call.cancel, body))

    def _carried(self, task: Task[Any], carrier: asyncio.Task[None]) -> None:
        self._tasks.discard(carrier)
        if not task.done:  # cancelled by the loop before its first turn: who joins it must not wait for ever
            task._run(lambda: _nothing, _called_off)

    def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        context = contextvars.copy_context()
        context.run(settle)
        future = self.loop.run_in_executor(None, partial(context.run, function, *args))
        return self.until(future, f"running {getattr(function, '__name__', 'a function')} in a thread")

    def until(self, future: asyncio.Future[T], doing: str) -> T:
        """Wait for a future of the loop; one that is given up is cancelled."""
        call = self.waiter()
        future.add_done_callback(lambda _: call.wake())
        try:
            while not future.done():
                self.park(call, doing)
        except BaseException:
            future.cancel()
            raise
        return self._value(future)

    @staticmethod
    def _value(future: asyncio.Future[T]) -> T:
        try:
            return future.result()
        except asyncio.CancelledError as error:
            raise Cancelled(*error.args or ("what was awaited was cancelled",)) from None
        finally:
            del future  # as in Task.join()


def _saw(descriptor: int, direction: int, waiting: list[Call]) -> None:
    for call in tuple(waiting):
        call.found[descriptor] = call.found.get(descriptor, 0) | direction
        call.wake()


def _nothing() -> None:
    pass


def _called_off() -> Any:
    raise Cancelled("the asyncio loop ended before this task began")


_bridges: WeakValueDictionary[asyncio.AbstractEventLoop, BridgeDoor] = WeakValueDictionary()


def bridge() -> BridgeDoor:
    """The door of the running loop; the calls that use it keep it alive, and it the loop."""
    loop = asyncio.get_running_loop()
    found = _bridges.get(loop)
    if found is None:
        found = _bridges[loop] = BridgeDoor(loop)
    return found


async def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function and await its value; while it waits in Portico, the loop goes on.

    It runs on the loop's thread, in the awaiting task's context. Code that blocks outside Portico (disk,
    ``time.sleep``, a database driver) still blocks the loop: ``portico.sync.run_blocking`` is for that.
    Raises what the function raises; ``Cancelled`` comes out as ``asyncio.CancelledError``.
    """
    try:
        return await Call(bridge()).drive(partial(function, *args, **kwargs))
    except Cancelled as error:
        raise asyncio.CancelledError(*error.args) from error


def result(awaitable: Awaitable[T]) -> T:
    """The other way round: blocking code inside ``run`` waits for a coroutine or future of the loop.

    When the wait is cut by a deadline or cancelled, so is the awaitable, and it has ended before this
    raises. Raises ``LocalProtocolError`` outside ``run``.
    """
    here = door.current()
    if not isinstance(here, BridgeDoor):
        if asyncio.iscoroutine(awaitable):
            awaitable.close()
        raise LocalProtocolError("result() is for blocking code that was called by portico.aio.run()")
    future = asyncio.ensure_future(awaitable, loop=here.loop)
    try:
        return here.until(future, "waiting for an awaitable")
    finally:
        _see_end(here, future)
        del future


def _see_end(here: BridgeDoor, future: asyncio.Future[Any]) -> None:
    call = here.waiter()
    late: Cancelled | None = None
    with timeout(None, shield=True):
        while not future.done():
            try:
                here.park(call, "waiting for an awaitable to end")
            except Cancelled as error:
                future.cancel()
                late = error
    if late is not None:
        raise late
