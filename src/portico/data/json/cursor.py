"""Over the values of a JSON text while it arrives, checked by the standard library's scanner."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from portico.data.json.decoder import Decoder
from portico.data.json.depth import deeper
from portico.data.json.extent import Extent
from portico.data.json.scanner import Refused, Rules, too_deep
from portico.data.json.text import Text
from portico.errors import DataError, LimitExceeded

__all__ = ["CLOSES", "NUMBER", "Cursor", "sequence"]

CLOSES = {"[": "]", "{": "}"}
NUMBER = frozenset("-0123456789NI")

_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'"([^"\\\x00-\x1f]*)"')
_WORD = frozenset("-0123456789abcdefghijklmnopqrstuvwxyzNI")
_SELF_ENDING = frozenset('{["')
_BEGIN = frozenset('{["-0123456789tfnNI')
_UNDECIDED = 12
"""Characters at the end of a window in which an error may be none: the longest word or escape is shorter."""
_NEAR = 1024
"""Characters in which most values end."""


class Cursor:
    """Goes over the values of a text that arrives."""

    def __init__(self, text: Text, rules: Rules) -> None:
        self.text = text
        self.rules = rules
        self.decoder = Decoder(rules)
        self.credit = 0
        """Characters that may be read in vain. Reading the same ones again and again, for a value that is not
        all there, is paid for by those that come: else a hostile document takes time by the square of its
        size, or times its depth."""
        self._near = _NEAR
        self._told = -1  # of which window it is known whether it is deep
        self._deep = False

    def next(self) -> str:
        """The next character that is no space; ``""`` at the end."""
        text = self.text
        char = text.window[text.at : text.at + 1]
        if char > " ":
            return char
        while True:
            text.at = _SPACE.match(text.window, text.at).end()  # type: ignore[union-attr]
            if text.at < len(text.window):
                return text.window[text.at]
            if not text.refill():
                return ""
            self._earn(len(text.window))

    def string(self) -> str:
        """The string that begins here, which is passed."""
        text = self.text
        plain = _PLAIN.match(text.window, text.at)
        if plain is not None:
            text.at = plain.end()
            return plain[1]
        end = self.end_of_whole()
        string: str = json.loads(text.window[text.at : end])
        text.at = end
        return string

    def end_of_whole(self) -> int:
        """Where the value ends that begins here, which will all be in the window. What is in an array or
        object may still be none; where all of the input is too little, that is where it ends."""
        text = self.text
        end = self._end_nearby()
        if end is not None:
            return end
        char = text.window[text.at]
        end = self._gathered() if char in _BEGIN else 0
        return end if char in CLOSES else self._skimmed()

    def end(self) -> int | None:
        """Where the value ends that begins here; ``None`` for an array or object that is not worth waiting
        for, as its parts can be looked at one by one."""
        text = self.text
        if text.window[text.at] not in CLOSES:
            return self.end_of_whole()
        if self.credit <= 0:
            return None
        end = self._end_nearby() or self._end_in_window()
        if end is None:
            self.credit -= len(text.window) - text.at
        return end

    def _end_in_window(self) -> int | None:
        """Where an array or object ends, unless it goes on behind the window."""
        text = self.text
        try:
            end = self.decoder.skim(text.window, text.at, deep=self._is_deep())
        except Refused as refused:
            undecided = refused.at >= len(text.window) - _UNDECIDED
            if (undecided or refused.reason.startswith("unterminated string")) and not text.ended:
                return None
            raise self.error(refused.reason, refused.at) from None
        except LimitExceeded as error:
            raise self.limited(error) from None
        self._near = max(_NEAR, 2 * (end - text.at))
        return end

    def _skimmed(self) -> int:
        """Where a string, number or word ends, all of which is there."""
        text = self.text
        try:
            return self.decoder.skim(text.window, text.at)
        except Refused as refused:
            raise self.error(refused.reason, refused.at) from None

    def _end_nearby(self) -> int | None:
        """The same where it is not far, and nothing before it can be deep: so that not all of a window is
        looked at for how deep it is, when but few of its values are read in this way."""
        text = self.text
        near = text.window[text.at : text.at + self._near]
        if self._crowded(text.at + self._near) or text.at + self._near >= len(text.window):
            return None
        try:
            end = self.decoder.skim(near, 0)
        except (Refused, LimitExceeded):
            return None
        self._near = max(_NEAR, 2 * end)
        return text.at + end if end < len(near) - 2 else None

    def _crowded(self, end: int) -> bool:
        """Whether something before the end can be too deep."""
        text = self.text
        opening = text.window.count("[", text.at, end) + text.window.count("{", text.at, end)
        return opening > self.rules.limits.json_depth

    def _is_deep(self) -> bool:
        """Whether there may be a value from here to the window's end that is too deep."""
        if self._told != self.text.refills and self._crowded(len(self.text.window)):
            self._told, self._deep = self.text.refills, deeper(self.text.window, self.rules.limits.json_depth)
        return self._told == self.text.refills and self._deep

    def _gathered(self) -> int:
        """Where the value ends, once it is all in the window. Each piece that comes is looked at once."""
        text, limit = self.text, self.rules.limits.json_record
        extent = Extent(text.window[text.at])
        end = extent.feed(text.window, text.at + 1)
        held = len(text.window) - text.at

        def enough(piece: str) -> bool:
            nonlocal end, held
            end = extent.feed(piece)
            if end is not None:
                end += held
            held += len(piece)
            self._earn(len(piece))
            self._check(extent.level, held if end is None else end, limit)
            return end is not None

        self._check(extent.level, 0, limit)
        while end is None and text.refill(enough):
            pass
        return len(text.window) if end is None else end

    def _check(self, level: int, size: int, limit: int) -> None:
        """What is known of a value of which not all has come."""
        text = self.text
        if level > self.rules.limits.json_depth:
            raise self.limited(too_deep(self.rules.limits))
        if size > limit:
            raise LimitExceeded(
                f"{text.name}, line {text.place(text.at)[0]}: more than {limit} characters in one value; "
                "pass limits=Limits(json_record=…)",
                "json_record",
                413,
            )

    def _earn(self, came: int) -> None:
        self.credit += 16 * came + 4096

    def made(self, end: int) -> Any:
        """The value from here to there."""
        text = self.text
        start = text.at
        try:
            value = self.decoder.value(text.window[start:end])
        except Refused as refused:
            raise self.error(refused.reason, start + refused.at, refused.path) from None
        except LimitExceeded as error:
            raise self.limited(error) from None
        text.at = end
        return value

    def limited(self, error: LimitExceeded) -> LimitExceeded:
        """The same, of the value that begins here."""
        line = self.text.place(self.text.at)[0]
        said = f"{self.text.name}, in the value that begins in line {line}: {error}"
        return LimitExceeded(said, error.limit, error.status)

    def error(self, reason: str, at: int, path: str = "") -> DataError:
        """An error that names the place of a character in the window, and the path."""
        if at >= len(self.text.window) and self.text.ended:
            reason = f"it ends in the middle ({reason})"
        return self.text.error(reason, at, path)


def sequence(text: Text, rules: Rules) -> Iterator[Any]:
    """Documents that follow each other, with or without space between."""
    cursor = Cursor(text, rules)
    while char := cursor.next():
        end = cursor.end_of_whole()
        if char not in _SELF_ENDING:
            end = _with_what_follows(text, end)
            if text.window[end : end + 1] in _WORD:
                raise cursor.error("expecting a space after this document", text.at)
        yield cursor.made(end)


def _with_what_follows(text: Text, end: int) -> int:
    """Where it ends, once there is a character after it."""
    while end == len(text.window):
        end -= text.at
        if not text.refill():
            break
    return end
