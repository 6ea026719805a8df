"""The lines of a text while it arrives, cut where CSV cuts them, and no record longer than the limit."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain

from portico.errors import LimitExceeded

__all__ = ["Lines", "count_lines", "split_lines"]

_PIECE = 1 << 18
"""Characters that are cut into lines at once."""
_SLICE = 200
"""Lines that are taken at once: with many more, their records wake the collector of garbage."""
_ODD = "\x0b\x0c\x1c\x1d\x1e"
_ODD_BEYOND = "\x85\u2028\u2029"
"""What ``str.splitlines`` takes for the end of a line, and CSV does not."""


def split_lines(text: str) -> list[str]:
    r"""Lines with their ends: ``\n``, ``\r\n`` and ``\r``, nothing else."""
    odd = _ODD if text.isascii() else _ODD + _ODD_BEYOND
    if any(each in text for each in odd):
        return list(io.StringIO(text, newline=""))
    return text.splitlines(keepends=True)


def count_lines(text: str) -> int:
    """How many ``split_lines`` gives."""
    ends = text.count("\n") + text.count("\r") - text.count("\r\n")
    return ends + (text != "" and not _is_whole(text))


class Lines:
    """An iterable of lines with their ends. Whoever takes records from them says with ``finished`` how many
    lines were used up when the last record ended; since then, ``limit`` characters may be read.

    ``passed``: lines that were given. ``ended``: no more will come.
    """

    def __init__(self, pieces: Iterable[str], limit: int, name: str) -> None:
        self.finished = 0
        self.passed = 0
        self.ended = False
        self._pieces = pieces
        self._limit = limit
        self._name = name
        self._given = 0
        self._last: list[str] = []
        self._held: list[str] = []
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._lists())

    def slices(self) -> Iterator[list[str]]:
        """The lines in lists that are not long."""
        for lines in self._lists():
            for at in range(0, len(lines), _SLICE):
                part = lines[at : at + _SLICE]
                self.passed += len(part)
                yield part

    def record(self, last: int) -> Iterator[str]:
        """The lines since the last record ended, up to number ``last``, made anew: short ones in a list take
        many times the memory of their text."""
        before = self._given - len(self._last)
        held = self._held if self.finished < before else []
        yield from chain.from_iterable(map(split_lines, held))
        yield from self._last[max(self.finished - before, 0) : last - before]

    def _lists(self) -> Iterator[list[str]]:
        """Lines in lists, as they come: no step is made for a single line."""
        parts: list[str] = []
        size = 0
        for piece in self._cut():
            lines = split_lines(piece)
            if parts:
                parts.append(lines[0])
                size += len(lines[0])
                self._check(size)
                if not _is_whole(lines[0]):
                    continue
                lines[0], parts = "".join(parts), []
            if not _is_whole(lines[-1]):
                parts = [lines.pop()]
                size = len(parts[0])
            if lines:
                yield self._hold(lines)
        if parts:
            yield self._hold(["".join(parts)])
        self.ended = True

    def _cut(self) -> Iterator[str]:
        r"""The text in pieces of bounded size, none of which parts ``\r`` from ``\n``."""
        step = min(_PIECE, self._limit)
        carried = ""
        for piece in self._pieces:
            for at in range(0, len(piece), step):
                text = carried + piece[at : at + step]
                carried = "\r" if text.endswith("\r") else ""
                if text := text[: len(text) - len(carried)]:
                    yield text
        if carried:
            yield carried

    def _hold(self, lines: list[str]) -> list[str]:
        """The text of an unfinished record is kept: an error shows where it begins."""
        begun = self.finished - (self._given - len(self._last))
        if begun >= 0:
            self._held, self._size = [], 0
        if self.finished < self._given:
            text = "".join(self._last[max(begun, 0) :])
            self._held.append(text)
            self._size += len(text)
            self._check(self._size)
        self._last = lines
        self._given += len(lines)
        return lines

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise LimitExceeded(
                f"{self._name}, line {self.finished + 1}: a record of more than {self._limit} characters; "
                "perhaps a quote in it is never closed, or pass limits=Limits(csv_record=…)",
                "csv_record",
                413,
            )


def _is_whole(line: str) -> bool:
    return line.endswith(("\n", "\r"))
