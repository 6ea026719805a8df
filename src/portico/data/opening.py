"""What bytes can be had from, opened: paths, URLs, files, streams, responses, and whatever gives pieces."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from io import RawIOBase, TextIOBase
from typing import Any
from urllib.parse import urlsplit

from portico import late
from portico.errors import ConfigError
from portico.sync import run_blocking

__all__ = ["Opened", "is_url", "opened", "suffixes_of"]

_PIECE = 1 << 18
"""Bytes that are read at a time."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:", re.ASCII)
_PACKED = frozenset("gz gzip bz2 xz zst br zip".split())


@dataclass(slots=True)
class Opened:
    """Something that gives bytes: ``pull()`` the next ones, ``b""`` at the end. ``suffix``: of its name, with
    that of its compression (``csv.gz``). ``url``: where it came from, if that is one."""

    pull: Callable[[], bytes]
    name: str
    size: int | None = None
    content_type: str = ""
    suffix: str = ""
    encoding: str | None = None
    close: Callable[[], object] = lambda: None
    url: str = ""


def opened(what: Any) -> Opened:
    """Open what may be a source: see ``portico.data.source``."""
    if isinstance(what, str):
        if what == "-":
            return _of_file(sys.stdin.buffer, "standard input", _nothing)
        return _of_url(what) if is_url(what) else _of_path(what)
    if isinstance(what, os.PathLike):
        return _of_path(os.fspath(what))
    if isinstance(what, (bytes, bytearray, memoryview)):
        return _of_bytes(memoryview(what).cast("B"))
    if hasattr(what, "iter_bytes") and hasattr(what, "headers"):
        return _of_response(what, _nothing)
    if hasattr(what, "try_read"):  # a stream of ours, whose read() gives what has come
        return Opened(what.read, f"the stream from {what.peer}")
    if callable(getattr(what, "read", None)):
        return _of_file(what, _name_of(what), _nothing)
    if hasattr(what, "scheme") and hasattr(what, "authority"):
        return _of_url(what)
    if isinstance(what, Iterable):
        return _of_pieces(iter(what))
    hint = ": await its parts, or read it inside portico.aio.run" if hasattr(what, "__aiter__") else ""
    raise ConfigError(f"no data can be read from {type(what).__name__}{hint}")


def is_url(text: str) -> bool:
    """Whether a word is a URL, and no path."""
    return _URL.match(text) is not None


def suffixes_of(name: str) -> str:
    """A file's suffix in lower case, with that of its compression: ``csv.gz``, ``csv``, ``gz``."""
    *_, before, last = ["", "", *os.path.basename(name).lower().split(".")]
    if last == os.path.basename(name).lower():
        return ""
    return f"{before}.{last}" if last in _PACKED and before and before != _stem(name) else last


def _stem(name: str) -> str:
    """What stands before the first dot: no suffix."""
    return os.path.basename(name).lower().partition(".")[0]


def _of_path(path: str | bytes) -> Opened:
    file = run_blocking(_open_file, path)
    try:
        status = os.fstat(file.fileno())
    except BaseException:
        file.close()
        raise
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    name = os.fsdecode(path)
    return Opened(
        lambda: run_blocking(file.read, _PIECE) or b"", name, size, suffix=suffixes_of(name), close=file.close
    )


def _open_file(path: str | bytes) -> RawIOBase:
    return open(path, "rb", buffering=0)


def _of_url(url: Any) -> Opened:
    response = import_module(late.OPENERS[0]).open(url)
    return _of_response(response, response.close)


def _of_response(response: Any, close: Callable[[], object]) -> Opened:
    headers = response.headers
    length = headers.get("content-length", "")
    size = int(length) if length.isdigit() and "content-encoding" not in headers else None
    pieces = response.iter_bytes()
    url = str(response.url.without_user())
    in_itself = url.startswith("data:")
    return Opened(
        lambda: next(pieces, b""),
        url if len(url) <= 200 else f"{url[:200]}…",
        size,
        headers.get("content-type", ""),
        "" if in_itself else suffixes_of(urlsplit(url).path),
        close=close,
        url="" if in_itself else url,
    )


def _of_bytes(data: memoryview) -> Opened:
    pieces = (bytes(data[at : at + _PIECE]) for at in range(0, len(data), _PIECE))
    return Opened(lambda: next(pieces, b""), "the bytes", len(data))


def _of_file(file: Any, name: str, close: Callable[[], object]) -> Opened:
    """A file that is open; one of text gives text, which is as good as bytes of UTF-8."""
    read = getattr(file, "read1", None) or file.read
    of_text = isinstance(file, TextIOBase) or getattr(file, "encoding", None) is not None

    def pull() -> bytes:
        data = run_blocking(read, _PIECE)
        if isinstance(data, str):
            return data.encode("utf-8", "surrogatepass")
        if data is None:
            raise ConfigError(f"{name} does not wait for data: make it blocking")
        return bytes(data)

    return Opened(pull, name, encoding="utf-8" if of_text else None, suffix=suffixes_of(name), close=close)


def _of_pieces(pieces: Iterator[Any]) -> Opened:
    def pull() -> bytes:
        for piece in pieces:
            if isinstance(piece, str):
                raise ConfigError("the pieces are text: encode them, or pass one io.StringIO")
            if piece:
                return bytes(piece)
        return b""

    return Opened(pull, "the pieces")


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "the file"


def _nothing() -> None:
    """What others have opened stays open."""
