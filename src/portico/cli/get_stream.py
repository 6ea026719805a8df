"""``portico get -o -``: a file that is written as it comes, to stdout, a pipe or a device."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeGuard

from portico.errors import ConfigError, PorticoError

__all__ = ["is_stream", "opened"]


def is_stream(name: str | None) -> TypeGuard[str]:
    """Whether what has this name is written to as it is, and never replaced by a file."""
    if name is None or name == "-":
        return name == "-"
    path = Path(name)
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """What has this name, to be written to. Raises ``ConfigError`` also for what writing to it raises, but
    for a reader that has gone."""
    try:
        if name == "-":
            yield _stdout()
            return
        with open(os.open(name, os.O_WRONLY | os.O_CLOEXEC), "wb") as file:
            yield file
    except OSError as error:
        if isinstance(error, PorticoError | BrokenPipeError):
            raise
        what = "to stdout" if name == "-" else repr(name)
        raise ConfigError(f"cannot write {what}: {error.strerror}") from None


def _stdout() -> BinaryIO:
    if sys.stdout is None:
        raise ConfigError("stdout is closed; --output FILE takes the file")
    return sys.stdout.buffer
