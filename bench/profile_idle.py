"""What a parked connection keeps in memory, by the line that allocated it: no sockets, no engine.

    python bench/profile_idle.py [--count 1000] [--top 25]

Each connection has answered one request of 600 bytes. ``tracemalloc`` sees what Python allocates: not the
transport's socket, and nothing of OpenSSL.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and http.py there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import gc
import tracemalloc

from bench.common import table
from bench.load.requests import KINDS
from bench.peers.apps.app_module import app
from bench.profile_http import Memory
from portico.engines.contract import RUN, WAIT_READ
from portico.http.exchange import Mount
from portico.http.server import HTTPConnection, Service
from portico.limits import Limits
from portico.web.wsgi import WSGI


def parked(service: Service) -> HTTPConnection:
    """A connection that has answered once, and waits for the next request."""
    transport = Memory()
    connection = HTTPConnection(transport, service)
    transport.waiting = KINDS["600 B"]
    if connection.advance() != RUN:
        raise RuntimeError("the request was refused")
    connection.run()
    if connection.advance() != WAIT_READ:
        raise RuntimeError("the connection was not kept")
    transport.last = b""
    return connection


def kept(count: int) -> tracemalloc.Snapshot:
    """What so many parked connections hold, beyond what the first ones made."""
    mount = Mount(WSGI(app))
    service = Service(lambda exchange: mount, Limits())
    early = [parked(service) for _ in range(10)]
    gc.collect()
    tracemalloc.start()
    connections = [parked(service) for _ in range(count)]
    gc.collect()
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    del connections, early
    return snapshot


def where(statistic: tracemalloc.Statistic) -> str:
    frame = statistic.traceback[0]
    return f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="bench/profile_idle.py", description="What a parked connection keeps."
    )
    parser.add_argument("--count", type=int, default=1000, help="connections (1000)")
    parser.add_argument("--top", type=int, default=25, help="lines to show (25)")
    chosen = parser.parse_args(arguments)
    found = kept(chosen.count).statistics("lineno")
    share = 1 / max(1, chosen.count)
    total = sum(each.size for each in found) * share
    print(f"A parked HTTP connection keeps {total:,.0f} bytes of Python's memory")
    rows = [
        [where(each), f"{each.size * share:.0f}", f"{each.count * share:.1f}"] for each in found[: chosen.top]
    ]
    print(table([["line", "bytes", "objects"], *rows], {1: "a connection"}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
