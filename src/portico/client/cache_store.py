"""Where a cache keeps answers: what a store offers, and the one that is memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from portico.client.cache_rules import Stored, match_of
from portico.client.wire import HeldBody
from portico.sync import Guard

if TYPE_CHECKING:
    from portico.client.incoming import Source
    from portico.client.request import Request

__all__ = ["OVERHEAD", "VARIANTS", "MemoryStore", "Store", "Writer"]

OVERHEAD = 1024
"""Bytes that an answer counts for beside its head and body."""
VARIANTS = 32
"""Answers of one URL that are kept, for requests that differ in what ``Vary`` names."""


class Writer(Protocol):
    """Takes the body of an answer that is to be kept; nothing of it is seen before ``commit``.

    A store that cannot go on forgets the answer, and says nothing: the caller has it all the same.
    """

    def write(self, piece: bytes) -> None: ...

    def commit(self) -> None: ...

    def abort(self) -> None: ...


class Store(Protocol):
    """Answers that are kept. Never raises for what is wrong with itself."""

    def find(self, key: str, request: Request) -> Stored | None:
        """The latest answer to what ``request`` asks."""
        ...

    def source(self, stored: Stored) -> Source | None:
        """The body of an answer; ``None`` when that is gone meanwhile."""
        ...

    def writer(self, stored: Stored) -> Writer:
        """Begin to keep an answer; with ``commit`` it takes the place of those it replaces."""
        ...

    def update(self, stored: Stored) -> None:
        """Other fields for an answer that is kept."""
        ...

    def remove(self, key: str) -> None:
        """Forget all answers of a URL."""
        ...

    def drop(self, stored: Stored) -> None:
        """Forget one answer."""
        ...

    def clear(self) -> None:
        """Forget all."""
        ...

    def close(self) -> None: ...


class MemoryStore:
    """Answers in memory: ``size`` bytes of them; what was used longest ago goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.largest = size // 2
        self._guard = Guard()
        self._kept: OrderedDict[int, Stored] = OrderedDict()
        self._by_key: dict[str, list[int]] = {}
        self._used = 0
        self._last = 0

    def find(self, key: str, request: Request) -> Stored | None:
        with self._guard:
            numbers = self._by_key.get(key)
            if numbers is None:
                return None
            found = [self._kept[number] for number in numbers]
            matching = [each for each in found if each.match == match_of(request, each.names)]
            if not matching:
                return None
            latest = max(matching, key=_latest)
            self._kept.move_to_end(latest.number)
            return latest

    def source(self, stored: Stored) -> HeldBody | None:
        return None if stored.body is None else HeldBody(stored.body)

    def writer(self, stored: Stored) -> _MemoryWriter:
        return _MemoryWriter(self, stored)

    def add(self, stored: Stored, body: bytes) -> None:
        """Keep an answer whose body is complete."""
        with self._guard:
            self._last += 1
            stored = replace(stored, number=self._last, size=len(body), body=body)
            self._take_others(stored)
            while len(self._by_key.get(stored.key, ())) >= VARIANTS:
                self._take(self._by_key[stored.key][0])
            self._kept[self._last] = stored
            self._by_key.setdefault(stored.key, []).append(self._last)
            self._used += _cost(stored)
            while self._used > self._size:
                self._take(next(iter(self._kept)))

    def update(self, stored: Stored) -> None:
        with self._guard:
            before = self._kept.get(stored.number)
            if before is not None:
                self._take_others(stored)
                self._kept[stored.number] = stored
                self._used += _cost(stored) - _cost(before)

    def remove(self, key: str) -> None:
        with self._guard:
            for number in list(self._by_key.get(key, ())):
                self._take(number)

    def drop(self, stored: Stored) -> None:
        with self._guard:
            if stored.number in self._kept:
                self._take(stored.number)

    def clear(self) -> None:
        with self._guard:
            self._kept.clear()
            self._by_key.clear()
            self._used = 0

    def close(self) -> None:
        """What is in memory stays, until nobody holds it."""

    def _take_others(self, stored: Stored) -> None:
        """Take away those in whose place it comes."""
        for number in list(self._by_key.get(stored.key, ())):
            each = self._kept[number]
            if number != stored.number and (each.names, each.match) == (stored.names, stored.match):
                self._take(number)

    def _take(self, number: int) -> None:
        stored = self._kept.pop(number)
        self._used -= _cost(stored)
        numbers = self._by_key[stored.key]
        numbers.remove(number)
        if not numbers:
            del self._by_key[stored.key]


class _MemoryWriter:
    def __init__(self, store: MemoryStore, stored: Stored) -> None:
        self._store = store
        self._stored = stored
        self._pieces: list[bytes] | None = []
        self._size = 0

    def write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._store.largest:
            self._pieces = None
        if self._pieces is not None:
            self._pieces.append(bytes(piece))

    def commit(self) -> None:
        if self._pieces is not None:
            self._store.add(self._stored, b"".join(self._pieces))

    def abort(self) -> None:
        self._pieces = None


def _cost(stored: Stored) -> int:
    return OVERHEAD + stored.size + sum(len(name) + len(value) for name, value in stored.pairs)


def _latest(stored: Stored) -> tuple[float, float]:
    """RFC 9111, 4: of several that match, the one with the latest date."""
    return stored.date, stored.came
