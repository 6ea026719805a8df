"""Files that stand in for others until they are whole."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex

__all__ = ["stand_in"]


def stand_in(path: Path, mode: int = 0o666) -> tuple[int, str]:
    """A new file in the folder of another one: its descriptor, to write to, and its name. ``mode``: before
    the system takes away what the umask says; to ask for that would change it for all threads. Raises
    ``OSError``."""
    name = str(path.parent / f".{path.name[:50]}.{token_hex(8)}")
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), name
