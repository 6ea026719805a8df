"""How a plain thread waits: ``poll()`` over descriptors and one of its own, so that anybody may wake it."""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Sequence
from math import ceil, inf
from time import monotonic

from portico.errors import Cancelled
from portico.sockets.transport import READ

__all__ = ["ThreadWaiter", "make_waiter"]

_LOOK = 0.05  # seconds between two looks at what no descriptor tells
_LONGEST = 2**31 - 1  # poll() takes milliseconds in a C int


class ThreadWaiter:
    """A thread that can be woken out of ``poll``. Sticky: a wake before the wait ends it at once.

    The descriptors are closed when the last reference goes, never earlier: a waker in another thread
    may still hold this object after the waiting is over, and must not write into a reused number.
    """

    __slots__ = ("__weakref__", "_kept", "_reading", "_writing", "cancelled")

    def __init__(self) -> None:
        self.cancelled = False
        # A poll object that watches our own descriptor, and what else: most threads wait for one thing only.
        self._kept: tuple[select.poll, int, int] | None = None
        self._reading = self._writing = -1
        if hasattr(os, "eventfd"):
            self._reading = self._writing = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._reading, False)
            os.set_blocking(self._writing, False)

    def wake(self) -> None:
        try:
            os.write(self._writing, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            pass  # full of wakes already: one is enough

    def cancel(self) -> None:
        self.cancelled = True
        self.wake()

    def clear(self) -> None:
        """Forget past wakes; raise ``Cancelled`` if one of them was a cancellation."""
        try:
            os.read(self._reading, 4096)
        except BlockingIOError:
            pass
        self._raise_cancelled()

    def _raise_cancelled(self) -> None:
        if self.cancelled:
            self.cancelled = False
            raise Cancelled("this wait was cancelled")

    def poll(self, wanted: Sequence[tuple[int, int]], until: float) -> list[tuple[int, int]] | None:
        """Wait for descriptors or a wake. ``None``: woken; empty: the time is over."""
        ready = self._poll(wanted, _milliseconds(until))
        if not ready:
            return []
        if len(ready) == 1 and ready[0][0] != self._reading:
            return ready
        others = [pair for pair in ready if pair[0] != self._reading]
        if len(others) != len(ready):
            self.clear()
            return others or None
        return others

    def poll_one(self, descriptor: int, events: int, until: float) -> int:
        """As ``poll`` for one descriptor: its events; -1: woken; 0: the time is over."""
        # What is kept is away while it is in use: a signal handler may wait in the middle of a wait.
        kept, self._kept = self._kept, None
        if kept is None or kept[1] != descriptor or kept[2] != events:
            kept = self._watching(kept, descriptor, events)
        ready = kept[0].poll(None if until == inf else _milliseconds(until))
        self._kept = kept
        if not ready:
            return 0
        number, got = ready[0]
        if number == descriptor and len(ready) == 1:
            return got
        self.clear()
        return next((got for number, got in ready if number == descriptor), -1)

    def _poll(self, wanted: Sequence[tuple[int, int]], milliseconds: int | None) -> list[tuple[int, int]]:
        kept, self._kept = self._kept, None  # as above
        kept = self._watching(kept, -1, 0)
        poller = kept[0]
        for descriptor, events in wanted:
            poller.register(descriptor, events)
        ready = poller.poll(milliseconds)
        for descriptor, _ in wanted:
            poller.unregister(descriptor)
        self._kept = kept  # not after an exception, which may have left something in it
        return ready

    def _watching(
        self, kept: tuple[select.poll, int, int] | None, descriptor: int, events: int
    ) -> tuple[select.poll, int, int]:
        """What is kept, or a new one, watching this descriptor (-1: none) beside our own."""
        if kept is None:
            poller = select.poll()
            poller.register(self._reading, READ)
        else:
            poller = kept[0]
            if kept[1] >= 0:
                poller.unregister(kept[1])
        if descriptor >= 0:
            poller.register(descriptor, events)
        return poller, descriptor, events

    def __del__(self) -> None:
        for descriptor in {self._reading, self._writing} - {-1}:
            os.close(descriptor)


class _Blind(ThreadWaiter):
    """For a thread that gets no descriptor of its own, because the process has none left: while it waits for
    those of others, it looks every ``_LOOK`` seconds whether it was woken."""

    __slots__ = ("_bell",)

    def __init__(self) -> None:
        self.cancelled = False
        self._kept = None
        self._reading = self._writing = -1
        self._bell = threading.Event()

    def wake(self) -> None:
        self._bell.set()

    def clear(self) -> None:
        self._bell.clear()
        self._raise_cancelled()

    def poll(self, wanted: Sequence[tuple[int, int]], until: float) -> list[tuple[int, int]] | None:
        poller = select.poll()
        for descriptor, events in wanted:
            poller.register(descriptor, events)
        while not self._bell.wait(0.0 if wanted else min(_LOOK, max(until - monotonic(), 0.0))):
            ready = poller.poll(_milliseconds(min(until, monotonic() + _LOOK)) if wanted else 0)
            if ready or until <= monotonic():
                return ready
        self.clear()
        return None

    def poll_one(self, descriptor: int, events: int, until: float) -> int:
        ready = self.poll(((descriptor, events),), until)
        return -1 if ready is None else ready[0][1] if ready else 0


def make_waiter() -> ThreadWaiter:
    """One for the calling thread."""
    try:
        return ThreadWaiter()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        return _Blind()


def _milliseconds(until: float) -> int | None:
    """The time left for ``poll``, rounded up so that a deadline never passes early."""
    if until == inf:
        return None
    return min(max(ceil((until - monotonic()) * 1000), 0), _LONGEST)
