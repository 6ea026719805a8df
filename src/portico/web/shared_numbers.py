"""Numbers by name that processes have in common: each writes its own, anybody adds them up.

::

    names       SERIES × 256 bytes    what the number at this place is called, its kind first
    row 0       SERIES × double       what processes that have ended did, added up
    row 1 …     SERIES × double       one process each; the first number says whether it was ever used

Each process writes in its own row and nowhere else: no lock for that. A row belongs to who has a lock of the
kernel's on its byte of the file, which ends with the process, however that ends. Names, and rows that change
hands, are written under the lock on byte 0.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakSet

from portico.figures import MAX, TOTAL
from portico.sync import Guard
from portico.unnamed import unnamed_file

__all__ = ["PROCESSES", "SERIES", "SharedNumbers"]

SERIES: Final = 1024
"""Names that there can be; what comes later is not counted."""
PROCESSES: Final = 1024
"""Processes at a time, those that drain included."""
_NAME: Final = 256
_ROW: Final = SERIES * 8
_SIZE: Final = SERIES * _NAME + (PROCESSES + 1) * _ROW


class SharedNumbers:
    """A table; forked processes inherit it, and one that does not is given it by pickling.

    ``row`` is this process's own, to be written in at places that ``place`` tells.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._file = (
            os.open(path, os.O_RDWR | os.O_CLOEXEC) if path else unnamed_file("portico metrics", _SIZE)
        )
        self._map = mmap.mmap(self._file, _SIZE)
        self._cells = memoryview(self._map)[SERIES * _NAME :].cast("d")
        self._places: dict[str, int] = {}
        self.forget()
        _tables.add(self)

    def forget(self) -> None:
        """In a forked process: the parent's row is not ours."""
        self._guard = Guard()
        self._row: memoryview[float] | None = None
        self._number = 0

    @property
    def row(self) -> memoryview[float]:
        """The numbers of this process; a row that nobody reads when there are too many processes."""
        if self._row is None:
            with self._guard:
                if self._row is None:
                    self._row = self._hire()
        return self._row

    def place(self, kind: str, name: str) -> int:
        """Where the number of this name stands in each row; 0, which nobody reads, when there is no room."""
        key = kind + name
        found = self._places.get(key)
        if found is None:
            raw = key.encode("utf-8", "replace")
            with self._guard, self._locked(0):
                found = self._find(raw) if len(raw) <= _NAME else 0
            self._places[key] = found
        return found

    def read(self) -> dict[str, float]:
        """All numbers by name, over all processes: totals of those that ended included."""
        with self._guard, self._locked(0):
            living = [self._cells_of(number) for number in range(1, PROCESSES + 1) if self._lives(number)]
            past = self._cells_of(0)
            found: dict[str, float] = {}
            for place, key in self._names():
                numbers = [row[place] for row in living]
                kind, name = key[0], key[1:]
                found[name] = max(numbers, default=0.0) if kind == MAX else sum(numbers)
                if kind == TOTAL:
                    found[name] += past[place]
            return found

    @property
    def processes(self) -> int:
        """How many processes that count here live."""
        with self._guard, self._locked(0):
            return sum(self._lives(number) for number in range(1, PROCESSES + 1))

    def close(self) -> None:
        """Give the memory back; the numbers cannot be asked for after it."""
        if self._file >= 0:
            self._row = None
            self._cells.release()
            self._map.close()
            os.close(self._file)
            self._file = -1

    def __reduce__(self) -> tuple[type[SharedNumbers], tuple[str]]:
        return type(self), (self._path or f"/proc/{os.getpid()}/fd/{self._file}",)

    def __del__(self) -> None:
        if hasattr(self, "_cells"):
            self.close()

    # -- inside: the guard is held, and the lock on byte 0

    def _hire(self) -> memoryview[float]:
        with self._locked(0):
            for number in range(1, PROCESSES + 1):
                if self._try_lock(number):
                    self._fold(number)
                    self._number = number
                    cells = self._cells_of(number)
                    cells[0] = 1.0
                    return cells
        return memoryview(bytearray(_ROW)).cast("d")

    def _lives(self, number: int) -> bool:
        """Whether a row is in use; that of a process that has ended becomes the past's."""
        if not self._cells_of(number)[0]:
            return False
        if number == self._number or not self._try_lock(number):
            return True
        self._fold(number)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        return False

    def _fold(self, number: int) -> None:
        past, row = self._cells_of(0), self._cells_of(number)
        if not row[0]:
            return
        for place, key in self._names():
            if key[0] == TOTAL:
                past[place] += row[place]
            row[place] = 0.0
        row[0] = 0.0

    def _cells_of(self, number: int) -> memoryview[float]:
        return self._cells[number * SERIES : (number + 1) * SERIES]

    def _names(self) -> Iterator[tuple[int, str]]:
        for place in range(1, SERIES):
            raw = self._map[place * _NAME : (place + 1) * _NAME].rstrip(b"\0")
            if not raw:
                return
            yield place, raw.decode()

    def _find(self, raw: bytes) -> int:
        for place in range(1, SERIES):
            at = place * _NAME
            known = self._map[at : at + _NAME].rstrip(b"\0")
            if not known:
                self._map[at : at + len(raw)] = raw
            if known in (raw, b""):
                return place
        return 0

    @contextmanager
    def _locked(self, byte: int) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, byte)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def _try_lock(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True


_tables: WeakSet[SharedNumbers] = WeakSet()


def _forget_all() -> None:
    for table in _tables:
        table.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
