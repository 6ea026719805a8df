"""Files of 1 KiB, 1 MiB and 100 MiB, on HTTP servers side by side.

    python bench/static.py [--quick] [--peers nginx,portico,granian] [--engine SPEC] [--json FILE]

64 connections ask for the small file, 16 for the middle one, 4 for the large one. The page cache holds them.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and http.py there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.load import Generator
from bench.load.generators import http_load
from bench.peers.static_servers import CONNECTIONS, REQUESTS, peers, portico, write_files
from bench.results.text import CPU, MEMORY, P99, RATE
from bench.subject import Subject, main


def _load(choice: str, folder: Path, core: int) -> Generator:
    write_files(folder)
    return http_load(choice, REQUESTS, folder, core, CONNECTIONS)


SUBJECT = Subject(
    program="bench/static.py",
    title="Files, one worker on one core, keep-alive",
    kinds=dict.fromkeys(REQUESTS, 1.0) | {"100 MiB": 2.0},
    peers=peers(),
    portico=portico,
    load=_load,
    tables=[[CPU, RATE], [P99, MEMORY]],
    notes=tuple(f"{kind}: {count} connections" for kind, count in CONNECTIONS.items()),
)

if __name__ == "__main__":
    raise SystemExit(main(SUBJECT))
