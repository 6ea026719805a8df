"""Text for a terminal: nothing in it is an order to the terminal, JSON is set out by its structure."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterable, Iterator

from portico.charsets.text import charset_of
from portico.cli.manners import one_line

__all__ = ["indented", "is_binary", "is_json", "safe_text", "texts"]

_RUN = re.compile(r"[^\n\t]+")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_JSON = re.compile(r"[^;]*[/+]json\s*(?:;|\Z)", re.IGNORECASE)
_TEXT = re.compile(
    r"text/|[^;]*(?:json|xml|javascript|x-www-form-urlencoded)|[^;]*;.*charset=", re.IGNORECASE
)
_STEP = "    "
_OPENING, _CLOSING = ("{", "["), ("}", "]")
_GROWTH = 8
"""How many times as long the blanks may make a document: deep ones are built to make it endless."""


def safe_text(text: str) -> str:
    """Lines as they are; control characters, and marks that reorder text, as escapes."""
    return _RUN.sub(lambda run: one_line(run[0]), text)


def is_json(content_type: str) -> bool:
    """Whether a body is a JSON document."""
    return _JSON.match(content_type) is not None


def is_binary(first: bytes, content_type: str) -> bool:
    """Whether the first piece of a body shows that it is no text."""
    if b"\0" in first:
        return not charset_of(first, content_type).startswith(("utf-16", "utf-32"))
    return _utf8_part(first) is None and _TEXT.match(content_type) is None


def texts(first: bytes, pieces: Iterable[bytes], content_type: str) -> Iterator[str]:
    """A body as text as it comes, with plain line ends."""
    part = _utf8_part(first)
    charset = charset_of(first if part is None else part, content_type)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(charset)("replace"), translate=True)
    yield decoder.decode(first).removeprefix("\ufeff")
    for piece in pieces:
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def indented(text: str) -> str | None:
    """A JSON document by its structure, its numbers and texts as they were; ``None`` for none."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    parts: list[str] = []
    size, depth, most, before = 0, 0, _GROWTH * len(text) + 65536, ""
    for found in _TOKEN.finditer(text):
        token = found[0]
        depth -= token in _CLOSING
        if before == "," or (before in _OPENING) != (token in _CLOSING):
            parts.append(f"\n{_STEP * depth}" if before else "")
        depth += token in _OPENING
        parts.append(": " if token == ":" else token)
        size += len(parts[-1]) + len(_STEP) * depth
        if size > most:
            return None
        before = token
    return "".join(parts)


def _utf8_part(first: bytes) -> bytes | None:
    """What is whole of a beginning of UTF-8; ``None`` for what is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(first)
    except UnicodeDecodeError:
        return None
    return first[: len(first) - len(decoder.getstate()[0])]
