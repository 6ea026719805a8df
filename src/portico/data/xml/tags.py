"""A tag with more attributes than one may have, found before a parser has made them all.

What parsers keep of one is some two hundred bytes, and five bytes make it: a tag of ten million bytes would
take gigabytes before anybody could count. So the bytes of long tags are looked at, of no others.
"""

from __future__ import annotations

import re

from portico.errors import LimitExceeded

__all__ = ["Tags"]

_LEAST = 5
"""Bytes of an attribute: ``a=''`` and a space."""
_NAMES = re.compile(rb"[\w:.\-\s\x80-\xff]*")
"""What stands in a tag before ``=`` and the value."""


class Tags:
    """Looks at a document as it comes. ``most``: attributes and declarations of namespaces of one element."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._source = name
        self._window = max(most * _LEAST // 2, 1)
        self._open = False
        self._count = 0
        self._valued = False
        self._quote = b""

    def look(self, piece: bytes) -> None:
        """Raises ``LimitExceeded``. Bytes that only look like the attributes of a tag, in a comment, count
        too: a thousand of them in a row do so in no other place."""
        first = piece.find(b"<")
        if self._open:
            self._go_on(piece, 0)
        if first < 0:
            return
        for start in sorted(self._long(piece, first)):
            self._begin(piece, start)

    def _long(self, piece: bytes, first: int) -> set[int]:
        """Where tags begin that may be too long, and the last one, which may go on. A tag that is too long
        covers one of the windows that follow each other: most hold a ``<`` near their beginning."""
        window, found = self._window, {piece.rfind(b"<")}
        for at in range(first, len(piece) - window, window):
            if piece.find(b"<", at, at + window) < 0:
                found.add(piece.rfind(b"<", 0, at))
        return found

    def _begin(self, piece: bytes, at: int) -> None:
        self._open, self._count, self._valued, self._quote = True, 0, False, b""
        self._go_on(piece, at + 1)

    def _go_on(self, piece: bytes, at: int) -> None:
        """Count, up to the end of the tag or of the piece."""
        while at < len(piece):
            if self._quote:
                at = piece.find(self._quote, at) + 1
                if not at:
                    return
                self._quote = b""
                self._counted()
            at = _NAMES.match(piece, at).end()  # type: ignore[union-attr]  # it can be empty
            byte = piece[at : at + 1]
            at += 1
            if byte == b"=" and not self._valued:
                self._valued = True
            elif byte in (b"'", b'"') and self._valued:
                self._valued, self._quote = False, byte
            elif byte:
                self._open = False
                return

    def _counted(self) -> None:
        self._count += 1
        if self._count > self._most:
            raise LimitExceeded(
                f"{self._source}: an element of more than {self._most} attributes", "xml_attributes", 413
            )
