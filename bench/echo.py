"""Echo servers side by side, each with a handler for a connection: CPU time a message, share of a C loop.

    python bench/echo.py [--quick] [--peers 'portico events,trio'] [--engine SPEC] [--json FILE]

Server and load have a core each. The load (``c/echo_load.c``) sends a message on each connection when the
last one has come back, and compares every byte.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and http.py there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.load import Generator
from bench.load.generators import echo_load
from bench.peers.echo_servers import PEERS, SIZES, portico
from bench.results.text import CPU, P99, RATE, SHARE_OF_C
from bench.subject import Subject, main


def _load(choice: str, folder: Path, core: int) -> Generator:
    return echo_load(SIZES, folder, core)


SUBJECT = Subject(
    program="bench/echo.py",
    title="Echo, one process on one core",
    kinds=dict.fromkeys(SIZES, 1.0),
    peers=PEERS,
    portico=portico,
    load=_load,
    tables=[[CPU, SHARE_OF_C, RATE, P99]],
)

if __name__ == "__main__":
    raise SystemExit(main(SUBJECT))
