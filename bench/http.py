"""HTTP servers side by side on one tiny application: CPU time a request, share of a C loop, rate.

    python bench/http.py [--quick] [--peers portico,granian] [--engine SPEC] [--json FILE]

Server and load have a core each. Rounds are interleaved, so that a slow moment of the machine meets
every server alike; shares are taken within a round, and shown with their lowest and highest.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and this module would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.load import Generator
from bench.load.generators import http_load
from bench.load.requests import KINDS
from bench.peers.http_servers import PEERS, portico
from bench.results.text import CPU, MEMORY, P50, P99, RATE, SHARE_OF_C
from bench.subject import Subject, main


def _load(choice: str, folder: Path, core: int) -> Generator:
    return http_load(choice, KINDS, folder, core)


SUBJECT = Subject(
    program="bench/http.py",
    title="Tiny WSGI application, one worker on one core, keep-alive",
    kinds=dict.fromkeys(KINDS, 1.0),
    peers=PEERS,
    portico=portico,
    load=_load,
    choices=("auto", "wrk", "own"),
    tables=[[CPU, SHARE_OF_C, RATE], [P50, P99, MEMORY]],
)

if __name__ == "__main__":
    raise SystemExit(main(SUBJECT))
