"""Ctrl-C in a program that runs on a hub."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from greenlet import getcurrent

from portico.engines.hub import Hub
from portico.engines.strand import Strand

__all__ = ["heard_by"]


@contextmanager
def heard_by(hub: Hub, root: Strand) -> Iterator[None]:
    """While this lasts, ``KeyboardInterrupt`` is raised in the user's code or at the next wait of ``root``.

    Python raises it anywhere: in the hub's own code it would take with it events that the kernel tells only
    once. Does nothing where the program has its own handler, or in another thread than the main one.
    """

    def pressed(number: int, frame: FrameType | None) -> None:
        if not root.dead and (getcurrent() is hub.main or _of_portico(frame)):
            root.interrupt(KeyboardInterrupt())
        else:
            signal.default_int_handler(number, frame)

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is pressed:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _of_portico(frame: FrameType | None) -> bool:
    return frame is not None and str(frame.f_globals.get("__name__")).startswith("portico.")
