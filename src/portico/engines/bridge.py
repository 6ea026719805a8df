"""The door inside asyncio: blocking code waits, and the loop goes on meanwhile.

``await run(function, …)`` runs a blocking function in a greenlet of its own, on the loop's thread. Where it
has to wait it hands the coroutine that awaits it a future, and sleeps until that is done; a function that
never waits costs no future, and gives the loop no turn. Everything travels across: the value, exceptions
with their tracebacks, context variables (it is the awaiting task's own context that is seen and changed),
deadlines, and cancellation, which is ``Cancelled`` at the wait inside and ``CancelledError`` outside.

Descriptors are watched by the loop until they are closed or something comes that nobody waits for
(``watches.py``).
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from threading import local
from time import monotonic
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from portico.deadline import check, expired, expiry, settle, timeout
from portico.engines import door
from portico.engines.call import Call, Place, current_call
from portico.engines.door import Task
from portico.engines.readiness import ready_now, ready_of
from portico.engines.watches import Watch, Watches
from portico.errors import Cancelled, LocalProtocolError
from portico.sockets.transport import Waitable, Waiter

__all__ = ["BridgeDoor", "Call", "bridge", "result", "run"]

P = ParamSpec("P")
T = TypeVar("T")


class BridgeDoor(Place):
    """The door of blocking code on one asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._watches = Watches(loop)
        self._tasks: set[asyncio.Task[None]] = set()  # a loop itself holds them only weakly

    def waiter(self) -> Call:
        return current_call()

    def wait(self, transport: Waitable, events: int, doing: str) -> int:
        call, until = current_call(), expiry()
        waiters = transport.waiters
        waiters.add(call)
        try:
            call.check()
            if transport.closed:
                return 0
            watch = self._watches.known(transport, events)
            if watch is not None:
                return self._seen(watch, call, events, until, doing)
            ready = ready_now(transport, events)
            return ready or ready_of(
                self._found(call, ((transport, events),), until, doing), transport, events
            )
        finally:
            waiters.discard(call)

    def _seen(self, watch: Watch, call: Call, events: int, until: float, doing: str) -> int:
        """As ``_found``, for what nearly every wait is for: a stream that the loop watches already."""
        if until <= monotonic():
            raise expired(doing)
        found: dict[int, int] = {}
        call.found = found
        watch.calls.append(call)
        try:
            if not call.pause(until) and until <= monotonic():
                raise expired(doing)
        finally:
            watch.calls.remove(call)
            if watch.transport.closed:  # its number may be another's as soon as the reader has left
                self._watches.forget(watch)
        return events if found and not watch.transport.closed else 0

    def wait_any(self, wanted: Sequence[tuple[Waitable, int]], doing: str) -> list[int]:
        call, until = self.waiter(), expiry()
        for transport, _ in wanted:
            transport.waiters.add(call)
        try:
            call.check()
            if any(transport.closed for transport, _ in wanted):
                return [0] * len(wanted)
            ready = [ready_now(transport, events) for transport, events in wanted]
            if not any(ready):
                found = self._found(call, wanted, until, doing)
                ready = [ready_of(found, transport, events) for transport, events in wanted]
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
        watched = self._watches.begin(call, wanted)
        try:
            if not found and not call.pause(until) and until <= monotonic():
                raise expired(doing)
        finally:
            self._watches.end(call, watched)
        return list(found.items())

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


def _nothing() -> None:
    pass


def _called_off() -> Any:
    raise Cancelled("the asyncio loop ended before this task began")


_latest = local()
_bridges: WeakValueDictionary[asyncio.AbstractEventLoop, BridgeDoor] = WeakValueDictionary()


def bridge() -> BridgeDoor:
    """The door of the running loop. Calls under way keep it alive, and each thread keeps its latest."""
    loop = asyncio.get_running_loop()
    last: BridgeDoor | None = getattr(_latest, "door", None)
    if last is not None and last.loop is loop:
        return last
    found = _bridges.get(loop)
    if found is None:
        found = _bridges[loop] = BridgeDoor(loop)
    _latest.door = found
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
