"""What bytes can be had from, opened: paths, URLs, files, streams, responses, and whatever gives pieces."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import urlsplit

from portico import late
from portico.data.files import PIECE, as_bytes, of_path, of_stdin, reader, text_of
from portico.errors import ConfigError

__all__ = ["Opened", "bare", "is_url", "opened", "suffixes_of"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:", re.ASCII)
_PACKED = frozenset("gz gzip bz2 xz lzma zst br zip".split())


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
            return Opened(of_stdin(), "standard input")
        return _of_url(what) if is_url(what) else _of_path(what)
    if isinstance(what, os.PathLike):
        return _of_path(os.fspath(what))
    if hasattr(what, "iter_bytes") and hasattr(what, "headers"):
        return _of_response(getattr(what, "blocking", what), _nothing)
    if callable(read := getattr(what, "read", None)) and not iscoroutinefunction(read):
        if hasattr(what, "try_read"):  # a stream of ours, whose read() gives what has come
            return Opened(read, f"the stream from {what.peer}")
        return _of_file(what, _name_of(what))
    if hasattr(what, "scheme") and hasattr(what, "authority"):
        return _of_url(what)
    with suppress(TypeError):  # bytes, and whatever holds such
        return _of_bytes(memoryview(what))
    if isinstance(what, Iterable):
        return _of_pieces(iter(what))
    awaited = hasattr(what, "__aiter__") or hasattr(what, "__await__") or hasattr(what, "read")
    hint = ": await what it gives, or read the URL inside portico.aio.run" if awaited else ""
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


def bare(suffix: str) -> str:
    """A suffix without that of its compression: ``csv`` of ``csv.gz``, nothing of ``gz``."""
    before, _, last = suffix.rpartition(".")
    return before if last in _PACKED else suffix


def _of_path(path: str | bytes) -> Opened:
    pull, size, close = of_path(path)
    name = os.fsdecode(path)
    return Opened(pull, name, size, suffix=suffixes_of(name), close=close)


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


def _of_bytes(view: memoryview) -> Opened:
    data = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    pieces = (bytes(data[at : at + PIECE]) for at in range(0, len(data), PIECE))
    return Opened(lambda: next(pieces, b""), "the bytes", len(data))


def _of_file(file: Any, name: str) -> Opened:
    """A file that is open; one of text gives text, which is as good as bytes of UTF-8."""
    encoding = "utf-8" if text_of(file) else None
    return Opened(reader(file, name), name, encoding=encoding, suffix=suffixes_of(name))


def _of_pieces(pieces: Iterator[Any]) -> Opened:
    def pull() -> bytes:
        for piece in pieces:
            if isinstance(piece, str):
                raise ConfigError("the pieces are text: encode them, or pass one io.StringIO")
            if data := as_bytes(piece, "the pieces"):
                return data
        return b""

    return Opened(pull, "the pieces")


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else "the file"


def _nothing() -> None:
    """What others have opened stays open."""
