"""JSON Lines, and the text sequences of RFC 7464: a document in each line, or after each RS character."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from portico.data.json.decoder import Decoder
from portico.data.json.scanner import Refused, Rules
from portico.data.json.text import Text, charset_of_json, place_in, undecodable
from portico.data.sources import Source
from portico.errors import DataError, LimitExceeded

__all__ = ["OnError", "values_of_lines"]

OnError = Callable[[DataError], object]
"""Told of a line that is wrong, which is left out."""

_RS = b"\x1e"
_SPACE = b" \t\r\n"
_PART = 1 << 14
"""Bytes that are split into lines at once: so few that they stay in the processor's cache."""


def values_of_lines(source: Source, rules: Rules, on_error: OnError | None) -> Iterator[Any]:
    """The values, as their lines come. Raises ``DataError``, where nobody is told, and ``LimitExceeded``."""
    return chain.from_iterable(_Reader(source, rules, on_error).parts())


class _Reader:
    def __init__(self, source: Source, rules: Rules, on_error: OnError | None) -> None:
        self._source = source
        self._decoder = Decoder(rules)
        self._longest = rules.limits.json_record
        self._on_error = on_error
        self._line = 1  # at which the next part begins

    def parts(self) -> Iterator[Iterable[Any]]:
        """The values of some lines after those of others."""
        end, values = (_RS, self._sequence) if self._source.peek(1) == _RS else (b"\n", self._lines)
        for data in self._complete(end):
            at = 0
            while at < len(data):
                to = data.find(end, at + _PART) + 1 or len(data)
                yield values(data[at:to])
                at = to

    def _complete(self, end: bytes) -> Iterator[bytes]:
        """All bytes, in pieces that end with a line; the last one may not."""
        held: list[bytes] = []
        size = 0
        for data in _utf8(self._source):
            cut = data.rfind(end) + 1
            if cut:
                yield b"".join([*held, data[:cut]])
                held, size, data = [], 0, data[cut:]  # noqa: PLW2901
            held.append(data)
            size += len(data)
            if size > self._longest:
                raise LimitExceeded(
                    f"{self._source.name}, line {self._line}: more than {self._longest} characters in one; "
                    "pass limits=Limits(json_record=…)",
                    "json_record",
                    413,
                )
        yield b"".join(held)

    def _lines(self, part: bytes) -> Iterable[Any]:
        lines = part.split(b"\n")
        decode = (_is_text(part) and self._decoder.one(lines)) or _undecided
        try:
            values = list(map(decode, lines if lines[-1] else lines[:-1]))
        except (ValueError, ArithmeticError):
            return self._each(lines, decode)
        self._line += len(lines) - 1
        return values

    def _each(self, lines: list[bytes], decode: Callable[[bytes], Any]) -> Iterator[Any]:
        """The values of lines of which one, at least, has none."""
        for line in lines:
            try:
                value = decode(line)
            except (ValueError, ArithmeticError):
                if line.strip(_SPACE):
                    yield from self._one(line)
            else:
                yield value
            self._line += 1
        self._line -= 1

    def _sequence(self, part: bytes) -> Iterator[Any]:
        """What follows each RS; what stands before one may be the end of what begins before."""
        for text in part.split(_RS):
            if text.strip(_SPACE):
                # A number that nothing follows may have been cut off (RFC 7464, 2.4).
                if text[-1:] in (b" ", b"\t", b"\r", b"\n", b"}", b"]", b'"'):
                    yield from self._one(text)
                else:
                    reason = "nothing follows its last character: it may have been cut off"
                    self._refuse(reason, self._line, 1)
            self._line += text.count(b"\n")

    def _one(self, line: bytes) -> Iterator[Any]:
        """With care."""
        number = self._line
        text = line.decode("utf-8", "replace")
        try:
            line.decode()
            value = self._decoder.value(text)
        except UnicodeDecodeError as error:
            before = len(line[: error.start].decode())
            self._refuse(undecodable(error), *_place(text, before, number))
        except Refused as refused:
            at = min(refused.at, len(text.rstrip(" \t\r\n")))
            self._refuse(refused.reason, *_place(text, at, number), refused.path)
        except LimitExceeded as error:
            said = f"{self._source.name}, line {number}: {error}"
            raise LimitExceeded(said, error.limit, error.status) from None
        else:
            yield value

    def _refuse(self, reason: str, line: int, column: int, path: str = "") -> None:
        path = f"${path}" if path else ""
        error = DataError(reason, self._source.name, line=line, column=column, path=path)
        if self._on_error is None:
            raise error
        self._on_error(error)


def _place(text: str, at: int, line: int) -> tuple[int, int]:
    """Where that character is, of a text that begins in that line."""
    further, column = place_in(text, at)
    return line + further - 1, column


def _utf8(source: Source) -> Iterator[bytes]:
    """The bytes of a source in UTF-8, without a mark, as they come. They may not be text."""
    if charset_of_json(source).startswith("utf-8"):
        if source.peek(3) == codecs.BOM_UTF8:
            source.read(3)
        yield from source.chunks()
        return
    text = Text(source)
    while text.refill():
        yield text.window.encode()
        text.at = len(text.window)


def _is_text(part: bytes) -> bool:
    """What is not asked for is not looked at by msgspec."""
    if part.isascii():
        return True
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def _undecided(line: bytes) -> Any:
    raise ValueError(line)
