"""What is kept of a page while its forms are read, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

from portico.data.html.event import StartTag
from portico.data.html.tokens import Tokenizer
from portico.data.html.watched import Watched
from portico.errors import LimitExceeded
from portico.limits import Limits

__all__ = ["Kept"]


class Kept:
    """Counts it; and gathers the texts of those elements whose texts count. Only while there is one do the
    ``tokens`` give texts. Raises ``LimitExceeded``."""

    def __init__(self, tokens: Tokenizer, open_: Watched, limits: Limits, source: str) -> None:
        self._tokens = tokens
        self._open = open_
        self._limits = limits
        self._source = source
        self._number = self._size = 0
        self._texts: list[StringIO] = []  # of open elements, the innermost last

    def tag(self, tag: StartTag) -> None:
        """A control, an option, a form or a label."""
        self._number += 1
        most = self._limits.html_controls
        if self._number > most:
            raise LimitExceeded(
                f"{self._source}: more than {most} controls, options and labels", "html_controls", 413
            )
        self._count(sum(map(len, tag.attributes.values())))

    def gather(self, name: str, done: Callable[[str], object]) -> None:
        """An element begins whose text counts, and no longer for the one that it is in."""
        text = StringIO(newline="")

        def end() -> None:
            self._texts.pop()
            self._tokens.whole = bool(self._texts)
            done(text.getvalue())

        self._open.begin(name, end)
        self._texts.append(text)
        self._tokens.whole = True

    def text(self, text: str) -> None:
        """A text has come."""
        if self._texts:
            self._count(len(text))
            self._texts[-1].write(text)

    def _count(self, size: int) -> None:
        self._size += size
        most = self._limits.answer
        if self._size > most:
            raise LimitExceeded(f"{self._source}: forms of more than {most} characters", "answer", 413)
