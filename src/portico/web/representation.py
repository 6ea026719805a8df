"""What can be sent for a file: its bytes as they are, or compressed, now or long before.

Each has an entity tag of its own, since the bytes differ (RFC 9110, 8.8.3.3); that of bytes compressed
while serving is weak, as another version of the library may make others.
"""

from __future__ import annotations

import errno
import hashlib
import os
from copy import copy
from typing import TypeAlias

from portico.http.dates import format_date
from portico.web.confined import open_plainly

__all__ = ["Descriptor", "Headers", "Mark", "Representation", "entity_tag", "mark_of", "read_span"]

Headers: TypeAlias = list[tuple[str, str]]
Mark: TypeAlias = tuple[int, int, int, int, int]
"""What changes when a file does: equal marks, equal bytes."""


class Descriptor:
    """An open file that is closed when nobody refers to it any more: threads may share it."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Representation:
    """One form of a file, and all that is said about it.

    ``data`` is all of it, or ``None``: then ``open`` gives a descriptor of it. ``fd`` is one that is open
    already, closed by its ``keeper``, or without one by whoever opened it; or -1. ``size`` is in bytes.
    ``about`` goes with 200, 206 and 304; ``typed`` with 200 and 206; ``whole`` with 200.
    """

    __slots__ = (
        "about",
        "data",
        "etag",
        "fd",
        "keeper",
        "kind",
        "mark",
        "modified",
        "path",
        "size",
        "typed",
        "whole",
    )

    def __init__(
        self,
        facts: os.stat_result,
        kind: str,
        extra: Headers,
        *,
        fd: int = -1,
        data: bytes | None = None,
        keeper: Descriptor | None = None,
        size: int | None = None,
        coding: str = "",
        packed: bool = False,
        now: float,
    ) -> None:
        self.fd = fd if keeper is None else keeper.fd
        self.data = data
        self.keeper = keeper
        self.path, self.mark = b"", mark_of(facts)
        self.size = facts.st_size if size is None else size
        self.kind = kind
        # A date in the future must not be sent (RFC 9110, 8.8.2.1).
        self.modified = min(facts.st_mtime_ns // 1_000_000_000, int(now))
        tag = entity_tag(facts, coding)
        self.etag = f"W/{tag}" if packed else tag
        self.about = [("ETag", self.etag), ("Last-Modified", format_date(self.modified)), *extra]
        self.typed = [("Content-Type", kind)]
        if coding:
            self.typed.append(("Content-Encoding", coding))
        self.whole = [*self.typed, *self.about]
        if not packed:
            self.whole.append(("Accept-Ranges", "bytes"))

    def by_name(self, path: bytes) -> Representation:
        """The same, not open, to be opened by its name."""
        other = copy(self)
        other.fd, other.path = -1, path
        return other

    def by_descriptor(self, fd: int) -> Representation:
        """The same, open, where it was to be opened by its name."""
        if not self.path:
            return self
        other = copy(self)
        other.fd, other.path = fd, b""
        return other

    def open(self) -> int:
        """A descriptor of one's own. Raises ``OSError``, also where another file has the name by now."""
        if self.fd >= 0:
            return os.dup(self.fd)
        fd = open_plainly(self.path)
        # Whatever the path has led through: this is the file that was found in the folder.
        if mark_of(os.fstat(fd)) != self.mark:
            os.close(fd)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return fd

    @property
    def ranges(self) -> bool:
        """Whether parts of it can be asked for."""
        return self.whole[-1][0] == "Accept-Ranges"


def mark_of(facts: os.stat_result) -> Mark:
    """The change time too: unlike that of the content, nobody can set it back."""
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_dev


def entity_tag(facts: os.stat_result, coding: str = "") -> str:
    """A strong entity tag. Hashed, since a bare inode number tells about the machine."""
    told = b"%d %d %d" % (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    suffix = f"-{coding}" if coding else ""
    return f'"{hashlib.blake2b(told, digest_size=10).hexdigest()}{suffix}"'


def read_span(fd: int, offset: int, length: int) -> bytes:
    """The bytes of a part of a file, fewer only if it has become shorter."""
    data = os.pread(fd, length, offset)
    while len(data) < length:  # network file systems may give less at a time
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
