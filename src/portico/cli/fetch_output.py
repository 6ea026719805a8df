"""``--output``: a file that is there as a whole, or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from portico.data.standin import stand_in
from portico.errors import ConfigError, PorticoError

__all__ = ["output_file"]


@contextmanager
def output_file(name: str) -> Iterator[BinaryIO]:
    """A file to write to, which has its name when the ``with`` ends well; a device, a pipe or a link (as
    ``/dev/stdout`` is one) stays what it is and is written to at once. Raises ``ConfigError``."""
    path = Path(name)
    try:
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            with open(path, "wb") as there:
                yield there
            return
        descriptor, part = stand_in(path)
    except OSError as error:
        raise ConfigError(f"--output: cannot write {name!r}: {error.strerror}") from None
    try:
        with open(descriptor, "wb") as file:
            yield file
        os.replace(part, path)
    except BaseException as error:
        Path(part).unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, PorticoError):  # a full disk
            raise ConfigError(f"--output: cannot write {name!r}: {error.strerror}") from None
        raise
