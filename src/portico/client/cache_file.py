"""The file of a cache: made for its owner alone, opened, and replaced when it is damaged.

SQLite does the rest: several processes write in turn, whoever reads sees one moment, and what a process that
was killed had not committed was never there.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from portico.sync import Guard, run_blocking

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["CacheFile", "writing"]

log = logging.getLogger("portico.client")

T = TypeVar("T")

_APPLICATION = 0x506F7274  # "Port": what PRAGMA application_id tells of the file
_VERSION = 1
_PATIENCE = 5.0
"""Seconds that a process waits for another one's write."""
_DAMAGE = frozenset((1, 11, 26))  # tables are not what they were; SQLITE_CORRUPT, SQLITE_NOTADB
_BUSY = 5  # SQLITE_BUSY
_JOURNAL = 32 << 20
"""Bytes to which the write-ahead log shrinks after it had to be longer."""

_TABLES = """
CREATE TABLE answers (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, names TEXT NOT NULL,
    match BLOB NOT NULL, head TEXT NOT NULL, crc INTEGER NOT NULL, length INTEGER NOT NULL,
    size INTEGER NOT NULL, complete INTEGER NOT NULL, used REAL NOT NULL);
CREATE INDEX by_key ON answers (key);
CREATE INDEX by_use ON answers (used);
CREATE TABLE chunks (place INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE total (size INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER more AFTER INSERT ON answers BEGIN UPDATE total SET size = size + NEW.size; END;
CREATE TRIGGER less AFTER DELETE ON answers BEGIN UPDATE total SET size = size - OLD.size; END;
CREATE TRIGGER other AFTER UPDATE OF size ON answers BEGIN
    UPDATE total SET size = size - OLD.size + NEW.size; END;
"""


class _NotOurs(OSError):
    """The file holds something else, or belongs to somebody else."""


class CacheFile:
    """The database at ``path``, opened at first use. Any thread may use it, and any process of its owner.

    What goes wrong with it is told in the log, and is no failure of a request.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = Guard()
        self._connection: Connection | None = None
        self._mark: tuple[int, int] | None = None  # which file it was: device and inode
        self._silent = False
        _all.add(self)

    def run(self, work: Callable[[Connection], T], otherwise: T) -> T:
        """What ``work`` makes of the database, off the hub; ``otherwise`` where that cannot be."""
        result: T = run_blocking(self._work, work, otherwise)
        return result

    def apart(self) -> Connection:
        """One more connection, for whoever reads for long. Blocks; raises what SQLite raises."""
        return self._connect()

    def failed(self, error: Exception) -> None:
        """Tell of a failure, and set a damaged file aside."""
        with self._guard:
            self._failed(error)

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        with self._guard:
            self._drop()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    def forget(self) -> None:
        """In the child of a fork: the parent's connection must not be used, nor be closed."""
        self._guard = Guard()
        if self._connection is not None:
            _abandoned.append(self._connection)
            self._connection = None

    # -- inside

    def _work(self, work: Callable[[Connection], T], otherwise: T) -> T:
        import sqlite3

        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                    self._mark = self._identity()
                return work(self._connection)
            except (sqlite3.Error, OSError, UnicodeError) as error:
                self._failed(error)
                return otherwise

    def _failed(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE or isinstance(error, UnicodeError):  # names in it that are noise
            self._set_aside(error)
        elif not self._silent:
            self._silent = True  # once is enough: what follows mostly has the same reason
            log.warning("the cache %s could not be used: %s", self.path, error)
        else:
            log.debug("the cache %s: %s", self.path, error)

    def _set_aside(self, error: Exception) -> None:
        """Let a damaged file be followed by a new one, unless another process has done so already."""
        mark = self._mark
        self._drop()
        try:
            if mark is None or self._identity() == mark:
                os.replace(self.path, f"{self.path}.damaged")
                for suffix in ("-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
                log.warning("the cache %s is damaged (%s) and begun anew", self.path, error)
        except OSError as failure:
            log.warning("the cache %s is damaged (%s), and stays so: %s", self.path, error, failure)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._mark = None
        if connection is not None:
            connection.close()

    def _identity(self) -> tuple[int, int] | None:
        try:
            facts = os.lstat(self.path)
        except FileNotFoundError:
            return None
        return facts.st_dev, facts.st_ino

    def _connect(self) -> Connection:
        import sqlite3

        with _opening:
            _prepare(self.path)
            connection = sqlite3.connect(
                self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
            try:
                self._mark = self._mark or self._identity()
                connection.text_factory = _lenient
                _set_up(connection)
            except BaseException:
                connection.close()
                raise
            return connection


def _prepare(path: Path) -> None:
    """See to it that the file is there, and that nobody else can read or write it.

    One that exists is never opened here: to close it again would end SQLite's locks in this process.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            return
        except FileExistsError:  # another process was quicker
            facts = os.lstat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise _NotOurs("it is no regular file")
    if facts.st_uid != os.geteuid():
        raise _NotOurs("it belongs to another user, who could put any answer into it")
    if facts.st_mode & 0o077:
        os.chmod(path, 0o600)


def _set_up(connection: Connection) -> None:
    import sqlite3

    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != _BUSY:
            raise  # else another process is at that, which is as good
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
    if _is_ours(connection):
        return
    with writing(connection):
        if _is_ours(connection):  # another process was quicker
            return
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            if not name.startswith("sqlite_"):
                connection.execute(f'DROP TABLE "{name}"')
        for statement in _statements(_TABLES):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _lenient(text: bytes) -> str:
    """What is no UTF-8 is damage, which the sums will tell."""
    return text.decode("utf-8", "replace")


def _is_ours(connection: Connection) -> bool:
    """Whether the tables are there. Raises ``_NotOurs`` for somebody else's database."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables:
        return False
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise _NotOurs("it is a database of something else")
    return bool(version == _VERSION)


def _statements(script: str) -> list[str]:
    """The statements of a script, one by one: ``executescript`` would commit before."""
    import sqlite3

    found, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found


class writing:
    """One transaction that writes: whole, or not at all."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:  # there was no room, or a reader in the way
                self._connection.execute("ROLLBACK")


_opening = Guard()
_all: WeakSet[CacheFile] = WeakSet()
_abandoned: list[Connection] = []


def _after_fork() -> None:
    global _opening  # noqa: PLW0603 - a thread that is not in the child may have held it
    _opening = Guard()
    for each in tuple(_all):
        each.forget()


os.register_at_fork(after_in_child=_after_fork)
