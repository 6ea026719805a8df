"""The bytes of a document, in an encoding that every parser reads alike.

What is not in UTF-8, Latin-1 or ASCII is transcoded to UTF-8 here: expat knows no other, libxml2 knows many
too many, and what is looked for in the bytes can then be found there.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, getincrementaldecoder
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

from portico.charsets.text import known
from portico.data.sources import Source, source
from portico.errors import DataError

__all__ = ["pieces_of", "reading"]

_PIECE = 1 << 16
"""Bytes that are parsed at a time: as fast as a whole file, and little to hold."""
_NATIVE = frozenset(("utf-8", "utf8", "iso-8859-1", "us-ascii", "ascii"))
"""Encodings that expat and libxml2 read themselves."""
_UTF_8 = frozenset(("utf-8", "utf8"))
_DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']""")
_WIDE = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
"""Encodings of several bytes by how they begin (XML 1.0, F.1)."""


def reading(what: Any) -> AbstractContextManager[Source]:
    """A source, which is closed at the end if it was opened here."""
    return nullcontext(what) if isinstance(what, Source) else source(what)


def pieces_of(given: Source) -> tuple[Iterator[bytes], str | None]:
    """A document in pieces, and the encoding that they are in; ``None``: UTF-8, as the document says.

    Raises ``DataError`` for an encoding that is not read.
    """
    # What its user or its content type tells counts for more than what it says of itself (RFC 7303, 3).
    codec = given.encoding or _wide(given.peek(4))
    mark = len(BOM_UTF8) if given.peek(len(BOM_UTF8)) == BOM_UTF8 else 0
    if codec is None:
        label = _declared(given)
        if label.lower() in _NATIVE:
            if mark:  # which counts for more than what it says
                return _cut(given.chunks(), mark), "utf-8"
            return _cut(given.chunks()), None if label.lower() in _UTF_8 else label
        codec = known(label)
        if codec is None:
            raise DataError(f"encoding {label[:40]!r} is not read", given.name, line=1)
    if codec == "utf-8":
        return _cut(given.chunks(), mark), codec
    return _cut(_transcoded(given, codec)), "utf-8"


def _transcoded(given: Source, codec: str) -> Iterator[bytes]:
    decoder = getincrementaldecoder(codec)()
    line, column = 1, 1
    for chunk in chain(given.chunks(), (b"",)):
        try:
            text = decoder.decode(chunk, not chunk)
        except UnicodeDecodeError as error:
            before, byte = error.object[: error.start].decode(codec), error.object[error.start]
            line, column = _moved(line, column, before)
            raise DataError(
                f"byte 0x{byte:02x} is no {codec}", given.name, line=line, column=column
            ) from None
        if line == column == 1:  # a byte order mark is none
            text = text.removeprefix("\ufeff")
        line, column = _moved(line, column, text)
        yield text.encode("utf-8", "surrogatepass")


def _moved(line: int, column: int, text: str) -> tuple[int, int]:
    """The place after a text."""
    lines = text.count("\n")
    return line + lines, len(text) - text.rfind("\n") if lines else column + len(text)


def _declared(given: Source) -> str:
    """What the document says it is written in. It is waited for no longer than that takes."""
    beginning = given.peek(5)
    if beginning.startswith(BOM_UTF8):
        return "utf-8"
    while beginning.startswith(b"<?xml") and b">" not in beginning and len(beginning) < 1024:
        before, beginning = beginning, given.peek(len(beginning) + 1)
        if len(before) == len(beginning):
            break
    found = _DECLARED.match(beginning)
    return found[1].decode("latin-1") if found else "utf-8"


def _wide(beginning: bytes) -> str | None:
    return next((codec for start, codec in _WIDE if beginning.startswith(start)), None)


def _cut(chunks: Iterator[bytes], skipped: int = 0) -> Iterator[bytes]:
    """Bytes in pieces that are not too large. ``skipped``: of a byte order mark, which is no column."""
    for chunk in chunks:
        for at in range(skipped, len(chunk), _PIECE):
            yield chunk[at : at + _PIECE]
        skipped = max(skipped - len(chunk), 0)
