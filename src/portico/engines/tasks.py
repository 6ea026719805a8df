"""Many operations at once, none of which outlives its block; the same on every engine.

A group spawns at the door of whoever starts a task, and waits as everything else does; nothing in here knows
which engine it runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from portico.deadline import check, timeout
from portico.engines import door
from portico.engines.door import Task
from portico.errors import Cancelled, LocalProtocolError
from portico.sockets.transport import Waiter

__all__ = ["Ending", "TaskGroup"]

T = TypeVar("T")
V = TypeVar("V")

_NOTES = 5  # of a thousand tasks that fail alike, the first few say enough
_PATIENCE = 100  # cancellations in a row at the end: so many come only from a door that is shut


class _Owner(Waiter, Protocol):
    """The waiter of whoever opened the group; see ``Door.waiter``."""

    def cancel(self) -> None: ...


class _CalledOff(Cancelled):
    """Nothing can be started any more in ``group``."""

    def __init__(self, group: TaskGroup) -> None:
        super().__init__("this group of tasks has been called off")
        self.group = group


class Ending:
    """Tells of the end of a task: a waiter that nobody waits with."""

    __slots__ = ("_task", "_told")

    def __init__(self, task: Task[Any], told: Callable[[Task[Any]], object]) -> None:
        self._task: Task[Any] | None = task
        self._told = told

    def wake(self) -> None:
        task, self._task = self._task, None  # the task has this among its waiters: no circle
        if task is not None:
            self._told(task)


class TaskGroup:
    """Tasks that end with their ``with`` block: it waits for them, and the first error ends the others.

    ::

        with TaskGroup(limit=100) as group:
            for address in addresses:
                group.start(fetch, address)

    The first error of a task, or of the block, calls the others off (``Cancelled`` at their next wait, the
    block's own wait included), and comes out of the block once all have ended. It comes out itself, not in
    an ``ExceptionGroup``: blocking code is written with plain ``except``, and what failed second mostly
    failed because of the first. Later ones are notes on it, and in ``errors``.

    A deadline or a cancellation that ends the block, or the wait at its end, calls the tasks off too. What
    has been called off is waited for without a deadline: code that never waits in Portico must end by
    itself. Only ``KeyboardInterrupt``, while waiting so, leaves at once.

    ``limit``: so many run at a time; ``start`` waits for room. A task that starts others in its own group
    keeps its place meanwhile, so with a limit they may wait for each other. Groups nest. A task that was
    cancelled by hand is no failure.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"TaskGroup(limit={limit}): room for at least one task is needed")
        self._limit = limit
        self._guard = Lock()
        self._owner: _Owner | None = None
        self._places = 0
        self._tasks: set[Task[Any]] = set()
        self._waiting: set[Waiter] = set()
        self._errors: list[BaseException] = []
        self._inside = False  # the owner is in the block, and has to be told of a failure
        self._interrupted = False
        self._called_off = False
        self._over = False

    @property
    def errors(self) -> tuple[BaseException, ...]:
        """What failed, in order; once the block has ended, without the error that came out of it."""
        return tuple(self._errors)

    def start(self, function: Callable[..., T], *args: Any, name: str = "") -> Task[T]:
        """Run ``function(*args)`` beside the caller: the block's code, or a task of the group.

        Waits while ``limit`` tasks run. Raises ``LocalProtocolError`` outside the block, ``Cancelled`` when
        the group has been called off, ``Timeout``.
        """
        self._take_place()
        try:
            task: Task[T] = door.spawn(
                self._guarded, function, args, name=name or getattr(function, "__name__", "task")
            )
        except BaseException:
            self._give_place()
            raise
        task.told = True  # what it raises comes out of the group
        with self._guard:
            self._tasks.add(task)
            late = self._called_off
        task.tell(Ending(task, self._ended))
        if late:
            task.cancel()
        return task

    def map(self, function: Callable[[V], T], values: Iterable[V]) -> list[T]:
        """The function of each value, all at once (within ``limit``): the results, in order."""
        return [task.join() for task in [self.start(function, value) for value in values]]

    def cancel(self) -> None:
        """Call off every task that still runs; the block then ends without an error. From any thread."""
        self._call_off(again=True)

    def __enter__(self) -> Self:
        if self._owner is not None:
            raise LocalProtocolError("this task group was entered before; make a new one for each block")
        self._owner = cast(_Owner, door.waiter())
        self._inside = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        ours = self._leave(error)
        if ours:
            error = None  # it was raised by us, to end the block
        first = error if error is not None and not self._errors else None
        if first is not None:
            self._call_off()
        late = self._join()
        try:
            if first is None:
                first = self._first(late)
            if first is not None:
                _note(first, self._errors)
                if first is not error:
                    _raise(first)
            return ours
        finally:
            # The errors' tracebacks lead to this frame: no circle.
            del self, error, late, first, trace

    def __repr__(self) -> str:
        state = "over" if self._over else "called off" if self._called_off else "open"
        return f"<TaskGroup {'new' if self._owner is None else state}: {len(self._tasks)} tasks>"

    # -- places

    def _take_place(self) -> None:
        check("starting a task")
        me: Waiter | None = None
        try:
            while not self._place():
                if me is None:
                    me = door.waiter()
                    self._waiting.add(me)
                else:
                    door.park(me, "waiting for room in a group of tasks")
        finally:
            if me is not None:
                self._waiting.discard(me)

    def _place(self) -> bool:
        with self._guard:
            if self._owner is None or self._over:
                when = "before" if self._owner is None else "after"
                raise LocalProtocolError(f"start(): a group has tasks within its `with` block, not {when} it")
            if self._called_off:
                raise _CalledOff(self)
            if self._limit is not None and self._places >= self._limit:
                return False
            self._places += 1
            return True

    def _give_place(self) -> None:
        with self._guard:
            self._places -= 1
        self._wake()

    def _ended(self, task: Task[Any]) -> None:
        with self._guard:
            if task not in self._tasks:
                return
            self._tasks.discard(task)
        self._give_place()

    def _wake(self) -> None:
        for waiter in self._waiting.copy():
            waiter.wake()

    # -- failing

    def _guarded(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            return function(*args)
        except Cancelled:
            raise
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            del self, function, args  # no circle, as in __exit__

    def _failed(self, error: BaseException) -> None:
        with self._guard:
            self._errors.append(error)
            if self._inside and not self._interrupted and self._owner is not None:
                self._interrupted = True
                self._owner.cancel()
        self._call_off()

    def _call_off(self, again: bool = False) -> None:
        """Cancel every task, once: a second time would cancel its clean-up."""
        with self._guard:
            if self._called_off and not again:
                return
            self._called_off = True
            tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        self._wake()

    def _leave(self, error: BaseException | None) -> bool:
        """The block is over. Whether it was this group that ended it, with ``Cancelled``."""
        with self._guard:
            self._inside = False
        if self._interrupted:
            self._take_back()
        if isinstance(error, _CalledOff):
            return error.group is self
        return self._interrupted and isinstance(error, Cancelled)

    def _take_back(self) -> None:
        """What we sent may have come too late to end a wait of the block: no later one is to have it."""
        me = door.waiter()
        if me is not self._owner:  # a generator that was closed by somebody else
            return
        me.wake()
        try:
            with timeout(None, shield=True):
                door.park(me, "leaving a group of tasks")
        except Cancelled:
            pass

    # -- the end

    def _join(self) -> BaseException | None:
        """Wait until no task is left; what ended that wait early, if it comes before any task's error."""
        late: BaseException | None = None
        cancelled: Cancelled | None = None
        me = door.waiter()
        self._waiting.add(me)
        try:
            if not self._called_off:
                try:
                    self._wait(me)
                except BaseException as error:  # noqa: BLE001  (raised when all have ended)
                    late = error
            if late is not None and self._errors and isinstance(late, (Exception, Cancelled)):
                late = None
            cancelled = self._end(me)
            return late or (None if self._errors else cancelled)
        finally:
            self._waiting.discard(me)
            del self, late, cancelled

    def _end(self, me: Waiter) -> Cancelled | None:
        """Call off what is left, and wait for it, whatever the deadline and whoever cancels."""
        cancelled: Cancelled | None = None
        if self._places:
            self._call_off()
        with timeout(None, shield=True):
            for _ in range(_PATIENCE):
                try:
                    self._wait(me)
                    break
                except Cancelled as error:
                    cancelled = error
        return cancelled

    def _wait(self, me: Waiter) -> None:
        while not self._empty():
            door.park(me, "waiting for the tasks of a group")

    def _empty(self) -> bool:
        with self._guard:
            self._over = not self._places
            return self._over

    def _first(self, late: BaseException | None) -> BaseException | None:
        """The error that comes out of the block, and is no longer kept here."""
        if late is not None:
            return late
        return self._errors.pop(0) if self._errors else None


def _note(error: BaseException, others: list[BaseException]) -> None:
    for other in others[:_NOTES]:
        error.add_note(f"also failed in this group of tasks: {type(other).__name__}: {other}")
    if len(others) > _NOTES:
        error.add_note(f"and {len(others) - _NOTES} more")


def _raise(error: BaseException) -> None:
    """Raise it as it was: what it was raised in the context of stays with it."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context
