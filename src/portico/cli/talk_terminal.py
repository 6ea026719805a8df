"""The terminal on stdin: raw while the other side echoes, its size, and its state put back at the end."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

__all__ = ["Terminal"]

_SIZE = (80, 24)


class Terminal:
    """A terminal for the length of a ``with``. ``resized`` is called, in a signal's handler, by SIGWINCH."""

    def __init__(self, descriptor: int, resized: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._resized = resized
        self._before: list[Any] = []
        self._handler: Any = None
        self.raw = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = os.get_terminal_size(self._descriptor)
        except OSError:
            return _SIZE
        return (columns, rows) if columns and rows else _SIZE

    def set_raw(self, raw: bool) -> None:
        """Each key at once, none shown, none special; or as it was before."""
        if raw == self.raw:
            return
        self.raw = raw
        if raw:
            tty.setraw(self._descriptor, termios.TCSADRAIN)
        else:
            self._restore()

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._descriptor)
        self._handler = signal.signal(signal.SIGWINCH, lambda number, frame: self._resized())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGWINCH, self._handler)
        if self.raw:
            self._restore()

    def _restore(self) -> None:
        try:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
        except termios.error:
            pass  # it is gone, and its state with it
