"""Which characters the bytes of a short text mean, where nothing tells. A detector by statistics takes more.

A few letters with accents look like ideographs: ``ää`` is one in GBK. So the encodings of East Asia are
believed where most that is in them is what is common there, which their tables have in their first part
(JIS X 0208, GB 2312 and Big5 by frequency; KS X 1001 by script), and it is a few characters at least.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["SHORT", "charset_of_short"]

SHORT = 128
"""Bytes beyond ASCII from which on a detector has enough to go by."""
_FEW = 2
"""Characters that are no evidence if they are fewer."""
_MOST = 0.75
"""The part of all that is common in a text of the encoding."""

_KANA = re.compile(r"[\u3041-\u30fe]")
_WIDE = "\u2010-\u203b\u3000-\u301f\u30fb\u30fc\uff01-\uff5e"
"""Punctuation of all of them."""
_CANDIDATES: tuple[tuple[str, int, str], ...] = (
    ("cp949", 7, r"[\xb0-\xc8][\xa1-\xfe]"),
    ("cp932", _FEW, r"\x82[\x9f-\xf1]|\x83[\x40-\x96]|\x88[\x9f-\xfc]|[\x89-\x97][\x40-\xfc]"),
    ("gb18030", _FEW, r"[\xb0-\xd7][\xa1-\xfe]"),
    ("euc_jp", _FEW, r"[\xa4\xa5\xb0-\xcf][\xa1-\xfe]"),
    ("big5hkscs", _FEW, r"[\xa4-\xc5][\x40-\x7e\xa1-\xfe]|\xc6[\x40-\x7e]"),
)
"""Encodings, how many common characters there must be, and which those are. Of those that fit, one with kana
is taken, else the first: what is Korean could be Chinese, which seldom is the other way round for long, and
few texts are Japanese without kana."""
_JAPANESE = ("cp932", "euc_jp")
_COMMON: tuple[tuple[str, int, re.Pattern[bytes]], ...] = tuple(
    (codec, least, re.compile(rf"(?:{pattern})\Z".encode("latin-1"), re.DOTALL))
    for codec, least, pattern in _CANDIDATES
)
_OTHER = re.compile(f"[^\x00-\x7f{_WIDE}]")

_SCRIPT = re.compile(rb"[\x80-\xff]{4}")
"""Four letters in a row beyond ASCII, and there is another script."""
_CENTRAL = re.compile(
    rb"[A-Za-z][\x8d\x8f\x9d]|[a-z]\x9f|[A-Za-z][\xa3\xa5\xb3\xb9\xbc\xbe\xbf][a-z\xe0-\xff]"
)
"""Letters of Polish, Czech and their like, within a word, which are signs in the west, or nothing."""
_LETTERS = (re.compile(rb"[\xc0-\xdf]"), re.compile(rb"[\xe0-\xff]"), re.compile(rb"[A-Za-z]"))
"""Capitals and small letters in most encodings of other scripts, in KOI8 the other way round; those of
ASCII."""
_SMALL = ["cp1251", "cp1253", "cp1255", "cp1256"]


def charset_of_short(content: bytes, detected: Callable[[list[str] | None], str | None]) -> str:
    """The codec of a text, with few bytes beyond ASCII. ``detected(codecs)``: what one takes among some."""
    codec = _of_east_asia(content)
    if codec is not None:
        return codec
    if _CENTRAL.search(content):
        return "cp1250"
    upper, lower, ascii_letters = (len(each.findall(content)) for each in _LETTERS)
    if not _SCRIPT.search(content) or upper + lower < ascii_letters:
        return "cp1252"
    return "koi8_r" if upper > lower else detected(_SMALL) or "cp1251"


def _of_east_asia(content: bytes) -> str | None:
    found: str | None = None
    for codec, least, common in _COMMON:
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        others = _OTHER.findall(text)
        known = sum(common.match(each.encode(codec)) is not None for each in others)
        if known < least or known < _MOST * len(others):
            continue
        if codec in _JAPANESE and _KANA.search(text):  # which nothing else has by chance
            return codec
        found = found or codec
    return found
