"""JSON Lines, and the text sequences of RFC 7464: a document in each line, or after each RS character."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from operator import length_hint
from typing import Any

from portico.data.json_decoder import Decoder
from portico.data.json_scanner import Refused, Rules
from portico.data.json_text import Text, place_in
from portico.errors import DataError, LimitExceeded
from portico.limits import Limits

__all__ = ["OnError", "values_of_lines"]

OnError = Callable[[DataError], object]
"""Told of a line that is wrong, which is left out."""

_RS = "\x1e"
_SPACE = " \t\r\n"
_PART = 1 << 14
"""Characters that are split into lines at once: so few that they stay in the processor's cache."""


def values_of_lines(text: Text, rules: Rules, on_error: OnError | None) -> Iterator[Any]:
    """The values, as their lines come. Raises ``DataError``, where nobody is told, and ``LimitExceeded``."""
    reader = _Reader(text, Decoder(rules), rules.limits, on_error)
    return chain.from_iterable(reader.parts())


class _Reader:
    def __init__(self, text: Text, decoder: Decoder, limits: Limits, on_error: OnError | None) -> None:
        self._text = text
        self._decoder = decoder
        self._longest = limits.json_record
        self._on_error = on_error

    def parts(self) -> Iterator[Iterator[Any]]:
        """The values of the lines that came at once."""
        text = self._text
        text.refill()
        end, values = (_RS, self.sequence) if text.window[:1] == _RS else ("\n", self.lines)
        while True:
            complete = len(text.window) if text.ended else text.window.rfind(end, text.at) + 1
            while text.at < complete:
                part = min(complete, text.window.find(end, text.at + _PART) + 1 or complete)
                yield values(part)
                text.at = part
            if text.ended:
                return
            self._refill(end)

    def _refill(self, end: str) -> None:
        """Until a line ends."""
        text, longest = self._text, self._longest
        held = len(text.window) - text.at

        def enough(piece: str) -> bool:
            nonlocal held
            held += len(piece)
            ends = end in piece
            if held > longest and not ends:
                raise LimitExceeded(
                    f"{text.name}, line {text.place(text.at)[0]}: more than {longest} characters in one; "
                    "pass limits=Limits(json_record=…)",
                    "json_record",
                    413,
                )
            return ends

        text.refill(enough)

    def lines(self, end: int) -> Iterator[Any]:
        """The values of the lines up to there."""
        at, seen = self._text.at, 0
        lines = self._text.window[at:end].split("\n")
        decode = self._decoder.one(lines)
        if decode is None:
            decode = _undecided
        ahead = iter(lines)
        values = map(decode, ahead)  # which goes on after a line that is refused
        while True:
            try:
                yield from values
                return
            except (ValueError, ArithmeticError):
                number = len(lines) - length_hint(ahead) - 1
            line = lines[number]
            if line and not line.isspace():
                at += sum(map(len, lines[seen:number])) + number - seen
                seen = number
                yield from self._one(line, at)

    def sequence(self, end: int) -> Iterator[Any]:
        """The values after each RS up to there; what stands before one may be the beginning of the next."""
        at = self._text.at
        for part in self._text.window[at:end].split(_RS):
            if part.strip(_SPACE):
                # A number that nothing follows may have been cut off (RFC 7464, 2.4).
                if part[-1] in _SPACE or part[-1] in '}]"':
                    yield from self._one(part, at)
                else:
                    self._refuse("nothing follows its last character: it may have been cut off", part, 0, at)
            at += len(part) + 1

    def _one(self, line: str, at: int) -> Iterator[Any]:
        try:
            value = self._decoder.value(line)
        except Refused as refused:
            self._refuse(refused.reason, line, refused.at, at, refused.path)
        except LimitExceeded as error:
            said = f"{self._text.name}, line {self._text.place(at)[0]}: {error}"
            raise LimitExceeded(said, error.limit, error.status) from None
        else:
            yield value

    def _refuse(self, reason: str, line: str, inside: int, at: int, path: str = "") -> None:
        first, column = self._text.place(at)
        further, there = place_in(line, min(inside, len(line.rstrip(_SPACE))))
        place = (first + further - 1, column + there - 1 if further == 1 else there)
        error = DataError(
            reason, self._text.name, line=place[0], column=place[1], path=f"${path}" if path else ""
        )
        if self._on_error is None:
            raise error
        self._on_error(error)


def _undecided(line: str) -> Any:
    raise ValueError(line)
