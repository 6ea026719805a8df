"""Who serves the application that blocks: one worker with eight threads for it."""

from __future__ import annotations

from bench.peers.apps.blocking_app import WORK
from bench.peers.checks import says_hello
from bench.peers.http_servers import portico as tiny
from bench.peers.process import Peer, python

__all__ = ["PEERS", "REQUESTS", "THREADS", "most", "portico"]

THREADS = 8
NAMES = {
    "/none": "none",
    "/1ms": "each 1 ms",
    "/3ms": "each 3 ms",
    "/tenth": "a tenth 10 ms",
    "/fiftieth": "a fiftieth 1 s",
}
REQUESTS = {
    NAMES[path]: f"GET {path} HTTP/1.1\r\nHost: localhost:8000\r\n\r\n".encode("ascii") for path in WORK
}
CHECK = says_hello(REQUESTS.values())


def most() -> dict[str, float]:
    """The rate that the threads can give at most, by kind: all of them always asleep."""
    blocking = {NAMES[path]: seconds / every for path, (every, seconds) in WORK.items() if every}
    return {kind: THREADS / mean for kind, mean in blocking.items()}


def portico(engine: str, *, compiled: bool = False) -> Peer:
    """Portico's own command on this engine."""
    return tiny(engine, "blocking_app:app", CHECK, compiled=compiled)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        portico(f"threads:{THREADS}", compiled=True),
        portico(f"threads:{THREADS}"),
        portico(f"events:{THREADS}"),
        portico(f"workers:1/threads:{THREADS}"),
        Peer(
            "granian", "Rust",
            python(
                "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", str(THREADS),
                "--http", "1", "--no-ws", "--log-level", "warning",
                "--host", "127.0.0.1", "--port", "{port}", "blocking_app:app",
            ),
            CHECK, "granian",
        ),
        Peer(
            "waitress", "Python",
            python("waitress", "--listen=127.0.0.1:{port}", f"--threads={THREADS}", "blocking_app:app"),
            CHECK, "waitress",
        ),
        Peer(
            "gunicorn", "Python",
            python(
                "gunicorn", "-k", "gthread", "--workers", "1", "--threads", str(THREADS),
                "--keep-alive", "75", "--no-control-socket", "--log-level", "warning",
                "-b", "127.0.0.1:{port}", "blocking_app:app",
            ),
            CHECK, "gunicorn",
        ),
    )
}  # fmt: skip
