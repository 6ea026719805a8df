"""Which descriptors a test has opened and not closed.

Numbers alone would not do: what an earlier test left to the garbage collector may go while this one runs, and
its number may be taken again. So each is named with what it leads to, and only what is *new* counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["descriptors", "none_left_open"]


def descriptors() -> set[str]:
    """Number and target of every open descriptor."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"descriptor {entry.name} -> {os.readlink(entry)}")
        except FileNotFoundError:
            continue  # the one that lists the folder
    return found


@contextmanager
def none_left_open() -> Iterator[set[str]]:
    """The block must leave no descriptor open that was not open before; gives those from before."""
    before = descriptors()
    yield before
    left = descriptors() - before
    assert not left, f"left open: {', '.join(sorted(left))}"
