"""How deep arrays and objects are in each other, told from the text: before it is parsed.

Parsers in C go down one level of the stack for each level of the document. The interpreter bounds that by a
number, a thousand and more, for which a thread with a small stack has no room: 256 KiB were too few for
it, and are enough for the 512 levels of ``Limits.json_depth``.
"""

from __future__ import annotations

import re

__all__ = ["brackets_of", "deeper", "levels_of", "value_deeper"]

_TOLD_APART = b'[]{}"'
_DROPPED = bytes(set(range(256)) - set(_TOLD_APART))
_NO_MARK = bytes(set(range(256)) - set(_TOLD_APART + b"\\/bfnrtu"))
"""With what may follow a backslash: after anything else, no parser goes on."""
_NO_OPENING = bytes(set(range(256)) - set(b"[{"))
_AS_ONE = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(b'"[^"]*"?')
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]|[\]}]', re.DOTALL)
_OPENS, _CLOSES = ord("["), ord("]")
_PASSES = 8
"""Levels that are folded at once, by C: few documents have more."""


def deeper(text: str | bytes, levels: int) -> bool:
    """Whether more arrays and objects than ``levels`` are in each other, in a text that begins between tokens
    and may end anywhere. Takes linear time, a tenth of that of parsing."""
    if len(text) <= levels:
        return False
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if len(data.translate(None, _NO_OPENING)) <= levels:
        return False
    brackets, _ = brackets_of(data)
    folded, brackets = _folded(brackets)
    return folded > levels or (len(brackets) > levels - folded and _climbs(brackets, levels - folded))


def brackets_of(data: bytes) -> tuple[bytes, bool]:
    """The brackets outside of strings, as if all were square ones; and whether the last string is open."""
    if b"\\" in data:
        data = data.translate(None, _NO_MARK).replace(b"\\\\", b"").replace(b'\\"', b"")
    data = data.translate(_AS_ONE, _DROPPED)
    quoted = data.count(b'"') % 2 == 1
    data = data.replace(b'""', b"")  # two strings without a bracket between them are as good as one
    if b'"' in data:
        data = _STRING.sub(b"", data)
    return data, quoted


def levels_of(brackets: bytes) -> tuple[int, int]:
    """The lowest level they lead to, and the last one, from 0."""
    level = lowest = 0
    for bracket in _folded(brackets)[1]:
        level += 1 if bracket == _OPENS else -1
        if level < lowest:
            lowest = level
    return lowest, level


def _folded(brackets: bytes) -> tuple[int, bytes]:
    """How many levels were folded, and what is left."""
    folded = 0
    while folded < _PASSES and b"[]" in brackets:
        brackets = brackets.replace(b"[]", b"")
        folded += 1
    return folded, brackets


def _climbs(brackets: bytes, levels: int) -> bool:
    level = 0
    for bracket in brackets:
        if bracket == _OPENS:
            level += 1
            if level > levels:
                return True
        elif level:
            level -= 1
    return False


def value_deeper(text: str, at: int, levels: int) -> bool:
    """The same of the value that begins there, as far as it has come: exactly, and slowly."""
    level = 0
    for found in _TOKEN.finditer(text, at):
        if found[0] in "[{":
            level += 1
            if level > levels:
                return True
        elif found[0] in "]}":
            level -= 1
        if level <= 0:
            return False
    return False
