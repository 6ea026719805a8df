"""``file:`` URLs (RFC 8089): files of this machine, as a response like any other."""

from __future__ import annotations

import os
import stat
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote_to_bytes

from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL
from portico.errors import ConfigError, HTTPError, PorticoError
from portico.http.messages import Fields
from portico.limits import Limits
from portico.sync import run_blocking

__all__ = ["open_file"]

_PIECE = 1 << 18
_MISSING = {
    FileNotFoundError: (404, "Not Found"),
    NotADirectoryError: (404, "Not Found"),
    PermissionError: (403, "Forbidden"),
}


def open_file(url: URL, *, limits: Limits | None = None, check: bool = True, **options: Any) -> Response:
    """The file that ``url`` names. One that is missing or must not be read is an answer that says no (404,
    403), and raises ``HTTPError`` unless ``check=False``; a folder, and a request to write, raise
    ``ConfigError``."""
    if options.get("data") is not None or options.get("method", "GET") not in ("GET", "HEAD"):
        raise ConfigError(f"{url}: files are only read here")
    request = Request(options.get("method", "GET"), url)
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
    source = None if request.method == "HEAD" else file
    response = Response(request, 200, "OK", file.fields(path), source, None if source else b"", limits=limits)
    if source is None:
        file.close()
    return response


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

    def fields(self, path: str) -> list[tuple[str, str]]:
        import mimetypes

        kind, packing = mimetypes.guess_type(path)
        return [
            ("content-type", kind if kind and not packing else "application/octet-stream"),
            ("content-length", str(self._facts.st_size)),
            ("last-modified", formatdate(self._facts.st_mtime, usegmt=True)),
        ]

    def piece(self) -> bytes:
        if self._descriptor < 0:
            return b""
        try:
            data: bytes = run_blocking(os.read, self._descriptor, _PIECE)
        except OSError as error:
            raise PorticoError(f"the file cannot be read: {error.strerror}") from None
        if not data:
            self.close()
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
