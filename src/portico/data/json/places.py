"""Where in a JSON text something is: sought once it is known to be there, for the error that names it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from portico.data.json.text import place_in

__all__ = [
    "line_and_column",
    "lone_surrogate",
    "long_number",
    "of_validation",
    "offset_of",
    "repeated_key",
    "token",
    "without_strings",
    "without_surrogates",
]

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRINGS = re.compile(_STRING, re.DOTALL)
_TOKEN = re.compile(rf"({_STRING})|[\[\]{{}},]|[^\s,:\[\]{{}}\"]+", re.DOTALL)
_HIGH, _LOW = r"u[dD][89abAB][0-9a-fA-F]{2}", r"u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"\\(?:{_HIGH}\\{_LOW}|({_HIGH}|{_LOW})|.)", re.DOTALL)
_VALIDATION = re.compile(r"(.*) - at `(?:key` in `)?(\$[^`]*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_SPACE = re.compile(r"[ \t\n\r]*")

line_and_column = place_in


def token(word: str, text: str, at: int) -> int:
    """Where a number, or what is none, stands outside of strings."""
    return next((found.start() for found in _TOKEN.finditer(text, at) if found[0] == word), at)


def long_number(text: str, at: int, digits: int) -> int:
    """Where a whole number of more digits is."""
    words = (found for found in _TOKEN.finditer(text, at) if len(found[0]) > digits)
    numbers = ((found[0].removeprefix("-"), found.start()) for found in words)
    return next((start for word, start in numbers if word.isdigit() and len(word) > digits), at)


def repeated_key(text: str, at: int) -> int:
    """Where the first key is that its object has twice."""
    seen: list[set[str] | None] = []
    key = False
    for found in _TOKEN.finditer(text, at):
        word = found[0]
        if word in "[{":
            seen.append(set() if word == "{" else None)
        elif word in "]}":
            seen.pop()
        elif key and seen and seen[-1] is not None:
            name = json.loads(word)
            if name in seen[-1]:
                return found.start()
            seen[-1].add(name)
        key = word in "{,"
    return at


def lone_surrogate(text: str) -> int | None:
    r"""Where half a pair is written, as in ``"\ud800"``."""
    if "\\u" not in text:
        return None
    return next((found.start() for found in _ESCAPE.finditer(text) if found[1]), None)


def without_surrogates(text: str) -> str:
    """With U+FFFD in the place of halves."""
    return _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text)


def without_strings(text: str) -> str:
    """What is left of a text."""
    return _STRINGS.sub("", text)


def of_validation(message: str) -> tuple[str, str]:
    """What msgspec says: the reason, and the path, without its ``$``."""
    found = _VALIDATION.fullmatch(message)
    return (found[1], found[2][1:]) if found else (message, "")


def offset_of(path: str, text: str, scan: Callable[[str, int], tuple[Any, int]]) -> int:
    """Where in a text the value of a path is, or the last on the way that is found."""
    at, passed = _space(text, 0), 0
    # A name with dots in it looks like several steps: then the way ends early.
    with suppress(StopIteration, ValueError, IndexError):
        while step := _STEP.match(path, passed):
            if step[1] is not None:
                inner = _in_object(text, at, step[1], scan)
            else:
                inner = _in_array(text, at, int(step[2]), scan)
            if inner is None:
                break
            at, passed = inner, step.end()
    return at


def _in_object(text: str, at: int, name: str, scan: Callable[[str, int], tuple[Any, int]]) -> int | None:
    if text[at] != "{":
        return None
    at = _space(text, at + 1)
    while text[at] == '"':
        key, end = scan(text, at)
        at = _space(text, _space(text, end) + 1)
        if key == name:
            return at
        at = _space(text, scan(text, at)[1])
        at = _space(text, at + 1) if text[at] == "," else at
    return None


def _in_array(text: str, at: int, index: int, scan: Callable[[str, int], tuple[Any, int]]) -> int | None:
    if text[at] != "[":
        return None
    at = _space(text, at + 1)
    for _ in range(index):
        at = _space(text, _space(text, scan(text, at)[1]) + 1)
    return at


def _space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]
