"""Servers of an application that blocks, side by side: CPU time a request, rate, latency.

    python bench/blocking.py [--quick] [--peers granian] [--engine SPEC] [--json FILE]

Eight threads each. Server and load have a core each. The load is a closed loop: each of the connections
waits for its answer before it asks again, so latencies are those of 64 patient clients, and a server that
stands still is asked less while it does.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and http.py there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.load import Generator
from bench.load.generators import http_load
from bench.peers.blocking_servers import PEERS, REQUESTS, THREADS, most, portico
from bench.results.text import CPU, P50, P99, RATE, SHARE_OF_MOST
from bench.subject import Subject, main

# A burst in which some requests take a second has to last for several of these.
LONG = 3.0


def _load(choice: str, folder: Path, core: int) -> Generator:
    return http_load(choice, REQUESTS, folder, core)


LENGTHS = {kind: LONG if most().get(kind, 1e9) < 1000 else 1.0 for kind in REQUESTS}

SUBJECT = Subject(
    program="bench/blocking.py",
    title=f"A WSGI application that blocks, one worker with {THREADS} threads on one core, keep-alive",
    kinds=LENGTHS,
    peers=PEERS,
    portico=portico,
    load=_load,
    choices=("own", "wrk"),
    tables=[[RATE, CPU], [P50, P99], [SHARE_OF_MOST]],
    most=most(),
    rounds=3,
    notes=(
        f"{THREADS} threads can give, a second: "
        + ", ".join(f"{rate:,.0f} ({kind})" for kind, rate in most().items())
        + "; at the start of a burst all are free, which gives a little more",
    ),
)

if __name__ == "__main__":
    raise SystemExit(main(SUBJECT))
