"""What a request carries: bytes, a file, pieces that come by themselves."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from portico.errors import ConfigError, LocalProtocolError

__all__ = ["Body", "BytesBody", "FileBody", "PiecesBody", "file_body"]

PIECE = 1 << 17
"""Bytes that are read of a file at a time."""


class Body(Protocol):
    """The body of a request. ``length`` in bytes, ``None`` where it is not known before (chunked then)."""

    @property
    def length(self) -> int | None: ...

    @property
    def content_type(self) -> str | None: ...

    @property
    def replayable(self) -> bool:
        """Whether ``chunks`` may be called again, for a redirect or another try."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces. Raises ``LocalProtocolError`` when it is not what ``length`` has said."""
        ...


class BytesBody:
    """A body that is in memory."""

    replayable = True

    def __init__(self, data: bytes | bytearray | memoryview, content_type: str | None = None) -> None:
        self._data = data if isinstance(data, bytes) else bytes(data)
        self.length = len(self._data)
        self.content_type = content_type

    def chunks(self) -> Iterator[bytes]:
        yield self._data


class PiecesBody:
    """Pieces from an iterable, once; or from a function that gives an iterable each time it is called."""

    length = None
    content_type = None

    def __init__(self, pieces: Iterable[Any] | Callable[[], Iterable[Any]]) -> None:
        self.replayable = callable(pieces)
        self._pieces = pieces
        self._used = False

    def chunks(self) -> Iterator[bytes]:
        if callable(self._pieces):
            pieces = self._pieces()
        elif self._used:
            raise LocalProtocolError("the body is an iterator, which can be sent only once")
        else:
            self._used, pieces = True, self._pieces
        for piece in pieces:
            yield _as_bytes(piece)


class FileBody:
    """``length`` bytes of an open file from ``offset`` on (``None``: whatever ``read`` gives)."""

    def __init__(
        self, file: Any, offset: int | None, length: int | None, content_type: str | None = None
    ) -> None:
        self.length = length
        self.content_type = content_type
        self.replayable = offset is not None
        self._file = file
        self._offset = offset
        self._used = False

    def chunks(self) -> Iterator[bytes]:
        if self._offset is not None:
            self._file.seek(self._offset)
        elif self._used:
            raise LocalProtocolError("the body is a file that cannot be read again from its beginning")
        self._used = True
        yield from read_pieces(self._file.read, self.length, getattr(self._file, "name", "the file"))


def read_pieces(read: Callable[[int], Any], length: int | None, name: Any) -> Iterator[bytes]:
    """What ``read`` gives, exactly ``length`` bytes of it. Raises ``LocalProtocolError`` when that is not
    so: a body must not look whole when it is not."""
    left = length
    while left is None or left > 0:
        data = _as_bytes(read(PIECE if left is None else min(PIECE, left)))
        if not data:
            if left is None:
                return
            raise LocalProtocolError(
                f"{name}: it ended {left} bytes before the {length} that it had at first"
            )
        if left is not None:
            left -= len(data)
        yield data
    if read(1):
        raise LocalProtocolError(f"{name}: it has grown since its {length} bytes were announced")


def file_body(file: Any) -> FileBody:
    """A body of an open file, from where it stands to its end; a length is known for regular files and for
    what is in memory. Raises ``ConfigError`` for a file that is open as text."""
    if isinstance(file, io.TextIOBase):
        name = getattr(file, "name", None)
        raise ConfigError(
            f"a body is bytes: open {name!r} with mode 'rb'" if name else "a body is bytes, not text"
        )
    offset = _offset(file)
    return FileBody(file, offset, None if offset is None else _size(file, offset))


def _offset(file: Any) -> int | None:
    try:
        if getattr(file, "seekable", lambda: True)():
            return int(file.tell())
    except (AttributeError, OSError, ValueError):
        pass
    return None


def _size(file: Any, offset: int) -> int | None:
    """Bytes from ``offset`` to the end, unless only reading can tell."""
    try:
        facts = os.fstat(file.fileno())
        # Of a file that decompresses, the descriptor's size is not its own.
        plain = isinstance(getattr(file, "raw", file), io.FileIO)
        if plain and stat.S_ISREG(facts.st_mode):
            return max(0, facts.st_size - offset)
    except (AttributeError, OSError, ValueError):
        pass
    try:
        end = int(file.seek(0, os.SEEK_END))
        file.seek(offset)
    except (AttributeError, OSError, ValueError, TypeError):
        return None
    return max(0, end - offset)


def _as_bytes(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    if isinstance(piece, str):
        raise ConfigError("a body is bytes: encode the text that the file or iterable gives")
    raise ConfigError(f"a body is bytes, not {type(piece).__name__}")
