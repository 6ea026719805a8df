"""A file that came with a form: its content as a file object, and its name, which is not to be trusted."""

from __future__ import annotations

import io
import os
from typing import IO, BinaryIO

from portico.filenames import safe_name

__all__ = ["Upload", "safe_name"]


class Upload:
    """A file sent with a form.

    ``filename`` is what the client says, raw: it may be empty, be a whole path, and hold any character;
    ``safe_name`` is made of it and can be a file's name anywhere. ``headers``: of the part, lower-case
    names, latin-1 values. ``size``: bytes.

    ``file`` reads the content from its beginning, and can be sought; it lives as long as the form. An
    upload is false when no file was chosen: browsers then send one without name and content.
    """

    def __init__(
        self,
        name: str,
        filename: str,
        headers: dict[str, str],
        kept: IO[bytes],
        span: tuple[int, int],
    ) -> None:
        self.name = name
        self.filename = filename
        self.headers = headers
        self.size = span[1]
        self._window = _Window(kept, *span)
        self.file: BinaryIO = io.BufferedReader(self._window)

    @property
    def content_type(self) -> str:
        """What the client says of the content, parameters included; ``""`` when it says nothing."""
        return self.headers.get("content-type", "")

    @property
    def safe_name(self) -> str:
        """See ``safe_name``."""
        return safe_name(self.filename)

    @property
    def value(self) -> bytes:
        """The whole content, in memory."""
        return self._window.whole()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the content into a new file. Raises ``FileExistsError``; whatever goes wrong, no part of
        a file stays behind."""
        with open(path, "xb") as target:
            try:
                self.file.seek(0)
                while data := self.file.read(1 << 18):
                    target.write(data)
                target.flush()
            except BaseException:
                os.unlink(path)
                raise

    def __bool__(self) -> bool:
        return bool(self.filename or self.size)

    def __repr__(self) -> str:
        return f"<Upload {self.name!r} {self.filename!r} {self.size} bytes>"


class _Window(io.RawIOBase):
    """A part of a file that others read too: it has a position of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def whole(self) -> bytes:
        return self._read(0, self._size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"there is nothing before the beginning of a file: {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._read(self._at, min(len(buffer), max(0, self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, at: int, size: int) -> bytes:
        file = self._file
        if isinstance(file, io.BytesIO):
            with file.getbuffer() as view:
                return bytes(view[self._start + at : self._start + at + size])
        # Not moved, for another thread may read another upload of the same form.
        pieces = []
        while size and (data := os.pread(file.fileno(), size, self._start + at)):
            pieces.append(data)
            at, size = at + len(data), size - len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
