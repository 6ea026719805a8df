"""How a command ends when it is told to: tidied up, and without words."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from types import FrameType

import click

__all__ = ["ending_by_signals"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOMENT = 1.0
"""Seconds: tidying up takes less."""


class _Told(BaseException):
    """A signal came; not an ``Exception``, so that it is not taken for a failure on its way up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Telling:
    """The handler of all of them, SIGINT too. One that comes within a moment of another (of somebody who is
    impatient, of a group that is told as a whole) does not break off the tidying up; a later one does."""

    def __init__(self) -> None:
        self._at = -inf

    def __call__(self, number: int, frame: FrameType | None) -> None:
        before, self._at = self._at, monotonic()
        if self._at - before >= _MOMENT:
            raise KeyboardInterrupt if number == signal.SIGINT else _Told(number)


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end what is inside as Ctrl-C does: the terminal is put back, programs are ended.

    What is ignored (SIGHUP under ``nohup``) stays so.
    """
    telling = _Telling()
    numbers = [n for n in _NUMBERS if signal.getsignal(n) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, telling)) for number in numbers]
    try:
        yield
    except _Told as told:
        raise click.exceptions.Exit(128 + told.number) from None
    finally:
        for number, handler in before:
            signal.signal(number, handler)
