"""One blocking function on an asyncio loop: its greenlet, its coroutine, and how it is woken.

The function runs in a greenlet, which switches to the coroutine (``drive``) with a future wherever it has to
wait; the coroutine awaits that, and switches back. What the future brings, the function goes on with:
an exception or a cancellation is raised at its wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from threading import get_ident
from time import monotonic
from typing import Any, TypeVar, cast

from greenlet import GreenletExit, getcurrent, greenlet

from portico.engines import door
from portico.engines.door import Door
from portico.errors import Cancelled, LocalProtocolError

__all__ = ["IDLE", "Call", "Place", "current_call"]

T = TypeVar("T")

IDLE = 16
"""Greenlets that one loop keeps for calls to come; each holds about 20 KiB."""

_CALLED_OFF = "the asyncio task that waits for this was cancelled"


class Place(Door):
    """A door where calls run: a loop, its thread, and greenlets kept for calls to come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = get_ident()
        self._idle: list[_Greenlet] = []

    def borrow(self, call: Call) -> _Greenlet:
        """A greenlet for a call, in the context of the task that awaits it, which is its own and no copy."""
        me = getcurrent()
        if self._idle:
            one = self._idle.pop()
            one.parent = me
        else:
            one = _Greenlet(_serve, me)
        one.call = call
        one.gr_context = me.gr_context
        return one

    @property
    def room(self) -> bool:
        """Whether a greenlet that is through with its call is to wait for the next one."""
        return len(self._idle) < IDLE

    def give_back(self, one: _Greenlet) -> None:
        """Keep a greenlet for the next call, unless it has ended."""
        if not one.dead and one.call is None:
            one.gr_context = None
            self._idle.append(one)
        else:
            one.unset_alarm()


class Call:
    """One blocking function on a loop, and the waiter by which it is woken: from any thread, and twice."""

    __slots__ = (
        "__weakref__",
        "_abandoned",
        "_error",
        "_function",
        "_future",
        "_greenlet",
        "_over",
        "_value",
        "_woken",
        "cancelled",
        "found",
        "let_go",
        "place",
    )

    def __init__(self, place: Place) -> None:
        self.cancelled = False
        self.found: dict[int, int] = {}  # what the loop saw at the descriptors of the present wait
        self.let_go: Callable[[], None] | None = None  # called before a wake ends the present wait
        self.place = place
        self._greenlet: _Greenlet | None = None
        self._function: Callable[[], object] | None = None
        self._value: object = None
        self._error: BaseException | None = None
        self._over = False
        self._future: asyncio.Future[None] | None = None
        self._woken = False
        self._abandoned = False

    # -- as a waiter

    def wake(self) -> None:
        if self._woken:
            return
        self._woken = True
        # Read after the line above; pause() writes and reads in the other order, so one sees the other.
        if self._future is None:
            return
        if get_ident() == self.place.thread:
            if self.let_go is not None:
                self.let_go()
            self.ring()
            return
        try:
            self.place.loop.call_soon_threadsafe(self.ring)
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

    def ring(self) -> None:
        """Let the loop resume it, if it waits."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    # -- inside the greenlet

    def pause(self, until: float) -> bool:
        """Let the loop go on until this is woken (``True``) or, about, until the time comes."""
        if self.cancelled or self._abandoned:
            self.check()
        self._future = self.place.loop.create_future()
        try:
            if not self._woken:
                one = self._greenlet
                if one is not None and until < one.alarm_at:
                    one.set_alarm(self.place.loop, until)
                self._switch(self._future)
            woken = self._woken
        finally:
            self._future = None
            self._woken = False
        if self.cancelled or self._abandoned:
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

    # -- on the loop's side

    async def drive(self, function: Callable[[], T]) -> T:
        """Run the function in a greenlet, awaiting for it whatever it waits for."""
        self._function = function
        self._greenlet = child = self.place.borrow(self)
        try:
            got = self._resume(child.switch)
            while not self._over:
                try:
                    await (asyncio.sleep(0) if got is None else got)
                except BaseException as error:  # noqa: BLE001  (the function has to hear of it)
                    got = self._interrupt(child, error)
                else:
                    got = self._resume(child.switch)
            return cast(T, self._outcome())
        finally:
            self._greenlet = None
            self.place.give_back(child)

    def work(self) -> None:
        """In the greenlet: the function itself."""
        function, self._function = self._function, None
        assert function is not None
        try:
            self._value = function()
        except GreenletExit:  # the greenlet is being removed, and has to obey
            raise
        except BaseException as error:  # noqa: BLE001  (drive() raises it)
            self._error = error
        finally:
            self._over = True
            del function, self  # tracebacks lead to this frame: no circle

    def _outcome(self) -> Any:
        if self._error is None:
            return self._value
        error, self._error = self._error, None
        try:
            raise error
        finally:
            del error, self  # as above

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
        before = door.enter(self.place)
        try:
            return step(*args)
        finally:
            door.leave(before)
            del args  # as above


class _Greenlet(greenlet):
    """Runs one call after the other: a new greenlet costs more than all the rest of a call.

    One timer serves many waits, and many calls: their deadline moves away while it still runs.
    """

    call: Call | None = None
    alarm_at = inf
    _alarm: asyncio.TimerHandle | None = None

    def set_alarm(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        """Ring whatever call is run here then, or a little earlier."""
        self.unset_alarm()
        self.alarm_at = until
        self._alarm = loop.call_later(max(until - monotonic(), 0.0), self._alarmed)

    def unset_alarm(self) -> None:
        """Forget the timer."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self.alarm_at = None, inf

    def _alarmed(self) -> None:
        self._alarm, self.alarm_at = None, inf
        if self.call is not None:
            self.call.ring()


def _serve() -> None:
    # A greenlet that its own frame refers to is never freed: none of this may stay here while it waits.
    while _has_worked():
        getcurrent().parent.switch()  # type: ignore[union-attr]  # the loop's side of its call


def _has_worked() -> bool:
    """Run the call of this greenlet; whether it is to wait for another one."""
    me = getcurrent()
    assert isinstance(me, _Greenlet)
    assert me.call is not None
    place = me.call.place
    me.call.work()
    me.call = None
    return place.room


def current_call() -> Call:
    """The call that the running greenlet runs. Raises ``LocalProtocolError`` in any other greenlet."""
    me = getcurrent()
    if not isinstance(me, _Greenlet) or me.call is None:
        raise LocalProtocolError("a wait in a greenlet that portico.aio.run() did not make")
    return me.call
