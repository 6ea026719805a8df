"""How the C library hands out memory, for a program that serves many connections for long."""

from __future__ import annotations

import ctypes

__all__ = ["use_one_arena"]

_M_ARENA_MAX = -8


def use_one_arena() -> None:
    """Let all threads share one heap. To be called before there are any; only glibc has more than one.

    With a heap for each of some threads, what a thousand of them have used in turn is hardly ever given
    back: measured, a server grew by half with each flood. The interpreter's lock is held where most memory
    is asked for, so that they hardly ever meet there.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, 1)
