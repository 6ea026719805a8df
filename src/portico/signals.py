"""Signals while serving: SIGTERM and SIGINT drain, then stop; SIGHUP reloads."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar, Protocol, Self

from portico.deadline import timeout
from portico.engines import door
from portico.engines.inherited import of_this_process
from portico.limits import Limits
from portico.sockets.pipe import PipeTransport
from portico.sockets.transport import Waitable

__all__ = ["Signalled", "Signals"]

drain_log = logging.getLogger("portico.drain")

_AT_ONCE = 0.1
"""Seconds that nobody calls waiting."""


class Signalled(Protocol):
    """What signals are for: a server."""

    grace: float
    limits: Limits

    @property
    def connections(self) -> int: ...

    def wait_or(self, condition: Callable[[], bool], bell: Waitable | None = None) -> bool: ...

    def stop(self, grace: float | None = None, quiet: float = 0.0) -> list[str]: ...

    def reload(self) -> str | None: ...

    def resize(self, by: int) -> None: ...


class Signals:
    """SIGTERM and SIGINT while serving: the first drains, the second stops now. SIGHUP reloads; where it is
    ignored (``nohup``) it stays so; with ``hangup_ends``, a terminal that has gone ends what it began. With
    workers, SIGTTIN makes them one more, SIGTTOU one less.

    A handler only counts: it may run in the middle of anything. What ends the main thread's wait is the
    interpreter's own note in a pipe: a signal that the kernel gives to another thread, or just before the
    main thread begins to wait, would leave it waiting, and its handler unrun.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)
    STEPS: ClassVar[dict[int, int]] = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}

    def __init__(self, processes: bool, *, hangup_ends: bool = False) -> None:
        self._processes = processes
        self._ends = (*self.SIGNALS, *_hangups()) if hangup_ends else self.SIGNALS
        self._count = 0
        self.first: int | None = None
        """The signal that began the end."""
        self._others: deque[int] = deque()
        self.bell: PipeTransport | None = None
        """Readable when a signal has come; ``None`` where they are somebody else's."""
        self._noter = self._noter_before = -1
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        numbers = [*self.SIGNALS, *_hangups(), *(self.STEPS if self._processes else ())]
        received = of_this_process(self._received)
        for number in numbers:
            try:
                self._before.append((number, signal.signal(number, received)))
            except ValueError:
                return self  # not the main thread: signals are somebody else's
        reading, self._noter = os.pipe()
        self.bell = PipeTransport(reading, None, "the signals")
        os.set_blocking(self._noter, False)
        self._noter_before = signal.set_wakeup_fd(self._noter, warn_on_full_buffer=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bell is not None:
            signal.set_wakeup_fd(self._noter_before)
            os.close(self._noter)
            self.bell.close()
        for number, handler in self._before:
            # None: somebody's who is not Python, and whom we cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if number in self._ends:
            self._count += 1
            self.first = self.first or number
        else:
            self._others.append(number)

    def told_to_end(self) -> bool:
        """Whether SIGTERM or SIGINT has come. Silences the bell."""
        if self.bell is not None:
            self.bell.recv(64)
        return self._count > 0

    def _more_than(self, count: int, server: Signalled) -> bool:
        if self.bell is not None:
            self.bell.recv(64)
        while self._others:
            number = self._others.popleft()
            if number in self.STEPS:
                server.resize(self.STEPS[number])
            elif self._processes:
                door.THREADS.spawn(server.reload, name="reload")  # it takes a while, and a stop may come
            else:
                server.reload()
        return self._count > count

    def wait(self, server: Signalled) -> None:
        """Until stopped from elsewhere, or drained after a signal, or told twice."""
        if server.wait_or(lambda: self._more_than(0, server), self.bell):
            return
        draining = door.spawn(server.stop, server.grace, server.limits.drain_quiet, name="drain")
        door.spawn(_tell, server, draining, name="drain, told")
        if not server.wait_or(lambda: self._more_than(1, server), self.bell):
            server.stop(0.0)
            return  # the drain may wait for code that does not come back
        draining.join()


def _tell(server: Signalled, draining: door.Task[Any]) -> None:
    """Say what is waited for, if it is: most servers that are told to stop are through at once."""
    with suppress(Exception), timeout(_AT_ONCE):  # what the drain raises, the one who ends with it tells
        draining.join()
    if not draining.done and (many := server.connections):
        drain_log.info(
            "stopping: waiting up to %g s for %d connection%s; a second signal stops now",
            server.grace, many, "" if many == 1 else "s",
        )  # fmt: skip


def _hangups() -> list[signal.Signals]:
    hangup = getattr(signal, "SIGHUP", None)
    return [] if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN else [hangup]
