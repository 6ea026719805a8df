"""How a command ends when it is told to: tidied up, and without words."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

__all__ = ["ending_by_signals"]


class _Told(BaseException):
    """A signal came; not an ``Exception``, so that it is not taken for a failure on its way up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _tell(number: int, frame: FrameType | None) -> NoReturn:
    raise _Told(number)


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end what is inside as Ctrl-C does: the terminal is put back, programs are ended.

    Where SIGHUP is ignored (``nohup``) it stays so.
    """
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, _tell)) for number in numbers]
    try:
        yield
    except _Told as told:
        raise click.exceptions.Exit(128 + told.number) from None
    finally:
        for number, handler in before:
            signal.signal(number, handler)
