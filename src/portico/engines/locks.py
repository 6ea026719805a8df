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
from portico.errors import StreamClosed
from portico.sockets.transport import Waiter

__all__ = ["Event", "Lock", "Queue"]

T = TypeVar("T")


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


class Queue(Generic[T]):
    """Values from any task to any other, in order; at most ``size`` wait (``None``: no bound)."""

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"Queue({size}): room for at least one value is needed")
        self._guard = threading.Lock()
        self._size = size
        self._values: deque[T] = deque()
        self._getting: deque[_Turn] = deque()
        self._putting: deque[_Turn] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._values)

    def put(self, value: T) -> None:
        """Append a value, waiting while there is no room. Raises ``StreamClosed`` after ``close()``."""
        check("waiting for room in a queue")
        while True:
            with self._guard:
                if self._closed:
                    raise StreamClosed("put() into a closed queue")
                if self._size is None or len(self._values) < self._size:
                    self._values.append(value)
                    _call_next(self._getting)
                    return
                turn = _Turn()
                self._putting.append(turn)
            self._wait(turn, self._putting, "waiting for room in a queue")

    def get(self) -> T:
        """Take the oldest value, waiting for one. Raises ``StreamClosed`` when closed and empty."""
        check("waiting for a value in a queue")
        while True:
            with self._guard:
                if self._values:
                    value = self._values.popleft()
                    _call_next(self._putting)
                    return value
                if self._closed:
                    raise StreamClosed("get() from a closed queue")
                turn = _Turn()
                self._getting.append(turn)
            self._wait(turn, self._getting, "waiting for a value in a queue")

    def close(self) -> None:
        """No more values: what is there can still be taken, then ``get`` raises ``StreamClosed``."""
        with self._guard:
            self._closed = True
            for line in (self._getting, self._putting):
                while line:
                    line.popleft().call()

    def _wait(self, turn: _Turn, line: deque[_Turn], doing: str) -> None:
        try:
            turn.wait(doing)
        except BaseException:
            with self._guard:
                if turn.come:
                    _call_next(line)  # the call was for somebody who can still use it
                else:
                    line.remove(turn)
            raise


def _call_next(line: deque[_Turn]) -> None:
    if line:
        line.popleft().call()
