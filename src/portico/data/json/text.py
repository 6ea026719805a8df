"""The characters of a JSON document, a window at a time, which knows its lines and columns."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable

from portico.data.sources import Source
from portico.errors import DataError

__all__ = ["Text", "charset_of_json", "more_follows", "place_in", "undecodable"]


class Text:
    """``window``: the characters that are held, ``at``: how many of them have been dealt with, ``ended``:
    whether no more will come, ``refills``: how many windows there were."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.window = ""
        self.at = 0
        self.ended = False
        self.refills = 0
        self._source = source
        self._decoder = codecs.getincrementaldecoder(charset_of_json(source))()
        self._begun = False
        self._broken: UnicodeDecodeError | None = None
        self._line, self._column = 1, 1  # where the window begins

    def refill(self, enough: Callable[[str], bool] = bool) -> bool:
        """Let go of what has been dealt with, and add pieces until one is ``enough``; whether any came.

        Raises ``DataError`` for bytes that are no characters, once what is before them has been given.
        """
        parts = [self.window[self.at :]]
        self._line, self._column = _moved((self._line, self._column), self.window, self.at)
        self.at = 0
        while piece := self._piece():
            parts.append(piece)
            if enough(piece):
                break
        self.window = "".join(parts)
        self.refills += 1
        if self._broken is not None and len(parts) == 1:
            line, column = self.place(len(self.window))
            raise DataError(undecodable(self._broken), self.name, line=line, column=column)
        return len(parts) > 1

    def _piece(self) -> str:
        while not self.ended and self._broken is None:
            data = self._source.chunk()
            self.ended = not data
            try:
                text = self._decoder.decode(data, not data)
            except UnicodeDecodeError as error:
                self._broken, self.ended = error, False
                text = error.object[: error.start].decode(error.encoding)
            if text and not self._begun:
                self._begun, text = True, text.removeprefix("\ufeff")
            if text:
                return text
        return ""

    def place(self, at: int) -> tuple[int, int]:
        """Line and column, from 1, of a character in the window."""
        return _moved((self._line, self._column), self.window, at)

    def error(self, reason: str, at: int, path: str = "") -> DataError:
        """An error that names the place of a character in the window."""
        line, column = self.place(at)
        return DataError(reason, self.name, line=line, column=column, path=path)


def more_follows(*, in_another_line: bool) -> str:
    """What is wrong with a document after which there is something."""
    hint = (
        "; if each line is a document, that is format jsonl: read it with lines()" if in_another_line else ""
    )
    return f"more follows after the end of the document{hint}"


def undecodable(error: UnicodeDecodeError) -> str:
    """What is wrong with bytes that are no characters."""
    return f"byte 0x{error.object[error.start]:02x} is no {error.encoding.upper()}"


def place_in(text: str, at: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    return _moved((1, 1), text, at)


def _moved(place: tuple[int, int], text: str, by: int) -> tuple[int, int]:
    lines = text.count("\n", 0, by)
    if not lines:
        return place[0], place[1] + by
    return place[0] + lines, by - text.rfind("\n", 0, by)


def charset_of_json(source: Source) -> str:
    """What the source was told, or its content type says; else by the mark or the zeros at the beginning,
    UTF-8 without any (RFC 8259, 8.1; RFC 4627, 3). Nothing is guessed: what is no UTF-8 is an error."""
    return source.encoding or json.detect_encoding(source.peek(4))
