"""What the parts of a process can tell of themselves in numbers, for whoever wants to look: metrics.

A part that has something to tell says ``SOURCES.add(self)`` and has ``figures()``; it costs nothing until
somebody asks.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from weakref import WeakSet

__all__ = ["GAUGE", "MAX", "SOURCES", "TOTAL", "Figure"]

TOTAL: Final = "+"
"""Only grows; what ended processes had counted stays."""
GAUGE: Final = "="
"""As it is now, added up over the processes that live."""
MAX: Final = "^"
"""As it is now, the greatest of the processes that live."""


class Figure(NamedTuple):
    """One number: what it is called, its labels in pairs, and its kind (``TOTAL``, ``GAUGE``, ``MAX``)."""

    name: str
    value: float
    kind: str = TOTAL
    labels: tuple[tuple[str, str], ...] = ()


SOURCES: Final[WeakSet[Any]] = WeakSet()
"""Who can tell figures, in this process: ``figures()`` gives them, from any thread, and never waits."""
