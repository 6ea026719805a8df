"""From a request's path to a program file, never outside the folder that was given.

The path is split before it is decoded, so that an encoded slash can be told from a real one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from urllib.parse import unquote_to_bytes

__all__ = ["NotServed", "Script", "find_script", "is_runnable"]


class NotServed(Exception):
    """No program answers this path. ``status`` is 403 or 404; the text is for the log."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Script:
    """A program that was found.

    ``name`` is its part of the path below the mount (``""`` for a file that is mounted itself),
    ``path_info`` the rest; both decoded, one latin-1 character a byte.
    """

    file: Path
    name: str
    path_info: str

    @property
    def nph(self) -> bool:
        """Whether it writes a whole HTTP answer (RFC 3875, 5: told by its name)."""
        return self.file.name.startswith("nph-")


def find_script(target: Path, raw_path_info: str, interpreters: Mapping[str, object]) -> Script:
    """The program for the path below a mount; ``target`` is a folder of programs, or one program.

    In a folder the first regular file on the way is the program; it must be executable or have a
    suffix among ``interpreters``. Raises ``NotServed``.
    """
    segments = [_decoded(segment) for segment in raw_path_info.split("/")]
    # As the program will see it: behind an encoded slash, dots lead out of PATH_TRANSLATED as well.
    decoded = b"/".join(segments)
    if segments[0] or b"\0" in decoded or not {b".", b".."}.isdisjoint(decoded.split(b"/")):
        raise NotServed(404, "the path is not absolute, or has a dot segment or a NUL")
    if target.is_dir():
        file, used = _walk(target, segments[1:])
    else:
        file, used = target, 0
    _check_runnable(file, interpreters)
    name = "".join(f"/{segment.decode('latin-1')}" for segment in segments[1 : used + 1])
    rest = "".join(f"/{segment.decode('latin-1')}" for segment in segments[used + 1 :])
    return Script(file, name, rest)


def is_runnable(file: Path, interpreters: Mapping[str, object]) -> bool:
    """Whether this process may start the file as a program."""
    return file.suffix in interpreters or os.access(file, os.X_OK)


def _decoded(segment: str) -> bytes:
    return unquote_to_bytes(segment.encode("latin-1"))


def _walk(folder: Path, segments: list[bytes]) -> tuple[Path, int]:
    """The first regular file on the way down, and how many segments led to it."""
    here = folder
    for used, segment in enumerate(segments, 1):
        # An empty segment would be a second name for the same program, and access rules go by name.
        if not segment or b"/" in segment or segment.startswith(b"."):
            break
        here = here / os.fsdecode(segment)
        mode = _mode(here)
        if S_ISREG(mode):
            _check_inside(folder, here)
            return here, used
        if not S_ISDIR(mode):
            break
    raise NotServed(404, "no program has this path")


def _mode(path: Path) -> int:
    """The kind of file, links followed; 0 where nothing is to be found."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _check_inside(folder: Path, file: Path) -> None:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise NotServed(404, f"{file} is a link that leaves {folder}")


def _check_runnable(file: Path, interpreters: Mapping[str, object]) -> None:
    if not S_ISREG(_mode(file)):
        raise NotServed(404, f"{file} is not there")
    if not is_runnable(file, interpreters):
        raise NotServed(403, f"{file} is not executable (chmod +x)")
