"""Locks, events and queues for every engine, built on ``park`` and ``wake``.

Each wait here is bounded by the deadline in force and ends with ``Cancelled`` when called off. Waiters are
served in order. ``portico.sync`` is the public face.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Generic, Self, TypeVar

from portico.deadline import check
from portico.engines import door
from portico.errors import StreamClosed, Timeout
from portico.sockets.transport import Waiter

__all__ = ["Event", "Guard", "Lock", "Queue"]

T = TypeVar("T")

Guard = threading.Lock
"""For a few lines without a wait inside, which no engine needs to know of; anything longer takes ``Lock``."""


class _Turn:
    """A place in a line."""

    __slots__ = ("come", "waiter")

    def __init__(self) -> None:
        self.come = False
        self.waiter: Waiter = door.waiter()

    def call(self) -> None:
        self.come = True
        self.waiter.wake()

    def wait(self, doing: str) -> None:
        while not self.come:
            door.park(self.waiter, doing)


class Lock:
    """Mutual exclusion, first come, first served. Not reentrant. Raises ``Timeout``, ``Cancelled``."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._line: deque[_Turn] = deque()

    @property
    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._held

    def acquire(self) -> None:
        """Wait for the lock and take it."""
        check("waiting for a lock")
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = _Turn()
            self._line.append(turn)
        try:
            turn.wait("waiting for a lock")
        except BaseException:
            with self._guard:
                given = turn.come
                if not given:
                    self._line.remove(turn)
            if given:
                self.release()
            raise

    def release(self) -> None:
        """Give it up; the first in line has it then. Raises ``RuntimeError`` when it is not held."""
        with self._guard:
            if not self._held:
                raise RuntimeError("release() of a lock that nobody holds")
            if self._line:
                self._line.popleft().call()
            else:
                self._held = False

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Event:
    """A flag that can be waited for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._set = False
        self._line: set[_Turn] = set()

    def is_set(self) -> bool:
        """Whether ``set()`` was called since the last ``clear()``."""
        return self._set

    def set(self) -> None:
        """Raise the flag and wake everybody who waits."""
        with self._guard:
            self._set = True
            line, self._line = self._line, set()
        for turn in line:
            turn.call()

    def clear(self) -> None:
        """Lower the flag."""
        with self._guard:
            self._set = False

    def wait(self) -> None:
        """Block until the flag is up."""
        check("waiting for an event")
        with self._guard:
            if self._set:
                return
            turn = _Turn()
            self._line.add(turn)
        try:
            turn.wait("waiting for an event")
        finally:
            with self._guard:
                self._line.discard(turn)


class _Place(_Turn, Generic[T]):
    """A place in a queue's line. ``box``: a putter's value until it is taken, or what a getter is given."""

    __slots__ = ("box",)

    def __init__(self, *values: T) -> None:
        super().__init__()
        self.box = list(values)


class Queue(Generic[T]):
    """Values from any task to any other, in order; at most ``size`` wait (``None``: no bound).

    Who waits is handed the value, or the room, by whoever has it: nobody who comes later can be quicker.
    """

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"Queue({size}): room for at least one value is needed")
        self._guard = threading.Lock()
        self._size = size
        self._values: deque[T] = deque()
        self._getting: deque[_Place[T]] = deque()  # only while there are no values
        self._putting: deque[_Place[T]] = deque()  # only while there is no room
        self._closed = False

    def __len__(self) -> int:
        return len(self._values)

    def put(self, value: T) -> None:
        """Append a value, waiting while there is no room. Raises ``StreamClosed`` after ``close()``.

        When it raises ``Timeout`` the value was not appended.
        """
        check("waiting for room in a queue")
        with self._guard:
            if self._closed:
                raise StreamClosed("put() into a closed queue")
            if self._size is None or len(self._values) < self._size:
                self._append(value)
                return
            place = _Place(value)
            self._putting.append(place)
        try:
            place.wait("waiting for room in a queue")
        except BaseException as error:
            if self._leave(self._putting, place) or not isinstance(error, Timeout):
                raise
        if place.box:
            raise StreamClosed("put() into a closed queue")

    def get(self) -> T:
        """Take the oldest value, waiting for one. Raises ``StreamClosed`` when closed and empty."""
        check("waiting for a value in a queue")
        with self._guard:
            if self._values:
                return self._take()
            if self._closed:
                raise StreamClosed("get() from a closed queue")
            place: _Place[T] = _Place()
            self._getting.append(place)
        try:
            place.wait("waiting for a value in a queue")
        except BaseException:
            if not self._leave(self._getting, place) and place.box:
                self._put_back(place.box.pop())
            raise
        if not place.box:
            raise StreamClosed("get() from a closed queue")
        return place.box.pop()

    def close(self) -> None:
        """No more values: what is there can still be taken, then ``get`` raises ``StreamClosed``."""
        with self._guard:
            self._closed = True
            for line in (self._getting, self._putting):
                while line:
                    line.popleft().call()

    # The guard is held in these.

    def _append(self, value: T) -> None:
        if self._getting:
            place = self._getting.popleft()
            place.box.append(value)
            place.call()
        else:
            self._values.append(value)

    def _take(self) -> T:
        value = self._values.popleft()
        if self._putting:
            place = self._putting.popleft()
            self._values.append(place.box.pop())
            place.call()
        return value

    # And taken by these.

    def _leave(self, line: deque[_Place[T]], place: _Place[T]) -> bool:
        """Give up waiting. ``False``: too late, the turn has come."""
        with self._guard:
            if not place.come:
                line.remove(place)
            return not place.come

    def _put_back(self, value: T) -> None:
        """A value that was handed to somebody who cannot use it any more is the next one's."""
        with self._guard:
            if self._getting:
                self._append(value)
            else:
                self._values.appendleft(value)
