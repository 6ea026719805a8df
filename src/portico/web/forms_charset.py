"""Encodings in which forms are sent, by their labels (WHATWG Encoding, 4.2).

A sender names the encoding, so only those are known here that browsers send forms in: some of Python's
codecs are no character sets at all, and some take quadratic time.
"""

from __future__ import annotations

from portico.errors import FormError

__all__ = ["decode", "known_codec"]

# Of the standard's, those that are ASCII with something added; UTF-16 is never sent (4.3, "output encoding").
_CODECS = {
    "utf-8": "utf-8 utf8 unicode-1-1-utf-8",
    # What the standard reads as windows-1252 was declared to be Latin-1 or ASCII, and seldom was.
    "cp1252": "windows-1252 cp1252 x-cp1252 iso-8859-1 iso8859-1 latin1 l1 ascii us-ascii",
    "cp1250": "windows-1250 cp1250 x-cp1250",
    "cp1251": "windows-1251 cp1251 x-cp1251",
    "cp1253": "windows-1253 cp1253 x-cp1253",
    "cp1254": "windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 latin5 l5",
    "cp1255": "windows-1255 cp1255 x-cp1255",
    "cp1256": "windows-1256 cp1256 x-cp1256",
    "cp1257": "windows-1257 cp1257 x-cp1257",
    "cp1258": "windows-1258 cp1258 x-cp1258",
    "cp866": "ibm866 cp866 866",
    "cp874": "windows-874 iso-8859-11 tis-620",
    **{f"iso8859-{n}": f"iso-8859-{n} iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    "koi8-r": "koi8-r koi8 koi",
    "koi8-u": "koi8-u koi8-ru",
    "mac-roman": "macintosh mac x-mac-roman",
    "gb18030": "gb18030 gbk gb2312 x-gbk chinese",
    "big5hkscs": "big5 big5-hkscs x-x-big5",
    "euc-jp": "euc-jp x-euc-jp",
    "cp932": "shift_jis shift-jis sjis windows-31j x-sjis ms_kanji",
    "iso2022-jp": "iso-2022-jp",
    "cp949": "euc-kr ks_c_5601-1987 korean windows-949",
}
_BY_LABEL = {label: codec for codec, labels in _CODECS.items() for label in labels.split()}


def known_codec(label: str) -> str | None:
    """The codec for a label, in any case and with spaces around; ``None`` for what forms are not sent in."""
    return _BY_LABEL.get(label.strip("\t\n\f\r ").lower())


def decode(data: bytes, codec: str, errors: str, what: str) -> str:
    """``data`` as text. Raises ``FormError`` where ``errors`` is ``"strict"`` and it is none."""
    try:
        return data.decode(codec, errors)
    except UnicodeDecodeError as error:
        raise FormError(f"{what} is not in {codec}: byte {error.start} is wrong") from None
