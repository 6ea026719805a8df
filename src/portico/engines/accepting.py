"""Listeners watched by a poller: who dials is accepted, in batches, with a rest where there is no room."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic

from portico.engines.contract import Connection, Listening, Serving
from portico.engines.poller import Poller
from portico.sockets.transport import READ

__all__ = ["Reception"]

BATCH = 64
PAUSE = 0.1
"""Without descriptors, accepting rests for so long: nothing spins, and service resumes."""


class _Bell:
    """Wakes the engine when somebody dials a listener that has no descriptor."""

    def __init__(self, notify: Callable[[Listening], None], listener: Listening) -> None:
        self._notify = notify
        self._listener = listener

    def wake(self) -> None:
        self._notify(self._listener)


class Reception:
    """The listeners of one server.

    ``begin(connection)`` is called with each new connection, ``count()`` tells how many are open, and
    ``notify(listener)`` asks for a call of ``accept`` soon. One thread at a time may be inside.
    """

    def __init__(
        self,
        poller: Poller,
        serving: Serving,
        begin: Callable[[Connection], None],
        count: Callable[[], int],
        notify: Callable[[Listening], None],
    ) -> None:
        self._poller = poller
        self._serving = serving
        self._begin = begin
        self._count = count
        self._notify = notify
        self._watched: dict[int, Listening] = {}
        self._paused: dict[Listening, float] = {}  # until when
        self._bells: dict[Listening, _Bell] = {}
        self._closed = False
        self.resume_at = inf  # when a listener has rested for long enough

    def open(self) -> None:
        """Begin to listen."""
        for listener in self._serving.listeners:
            self._watch(listener)

    def answers(self, descriptor: int) -> bool:
        """Whether it is a listener's, and if so, accept."""
        listener = self._watched.get(descriptor)
        if listener is not None:
            self.accept(listener)
        return listener is not None

    def look_at(self, listener: Listening) -> None:
        """Somebody has dialled it, or it is new, or not to be listened at any more."""
        if listener not in self._serving.listeners or self._closed:
            self._give_up(listener)
        elif listener.fileno() in self._watched or listener in self._bells or listener in self._paused:
            self.accept(listener)
        elif not listener.closed:
            self._watch(listener)

    def accept(self, listener: Listening) -> bool:
        """Take who waits. Whether there may be more."""
        if listener.closed or listener in self._paused:
            return False
        for _ in range(BATCH):
            if self._count() >= self._serving.limits.connections:
                self._pause(listener)
                return False
            try:
                transport = listener.accept()
            except OSError as error:
                self._serving.accept_failed(listener, error)
                self._pause(listener)
                return False
            if transport is None:
                return False
            connection = self._serving.connected(transport)
            if connection is not None:
                self._begin(connection)
        if listener.fileno() < 0:
            self._notify(listener)
        return True

    def resume(self, now: float) -> None:
        """Go on with listeners that have rested for long enough."""
        for listener, until in tuple(self._paused.items()):
            if until <= now:
                del self._paused[listener]
                self._watch(listener)
        self.resume_at = min(self._paused.values(), default=inf)

    def close(self) -> None:
        """Accept who came before the end, at most as many as the kernel could hold, and stop listening."""
        self._paused.clear()
        self._closed = True
        for listener in self._serving.listeners:
            self._give_up(listener)
        self._paused.clear()
        self.resume_at = inf
        self._serving.stopped_accepting()

    def _give_up(self, listener: Listening) -> None:
        if listener.closed:
            return
        for _ in range(self._serving.limits.backlog // BATCH + 1):
            if not self.accept(listener):
                break
        self._unwatch(listener)
        self._paused.pop(listener, None)
        listener.close()

    def _watch(self, listener: Listening) -> None:
        descriptor = listener.fileno()
        if descriptor >= 0:
            self._watched[descriptor] = listener
            self._poller.watch(descriptor, READ, 0, level=True)
            return
        if listener not in self._bells:
            self._bells[listener] = _Bell(self._notify, listener)
            listener.waiters.add(self._bells[listener])
        self._notify(listener)

    def _unwatch(self, listener: Listening) -> None:
        descriptor = listener.fileno()
        # Closing would not do: an inherited socket stays open elsewhere, and the poller goes on with it.
        if descriptor >= 0 and self._watched.pop(descriptor, None) is not None:
            self._poller.watch(descriptor, 0, READ)

    def _pause(self, listener: Listening) -> None:
        self._unwatch(listener)
        until = self._paused[listener] = monotonic() + PAUSE
        self.resume_at = min(self.resume_at, until)
