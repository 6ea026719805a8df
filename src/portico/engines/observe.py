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


__all__ = ["is_waiting", "processor_ticks", "voluntary_switches"]


def is_waiting(native_id: int) -> bool:
    """Whether a thread of this process is asleep now, neither computing nor waiting for a processor.

    Where the system does not tell, it is taken to be.
    """
    found = _stat(native_id)
    return not found or found[0] != b"R"


def processor_ticks(native_id: int) -> int:
    """How long a thread of this process has had a processor, in hundredths of a second; 0: not told."""
    found = _stat(native_id)
    return int(found[11]) + int(found[12]) if len(found) > 12 else 0


def _stat(native_id: int) -> list[bytes]:
    """proc(5), /proc/pid/stat, from the third field on."""
    try:
        with open(f"/proc/self/task/{native_id}/stat", "rb") as file:
            return file.read(512).rpartition(b")")[2].split()
    except OSError:
        return []
