"""A reload: new workers in all slots, or in none.

All replacements load the handler before the first of them may accept; then they all do, and it is over when
nobody accepts any more who has the old code.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from portico.engines.workers.slots import Slot
from portico.engines.workers.staff import Staff

__all__ = ["Reload"]

log = logging.getLogger("portico.workers")


class Reload:
    """The reloads of one server, one at a time. ``over(why)`` is called at the end of each; ``None``: it has
    succeeded."""

    def __init__(
        self,
        slots: Sequence[Slot],
        staff: Staff,
        hire: Callable[[Slot], object],
        over: Callable[[str | None], object],
    ) -> None:
        self._slots = slots
        self._staff = staff
        self._hire = hire
        self._over = over
        self.generation = 0  # how often there was one
        self.going_on = False
        self.loading = False  # and not all of the new workers are prepared

    def begin(self) -> None:
        """One more meanwhile begins anew: what is being loaded may be old, or never end."""
        self.generation += 1
        self.going_on = self.loading = True
        self.withdraw()
        for slot in self._slots:
            if self.loading:  # else one could not be started, and that was the end
                self._hire(slot)

    def withdraw(self) -> None:
        """Whoever was to take a place does not: it may have the old code, or one that is not to be used."""
        for slot in self._slots:
            if slot.coming is not None:
                self._staff.dismiss(slot.coming)
                slot.coming = None

    def prepared(self) -> None:
        """One more has loaded the handler."""
        if all(slot.coming is not None and slot.coming.prepared for slot in self._slots):
            self.loading = False
            for slot in self._slots:
                if slot.coming is not None:
                    slot.coming.go()

    def see(self) -> None:
        """Something has changed: is it over?"""
        if not self.going_on or self.loading:
            return
        new = all(slot.current and slot.current.generation == self.generation for slot in self._slots)
        old = [hand for hand in self._staff.hands if hand.generation != self.generation]
        if new and not any(hand.accepts for hand in old):
            log.info("reloaded: %d workers", len(self._slots))
            self.end(None)

    def end(self, why: str | None) -> None:
        """It is over, by itself or not."""
        if self.going_on:
            self.going_on = self.loading = False
            self._over(why)
