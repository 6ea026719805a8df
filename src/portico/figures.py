"""What the parts of a process can tell of themselves in numbers, for whoever wants to look: metrics.

A part that has something to tell says ``SOURCES.add(self)`` and has ``figures()``; it costs nothing until
somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

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


class _Sources:
    """A set that keeps nobody alive, and that any thread may look through while others add to it."""

    def __init__(self) -> None:
        self._parts: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, part: Any) -> None:
        self._parts[id(part)] = part

    def discard(self, part: Any) -> None:
        self._parts.pop(id(part), None)

    def __iter__(self) -> Iterator[Any]:
        return iter([part for reference in self._parts.valuerefs() if (part := reference()) is not None])


SOURCES: Final = _Sources()
"""Who can tell figures, in this process: ``figures()`` gives them, from any thread, and never waits."""
