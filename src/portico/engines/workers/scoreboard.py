"""What the processes of a server share: a table of numbers in common memory.

::

    row 0                 what processes that have ended did, added up
    row 1 … ROWS - 1      one process each: pid slot state opened closed requests quiet_until cutting
                          dropped, and how many were refused, for each reason
    LOSSES cells          one socket each: what the kernel has said that it dropped there

Each row has one writer for each of its fields, and a number is written in one step: no lock.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from portico.unnamed import unnamed_file

__all__ = ["LOSSES", "ROWS", "Cell", "Row", "Scoreboard", "State", "Totals"]

ROWS = 1024
"""Processes at a time, those that drain included; so many rows are 336 KiB."""
LOSSES = 512
"""Datagram sockets whose losses processes know in common: two for each of the most workers there may be."""
_PID, _SLOT, _STATE, _OPENED, _CLOSED, _REQUESTS, _QUIET, _CUTTING, _DROPPED, _REFUSED = range(10)
_REASONS = 32  # with room to spare
_WIDTH = _REFUSED + _REASONS
_SIZE = (ROWS * _WIDTH + LOSSES) * 8
_MICRO: Final = 1_000_000


class State(IntEnum):
    """What a process is doing."""

    FREE = 0
    STARTING = 1
    SERVING = 2
    DRAINING = 3


@dataclass(frozen=True, slots=True)
class Totals:
    """What all processes did, added up: see ``Row``."""

    accepted: int = 0
    requests: int = 0
    dropped: int = 0
    refused: tuple[int, ...] = ()


class Cell:
    """One number in common memory."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: memoryview, at: int) -> None:
        self._cells = cells
        self._at = at

    @property
    def value(self) -> int:
        value: int = self._cells[self._at]
        return value

    @value.setter
    def value(self, number: int) -> None:
        self._cells[self._at] = number


class Row:
    """One process's numbers."""

    __slots__ = ("_at", "_cells", "number")

    def __init__(self, cells: memoryview, number: int) -> None:
        self._cells = cells
        self._at = number * _WIDTH
        self.number = number

    @property
    def pid(self) -> int:
        return self._get(_PID)

    @pid.setter
    def pid(self, pid: int) -> None:
        self._set(_PID, pid)

    @property
    def slot(self) -> int:
        return self._get(_SLOT)

    @property
    def state(self) -> State:
        return State(self._get(_STATE))

    @state.setter
    def state(self, state: State) -> None:
        self._set(_STATE, state)

    @property
    def opened(self) -> int:
        """Connections so far."""
        return self._get(_OPENED)

    @opened.setter
    def opened(self, number: int) -> None:
        self._set(_OPENED, number)

    @property
    def closed(self) -> int:
        return self._get(_CLOSED)

    @closed.setter
    def closed(self, number: int) -> None:
        self._set(_CLOSED, number)

    @property
    def requests(self) -> int:
        return self._get(_REQUESTS)

    @requests.setter
    def requests(self, number: int) -> None:
        self._set(_REQUESTS, number)

    @property
    def quiet_until(self) -> float:
        """While draining: when idle connections end, on ``time.monotonic``'s clock."""
        return self._get(_QUIET) / _MICRO

    @quiet_until.setter
    def quiet_until(self, at: float) -> None:
        self._set(_QUIET, max(int(at * _MICRO), 1))

    @property
    def cutting(self) -> bool:
        """Whether what still goes on is to be left."""
        return bool(self._get(_CUTTING))

    @cutting.setter
    def cutting(self, cutting: bool) -> None:
        self._set(_CUTTING, int(cutting))

    @property
    def dropped(self) -> int:
        """Datagrams so far."""
        return self._get(_DROPPED)

    @dropped.setter
    def dropped(self, number: int) -> None:
        self._set(_DROPPED, number)

    @property
    def refused(self) -> tuple[int, ...]:
        """How many so far, for each reason by its number."""
        return tuple(self._get(_REFUSED + reason) for reason in range(_REASONS))

    def set_refused(self, reason: int, number: int) -> None:
        self._set(_REFUSED + reason, number)

    def add_refused(self, reason: int, many: int) -> None:
        self._set(_REFUSED + reason, self._get(_REFUSED + reason) + many)

    def take(self, pid: int, slot: int) -> None:
        """The row is this process's from now on."""
        for field in range(_WIDTH):
            self._set(field, 0)
        self._set(_PID, pid)
        self._set(_SLOT, slot)
        self.state = State.STARTING

    def _get(self, field: int) -> int:
        value: int = self._cells[self._at + field]
        return value

    def _set(self, field: int, value: int) -> None:
        self._cells[self._at + field] = value


class Scoreboard:
    """The table. ``named=True`` gives it a descriptor, for a process that does not inherit our memory."""

    def __init__(self, *, named: bool = False, descriptor: int = -1) -> None:
        self.descriptor = unnamed_file("portico scoreboard", _SIZE) if named else descriptor
        self._map = mmap.mmap(self.descriptor, _SIZE)
        self._cells = memoryview(self._map).cast("Q")
        self.past = Row(self._cells, 0)

    def row(self, number: int) -> Row:
        return Row(self._cells, number)

    def hire(self) -> Row | None:
        """A free row; ``None``: there are as many processes as can be."""
        return next((row for row in self._rows() if row.state == State.FREE), None)

    def retire(self, row: Row) -> None:
        """A process has ended: what it did is the past's, and its row is free."""
        did = _did([row])
        row.take(0, 0)
        row.state = State.FREE
        before = _did([self.past])
        self.past.opened = before.accepted + did.accepted
        self.past.requests = before.requests + did.requests
        self.past.dropped = before.dropped + did.dropped
        for reason, numbers in enumerate(zip(before.refused, did.refused, strict=True)):
            self.past.set_refused(reason, sum(numbers))

    def living(self) -> list[Row]:
        """The rows of processes that have not ended."""
        return [row for row in self._rows() if row.state != State.FREE]

    @property
    def connections(self) -> int:
        """Open now, in all processes."""
        return sum(max(row.opened - row.closed, 0) for row in self.living())

    @property
    def totals(self) -> Totals:
        """What has been done so far, in all processes."""
        return _did([self.past, *self.living()])

    def loss(self, number: int) -> Cell:
        """A socket's cell."""
        return Cell(self._cells, ROWS * _WIDTH + number)

    def close_descriptor(self) -> None:
        """Whoever needs the descriptor has it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def close(self) -> None:
        """Give the memory back; the numbers cannot be asked for after it."""
        self._cells.release()
        self._map.close()
        self.close_descriptor()

    def _rows(self) -> list[Row]:
        return [Row(self._cells, number) for number in range(1, ROWS)]


def _did(rows: Sequence[Row]) -> Totals:
    return Totals(
        accepted=sum(row.opened for row in rows),
        requests=sum(row.requests for row in rows),
        dropped=sum(row.dropped for row in rows),
        refused=tuple(map(sum, zip(*(row.refused for row in rows), strict=True))),
    )
