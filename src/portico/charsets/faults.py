"""What bytes that are no characters become, as the Encoding standard has it (its sections 9 to 13).

Left are seven bytes for which Python's tables have another character: 0xA0, 0xFD, 0xFE and 0xFF of Shift_JIS,
0xAE and 0xBE of KOI8-U, 0xCA of windows-1255.
"""

from __future__ import annotations

import codecs

__all__ = ["lenient"]

_WINDOWS = "portico-windows"
_PAIRS = "portico-pairs"
_SEVERAL = frozenset(("gb18030", "big5hkscs", "euc_jp", "cp932", "cp949"))
"""Codecs of the web whose characters have several bytes, UTF-8 and ISO-2022-JP aside."""


def lenient(charset: str) -> str:
    """What to pass to a codec as ``errors``, so that nothing is an error, and all is as browsers have it."""
    if charset in _SEVERAL:
        return _PAIRS
    return _WINDOWS if charset.startswith("cp125") or charset == "cp874" else "replace"


def _of_windows(error: UnicodeError) -> tuple[str, int]:
    """Where Microsoft's tables are empty, the standard has control characters, or U+FFFD beyond those."""
    assert isinstance(error, UnicodeDecodeError)
    byte = error.object[error.start]
    return chr(byte) if byte < 0xA0 else "\ufffd", error.start + 1


def _of_pairs(error: UnicodeError) -> tuple[str, int]:
    """A pair that means nothing is one fault, unless its second byte is one of ASCII: that stays, for it may
    be markup."""
    assert isinstance(error, UnicodeDecodeError)
    data, at = error.object, error.start
    if data[at] == 0x80 and error.encoding == "gb18030":
        return "€", at + 1
    rest = data[at + 1 : at + 3]
    if len(data) == error.end and len(rest) < 2 and error.reason.startswith("incomplete"):
        return "\ufffd", error.end
    if data[at] == 0x8F and error.encoding == "euc_jp" and min(rest, default=0) >= 0xA1:
        return "\ufffd", at + 1 + len(rest)
    pair = _leads(data[at], error.encoding) and rest[:1] >= b"\x80"
    return "\ufffd", at + 1 + pair


def _leads(byte: int, codec: str) -> bool:
    """Whether a byte is the first of a pair."""
    if codec == "euc_jp":
        return byte in (0x8E, 0x8F) or 0xA1 <= byte <= 0xFE
    return 0x81 <= byte <= 0xFE


codecs.register_error(_WINDOWS, _of_windows)
codecs.register_error(_PAIRS, _of_pairs)
