"""Two ends joined: what each gives goes to the other, both directions at once, until both have ended.

Each direction is a plain blocking loop in a task of its own, so memory is one chunk for each and a slow
reader slows its writer. Who started them only waits for news, and decides what an end means::

    near ends     the far end is told (half-close), and heard until it ends or its ``patience`` does
    far ends      what the near end still gives is sent, until it ends or its ``patience`` does
    near is gone  (a program that exited) what it left behind is sent, then all is over
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, Protocol, TypeVar

from portico.deadline import check, timeout
from portico.engines import door
from portico.errors import Cancelled, ConnectionLost, Timeout
from portico.sync import spawn

__all__ = ["End", "Inbox", "Near", "Relay", "Rules"]

T = TypeVar("T")

CHUNK = 1 << 17
"""Of one read: twice what a pipe holds, so that the larger side decides."""
LEFT_BEHIND = 0.5
"""Seconds of silence after which a program that exited has nothing left to say, though what it started
may still hold its output open."""
_STOP = 1.0  # seconds: only a write to a terminal that was stopped (Ctrl-S) cannot be called off


class End(Protocol):
    """One end. ``read`` and ``write`` wait; ``finish``: no more will be written.

    ``patience``: seconds it may be silent once the other end has ended.
    """

    patience: float

    def read(self) -> bytes: ...

    def write(self, data: bytes, /) -> None: ...

    def finish(self) -> None: ...


class Near(End, Protocol):
    """Our own end. ``watch`` is given something to call when it is gone; ``stop`` ends what that began."""

    def watch(self, gone: Callable[[], None], /) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How to go about it. Seconds: ``quit_after`` stands for the far end's patience, ``idle`` bounds any
    silence."""

    half_close: bool = True
    send: bool = True
    receive: bool = True
    quit_after: float | None = None
    idle: float | None = None


class Inbox(Generic[T]):
    """News for the one that made it. ``post`` is safe in any thread and in a signal's handler."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiter = door.waiter()

    def post(self, item: T) -> None:
        """Leave word."""
        self._items.append(item)
        self._waiter.wake()

    def take(self, doing: str) -> T:
        """The oldest, waiting for one. Raises ``Timeout``."""
        while not self._items:
            door.park(self._waiter, doing)
        return self._items.popleft()


class Pump:
    """One direction. ``moved`` counts bytes; ``writing``: it waits for its taker, not for its giver."""

    def __init__(self, name: str, source: End, sink: End, half_close: bool) -> None:
        self.name = name
        self.moved = 0
        self.writing = False
        self.error: BaseException | None = None
        self._source, self._sink, self._half_close = source, sink, half_close

    def start(self, ended: Callable[[Pump], None]) -> None:
        """Begin, in a task. ``ended`` is called by it when all is through, or ``error`` is set."""
        self._task = spawn(self._run, ended, name=self.name)

    def stop(self) -> None:
        """Call it off, wherever it is."""
        self._task.cancel()
        try:
            with timeout(_STOP, shield=True):
                self._task.join()
        except Timeout:
            pass  # its thread does not keep the program from ending

    def _run(self, ended: Callable[[Pump], None]) -> None:
        try:
            self._move()
        except Cancelled:
            return
        except BaseException as error:  # noqa: BLE001  (whoever started it raises it)
            self.error = error
        ended(self)

    def _move(self) -> None:
        while data := self._source.read():
            self.writing = True
            self._sink.write(data)
            self.writing = False
            self.moved += len(data)
        if self._half_close:
            self.writing = True
            self._sink.finish()
            self.writing = False


class Relay:
    """``near`` and ``far`` joined by ``rules``; ``run()`` returns when it is over.

    ``inbox`` takes things to be done meanwhile, by the one who runs it; one that returns ``True`` ends it.
    """

    def __init__(self, near: Near, far: End, rules: Rules) -> None:
        self.inbox: Inbox[Callable[[], bool | None]] = Inbox()
        self._near, self._far = near, far
        self._rules = rules
        self._sending = Pump("sending", near, far, rules.half_close)
        self._receiving = Pump("receiving", far, near, True)
        self._running: set[Pump] = set()
        self._silence = inf
        self._gone = False
        self._lost: BaseException | None = None

    @property
    def sent(self) -> int:
        """Bytes that went from near to far."""
        return self._sending.moved

    @property
    def received(self) -> int:
        """Bytes that went from far to near."""
        return self._receiving.moved

    def run(self) -> None:
        """Move bytes until both directions have ended, or the rules say so.

        Raises whatever an end raised, and ``Timeout`` by ``idle`` or the deadline in force.
        """
        try:
            self._start()
            while self._running:
                if self._next()():
                    break
            if self._lost is not None:
                raise self._lost
        finally:
            self._near.stop()
            for pump in tuple(self._running):
                pump.stop()
            self._lost = None

    def _start(self) -> None:
        wanted = [(self._sending, self._rules.send), (self._receiving, self._rules.receive)]
        for pump in (pump for pump, wished in wanted if wished):
            pump.start(lambda pump: self.inbox.post(lambda: self._ended(pump)))
            self._running.add(pump)
        self._near.watch(lambda: self.inbox.post(self._near_gone))

    def _next(self) -> Callable[[], bool | None]:
        """What happened; silence that lasts too long is something that happens, too."""
        while True:
            before, quiet = self._moved, self._quiet
            try:
                with timeout(None if quiet == inf else quiet):
                    return self.inbox.take("talking")
            except Timeout:
                check("talking")  # the caller's deadline, not the silence's
            if self._moved != before:
                continue
            if self._idle <= quiet:
                raise Timeout("waiting for anything to flow in either direction", seconds=self._idle)
            if not any(pump.writing for pump in self._running):
                return lambda: True

    @property
    def _moved(self) -> int:
        return self.sent + self.received

    @property
    def _idle(self) -> float:
        return inf if self._rules.idle is None else self._rules.idle

    @property
    def _quiet(self) -> float:
        return min(self._silence, self._idle)

    def _ended(self, pump: Pump) -> bool:
        self._running.discard(pump)
        if pump.error is not None:
            self._failed(pump, pump.error)
        quit_after = self._rules.quit_after
        if pump is self._receiving:
            self._silence = self._near.patience
        else:
            self._silence = self._far.patience if quit_after is None else quit_after
        return not self._silence or (self._gone and pump is self._sending)

    def _failed(self, pump: Pump, error: BaseException) -> None:
        # Who stopped reading may have said why, and that may still be on its way to us.
        if pump is self._sending and isinstance(error, ConnectionLost) and self._receiving in self._running:
            self._lost = error
        else:
            raise error

    def _near_gone(self) -> bool:
        self._gone = True
        self._silence = LEFT_BEHIND
        return self._sending not in self._running
