"""Names of XML 1.0 as its fifth edition has them, for expat, which knows those of the fourth.

A character in a name that the fourth may not have is handed to expat as three that it has, and what expat
tells is written back. Whether it may begin a name, a stand-in tells as the character does. Documents that
have no such character pay for one search in their bytes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from itertools import chain

from portico.data.xml.event import Event

__all__ = ["FIRST", "FURTHER", "StandIns"]

FIRST = (
    "A-Z_a-zÀ-ÖØ-öø-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff"
    "\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
"""What a name begins with, in the form of a class of ``re``, without the colon (XML 1.0, 2.3)."""
FURTHER = f"{FIRST}\\-.0-9·\u0300-\u036f\u203f-\u2040"
"""What it goes on with."""

_FIRSTS = (
    "\u0132\u0133\u013f\u0140\u0149\u017f\u01c4-\u02ff\u0370-\u037d\u037f-\u0390\u03a2\u03cf-\u0400\u040d\u0450"
    "\u045d-\u1fff\u200c-\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\u3040\u3095-\u30a0\u30fb-\u4dff\u9fa6-\uabff"
    "\ud7a4-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
"""``FIRST`` without what is letters in both editions for sure: most of Latin, Greek, Cyrillic, kana, CJK,
Hangul."""
_FURTHERS = "\u0300-\u036f\u203f\u2040"
_COMMON = bytes((*range(0xC0), 0xC2, 0xC3, *range(0xE5, 0xE9), 0xEB, 0xEC))
"""Bytes of UTF-8 that none of those begins with: to delete them is the fastest way to see whether there are
others."""
_PARTS = r"""(?:[^<>"'%s]|"[^<"]*"|'[^'<]*')*"""
_MARKUP = re.compile(rf"<{_PARTS % ''}|[&%][^;&<\s]*|[ↂ\u20e1]")
"""Where names are: in all that looks like a tag, and in references."""
_DOUBT = _FIRSTS + _FURTHERS
_DOUBTFUL = re.compile(f"[{_DOUBT}]")
_IN_MARKUP = re.compile(
    rf"[<&%ↂ\u20e1](?:(?<=<){_PARTS % _DOUBT}[{_DOUBT}]|(?<=[&%])[^;&<\s{_DOUBT}]*[{_DOUBT}]|(?<=[ↂ\u20e1]))"
)
"""Whether there is any; each tag by itself is dear to look at, and so are alternatives at each character."""
_ENDED = re.compile((rf"<{_PARTS % ''}>").encode())
_REFERRING = re.compile(rb"[&%][^;&<\s]*\Z")
_NO_TAGS = (b"<!--", b"<![CDATA[", b"<?")
_STAND_IN = re.compile("[ↂ\u20e1](.)(.)", re.DOTALL)
_DIGITS = 0x4E00
"""Letters of both editions from here on are digits to the base of 1024."""
_LONGER = 2
_SHORT = 1 << 12
"""Bytes of a tag that may wait for their end: there is no event of it before. In the next piece of a longer
one, all is taken for markup."""


class StandIns:
    """The stand-ins of one document, whose pieces, in UTF-8, come in order. ``used``: there have been any."""

    def __init__(self) -> None:
        self.used = False
        self._cut = b""
        self._line, self._column = 1, 1
        self._returned = False
        self._inside = False
        self._places: dict[int, list[int]] = defaultdict(list)

    def given(self, piece: bytes) -> bytes:
        """What expat is to be given for a piece. Half a character, tag or reference at its end comes with the
        next piece, unless it is long."""
        piece, self._cut = _whole(self._cut + piece)
        end = _complete(piece)
        short = len(piece) - end < _SHORT
        if short:
            piece, self._cut = piece[:end], piece[end:] + self._cut
        text = None if piece.isascii() else self._suspect(piece)
        made = piece
        if text is None:
            self._pass(piece)
        else:
            made = self._replaced(text)
        if b"<" in piece or not short:
            self._inside = not short
        return made

    def _suspect(self, piece: bytes) -> str | None:
        """A piece as text, if it has a character in doubt in its markup."""
        if not piece.translate(None, _COMMON):
            return None
        try:
            text = piece.decode()
        except UnicodeDecodeError:  # expat says where
            return None
        first = _DOUBTFUL.search(text)
        if first is None:
            return None
        found = (self._inside and "<" not in text[: first.start()]) or _IN_MARKUP.search(text)
        return text if found else None

    def last(self) -> bytes:
        """What is left at the end: half of something."""
        return self._cut

    def _replaced(self, text: str) -> bytes:
        parts: list[str] = []
        at = 0
        begun = (text.find("<") + 1 or len(text) + 1) - 1 if self._inside else 0
        spans = chain(((0, begun),), (each.span() for each in _MARKUP.finditer(text, begun)))
        for span in spans:
            for found in _DOUBTFUL.finditer(text, *span):
                parts += self._plain(text[at : found.start()]), self._stand_in(found[0])
                at = found.end()
        parts.append(self._plain(text[at:]))
        return "".join(parts).encode()

    def _plain(self, text: str) -> str:
        self._pass(text.encode())
        return text

    def _stand_in(self, character: str) -> str:
        self.used = True
        self._places[self._line].append(self._column)
        self._column += 1 + _LONGER
        self._returned = False
        high, low = divmod(ord(character), 1024)
        mark = "\u20e1" if character in _COMBINING else "ↂ"
        return f"{mark}{chr(_DIGITS + high)}{chr(_DIGITS + low)}"

    def _pass(self, piece: bytes) -> None:
        """Go on to where a piece ends, in the lines and columns of expat."""
        if self._returned and piece.startswith(b"\n"):
            piece = piece[1:]
        self._returned = piece.endswith(b"\r") or (self._returned and not piece)
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = piece.rfind(b"\n") + 1
        if end:
            self._line += piece.count(b"\n")
            self._column = 1
        rest = piece[end:]
        self._column += len(rest) if rest.isascii() else len(rest.decode(errors="replace"))

    def told(self, events: list[Event], line: int) -> list[Event]:
        """Events with the names and columns of the document; ``line``: of the next one."""
        show = self.shown
        told = [
            Event(
                event.kind,
                show(event.name),
                {show(name): show(value) for name, value in event.attributes.items()},
                show(event.text),
                event.line,
                self.column(event.line, event.column),
            )
            for event in events
        ]
        for each in [each for each in self._places if each < line]:
            del self._places[each]
        return told

    def shown(self, text: str) -> str:
        """A text that expat told, as it is in the document."""
        return _STAND_IN.sub(_character, text)

    def column(self, line: int, column: int) -> int:
        """The column that a place has in the document."""
        return column - _LONGER * bisect_left(self._places.get(line, ()), column)


_COMBINING = frozenset(map(chr, (*range(0x300, 0x370), 0x203F, 0x2040)))


def _character(found: re.Match[str]) -> str:
    return chr((ord(found[1]) - _DIGITS) * 1024 + ord(found[2]) - _DIGITS)


def _complete(piece: bytes) -> int:
    """Where the tag or reference begins that has not ended."""
    at = piece.rfind(b"<")
    if at >= 0 and _ENDED.match(piece, at) is None and not piece.startswith(_NO_TAGS, at):
        return at
    found = _REFERRING.search(piece, max(at, len(piece) - _SHORT, 0))
    return len(piece) if found is None else found.start()


def _whole(piece: bytes) -> tuple[bytes, bytes]:
    """Bytes up to the last character that is whole, and the rest."""
    for back in range(1, min(4, len(piece)) + 1):
        byte = piece[-back]
        if byte >= 0xC0:
            return (
                (piece, b"")
                if back >= 2 + (byte >= 0xE0) + (byte >= 0xF0)
                else (piece[:-back], piece[-back:])
            )
        if byte < 0x80:
            break
    return piece, b""
