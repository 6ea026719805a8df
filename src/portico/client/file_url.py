"""``file:`` URLs (RFC 8089): files of this machine, as a response like any other."""

from __future__ import annotations

import os
import stat
from email.utils import formatdate
from time import time
from typing import Any
from urllib.parse import unquote_to_bytes

from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL
from portico.errors import ConfigError, EndOfStream, HTTPError, PorticoError
from portico.http.messages import Fields
from portico.http.pages import REASONS
from portico.limits import Limits
from portico.sync import run_blocking

__all__ = ["open_file"]

_PIECE = 1 << 18
_MISSING = {
    FileNotFoundError: (404, "Not Found"),
    NotADirectoryError: (404, "Not Found"),
    PermissionError: (403, "Forbidden"),
}


def open_file(
    url: URL, *, limits: Limits | None = None, check: bool = True, headers: Any = None, **options: Any
) -> Response:
    """The file that ``url`` names; of ``headers`` a ``Range`` of bytes is heeded, with ``If-Range`` only if
    that is the file's own time. One that is missing or must not be read is an answer that says no (404, 403;
    416 where a range is not in it), and raises ``HTTPError`` unless ``check=False``; a folder, and a request
    to write, raise ``ConfigError``."""
    if options.get("data") is not None or options.get("method", "GET") not in ("GET", "HEAD"):
        raise ConfigError(f"{url}: files are only read here")
    request = Request(options.get("method", "GET"), url)
    request.headers.update(headers or ())
    path = os.fsdecode(unquote_to_bytes(url.path))
    if "\0" in path:
        raise ConfigError(f"{url}: no file has a NUL in its name")
    try:
        file = _File(path)
    except tuple(_MISSING) as error:
        response = Response(request, *_MISSING[type(error)], [], None, b"")
        if check:
            raise HTTPError(f"{url}: {error.strerror}", response) from None
        return response
    except OSError as error:
        raise PorticoError(f"{url}: {error.strerror}") from None
    status, fields = file.answer(path, request)
    source = file if request.method != "HEAD" and status < 400 else None
    if source is None:
        file.close()
    response = Response(
        request, status, REASONS[status], fields, source, None if source else b"", limits=limits
    )
    return response.raise_for_status() if check else response


class _File:
    """A regular file as the body of a response."""

    trailers: Fields = ()

    def __init__(self, path: str) -> None:
        # Opening a pipe would wait for a writer.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self._facts = os.fstat(self._descriptor)
        if not stat.S_ISREG(self._facts.st_mode):
            self.close()
            what = "a folder" if stat.S_ISDIR(self._facts.st_mode) else "no regular file"
            raise ConfigError(f"{path!r} is {what}")
        self._left: int | None = None

    def answer(self, path: str, request: Request) -> tuple[int, list[tuple[str, str]]]:
        """Status and fields: of the file, or of the one range that is asked for."""
        fields, size = self._fields(path), self._facts.st_size
        if "range" not in request.headers:
            return 200, list(fields.items())
        from portico.web.conditions import range_applies
        from portico.web.ranges import content_range, parse_ranges, unsatisfied

        modified = int(self._facts.st_mtime)
        spans = None
        if range_applies(request.headers, request.method, fields["etag"], modified, now=time()):
            spans = parse_ranges(request.headers["range"], size, most=1)
        if spans is None:
            return 200, list(fields.items())
        if not spans:
            return 416, [("content-range", unsatisfied(size)), ("content-length", "0")]
        os.lseek(self._descriptor, spans[0].offset, os.SEEK_SET)
        self._left = spans[0].length
        part = {"content-length": str(self._left), "content-range": content_range(spans[0], size)}
        return 206, list({**fields, **part}.items())

    def _fields(self, path: str) -> dict[str, str]:
        import mimetypes

        kind, packing = mimetypes.guess_type(path)
        facts = self._facts
        return {
            "content-type": kind if kind and not packing else "application/octet-stream",
            "content-length": str(facts.st_size),
            "accept-ranges": "bytes",
            "etag": f'"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}"',
            "last-modified": formatdate(facts.st_mtime, usegmt=True),
        }

    def piece(self) -> bytes:
        if self._descriptor < 0:
            return b""
        most = _PIECE if self._left is None else min(_PIECE, self._left)
        try:
            data: bytes = run_blocking(os.read, self._descriptor, most)
        except OSError as error:
            raise PorticoError(f"the file cannot be read: {error.strerror}") from None
        if not data:
            self.close()
            if self._left:
                raise EndOfStream(f"the file ends {self._left} bytes before the range that it had")
        elif self._left is not None:
            self._left -= len(data)
        return data

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            import warnings

            warnings.warn("unclosed response of a file: URL", ResourceWarning, stacklevel=2, source=self)
            self.close()
