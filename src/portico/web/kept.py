"""What is known of files, and small files whole, kept in memory as long as they are the same on disk.

Before each use the file's name is looked up (``lstat``) and held against what was read: one call instead
of open, ``fstat``, read and close. Whatever changes a file or puts another in its place changes its mark.
What looks at names only cannot know (a file system over the network that remembers for a while, memory
mapped by a writer) lasts for a second: then the file is opened anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import monotonic, time
from typing import TYPE_CHECKING, TypeAlias

from portico.sync import Lock
from portico.web.codings import choose
from portico.web.representation import Mark, Representation, mark_of

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["Checks", "Kept"]

Checks: TypeAlias = Sequence[tuple[bytes, os.stat_result]]
"""The files that a representation depends on: name in the file system, and facts of what was opened."""

Offered: TypeAlias = tuple[str, ...]

_TRUST = 1.0
"""Seconds until a file that has not changed is opened anew."""
_SETTLED = 3_000_000_000
"""Nanoseconds. A change in the same tick of the file system's clock as the one before leaves no trace; the
coarsest ticks are two seconds (FAT)."""
_OVERHEAD = 1500
"""Bytes that an entry costs beside its content."""
_FILE = 65536
"""Bytes that an open file counts for: of those there are not many."""
_DISK = 32
"""So many bytes on disk count as one in memory."""
_SHARE = 16
"""No entry may have more than this part of the memory."""

_Key: TypeAlias = str | tuple[str, str]
"""A path, and with it the coding of one of several forms."""


class _Entry:
    """A form of a file; or, without one, the codings of the forms that there are."""

    __slots__ = ("form", "marks", "offered", "size", "until")

    def __init__(
        self, form: Representation | None, marks: list[tuple[bytes, Mark]], offered: Offered, size: int
    ) -> None:
        self.form = form
        self.marks = marks
        self.offered = offered
        self.size = _OVERHEAD + size
        self.until = monotonic() + _TRUST


class Kept:
    """Representations by the path that is asked for, ``memory`` bytes of them; the oldest go."""

    def __init__(self, memory: int) -> None:
        self._room = memory
        self._entries: dict[_Key, _Entry] = {}
        self._adding = Lock()
        self.most = memory // _SHARE - _OVERHEAD
        """Content that is longer is not kept."""

    def find(self, exchange: Exchange) -> Representation | None:
        """What can be sent as it is, because nothing has changed."""
        entry = self._entries.get(exchange.raw_path_info)
        if entry is not None and entry.form is None:
            coding = choose(exchange.header("accept-encoding"), entry.offered)
            entry = None if coding is None else self._entries.get((exchange.raw_path_info, coding))
        if entry is None or entry.until < monotonic():
            return None
        try:
            for path, mark in entry.marks:
                if mark_of(os.lstat(path)) != mark:
                    return None
        except OSError:
            return None
        return entry.form

    def again(
        self, exchange: Exchange, offered: Offered, coding: str, checks: Checks
    ) -> Representation | None:
        """What was found before, after the files have been opened again and are the same."""
        entry = self._entries.get(_key(exchange, offered, coding))
        if entry is None or entry.marks != _marks(checks):
            return None
        entry.until = monotonic() + _TRUST
        return entry.form

    def add(
        self, exchange: Exchange, offered: Offered, coding: str, checks: Checks, form: Representation
    ) -> None:
        """Keep a form that was made of files that look as they did at first, unless it is too large.

        ``offered`` are the codings of all forms, where there are several. The last of ``checks`` is the
        file that is sent: without ``data``, it is opened by its name each time, and looked at again.
        """
        cost = len(form.data) if form.data is not None else 0
        if form.keeper is not None:
            cost = _FILE + form.size // _DISK
        if cost > self.most:
            return
        marks = _marks(checks)
        newest = time() * 1e9 - _SETTLED
        if any(facts.st_ctime_ns > newest for _, facts in checks) or not _unchanged(marks):
            return
        if form.data is None and form.keeper is None:
            form = form.by_name(checks[-1][0])
        path = exchange.raw_path_info
        with self._adding:
            self._put(
                _key(exchange, offered, coding),
                _Entry(form, marks, (), cost + len(path)),
            )
            if offered:
                self._put(path, _Entry(None, [], offered, len(path)))

    def _put(self, key: _Key, entry: _Entry) -> None:
        old = self._entries.pop(key, None)
        self._room += (old.size if old is not None else 0) - entry.size
        self._entries[key] = entry
        while self._room < 0:
            self._room += self._entries.pop(next(iter(self._entries))).size


def _key(exchange: Exchange, offered: Offered, coding: str) -> _Key:
    path = exchange.raw_path_info
    return (path, coding) if offered else path


def _marks(checks: Checks) -> list[tuple[bytes, Mark]]:
    return [(path, mark_of(facts)) for path, facts in checks]


def _unchanged(marks: list[tuple[bytes, Mark]]) -> bool:
    """Whether the names lead to what was opened, and without a link at the end, which ``lstat`` would see."""
    try:
        return all(mark_of(os.lstat(path)) == mark for path, mark in marks)
    except OSError:
        return False
