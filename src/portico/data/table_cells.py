"""Texts in the cells of a table on a terminal: how wide they are, and which characters must not get there."""

from __future__ import annotations

import re

__all__ = ["cut", "harmless", "harmless_lines", "padded", "width_of"]

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters, what turns the direction of a line or breaks it, what cannot be seen, and halves of
characters."""
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def harmless(text: str) -> str:
    """A text in which what would steer a terminal is spelled out."""
    return text if text.isascii() and text.isprintable() else _STEERING.sub(_spelled, text)


def harmless_lines(text: str) -> str:
    """As ``harmless``, for text whose lines and tabs are to stay; written so that JSON stays what it is."""
    return _STEERING.sub(_spelled_for_json, text)


def _spelled_for_json(found: re.Match[str]) -> str:
    character = found[0]
    ends_line = character == "\r" and found.string[found.end() : found.end() + 1] == "\n"
    return character if character in "\n\t" or ends_line else f"\\u{ord(character):04x}"


def _spelled(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _NAMES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def width_of(text: str) -> int:
    """Columns that a text takes on a terminal: two for each of most characters of East Asia and emoji, none
    for what goes above or below another."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """A text that is no wider than so many columns; one that was ends in ``…``."""
    if width_of(text) <= width:
        return text
    if text.isascii():
        return f"{text[: width - 1]}…"
    low, high = 0, min(len(text), width * 8)  # the longest beginning that leaves room
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(text[:middle]) < width else (low, middle - 1)
    return f"{text[:low]}…"


def padded(text: str, width: int, *, right: bool) -> str:
    """A text with spaces after it, or before it where it stands to the right."""
    space = " " * max(0, width - width_of(text))
    return space + text if right else text + space
