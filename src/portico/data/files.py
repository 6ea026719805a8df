"""Files as sources: those that are opened here, and those that others have opened."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from portico.deadline import in_force
from portico.engines.door import wait
from portico.errors import ConfigError, DataError
from portico.sockets.transport import READ, Waitable
from portico.sync import run_blocking

__all__ = ["PIECE", "as_bytes", "of_path", "of_stdin", "reader", "text_of"]

PIECE = 1 << 18
"""Bytes that are read at a time."""

Pull = Callable[[], bytes]


def of_path(path: str | bytes) -> tuple[Pull, int | None, Callable[[], object]]:
    """What reads a path, its size if that is known, and what closes it. Raises ``OSError``."""
    file, name = run_blocking(_open, path), os.fsdecode(path)
    try:
        status = os.fstat(file.fileno())
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        return reader(file, name), size, file.close
    except BaseException:
        file.close()
        raise


def _open(path: str | bytes) -> io.FileIO:
    return io.FileIO(path, opener=_without_waiting)


def _without_waiting(path: Any, flags: int) -> int:
    """A named pipe is opened at once: its writer is waited for where deadlines reach."""
    named = False
    with suppress(OSError):
        named = stat.S_ISFIFO(os.stat(path).st_mode)
    return os.open(path, flags | (os.O_NONBLOCK if named else 0))


def of_stdin() -> Pull:
    """What reads standard input. Raises ``ConfigError`` where there is none."""
    if sys.stdin is None:
        raise ConfigError("standard input is closed")
    file: Any = getattr(sys.stdin, "buffer", sys.stdin)
    pull = reader(file, "standard input")
    if not _can_be_awaited(file):
        return pull
    awaited = _Descriptor(file)

    def patient() -> bytes:
        # Only then: something may be left in the buffer, of which nobody is told without a risk of waiting.
        if in_force() is not None:
            wait(awaited, READ, "reading standard input")
        return pull()

    return patient


def reader(file: Any, name: str) -> Pull:
    """What reads a file that is open. Text becomes UTF-8; a file that does not block is waited for."""
    read = getattr(file, "read1", None) or file.read

    def pull() -> bytes:
        try:
            data = run_blocking(read, PIECE)
            if not data and _does_not_block(file):  # "nothing", that is to say: not yet
                data = _awaited(file, read, name)
        except OSError as error:
            if error.errno is not None and error.filename is None:  # of the system, no deadline
                error.filename = name
            raise
        except UnicodeDecodeError as error:
            raise DataError(f"no text: {error}; open it with the encoding it has", name) from error
        if data is None:
            raise ConfigError(f"{name} does not wait for data: make it blocking")
        return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else as_bytes(data, name)

    return pull


def text_of(file: Any) -> bool:
    """Whether a file that is open gives text."""
    if isinstance(file, io.TextIOBase):
        return True
    return not isinstance(file, io.RawIOBase) and getattr(file, "encoding", None) is not None


def as_bytes(data: Any, name: str) -> bytes:
    """A piece that somebody gave. Raises ``ConfigError`` for what has no bytes: of a number, ``bytes`` would
    make zeros."""
    if isinstance(data, bytes):
        return data
    try:
        return memoryview(data).tobytes()
    except TypeError:
        raise ConfigError(f"{name}: expected bytes, not {type(data).__name__}") from None


class _Descriptor(Waitable):
    """A file whose descriptor can be waited for."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number


def _awaited(file: Any, read: Callable[[int], Any], name: str) -> Any:
    awaited, data = _Descriptor(file), None
    while data is None:
        wait(awaited, READ, f"reading {name}")
        data = read(PIECE)
    return data


def _does_not_block(file: Any) -> bool:
    with suppress(AttributeError, OSError, ValueError):
        return not os.get_blocking(file.fileno())
    return False


def _can_be_awaited(file: Any) -> bool:
    """Not a file of a disk, which is always ready, and which no hub can watch."""
    with suppress(AttributeError, OSError, ValueError):
        mode = os.fstat(file.fileno()).st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(file.fileno())
    return False
