"""A thread that notices when another one gets nowhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import sleep

__all__ = ["Watchdog"]

_RESTFUL = 20  # ticks in which nothing ran, after which it sleeps until it is roused


class Watchdog:
    """Looks every ``tick`` seconds while something runs, and sleeps while nothing does.

    ``number()`` counts what was begun, ``inside()`` tells whether something is being run: the same
    number for a whole tick, and inside, is what ``stuck(number)`` is called for. ``idle()`` is called at
    every other look. Whoever begins to run something looks at ``resting``, and calls ``rouse()``.
    """

    def __init__(
        self,
        tick: float,
        number: Callable[[], int],
        inside: Callable[[], bool],
        stuck: Callable[[int], None],
        idle: Callable[[], bool] = lambda: False,
    ) -> None:
        self.resting = True
        self._tick = tick
        self._number = number
        self._inside = inside
        self._stuck = stuck
        self._idle = idle
        self._bell = threading.Event()
        self._over = False

    def start(self) -> bool:
        """Begin to watch. ``False``: the system gives no thread."""
        try:
            threading.Thread(target=self._watch, name="portico watchdog", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def rouse(self) -> None:
        self._bell.set()

    def stop(self) -> None:
        self._over = True
        self._bell.set()

    def _watch(self) -> None:
        self.resting = False
        seen = calm = 0
        while not self._over:
            if calm > _RESTFUL:
                self._rest(seen)
                calm = 0
            sleep(self._tick)
            number, inside = self._number(), self._inside()
            calm = 0 if inside or number != seen else calm + 1
            if inside and number == seen:
                self._stuck(number)
            elif self._idle():
                calm = 0
            seen = number

    def _rest(self, seen: int) -> None:
        self._bell.clear()
        self.resting = True
        # What began before the flag was up rang no bell.
        if self._number() == seen and not self._inside() and not self._over:
            self._bell.wait()
        self.resting = False
