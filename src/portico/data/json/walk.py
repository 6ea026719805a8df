"""The way through a JSON document to the elements of a path, while it arrives.

The whole document is checked by the standard library's scanner, which builds and drops what is not asked for.
Elements that are asked for, and values of an object, are made many at a time, up to what probably is the seam
of two; if it is none, they are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from portico.data.json.cursor import CLOSES, NUMBER, Cursor
from portico.data.json.decoder import Key, Many
from portico.data.json.path import EACH, Step, path_text
from portico.data.json.scanner import Rules
from portico.data.json.seams import Seam, seam_of_elements, seam_of_members
from portico.data.json.text import Text, more_follows
from portico.errors import DataError, LimitExceeded

__all__ = ["Walk"]

_BATCH = 1 << 14
"""Characters that are made into values at once: so few that most cannot be too deep, and fit into caches."""
_MISSES = 4
"""After so many wrong seams, one after the other, none is tried again in the same array or object."""


class _Frame:
    """An array or object whose parts are looked at one by one. ``matched``: steps of the path that lead to
    it, ``None`` where they lead elsewhere."""

    __slots__ = ("begun", "index", "key", "keys", "keys_made", "kind", "many", "matched", "misses", "seam")

    def __init__(self, kind: str, matched: int | None, keys: set[str] | None) -> None:
        self.kind = kind
        self.matched = matched
        self.keys = keys
        self.begun = False
        self.index = -1
        self.key = ""
        self.keys_made: list[Key] = []
        self.seam: Seam | None = None
        self.many: Many | None = None
        self.misses = 0

    @property
    def step(self) -> Step:
        """To the part that is looked at."""
        return self.index if self.kind == "[" else self.key


class Walk(Cursor):
    """Goes to all values of a path, of which ``runs()`` gives lists. Those of a list are in the same array or
    object; ``location()`` leads there, ``steps()`` on to each of them. Both only if ``located``."""

    def __init__(self, text: Text, rules: Rules, steps: tuple[Step, ...], *, located: bool = False) -> None:
        super().__init__(text, rules)
        self._steps = steps
        self._located = located
        self._certain = steps.index(EACH) if EACH in steps else len(steps)
        self._frames: list[_Frame] = []
        self._reached = -1

    def location(self) -> tuple[str | int, ...]:
        """Keys and indexes that lead here. All but the last lead to each value of a list."""
        return tuple(frame.step for frame in self._frames)  # type: ignore[misc]

    def steps(self, count: int) -> Sequence[str | int]:
        """What leads from there to each value of a list of so many."""
        frame = self._frames[-1]
        if frame.kind == "[":
            return range(frame.index - count + 1, frame.index + 1)
        return [frame.key, *(key.name for key in frame.keys_made[1:])]

    def error(self, reason: str, at: int, path: str = "") -> DataError:
        """As above, with the path of the document."""
        return super().error(reason, at, f"{path_text(self.location())}{path}")

    def end_of_whole(self) -> int:
        """As above; a number that the input ends after, in an array or object, may have been cut off."""
        end = super().end_of_whole()
        if self._frames and end == len(self.text.window) and self.text.window[self.text.at] in NUMBER:
            raise self.error("expecting more", end)
        return end

    def runs(self) -> Iterator[list[Any]]:
        """The values, while the document is read, to its end. Raises ``DataError``, ``LimitExceeded``."""
        if not self.next():
            raise super().error("there is nothing in it", self.text.at)
        if self._value(0):
            yield [self.made(self.end_of_whole())]
        while self._frames:
            frame = self._frames[-1]
            if not self._to_part(frame):
                self._frames.pop()
                continue
            while frame.many is not None and (values := self._batch(frame)) is not None:
                if values:
                    yield values
                self._to_part(frame)
            if self._value(self._matched(frame)):
                yield [self.made(self.end_of_whole())]
        line, _ = self.text.place(self.text.at)
        if self.next():
            another = self.text.place(self.text.at)[0] > line
            raise super().error(more_follows(in_another_line=another), self.text.at)
        self._check_reached()

    def _value(self, matched: int | None) -> bool:
        """Whether the value that begins here is asked for; any other is passed or entered."""
        if matched == len(self._steps):
            self._reached = matched
            return True
        char = self.text.window[self.text.at]
        if matched is not None:
            self._reached = max(self._reached, matched)
            if char in CLOSES:
                self._enter(char, matched)
                return False
            if matched <= self._certain:
                raise self.error("expected an array or object", self.text.at)
        end = self.end()
        if end is None:
            self._enter(char, None)
        else:
            self.text.at = end
        return False

    def _enter(self, kind: str, matched: int | None) -> None:
        limit = self.rules.limits.json_depth
        if len(self._frames) == limit:
            line, column = self.text.place(self.text.at)
            raise LimitExceeded(
                f"{self.text.name}, line {line}, column {column}: more than {limit} arrays and objects in "
                "each other",
                "json_depth",
                413,
            )
        self.text.at += 1
        unique = kind == "{" and self.rules.duplicates == "error"
        self._frames.append(_Frame(kind, matched, set() if unique else None))

    def _to_part(self, frame: _Frame) -> bool:
        """Go to the next element, or value of a key; ``False``: it has ended."""
        text = self.text
        last, window = text.at, text.window
        char = self.next()
        if char == CLOSES[frame.kind] or (frame.begun and char != ","):
            if char != CLOSES[frame.kind]:
                raise self.error(f"expecting ',' or '{CLOSES[frame.kind]}'", text.at)
            text.at += 1
            return False
        comma = text.at
        if frame.begun:
            text.at += 1
            char = self.next()
        key = text.at
        frame.index += 1
        if frame.kind == "{":
            self._to_value(frame, char)
        elif not char:
            raise self.error("expecting a value", text.at)
        if frame.begun and frame.seam is None and text.window is window:
            if frame.kind == "[":
                frame.seam = seam_of_elements(window, last, comma, text.at)
            else:
                frame.seam = seam_of_members(window, comma, key, text.at)
            frame.many = self._many(frame) if frame.seam is not None else None
        frame.begun = True
        return True

    def _to_value(self, frame: _Frame, char: str) -> None:
        text = self.text
        if char != '"':
            raise self.error("expecting a key, in double quotes", text.at)
        frame.key = self.string()
        if frame.keys is not None:
            if frame.key in frame.keys:
                raise self.error("a key that was there before in the same object", text.at - 1)
            frame.keys.add(frame.key)
        if self.next() != ":":
            raise self.error("expecting ':'", text.at)
        text.at += 1
        if not self.next():
            raise self.error("expecting a value", text.at)

    def _matched(self, frame: _Frame) -> int | None:
        if frame.matched is None:
            return None
        step = self._steps[frame.matched]
        same = step is EACH or (type(step) is type(frame.step) and step == frame.step)
        return frame.matched + 1 if same else None

    def _check_reached(self) -> None:
        if self._reached < self._certain:
            missing = path_text(self._steps[: self._reached + 1])
            raise DataError("there is no such thing in the document", self.text.name, path=missing)

    # -- many at a time

    def _many(self, frame: _Frame) -> Many | None:
        keyed = frame.kind == "{"
        if frame.matched is None:
            return self.decoder.passed(keyed=keyed)
        tail = self._steps[frame.matched + 1 :]
        if self._steps[frame.matched] is not EACH or (tail and self._located):
            return None
        return self.decoder.many(tail, keyed=keyed)

    def _batch(self, frame: _Frame) -> list[Any] | None:
        """The values up to the last seam that is near, if it is one."""
        text = self.text
        if frame.seam is None or frame.many is None or self.credit <= 0:
            return None
        end = frame.seam.last(text.window, text.at, text.at + _BATCH)
        if end <= text.at:
            return None
        made = frame.many(text.window[text.at : end])
        if made is None:
            self.credit -= end - text.at
            frame.misses += 1
            if frame.misses == _MISSES:
                frame.many = None
            return None
        frame.misses = 0
        frame.index += made.number - 1
        frame.keys_made = made.keys
        text.at = end
        return [] if frame.matched is None else made.values
