"""Who holds a thread in which everybody waits for their turn: named in the log, with its stack."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from portico.engines.observe import is_waiting, processor_ticks
from portico.engines.watchdog import Watchdog
from portico.errors import LocalProtocolError

if TYPE_CHECKING:
    from portico.engines.loop_thread import LoopThread

__all__ = ["HELD", "Blame", "LoopBlame"]

log = logging.getLogger("portico.events")

HELD = 0.1
"""Seconds that a handler may hold the thread before it is named: what others then wait is felt."""
_PAUSE = 5.0  # seconds between two lines in the log


class Blame:
    """Looks at one thread when it has got nowhere for half of ``HELD``, and names what it runs at the second
    look.

    ``what``: the thread's name in the log. ``thread`` and ``native_id``: its numbers. ``running(turn)``: what
    it runs, ``None`` for nothing, and when that turn is over. ``advice``: what an author can do.
    """

    def __init__(
        self, what: str, thread: int, native_id: int, running: Callable[[int], object], advice: str
    ) -> None:
        self._what = what
        self._thread = thread
        self._native_id = native_id
        self._running = running
        self._advice = advice
        self._seen: tuple[int, int] | None = None  # at the last look: which turn, how much work
        self._last = -inf

    def watchdog(self, turn: Callable[[], int], inside: Callable[[], bool]) -> Watchdog:
        """What looks when it is time to: see ``Watchdog``."""
        return Watchdog(HELD / 2, turn, inside, self.look)

    def look(self, turn: int) -> None:
        """It still is in the turn of this number."""
        before, ticks = self._seen, processor_ticks(self._native_id)
        asleep = is_waiting(self._native_id)
        self._seen = turn, ticks
        # What only was not given a processor is nobody's fault.
        if before is None or before[0] != turn or not (asleep or ticks > before[1]):
            return
        running, now = self._running(turn), monotonic()
        if running is None or now - self._last < _PAUSE:
            return
        self._last = now
        frame = sys._current_frames().get(self._thread)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (no stack)\n"
        log.warning(
            "%s has held the %s for more than %g s, %s; all others wait. %s. It is at:\n%s",
            running, self._what, HELD, "asleep" if asleep else "computing", self._advice, stack.rstrip(),
        )  # fmt: skip


class LoopBlame:
    """The same for an asyncio loop, which does not tell of its turns: it is asked for a sign of life, once in
    ``HELD`` while coroutines run."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop
        self._beats = 0
        self._asked = -1  # after which beat
        self._blame: Blame | None = None
        self._watchdog = Watchdog(HELD / 2, lambda: self._beats, lambda: loop.tasks > 0, self._silent)
        self._watchdog.start()  # without a thread for it, nobody is named

    def begun(self) -> None:
        """A coroutine was given to the loop."""
        if self._watchdog.resting:
            self._watchdog.rouse()

    def stop(self) -> None:
        self._watchdog.stop()

    def _silent(self, beat: int) -> None:
        if self._asked != beat:
            self._asked = beat
            with suppress(LocalProtocolError):  # it has ended
                self._loop.soon(self._beat)
            return
        if self._blame is None:
            self._blame = Blame(
                "asyncio loop", *self._loop.thread_ids, self._running,
                "Put the call into asyncio.to_thread(), or write the handler with def",
            )  # fmt: skip
        self._blame.look(beat)

    def _running(self, beat: int) -> str | None:
        return self._loop.running() if beat == self._beats else None

    def _beat(self) -> None:
        self._beats += 1
