"""A file while it is being downloaded: ``NAME.part``, and beside it what is needed to go on later.

``NAME.part`` has holes where nothing has come yet. ``NAME.part.json`` says of which version of the resource
it is, and how far each of its segments has come; it is replaced as a whole, and never says more than has been
written. Whoever is killed at any moment leaves these two, or the finished file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portico.errors import ConfigError

__all__ = ["PartFile", "Segment", "Version", "sum_of"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of which resource: ``etag`` is a strong one, ``modified`` a date, ``size`` in bytes;
    ``None`` where the server does not tell."""

    url: str
    etag: str | None = None
    modified: str | None = None
    size: int | None = None

    @property
    def condition(self) -> str | None:
        """The ``If-Range`` by which a server sends the rest of this version, and no other's."""
        return self.etag or self.modified

    def is_also(self, other: Version) -> bool:
        """Whether nothing speaks against ``other`` being the same version."""
        return self.condition is not None and (self.etag, self.modified, self.size) == (
            other.etag,
            other.modified,
            other.size,
        )

    def differs_from(self, other: Version) -> bool:
        """Whether ``other`` is known to be another version."""
        return self.condition is not None and not self.is_also(other)


@dataclass(slots=True)
class Segment:
    """Bytes from ``start`` to before ``end`` (``None``: to the end of the resource); ``at`` is the next to
    come."""

    start: int
    end: int | None
    at: int = field(default=0)

    def is_done(self) -> bool:
        """Whether all of it has come."""
        return self.end is not None and self.at >= self.end


class PartFile:
    """``target`` while it is being downloaded; ``force``: it may take the place of a file. Raises
    ``OSError``, as files do, and ``ConfigError``."""

    verdict = "the file is not kept"
    """What becomes of one whose checksum is wrong."""

    def __init__(self, target: Path, *, force: bool = False) -> None:
        self.target = target
        self._force = force
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        self.version: Version | None = None
        self.segments: list[Segment] = []
        self._descriptor = -1

    def check_target(self) -> None:
        """Raise ``ConfigError`` where what is there already is in the way."""
        name = str(self.target)
        if self.target.is_dir():
            raise ConfigError(f"{name!r} is a folder, and no name for a file")
        if self.target.exists() and not self.target.is_file():
            raise ConfigError(f"{name!r} is no regular file, and is not replaced by one")
        if os.path.lexists(self.target) and not self._force:
            raise ConfigError(f"{name!r} is there already; --force replaces it")

    def load(self) -> bool:
        """Take up what an earlier download has left. Whether there was anything that can be gone on with."""
        try:
            if not self._note.is_file():  # a pipe would be waited for
                return False
            found = json.loads(self._note.read_text(encoding="utf-8"))
            version = Version(**found["version"])
            segments = [Segment(*each) for each in found["segments"]]
            size = self.path.stat().st_size
        except (OSError, ValueError, TypeError, KeyError):
            return False
        right = found.get("format") == _FORMAT and version.condition is not None and segments
        if not right or any(not _is_sound(each, size) for each in segments):
            return False
        if len(segments) == 1:  # written in order: all that is there counts
            end = segments[0].end
            segments[0].at = size if end is None else min(size, end)
        self.version, self.segments = version, segments
        return True

    def begin(self, version: Version, segments: list[Segment]) -> None:
        """Start anew: whatever was there before is gone."""
        self.version, self.segments = version, segments
        self._open(anew=True)
        self.save()

    def go_on(self) -> bool:
        """Open what ``load`` has found, and look again, now that it is ours: another download may have
        finished it meanwhile. Whether it is still there."""
        found = self.version
        self._open(anew=False)
        return self.load() and self.version == found

    def write(self, segment: Segment, data: bytes) -> None:
        """Write the next bytes of a segment."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, segment.at)
            segment.at += written
            view = view[written:]

    def save(self) -> None:
        """Note how far it has come."""
        version = self.version
        if version is None or version.condition is None:
            return  # there is no going on without knowing which version it is
        told: dict[str, Any] = {
            "format": _FORMAT,
            "version": {name: getattr(version, name) for name in Version.__slots__},
            "segments": [[each.start, each.end, each.at] for each in self.segments],
        }
        beside = self._note.with_name(f"{self._note.name}~")
        beside.unlink(missing_ok=True)  # a link there would lead elsewhere, too
        try:
            with beside.open("x", encoding="utf-8") as file:
                file.write(json.dumps(told))
            os.replace(beside, self._note)
        except OSError:
            beside.unlink(missing_ok=True)  # half a note, as the disk is full
            raise

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return sum(each.at - each.start for each in self.segments)

    @property
    def resumable(self) -> bool:
        """Whether it is worth keeping: something has come, of a version that can be asked for again."""
        return (
            self._descriptor >= 0
            and self.size > 0
            and self.version is not None
            and bool(self.version.condition)
        )

    def may_begin_anew(self) -> bool:
        """Whether what has come may be taken back."""
        return True

    def sum(self) -> str:
        """The SHA-256 of what has come, in hexadecimal."""
        return sum_of(self.path)

    def finish(self, modified: float | None) -> None:
        """It is whole: give it its name, and its time (seconds since 1970)."""
        self.check_target()  # that may have come meanwhile
        end = max((each.at for each in self.segments), default=0)
        os.ftruncate(self._descriptor, end)
        os.fsync(self._descriptor)
        if modified is not None:
            with suppress(OSError):  # some file systems have not every time
                os.utime(self._descriptor, (modified, modified))
        os.replace(self.path, self.target)
        self._note.unlink(missing_ok=True)
        self.close()

    def discard(self) -> None:
        """It is of no use: remove it, if it is ours."""
        if self._descriptor >= 0:
            for path in (self._note, self.path):
                with suppress(OSError):
                    path.unlink()
        self.close()

    def leave(self) -> bool:
        """Close it: what can be gone on with stays, all else goes. Whether anything stays."""
        if not self.resumable:
            self.discard()
            return False
        with suppress(OSError):  # on a full disk, what was noted last holds
            self.save()
        self.close()
        return True

    def close(self) -> None:
        """Close it; what is there can be gone on with."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, *, anew: bool) -> None:
        self.close()
        self._descriptor = self._locked()
        self.check_target()
        if anew:
            self._note.unlink(missing_ok=True)  # first, so that it never speaks of another file's bytes
            os.ftruncate(self._descriptor, 0)

    def _locked(self) -> int:
        # A link that somebody has put there would lead elsewhere.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        while True:
            descriptor = os.open(self.path, flags, 0o666)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise ConfigError(f"{str(self.path)!r} is no regular file")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, self.path):
                    return descriptor
                os.close(descriptor)  # whoever had the lock has finished: this is a file with a name now
            except BlockingIOError:
                os.close(descriptor)
                raise ConfigError(f"{str(self.path)!r} is being written by another download") from None

    def __del__(self) -> None:
        self.close()


def sum_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _is_sound(segment: Segment, size: int) -> bool:
    numbers = all(isinstance(each, int) for each in (segment.start, segment.at))
    if not numbers or not (segment.end is None or isinstance(segment.end, int)):
        return False
    whole = segment.end is None or segment.at <= segment.end
    return whole and 0 <= segment.start <= segment.at and (segment.at == segment.start or segment.at <= size)
