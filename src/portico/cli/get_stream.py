"""``portico get -o -``: a file that is written as it comes, to stdout, a pipe or a device."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from portico.client.bucket import Bucket
from portico.client.response import Response
from portico.errors import ChecksumError, ConfigError

__all__ = ["is_stream", "pour"]


def is_stream(name: str | None) -> bool:
    """Whether what has this name is written to as it is, and never replaced by a file."""
    if name is None or name == "-":
        return name == "-"
    path = Path(name)
    return path.exists() and not path.is_file() and not path.is_dir()


def pour(response: Response, name: str, *, rate: float | None, sha256: str | None) -> None:
    """Write a body to what has this name. Raises ``ChecksumError`` at its end, when all has been written."""
    pieces = response.iter_raw()
    if rate is not None:
        pieces = Bucket(rate).paced(pieces)
    found = hashlib.sha256()
    with _opened(name) as out:
        for piece in pieces:
            found.update(piece)
            _write(out, piece, name)
    if sha256 is not None and found.hexdigest() != sha256:
        raise ChecksumError(f"{response.url}: the SHA-256 is {found.hexdigest()}, not {sha256}")


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        if sys.stdout is None:
            raise ConfigError("stdout is closed; --output FILE takes the file")
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"cannot write {name!r}: {error.strerror}") from None
    with open(descriptor, "wb") as file:
        yield file


def _write(out: BinaryIO, piece: bytes, name: str) -> None:
    try:
        view = memoryview(piece)
        while view:
            view = view[out.write(view) :]
        out.flush()
    except BrokenPipeError:
        raise  # a reader that has gone is no failure
    except OSError as error:
        raise ConfigError(f"cannot write {name!r}: {error.strerror}") from None
