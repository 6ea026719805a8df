"""What the system knows of our threads: whether one waits, or only has no processor."""

from __future__ import annotations

try:
    from resource import RUSAGE_THREAD, getrusage
except ImportError:  # not Linux: then only the clock can tell
    from itertools import count
    from typing import Any

    _ticks: Any = count(1)

    def voluntary_switches() -> int:
        """A number that always differs: every slow request counts as one that waited."""
        return int(next(_ticks))

else:

    def voluntary_switches() -> int:
        """How often the calling thread has given up the processor to wait for something."""
        return getrusage(RUSAGE_THREAD).ru_nvcsw


__all__ = ["is_waiting", "voluntary_switches"]


def is_waiting(native_id: int) -> bool:
    """Whether a thread of this process is asleep now, neither computing nor waiting for a processor.

    Where the system does not tell, it is taken to be.
    """
    try:
        with open(f"/proc/self/task/{native_id}/stat", "rb") as file:
            state = file.read(512).rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state != b"R"
