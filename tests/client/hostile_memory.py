"""A process that takes what blows up, and says how much memory that cost it.

The server is a thread of this process too, and holds each script's bytes: what is measured is an upper bound.
"""

from __future__ import annotations

import resource
import sys

from tests.client.hostile_codings import bombs


def main() -> None:
    """Carry out the cases of ``bombs``; peak memory in MiB, beyond what was there before, on stdout."""
    cases = bombs()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in cases:
        case.carry_out()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{(peak - before) >> 10} {case.name}", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
    main()
