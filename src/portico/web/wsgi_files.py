"""What a WSGI application may hand over as a file, and what it is given to write errors to."""

from __future__ import annotations

import io
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

__all__ = ["ErrorStream", "FileWrapper"]

log = logging.getLogger("portico.wsgi")

_LINE = 8192
"""Characters after which a line that does not end is logged in parts: it would be copied at each write."""


class FileWrapper:
    """``wsgi.file_wrapper``: an open file as a body; a regular one is sent without copying."""

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self._file = file
        self._block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        while data := self._file.read(self._block_size):
            yield data

    def first(self, count: int) -> Iterator[bytes]:
        """So much of it at most: PEP 3333 ends a file's transmission at its ``Content-Length``."""
        while count and (data := self._file.read(min(count, self._block_size))[:count]):
            count -= len(data)
            yield data

    def close(self) -> None:
        """Close the file, where it can be closed."""
        close = getattr(self._file, "close", None)
        if close is not None:
            close()

    def span(self) -> tuple[io.FileIO, int, int] | None:
        """A descriptor of our own, the present position and what follows it; ``None``: not a file."""
        file = self._file
        if isinstance(file, tempfile._TemporaryFileWrapper):
            file = file.file
        # Others may have a descriptor and yet read something else than what it holds, as GzipFile does.
        if type(file) not in (io.BufferedReader, io.BufferedRandom, io.FileIO):
            return None
        if type(getattr(file, "raw", file)) is not io.FileIO:
            return None
        try:
            descriptor, offset = file.fileno(), file.tell()
            file.flush()
            facts = os.fstat(descriptor)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(facts.st_mode) or not facts.st_size:
            return None  # files that the kernel makes up as they are read, as in /proc, have no size
        # The application closes its file when it has answered; ours lives until all of it has left.
        return io.FileIO(os.dup(descriptor)), offset, max(facts.st_size - offset, 0)


class ErrorStream(io.TextIOBase):
    """``wsgi.errors`` of one connection: complete lines go to the log ``portico.wsgi``."""

    def __init__(self) -> None:
        self._line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._log(line)
        if len(self._line) > _LINE:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Whoever flushes wants to see it now."""
        line, self._line = self._line, ""
        self._log(line)

    def _log(self, line: str) -> None:
        if line.strip():
            log.error("%s", line)
