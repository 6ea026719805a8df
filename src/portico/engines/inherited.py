"""Signal handlers that a child of a fork does not heed, though it inherits them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

__all__ = ["of_this_process"]

Handler = Callable[[int, FrameType | None], object]


def of_this_process(handler: Handler) -> Handler:
    """``handler`` for this process only. A child that somebody else forks (``multiprocessing``) knows nothing
    of a server, and does as by default: else nobody could end it but by SIGKILL."""
    us = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == us:
            handler(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    return handle
