"""Larger answers, a body, and a new connection for each request, on HTTP servers side by side.

    python bench/answers.py [--quick] [--peers portico,granian] [--engine SPEC] [--json FILE]

As ``http.py``, with ``peers/apps/sizes_app.py``, our own generator, and shares of nobody.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and http.py there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.load import Generator
from bench.load.generators import http_load
from bench.peers.apps.sizes_app import BODIES, SMALL
from bench.peers.checks import answers
from bench.peers.http_servers import portico, serving
from bench.peers.process import Peer
from bench.results.text import CPU, MEMORY, P50, P99, RATE
from bench.subject import Subject, main

APP = "sizes_app:app"
HOST = b"Host: localhost:8000\r\n"
POST = b"POST /post HTTP/1.1\r\n" + HOST + b"Content-Type: text/plain\r\nContent-Length: 4096\r\n\r\n"
REQUESTS = {
    "1 KiB": b"GET /1k HTTP/1.1\r\n" + HOST + b"\r\n",
    "64 KiB": b"GET /64k HTTP/1.1\r\n" + HOST + b"\r\n",
    "POST 4 KiB": POST + b"x" * 4096,
    "new connection": b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
}
EXPECTED = dict(zip(REQUESTS, [BODIES["/1k"], BODIES["/64k"], SMALL, SMALL], strict=True))
# The last is of those that end their connection.
CHECK = answers([(REQUESTS[kind], EXPECTED[kind]) for kind in list(REQUESTS)[:-1]])


def _portico(engine: str) -> Peer:
    return portico(engine, APP, CHECK)


def _load(choice: str, folder: Path, core: int) -> Generator:
    return http_load(choice, REQUESTS, folder, core)


SUBJECT = Subject(
    program="bench/answers.py",
    title="A WSGI application with larger answers, one worker on one core",
    kinds=dict.fromkeys(REQUESTS, 1.0),
    peers={peer.name: peer for peer in serving(APP, CHECK)},
    portico=_portico,
    load=_load,
    tables=[[CPU, RATE], [P50, P99, MEMORY]],
)

if __name__ == "__main__":
    raise SystemExit(main(SUBJECT))
