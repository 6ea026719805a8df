"""Files that stand in for others until they are whole."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

__all__ = ["settle", "stand_in"]


def stand_in(path: Path, mode: int = 0o666) -> tuple[int, str]:
    """A new file in the folder of another one: its descriptor, to write to, and its name. ``mode``: before
    the system takes away what the umask says; to ask for that would change it for all threads. Raises
    ``OSError``."""
    name = str(path.parent / f".{path.name[:50]}.{token_hex(8)}")
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), name


def settle(file: Any, before: os.stat_result | None) -> None:
    """The file is whole, and on the disk: it gets owner and mode of the one before it, as far as that is
    allowed. Raises ``OSError``."""
    if before is not None:
        with suppress(OSError):
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
    os.fsync(file.fileno())
    file.close()
