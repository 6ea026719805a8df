"""A cache's answers on disk, bodies in chunks: memory stays flat, whatever their size.

A body that fits into one chunk is written with its answer, in one transaction. The chunks of a longer one
are written as they come, for an answer that nobody sees before it is complete; what a writer that died has
left may be cleared away an hour later.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any
from zlib import crc32

from portico.client.cache_file import CacheFile, writing
from portico.client.cache_rules import Stored, match_of
from portico.client.cache_store import OVERHEAD, VARIANTS
from portico.client.wire import HeldBody
from portico.errors import EndOfStream
from portico.http.messages import Fields
from portico.sync import run_blocking

if TYPE_CHECKING:
    from sqlite3 import Connection

    from portico.client.incoming import Source
    from portico.client.request import Request

__all__ = ["DiskStore"]

_CHUNK = 1 << 18
_CHUNKS = 1 << 20
"""Chunks that an answer may have: its number times this, and more, is where they stand."""
_ABANDONED = 3600.0
"""Seconds without a new chunk, after which nobody is believed to write any more."""
_COARSE = 60.0
"""Seconds. To note each use would make each hit a write."""


class DiskStore:
    """Answers in a file, ``size`` bytes of them; what was used longest ago goes first."""

    def __init__(self, path: Path, size: int) -> None:
        self.file = CacheFile(path)
        self.size = size
        self.largest = size // 2

    def find(self, key: str, request: Request) -> Stored | None:
        return self.file.run(lambda database: _find(database, key, request), None)

    def source(self, stored: Stored) -> Source | None:
        if stored.body is not None:
            return HeldBody(stored.body)
        return run_blocking(self._open_body, stored)

    def writer(self, stored: Stored) -> _DiskWriter:
        return _DiskWriter(self, stored)

    def update(self, stored: Stored) -> None:
        self._write(lambda database: _update(database, stored))

    def remove(self, key: str) -> None:
        self._write(lambda database: _delete(database, "key = ?", key))

    def drop(self, stored: Stored) -> None:
        self._write(lambda database: _delete(database, "number = ?", stored.number))

    def clear(self) -> None:
        self._write(lambda database: _delete(database, "1"))

    def close(self) -> None:
        run_blocking(self.file.close)

    def _write(self, work: Callable[[Connection], Any]) -> None:
        self.file.run(lambda database: _written(database, work), None)

    def _open_body(self, stored: Stored) -> _DiskBody | None:
        """A long body is read by a connection of its own, which sees one moment: nobody can take it away."""
        import sqlite3

        try:
            body = _DiskBody(self, self.file.apart(), stored)
            if body.begin():
                return body
            body.close()
        except (sqlite3.Error, OSError, UnicodeError) as error:
            self.file.failed(error)
        return None


def _written(database: Connection, work: Callable[[Connection], Any]) -> Any:
    with writing(database):
        return work(database)


# -- reading


def _find(database: Connection, key: str, request: Request) -> Stored | None:
    rows = database.execute(
        "SELECT number, names, match, head, crc, length, used FROM answers WHERE key = ? AND complete", (key,)
    ).fetchall()
    found: Stored | None = None
    digests: dict[str, bytes] = {}
    used = 0.0
    for number, names, match, head, crc, length, at in rows:
        if names not in digests:
            digests[names] = match_of(request, tuple(str(names).split()))
        if digests[names] != match or _sum(key, names, match, head, length) != crc:
            continue
        each = _unpacked(key, names, match, head, length, number)
        if found is None or (each.date, each.came) > (found.date, found.came):
            found, used = each, at
    if found is None or found.size > _CHUNK:
        return _noted(database, found, used)
    body = _chunk(database, found.number, 0) if found.size else b""
    if body is None or len(body) != found.size:
        _written(database, lambda inner: _delete(inner, "number = ?", found.number))
        return None
    return _noted(database, found.with_body(body), used)


def _noted(database: Connection, stored: Stored | None, used: float) -> Stored | None:
    import sqlite3

    now = time()
    if stored is not None and abs(now - used) > _COARSE:
        try:
            database.execute("UPDATE answers SET used = ? WHERE number = ?", (now, stored.number))
        except sqlite3.OperationalError:  # a full disk: it can be read all the same
            pass
    return stored


def _chunk(database: Connection, number: int, place: int) -> bytes | None:
    """A piece of a body; ``None`` where there is none, or other bytes than were written."""
    at = number * _CHUNKS + place
    row = database.execute("SELECT data, crc FROM chunks WHERE place = ?", (at,)).fetchone()
    if row is None or not isinstance(row[0], bytes) or _chunk_sum(at, row[0]) != row[1]:
        return None
    return row[0]


class _DiskBody:
    """The body of an answer, chunk by chunk."""

    trailers: Fields = ()

    def __init__(self, store: DiskStore, connection: Connection, stored: Stored) -> None:
        self._store = store
        self._connection: Connection | None = connection
        self._stored = stored
        self._next = 0
        self._left = stored.size

    def begin(self) -> bool:
        """Hold on to what is there now. Whether the answer still is, and is the same. Blocks."""
        assert self._connection is not None
        self._connection.execute("BEGIN")
        same = "SELECT 1 FROM answers WHERE number = ? AND crc = ?"
        found = self._connection.execute(same, (self._stored.number, _sum_of(self._stored))).fetchone()
        return found is not None

    def piece(self) -> bytes:
        return run_blocking(self._read) if self._left else b""

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._left = 0
        if connection is not None:
            run_blocking(connection.close)

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    def _read(self) -> bytes:
        import sqlite3

        assert self._connection is not None
        try:
            data = _chunk(self._connection, self._stored.number, self._next)
        except (sqlite3.Error, UnicodeError) as error:
            self._store.file.failed(error)
            data = None
        if not data:
            self._left = 0
            self._store.drop(self._stored)
            raise EndOfStream(
                f"the answer of {self._stored.key} in the cache is damaged; it has been dropped"
            )
        self._next += 1
        self._left -= len(data)
        if self._left <= 0:
            self._connection.close()
            self._connection = None
        return data


# -- writing


class _DiskWriter:
    """Gathers chunks, and hands them on. ``_number`` is the answer's, once it has a row that nobody sees."""

    def __init__(self, store: DiskStore, stored: Stored) -> None:
        self._store = store
        self._stored = stored
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._written = 0
        self._chunks = 0
        self._number: int | None = None
        self._over = False

    def write(self, piece: bytes) -> None:
        if self._over:
            return
        if self._written + self._gathered + len(piece) > self._store.largest:
            self.abort()
            return
        self._pieces.append(bytes(piece))
        self._gathered += len(piece)
        if self._gathered > _CHUNK:
            data = b"".join(self._pieces)
            whole = len(data) - len(data) % _CHUNK
            self._pieces = [data[whole:]] if whole < len(data) else []
            self._gathered = len(data) - whole
            if not self._store.file.run(lambda database: self._add(database, data[:whole]), False):
                self.abort()

    def commit(self) -> None:
        if not self._over:
            self._over = True
            if not self._store.file.run(self._complete, False):
                self._clear_away()

    def abort(self) -> None:
        if not self._over:
            self._over = True
            self._pieces.clear()
            self._clear_away()

    def _clear_away(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            self._store._write(lambda database: _delete(database, "number = ?", number))

    def _add(self, database: Connection, data: bytes) -> bool:
        """Write whole chunks, with the row that they belong to. Whether that is still there."""
        with writing(database):
            if self._number is None:
                self._number = self._insert(database)
            self._put_chunks(database, data)
            there = database.execute(
                "UPDATE answers SET size = size + ?, used = ? WHERE number = ?",
                (len(data), time(), self._number),
            ).rowcount
            _make_room(database, self._store.size, self._number)
        return bool(there)

    def _complete(self, database: Connection) -> bool:
        """Write what is left, and let the answer be seen, in the place of those before it."""
        rest = b"".join(self._pieces)
        stored = self._stored
        with writing(database):
            _delete(database, "key = ? AND names = ? AND match = ? AND complete", *_identity(stored))
            if self._number is None:
                self._number = self._insert(database)
            self._put_chunks(database, rest)
            crc = _sum_of(replace(stored, size=self._written))
            there = database.execute(
                "UPDATE answers SET complete = 1, crc = ?, length = ?, size = size + ?, used = ? "
                "WHERE number = ?",
                (crc, self._written, len(rest), time(), self._number),
            ).rowcount
            _too_many_variants(database, stored.key)
            _make_room(database, self._store.size, self._number)
        return bool(there)

    def _insert(self, database: Connection) -> int:
        head = _packed(self._stored)
        row = database.execute(
            "INSERT INTO answers (key, names, match, head, crc, length, size, complete, used) "
            "VALUES (?, ?, ?, ?, 0, 0, ?, 0, ?)",
            (*_identity(self._stored), head, OVERHEAD + len(head), time()),
        )
        assert row.lastrowid is not None
        return row.lastrowid

    def _put_chunks(self, database: Connection, data: bytes) -> None:
        assert self._number is not None
        for at in range(0, len(data), _CHUNK):
            chunk = data[at : at + _CHUNK]
            place = self._number * _CHUNKS + self._chunks
            database.execute("INSERT INTO chunks VALUES (?, ?, ?)", (place, _chunk_sum(place, chunk), chunk))
            self._chunks += 1
            self._written += len(chunk)


def _update(database: Connection, stored: Stored) -> None:
    replaced = "key = ? AND names = ? AND match = ? AND complete AND number != ?"
    _delete(database, replaced, *_identity(stored), stored.number)
    which = (stored.number, stored.key, stored.size)  # the number alone may be another's in a new file
    database.execute(
        "UPDATE answers SET names = ?, match = ?, head = ?, crc = ? "
        "WHERE number = ? AND key = ? AND length = ?",
        (*_identity(stored)[1:], _packed(stored), _sum_of(stored), *which),
    )


def _too_many_variants(database: Connection, key: str) -> None:
    kept = "SELECT number FROM answers WHERE key = ? AND complete ORDER BY used DESC LIMIT ?"
    _delete(database, f"key = ? AND complete AND number NOT IN ({kept})", key, key, VARIANTS)


def _make_room(database: Connection, size: int, own: int) -> None:
    while database.execute("SELECT size FROM total").fetchone()[0] > size:
        oldest = database.execute(
            "SELECT number FROM answers WHERE (complete OR used < ?) AND number != ? ORDER BY used LIMIT 1",
            (time() - _ABANDONED, own),
        ).fetchone()
        if oldest is None:
            return
        _delete(database, "number = ?", oldest[0])


def _delete(database: Connection, which: str, *values: object) -> None:
    """Answers and their chunks, by a condition of SQL."""
    for (number,) in database.execute(f"SELECT number FROM answers WHERE {which}", values).fetchall():
        span = (number * _CHUNKS, (number + 1) * _CHUNKS)
        database.execute("DELETE FROM chunks WHERE place >= ? AND place < ?", span)
        database.execute("DELETE FROM answers WHERE number = ?", (number,))


def _identity(stored: Stored) -> tuple[str, str, bytes]:
    return stored.key, " ".join(stored.names), stored.match


def _sum(*facts: object) -> int:
    """Of all that is told of an answer: bytes that are not those written must not make it another's."""
    return crc32(repr(facts).encode("utf-8", "replace"))


def _sum_of(stored: Stored) -> int:
    return _sum(*_identity(stored), _packed(stored), stored.size)


def _chunk_sum(place: int, data: bytes) -> int:
    return crc32(data, place & 0xFFFFFFFF)


def _packed(stored: Stored) -> str:
    facts = (stored.status, stored.reason, stored.version, stored.asked, stored.came, stored.pairs)
    return json.dumps(facts, separators=(",", ":"))


def _unpacked(key: str, names: str, match: bytes, head: str, length: int, number: int) -> Stored:
    status, reason, version, asked, came, pairs = json.loads(head)
    about = (status, reason, version, [(name, value) for name, value in pairs], asked, came)
    return Stored(key, tuple(names.split()), match, *about, length, number)
