"""One client for some seconds, as a process: ``python -m bench.clients.program NAME KIND URL SECONDS``.

Prints a JSON object: requests answered, seconds, CPU seconds of this process and its children, peak memory.
Every answer is looked at: its status, and its body where that is small, its length where it is large.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

from bench.clients import at_once, downloads, sequential

__all__ = ["main"]

Measured = Callable[[str, float], int]
"""Asks a URL again and again, for so many seconds; the number of answers."""

KINDS: dict[str, dict[str, Measured]] = {
    "sequential": sequential.CLIENTS,
    "64 at once": at_once.CLIENTS,
    "100 MiB": downloads.CLIENTS,
}


def cpu() -> float:
    """CPU seconds so far, those of children that have ended included."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def main(arguments: list[str]) -> int:
    """Measure once, after a moment to warm up."""
    name, kind, url, seconds = arguments
    ask = KINDS[kind][name]
    ask(url, 0.0 if kind == "100 MiB" else 0.1)
    used, began = cpu(), time.perf_counter()
    count = ask(url, float(seconds))
    seconds_used, used = time.perf_counter() - began, cpu() - used
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"count": count, "seconds": seconds_used, "cpu": used, "peak": peak}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
