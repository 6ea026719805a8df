"""What the processes of a server share: a table of numbers in common memory.

::

    row 0                 what processes that have ended did, added up
    row 1 … ROWS - 1      one process each: pid slot state opened closed requests quiet_until

Each row has one writer for each of its fields, and a number is written in one step: no lock.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from enum import IntEnum
from typing import Final

__all__ = ["ROWS", "Row", "Scoreboard", "State"]

ROWS = 1024
"""Processes at a time, those that drain included; so many rows are 64 KiB."""
_WIDTH = 8
_SIZE = ROWS * _WIDTH * 8
_PID, _SLOT, _STATE, _OPENED, _CLOSED, _REQUESTS, _QUIET = range(7)
_MICRO: Final = 1_000_000


class State(IntEnum):
    """What a process is doing."""

    FREE = 0
    STARTING = 1
    SERVING = 2
    DRAINING = 3


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
        self.descriptor = _make_file() if named else descriptor
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
        opened, requests = row.opened, row.requests
        row.take(0, 0)
        row.state = State.FREE
        self.past.opened += opened
        self.past.requests += requests

    def living(self) -> list[Row]:
        """The rows of processes that have not ended."""
        return [row for row in self._rows() if row.state != State.FREE]

    @property
    def connections(self) -> int:
        """Open now, in all processes."""
        return sum(max(row.opened - row.closed, 0) for row in self.living())

    @property
    def accepted(self) -> int:
        """Connections so far, in all processes."""
        return self.past.opened + sum(row.opened for row in self.living())

    @property
    def requests(self) -> int:
        """Answered so far, in all processes."""
        return self.past.requests + sum(row.requests for row in self.living())

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


def _make_file() -> int:
    """A file without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("portico scoreboard")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, _SIZE)
    return descriptor
