"""What a process of ours waits in when it has no other threads: descriptors, times and signals.

Small on purpose: it serves the supervisor and the main threads of workers, which have little to do.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
from collections import deque
from collections.abc import Callable
from itertools import count
from math import ceil, inf
from time import monotonic
from types import FrameType

from portico.engines.inherited import of_this_process

__all__ = ["Loop", "Timer"]

Callback = Callable[[], object]

_LONGEST = 2**31 - 1
_WAKEUP = 4096


class Timer:
    """A call at a time to come, unless ``cancel()`` comes first."""

    __slots__ = ("at", "callback")

    def __init__(self, at: float, callback: Callback) -> None:
        self.at = at
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Loop:
    """One thread's loop; the main one's, since signals come there."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._signals: dict[int, Callback] = {}
        self._calls: deque[Callback] = deque()
        self._stopped = False
        self._reading, self._writing = os.pipe()
        for descriptor in (self._reading, self._writing):
            os.set_blocking(descriptor, False)
        self.watch(self._reading, self._woken)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)

    def watch(self, descriptor: int, callback: Callback) -> None:
        """Call back whenever there is something to read, or an end."""
        self._readers[descriptor] = callback
        self._poll.register(descriptor, select.POLLIN)

    def forget(self, descriptor: int) -> None:
        """To be said before the descriptor is closed."""
        if self._readers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def at(self, when: float, callback: Callback) -> Timer:
        """Call back at a time of ``time.monotonic``."""
        timer = Timer(when, callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def later(self, seconds: float, callback: Callback) -> Timer:
        return self.at(monotonic() + seconds, callback)

    def call(self, callback: Callback) -> None:
        """Call back soon; may be said in another thread, and in a signal handler."""
        self._calls.append(callback)
        try:
            os.write(self._writing, b"\0")
        except BlockingIOError:
            pass  # full of wakes already

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back, outside the signal handler."""
        self._signals[number] = callback
        signal.signal(number, of_this_process(self._received))

    def run(self) -> None:
        """Until ``stop()``."""
        while not self._stopped:
            while self._calls and not self._stopped:
                self._calls.popleft()()
            self._ring()
            if not self._stopped:
                self._turn()

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._reading)
        os.close(self._writing)

    def _turn(self) -> None:
        for descriptor, _ in self._poll.poll(self._left()):
            callback = self._readers.get(descriptor)  # an earlier one of this round may have forgotten it
            if callback is not None and not self._stopped:
                callback()

    def _left(self) -> int | None:
        until = self._timers[0][0] if self._timers else inf
        if self._calls:
            return 0
        return None if until == inf else min(max(ceil((until - monotonic()) * 1000), 0), _LONGEST)

    def _ring(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now and not self._stopped:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def _woken(self) -> None:
        try:
            os.read(self._reading, _WAKEUP)
        except BlockingIOError:
            pass  # somebody was faster: a child of a fork shares the pipe until it has left it

    def _received(self, number: int, frame: FrameType | None) -> None:
        self._calls.append(self._signals[number])
