"""Where data goes: a file that is there whole or not at all, standard output, or a file that is open already.

::

    with sink("prices.jsonl.gz") as out:
        out.write(b"...")
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from portico.data.opening import suffixes_of
from portico.data.packing import PACKERS, packer
from portico.errors import ConfigError
from portico.sync import run_blocking

__all__ = ["Sink", "sink"]

_HELD = 1 << 16
"""Bytes that are gathered before they are written."""


class Sink:
    """Takes bytes, or text, which becomes UTF-8. Made by ``sink``. ``name``: for errors. ``suffix``: as that
    of a ``Source``. ``terminal``: whether a person reads it.

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
        keep: Callable[[], object] = lambda: None,
        drop: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.suffix = suffix
        self.terminal = terminal
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
        if self._size >= _HELD:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Hand on what was gathered. Raises ``OSError``."""
        held, self._held, self._size = self._held, [], 0
        if held:
            self._put(b"".join(held))

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
    devices and pipes are written to directly. ``packing``: ``gzip``, ``bzip2``, ``xz``, ``zstd`` or ``br``;
    without one, the path's suffix tells; ``identity``: none. Raises ``OSError``, ``ConfigError``.
    """
    if isinstance(where, Sink):
        return where
    made = _opened(where)
    name = packing or _packing_of(made.suffix)
    if name == "identity":
        return made
    try:
        return _packed(made, name)
    except BaseException:
        made.abort()
        raise


def _opened(where: Any) -> Sink:
    if where == "-":
        out = sys.stdout.buffer
        return Sink(partial(_write, out), "standard output", terminal=out.isatty(), keep=out.flush)
    if isinstance(where, (str, os.PathLike)):
        return _of_path(Path(where))
    write = getattr(where, "write", None)
    if not callable(write):
        raise ConfigError(f"data cannot be written to {type(where).__name__}")
    name = getattr(where, "name", None)
    isatty = getattr(where, "isatty", None)
    return Sink(
        partial(_write_text, write) if _takes_text(where) else partial(_write, where),
        name if isinstance(name, str) else "the file",
        suffix=suffixes_of(name) if isinstance(name, str) else "",
        terminal=bool(isatty is not None and isatty()),
        keep=getattr(where, "flush", None) or _nothing,
    )


def _of_path(path: Path) -> Sink:
    path = Path(os.path.realpath(path))
    mode = _mode_of(path)
    if mode is None:
        file: Any = run_blocking(_open_file, path)
        return Sink(
            partial(_write, file), str(path), terminal=file.isatty(), keep=file.close, drop=file.close
        )
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    file = open(descriptor, "wb", buffering=0)  # noqa: SIM115  (closed by keep or drop)

    def keep() -> None:
        run_blocking(_settle, file, mode)
        os.replace(temporary, path)

    def drop() -> None:
        file.close()
        Path(temporary).unlink(missing_ok=True)

    return Sink(partial(_write, file), str(path), suffix=suffixes_of(path.name), keep=keep, drop=drop)


def _open_file(path: Path) -> Any:
    return open(path, "wb", buffering=0)


def _mode_of(path: Path) -> int | None:
    """The mode for a file here: that of one before it, else the usual one; ``None``: it is no file."""
    try:
        before = os.stat(path)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
    return stat.S_IMODE(before.st_mode) if stat.S_ISREG(before.st_mode) else None


def _settle(file: Any, mode: int) -> None:
    os.fchmod(file.fileno(), mode)
    os.fsync(file.fileno())
    file.close()


def _write(file: Any, data: bytes) -> None:
    """All of it: a file without a buffer may take less at a time."""
    rest = memoryview(data)
    while rest:
        taken = run_blocking(file.write, rest)
        rest = rest[taken if isinstance(taken, int) else len(rest) :]


def _write_text(write: Callable[[str], object], data: bytes) -> None:
    write(data.decode("utf-8"))


def _takes_text(file: Any) -> bool:
    return hasattr(file, "encoding") and hasattr(file, "errors")


def _packing_of(suffix: str) -> str:
    return next((name for name, (end, _) in PACKERS.items() if suffix.rpartition(".")[2] == end), "identity")


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
