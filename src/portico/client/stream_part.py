"""A stream in place of a file that is downloaded: what is cut is gone on with, and nothing is begun anew."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from portico.client.part_file import PartFile, Segment, Version

__all__ = ["StreamPart"]


class StreamPart(PartFile):
    """``out``, which takes a file in order, as it comes; nothing is left for later. Raises what it raises."""

    verdict = "all of it has been written"
    resumable = False

    def __init__(self, out: BinaryIO) -> None:
        super().__init__(Path("-"))
        self._out = out
        self._sum = hashlib.sha256()

    def load(self) -> bool:
        return False

    def begin(self, version: Version, segments: list[Segment]) -> None:
        self.version, self.segments = version, segments

    def write(self, segment: Segment, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._out.write(view) :]
        self._out.flush()
        self._sum.update(data)
        segment.at += len(data)

    def save(self) -> None:
        pass

    def may_begin_anew(self) -> bool:
        return self.size == 0

    def sum(self) -> str:
        return self._sum.hexdigest()

    def finish(self, modified: float | None) -> None:
        pass

    def discard(self) -> None:
        pass
