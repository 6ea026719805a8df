"""Names of XML 1.0 as its fifth edition has them, for expat, which knows those of the fourth.

A character in a name that the fourth may not have is handed to expat as three that it has, and what expat
tells is written back. Whether it may begin a name, a stand-in tells as the character does. Documents that
have no such character pay for one search in their bytes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict

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
"""Bytes of UTF-8 that none of those begins with: to delete them is ten times as fast as to search others."""
_RARE = re.compile(
    rb"[\xc4-\xcf\xd2-\xdf\xe0\xe1\xe3\xee-\xf4]|\xd0[\x80\x8d]|\xd1[\x90-\xbf]|\xe4[\x80-\xb7]|\xe9[\xbe\xbf]"
    rb"|\xe2(?:\x80[\x8c\x8d\xbf]|[\x81-\x86\xb0-\xbf])|\xea[\x80-\xaf]|\xed[\x9e\x9f]"
)
"""What every one begins with, and some others."""
_MARKUP = re.compile(r"""(?:\A|<)(?:[^<>"']|"[^<"]*"|'[^<']*')*|[&%][^;&<\s]*|[ↂ\u20e1]""")
"""Where names are: in all that looks like a tag, and in references."""
_DOUBTFUL = re.compile(f"[{_FIRSTS}]|[{_FURTHERS}]")
_STAND_IN = re.compile("[ↂ\u20e1](.)(.)", re.DOTALL)
_DIGITS = 0x4E00
"""Letters of both editions from here on are digits to the base of 1024."""
_LONGER = 2


class StandIns:
    """The stand-ins of one document, whose pieces, in UTF-8, come in order. ``used``: there have been any."""

    def __init__(self) -> None:
        self.used = False
        self._cut = b""
        self._line, self._column = 1, 1
        self._returned = False
        self._places: dict[int, list[int]] = defaultdict(list)

    def given(self, piece: bytes) -> bytes:
        """What expat is to be given for a piece. Half a character at its end comes with the next piece."""
        if not self._cut and piece.isascii():
            self._pass(piece)
            return piece
        piece, self._cut = _whole(self._cut + piece)
        if piece.translate(None, _COMMON) and _RARE.search(piece) is not None:
            try:
                return self._replaced(piece.decode())
            except UnicodeDecodeError:  # expat says where
                pass
        self._pass(piece)
        return piece

    def last(self) -> bytes:
        """What is left at the end, half a character."""
        return self._cut

    def _replaced(self, text: str) -> bytes:
        parts: list[str] = []
        at = 0
        for markup in _MARKUP.finditer(text):
            for found in _DOUBTFUL.finditer(text, *markup.span()):
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
