"""Where data goes: a file that is there whole or not at all, standard output, or a file that is open already.

::

    with sink("prices.jsonl.gz") as out:
        out.write(b"...")
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from portico.data.opening import bare, is_url, suffixes_of
from portico.data.packing import PACKERS, packer
from portico.data.standin import settle, stand_in
from portico.errors import ConfigError, DataError
from portico.sync import run_blocking

__all__ = ["Sink", "sink"]

_HELD = 1 << 16
"""Bytes that are gathered before they are written."""
_DESCRIPTORS = re.compile(r"/dev|/proc/\d+/fd")
"""Folders whose names are open files, such as ``/dev/stdout``: there is nothing to be put in their place."""


_PATIENCE = 0.1
"""Seconds that somebody waits for what is there."""


class Sink:
    """Takes bytes, or text, which becomes UTF-8. Made by ``sink``. ``name``: for errors. ``suffix``: as that
    of a ``Source``. ``terminal``: whether a person reads it. ``awaited``: whether somebody may, for it is no
    file that is there when it is whole. ``gathered()``: what a writer still holds, asked for at each
    ``flush``.

    A context manager: after an error nothing is left of a file that it was to make, and what was there before
    is there still.
    """

    def __init__(
        self,
        put: Callable[[bytes], object],
        name: str,
        *,
        suffix: str = "",
        terminal: bool = False,
        awaited: bool = False,
        keep: Callable[[], object] = lambda: None,
        drop: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.suffix = suffix
        self.terminal = terminal
        self.awaited = awaited or terminal
        self.gathered: Callable[[], bytes] | None = None
        self._due = 0.0
        self._put = put
        self._keep = keep
        self._drop = drop
        self._held: list[bytes] = []
        self._size = 0
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview | str) -> int:
        """Take some more; as many as were given. Raises ``OSError``."""
        piece = data.encode("utf-8") if isinstance(data, str) else bytes(data)
        if self._closed:
            raise ValueError(f"{self.name}: write to a closed sink")
        self._held.append(piece)
        self._size += len(piece)
        # Who looks at it waits for nothing, and who reads a pipe for no more than what is slow.
        if self._size >= _HELD or (self.awaited and self.due()):
            self.flush()
        return len(data)

    def due(self) -> bool:
        """Whether what is held back has been for some time, and somebody may wait for it."""
        return self.terminal or (self.awaited and monotonic() >= self._due)

    def flush(self) -> None:
        """Hand on what was gathered. Raises ``OSError``."""
        if self.gathered is not None:
            self._held.append(self.gathered())
        held, self._held, self._size = self._held, [], 0
        if held:
            self._put(b"".join(held))
        if self.awaited:
            self._due = monotonic() + _PATIENCE

    def close(self) -> None:
        """All has been written: a file gets its name. Raises ``OSError``, and then leaves nothing."""
        if self._closed:
            return
        try:
            self.flush()
            self._closed = True
            self._keep()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Leave nothing of a file that was to be made."""
        if not self._closed or self._held:
            self._held, self._size = [], 0
        self._closed = True
        self._drop()

    def writable(self) -> bool:
        """Yes: libraries ask a file for it."""
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def __repr__(self) -> str:
        return f"<Sink {self.name}>"


def sink(where: Any, *, packing: str | None = None) -> Sink:
    """A sink for a path, ``"-"`` (standard output), a file that is open (which stays open), or a ``Sink``.

    A path's file appears under its name, in the place of one that was there, when all has been written;
    devices and pipes are written to directly. ``packing``: ``gzip``, ``bzip2``, ``xz``, ``lzma``, ``zstd`` or
    ``br``; without one, a path's suffix tells, and a file that is open gets what is written; ``identity``:
    none. Raises ``OSError``, ``ConfigError``.
    """
    if isinstance(where, Sink):
        return where
    made = _opened(where)
    try:
        name = packing or ("identity" if hasattr(where, "write") else _packing_of(made))
        if name == "identity":
            made.suffix = bare(made.suffix)
            return made
        if _takes_text(where):
            raise ConfigError(f"{made.name} takes text, and {name} makes bytes: open it in binary mode")
        return _packed(made, name)
    except BaseException:
        made.abort()
        raise


def _opened(where: Any) -> Sink:
    if isinstance(where, str) and where == "-":
        return _of_stdout()
    if isinstance(where, (str, os.PathLike)):
        if isinstance(where, str) and is_url(where):
            raise ConfigError(f"{where[:200]!r} is a URL: data is written to paths and files")
        return _of_path(os.fspath(where))
    return _of_file(where)


def _of_stdout() -> Sink:
    if sys.stdout is None:
        raise ConfigError("standard output is closed")
    sys.stdout.flush()  # what was printed before comes before
    made = _of_file(getattr(sys.stdout, "buffer", sys.stdout), "standard output")
    made.suffix = ""
    return made


def _of_file(file: Any, name: str = "") -> Sink:
    write = getattr(file, "write", None)
    if not callable(write):
        raise ConfigError(f"data cannot be written to {type(file).__name__}")
    given = getattr(file, "name", None)
    isatty = getattr(file, "isatty", None)
    name = name or (given if isinstance(given, str) else "the file")
    return Sink(
        partial(_write_text, file, name) if _takes_text(file) else partial(_write, file, name),
        name,
        suffix=suffixes_of(given) if isinstance(given, str) else "",
        terminal=bool(isatty is not None and isatty()),
        awaited=True,
        keep=getattr(file, "flush", None) or _nothing,
    )


def _of_path(given: str | bytes) -> Sink:
    name = os.fsdecode(given)
    suffix = suffixes_of(name)
    with _naming(name):
        if not name or name.endswith(os.sep):
            raise FileNotFoundError(errno.ENOENT, "no name of a file")
        before = _status(name)
        if before is not None and (not stat.S_ISREG(before.st_mode) or _is_descriptor(name)):
            file: Any = run_blocking(_open_file, name)
            put = partial(_write, file, name)
            shown = file.isatty()
            return Sink(
                put, name, suffix=suffix, terminal=shown, awaited=True, keep=file.close, drop=file.close
            )
        path = Path(os.path.realpath(name))
        descriptor, temporary = stand_in(path, 0o666 if before is None else 0o600)
    file = open(descriptor, "wb", buffering=0)  # noqa: SIM115  (closed by keep or drop)

    def keep() -> None:
        with _naming(name):
            run_blocking(settle, file, before)
            os.replace(temporary, path)

    def drop() -> None:
        file.close()
        Path(temporary).unlink(missing_ok=True)

    return Sink(partial(_write, file, name), name, suffix=suffix, keep=keep, drop=drop)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Errors name the file that was to be written, and not the one that stands in for it."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # of the system, no deadline
            error.filename = name
            del error.filename2  # of a renaming; None would be shown
        raise


def _is_descriptor(name: str) -> bool:
    return _DESCRIPTORS.fullmatch(os.path.realpath(os.path.dirname(name) or ".")) is not None


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None


def _open_file(name: str) -> Any:
    return open(name, "ab", buffering=0)  # behind what others wrote to /dev/stdout


def _write(file: Any, name: str, data: bytes) -> None:
    """All of it: a file without a buffer may take less at a time."""
    rest = memoryview(data)
    with _naming(name):
        while rest:
            taken = run_blocking(file.write, rest)
            rest = rest[taken if isinstance(taken, int) else len(rest) :]


def _write_text(file: Any, name: str, data: bytes) -> None:
    try:
        with _naming(name):
            file.write(data.decode("utf-8"))
    except UnicodeEncodeError as error:
        character = error.object[error.start]
        raise DataError(f"{character!r} cannot be written in {error.encoding}", name) from None


def _takes_text(file: Any) -> bool:
    return hasattr(file, "encoding") and hasattr(file, "errors")


def _packing_of(made: Sink) -> str:
    last = made.suffix.rpartition(".")[2]
    if last == "zip":
        raise ConfigError(f"{made.name}: zip archives are not written; packing='identity' packs nothing")
    last = "gz" if last == "gzip" else last
    return next((name for name, (end, _) in PACKERS.items() if last == end), "identity")


def _packed(below: Sink, packing: str) -> Sink:
    machine = packer(packing)

    def keep() -> None:
        below.write(machine.flush())
        below.close()

    return Sink(
        lambda data: below.write(machine.compress(data)),
        below.name,
        suffix=below.suffix.rpartition(".")[0],
        keep=keep,
        drop=below.abort,
    )


def _nothing() -> None:
    pass
