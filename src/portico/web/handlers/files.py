"""A file as the body of an answer."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from portico.errors import LocalProtocolError
from portico.web.confined import open_confined
from portico.web.file_answer import answer_file
from portico.web.handlers.refusal import Refuse
from portico.web.types import media_type

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["FileBody", "disposition"]

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)

_OF_THE_FILE = {"etag", "last-modified", "accept-ranges", "content-range"}


class FileBody:
    """A file, by path or open; see ``Response.file``."""

    __slots__ = ("_file", "_name", "_path", "_root", "_type")

    def __init__(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        root: str | os.PathLike[str] | None = None,
        type: str | None = None,  # noqa: A002
        name: str | None = None,
    ) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            self._file, self._path = None, os.fsencode(path)
        else:
            self._file, self._path = path, os.fsencode(str(getattr(path, "name", "")))
            _descriptor(path)
        self._root = None if root is None else os.path.abspath(os.fsencode(root))
        self._type = type
        self._name = name

    def send(self, exchange: Exchange, headers: list[tuple[str, str]]) -> None:
        """Answer with the file. Raises ``Refuse`` (404, 403) when it cannot be, ``LocalProtocolError`` for
        headers that would say twice what the file says."""
        given = {name.lower(): value for name, value in headers}
        for name in _OF_THE_FILE & given.keys():
            raise LocalProtocolError(f"Response.file tells {name} of the file itself: leave it out")
        kind = given.get("content-type") or self._type or media_type(os.path.basename(self._path))
        extra = [pair for pair in headers if pair[0].lower() != "content-type"]
        if "x-content-type-options" not in given:
            extra.append(("X-Content-Type-Options", "nosniff"))
        if self._name is not None and "content-disposition" not in given:
            extra.append(("Content-Disposition", disposition(self._name)))
        fd = self._open()
        try:
            facts = os.fstat(fd)
            if not stat.S_ISREG(facts.st_mode):
                raise Refuse(404, "There is nothing here.")
            answer_file(exchange, fd, facts, kind, extra)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the file that was given, where it was one."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> int:
        if self._file is not None:
            return os.dup(_descriptor(self._file))
        try:
            if self._root is None:
                # A named pipe must not be waited for.
                return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            return open_confined(self._root, self._parts())
        except (ValueError, OSError) as error:
            number = getattr(error, "errno", errno.EINVAL)
            if number in _ABSENT:
                raise Refuse(404, "There is nothing here.") from error
            if number in (errno.EACCES, errno.EPERM):
                raise Refuse(403, "This may not be read.") from error
            raise

    def _parts(self) -> list[bytes]:
        """The path below ``root``. Raises ``ValueError`` for what could leave it."""
        parts = self._path.split(b"/")
        if any(part in (b"", b".", b"..") for part in parts) or b"\0" in self._path:
            raise ValueError("not a path below the root")
        return parts


def _descriptor(file: BinaryIO) -> int:
    try:
        return file.fileno()
    except (AttributeError, OSError) as error:
        raise LocalProtocolError("Response.file needs a path, or a file that has a descriptor") from error


def disposition(name: str) -> str:
    """``Content-Disposition`` for a file to be saved as ``name`` (RFC 6266; only its last part counts)."""
    name = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in name)
    if plain == name:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
