"""Forms with files (``multipart/form-data``, RFC 7578), streamed from disk with a length that is known
before.

Names are escaped as browsers do it (HTML standard, 4.10.21.8): UTF-8, with line ends and quotes
percent-encoded, so that no name ends the line it stands in.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from portico.client.body import Body, BytesBody, FileBody, file_body
from portico.client.params import encoded, pairs_of
from portico.errors import ConfigError, LocalProtocolError

__all__ = ["Multipart", "file_name", "form_parts", "multipart"]

_LINE_ENDS = re.compile(r"\r\n|\r|\n")
_ESCAPED = str.maketrans({"\n": "%0A", "\r": "%0D", "\0": "%00", '"': "%22"})
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")


class Multipart:
    """A body of parts: each a head and a ``Body``."""

    def __init__(self, parts: Iterable[tuple[bytes, Body]], boundary: str | None = None) -> None:
        self.boundary = boundary or f"portico-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={self.boundary}"
        self._parts = list(parts)
        self.replayable = all(body.replayable for _, body in self._parts)

    @property
    def length(self) -> int | None:
        """Of all of it; ``None`` if that of one part is not known."""
        total = len(self._tail)
        for head, body in self._parts:
            if body.length is None:
                return None
            total += len(self._delimiter) + len(head) + body.length + 2
        return total

    def chunks(self) -> Iterator[bytes]:
        """Head by head and part by part."""
        for head, body in self._parts:
            yield self._delimiter + head
            yield from body.chunks()
            yield b"\r\n"
        yield self._tail

    @property
    def _delimiter(self) -> bytes:
        return f"--{self.boundary}\r\n".encode()

    @property
    def _tail(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()


class PathBody:
    """A file by its path, opened when it is sent, and closed then."""

    replayable = True
    content_type = None

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            facts = os.stat(path)
        except OSError as error:
            raise ConfigError(f"files: cannot read {path!r}: {error.strerror}") from None
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigError(f"files: {path!r} is no regular file; open it, and give the open file")
        self.length: int | None = facts.st_size

    def chunks(self) -> Iterator[bytes]:
        """What the file holds. Raises ``LocalProtocolError`` when that has changed since."""
        try:
            file = open(self._path, "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise LocalProtocolError(f"cannot read {self._path!r}: {error.strerror}") from None
        with file:
            yield from FileBody(file, 0, self.length).chunks()


def multipart(data: Any, files: Any) -> Multipart:
    """The fields of ``data``, then ``files``: a mapping or pairs of names and files, a file being open,
    bytes, text, a path (``os.PathLike``), or ``(filename, file[, content type[, headers]])``. Raises
    ``ConfigError``."""
    parts: list[tuple[bytes, Body]] = []
    for name, value in () if data is None else pairs_of(data, "data"):
        content = value if isinstance(value, bytes) else encoded(str(value), "data")
        parts.append((_head(_name(name), None, None, ()), BytesBody(content)))
    for name, given in _files(files):
        several = given if isinstance(given, list) else [given]
        parts += [_file_part(_name(name), each) for each in several]
    return Multipart(parts)


def form_parts(entries: Iterable[tuple[str, Any]], charset: str) -> Multipart:
    """The entries of a form of a page: names, and text or a file (``given``; ``None``: none was chosen)."""
    parts: list[tuple[bytes, Body]] = []
    for given, value in entries:
        name = _LINE_ENDS.sub("\r\n", given)
        if not hasattr(value, "given"):
            text = _LINE_ENDS.sub("\r\n", str(value)).encode(charset, "xmlcharrefreplace")
            parts.append((_head(name, None, None, (), charset), BytesBody(text)))
        elif value.given is None:
            parts.append((_head(name, "", "application/octet-stream", (), charset), BytesBody(b"")))
        else:
            parts.append(_file_part(name, value.given, charset))
    return Multipart(parts)


def file_name(given: Any) -> str:
    """The name of a file, in any form that ``files=`` takes."""
    if isinstance(given, tuple):
        return str(given[0] or "")
    return _file_name(given) or ""


def _files(files: Any) -> list[tuple[Any, Any]]:
    pairs = files.items() if isinstance(files, Mapping) else files
    wrong = ConfigError("files=: expected a mapping, or pairs of a name and a file")
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise wrong
    found = list(pairs)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in found):
        raise wrong
    return found


def _file_part(name: str, given: Any, charset: str = "utf-8") -> tuple[bytes, Body]:
    filename: str | None = None
    kind: str | None = None
    headers: Any = ()
    content = given
    if isinstance(given, tuple):
        if not 2 <= len(given) <= 4:
            raise ConfigError(f"files: {name}: expected (filename, file[, content type[, headers]])")
        filename, content = given[:2]
        kind = given[2] if len(given) > 2 else None
        headers = given[3] if len(given) > 3 else ()
        has_name = filename is not None
    else:
        filename, has_name = _file_name(content) or name, True
    if has_name and kind is None:
        kind = _guessed(str(filename))
    head = _head(name, str(filename) if has_name else None, kind, _pairs(headers), charset)
    return head, _content(name, content)


def _content(name: str, content: Any) -> Body:
    if isinstance(content, str):
        return BytesBody(encoded(content, "files"))
    if isinstance(content, (bytes, bytearray, memoryview)):
        return BytesBody(content)
    if isinstance(content, os.PathLike):
        return PathBody(os.fsdecode(content))
    if hasattr(content, "read"):
        return file_body(content)
    raise ConfigError(f"files: {name}: expected a file, bytes, text or a path, not {type(content).__name__}")


def _file_name(content: Any) -> str | None:
    if isinstance(content, os.PathLike):
        return PurePath(os.fsdecode(content)).name
    name = getattr(content, "name", None)
    if isinstance(name, (str, bytes)) and name and os.fsdecode(name)[0] != "<":
        return os.path.basename(os.fsdecode(name))
    return None


def _guessed(filename: str) -> str:
    import mimetypes

    kind, packing = mimetypes.guess_type(filename)
    return kind if kind and not packing else "application/octet-stream"


def _head(
    name: str,
    filename: str | None,
    kind: str | None,
    headers: Iterable[tuple[str, str]],
    charset: str = "utf-8",
) -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name.translate(_ESCAPED)}"'
    if filename is not None:
        disposition += f'; filename="{filename.translate(_ESCAPED)}"'
    lines = [disposition]
    given = {header.lower() for header, _ in headers}
    if kind is not None and "content-type" not in given:
        lines.append(f"Content-Type: {_checked('Content-Type', _name(kind))}")
    lines += [f"{header}: {_checked(header, value)}" for header, value in headers]
    text = "\r\n".join(lines) + "\r\n\r\n"
    return encoded(text, "files") if charset == "utf-8" else text.encode(charset, "xmlcharrefreplace")


def _checked(header: str, value: str) -> str:
    if not _HEADER.fullmatch(header) or not _VALUE.fullmatch(str(value)):
        raise ConfigError(f"files: a part cannot have the header {header!r:.60}: {value!r:.60}")
    return str(value)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise ConfigError("files: the headers of a part are a mapping, or pairs of name and value")
    return [(_name(name), _name(value)) for name, value in pairs]


def _name(name: Any) -> str:
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError:
        raise ConfigError(f"{name!r:.60}: names in a form with files are text") from None
