"""How many programs run at once, and how many requests wait in line for one of these places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portico.deadline import check, timeout
from portico.errors import Timeout
from portico.limits import Limits
from portico.sync import Guard, Queue

__all__ = ["NoPlace", "Places"]


class NoPlace(Exception):
    """All places are taken, and the line is full or does not move; the text says which."""


class Places:
    """``most`` places, handed on in the order in which they were asked for.

    >>> places = Places(1)
    >>> with places.take(Limits()):
    ...     places
    <Places 0 of 1 free, 0 wait>
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free: Queue[None] = Queue()
        for _ in range(most):
            self._free.put(None)
        self._waiting = 0
        self._guard = Guard()

    @contextmanager
    def take(self, limits: Limits) -> Iterator[None]:
        """Hold a place; wait for one up to ``limits.cgi_wait`` seconds. Raises ``NoPlace``."""
        self._line_up(limits)
        try:
            yield
        finally:
            self._free.put(None)

    def _line_up(self, limits: Limits) -> None:
        with self._guard:
            if self._waiting >= limits.cgi_queue and not self._free:
                raise NoPlace(f"{self._most} programs are running, and {self._waiting} requests wait")
            self._waiting += 1
        try:
            with timeout(limits.cgi_wait):
                self._free.get()
        except Timeout:
            check("waiting for a place to run a program in")  # a deadline of our caller goes on up
            raise NoPlace(f"none of {self._most} programs ended within {limits.cgi_wait:g} s") from None
        finally:
            with self._guard:
                self._waiting -= 1

    def __repr__(self) -> str:
        return f"<Places {len(self._free)} of {self._most} free, {self._waiting} wait>"
