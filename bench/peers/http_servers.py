"""Who serves the tiny application of ``apps/app_module.py``: one worker that runs Python one at a time."""

from __future__ import annotations

from bench.common import compile_c
from bench.load.requests import KINDS, fixed
from bench.peers.checks import says_hello
from bench.peers.process import Peer, python, script

__all__ = ["PEERS", "portico"]

CHECK = says_hello(fixed(request) for request in KINDS.values())


def portico(engine: str | None = None) -> Peer:
    """Portico's own command, on its default engine or another."""
    options = ["--engine", engine] if engine else []
    command = python("portico", "serve", "wsgi:app_module:app", "--at", "http://127.0.0.1:0", *options)
    name = f"portico {engine}" if engine else "portico"
    return Peer(name, "Python", command, CHECK, "portico.__main__", announces=True)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        # The limit, and what every other rate is a share of.
        Peer("c-loop", "C", lambda port, folder: [str(compile_c("epoll_loop", folder)), str(port)], CHECK),
        portico(),
        portico("events"),
        portico("workers:1/threads"),
        Peer("fastwsgi", "C", script("http_fastwsgi"), CHECK, "fastwsgi"),
        Peer("bjoern", "C", script("http_bjoern"), CHECK, "bjoern"),
        Peer(
            "granian", "Rust",
            python(
                "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1",
                "--http", "1", "--no-ws", "--log-level", "warning",
                "--host", "127.0.0.1", "--port", "{port}", "app_module:app",
            ),
            CHECK, "granian",
        ),
        # Its ASGI twin: uvicorn has no WSGI of its own.
        Peer(
            "uvicorn", "Python",
            python(
                "uvicorn", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off",
                "--no-access-log", "--log-level", "warning",
                "--host", "127.0.0.1", "--port", "{port}", "app_module:asgi",
            ),
            CHECK, "uvicorn", ("uvloop", "httptools"),
        ),
        Peer(
            "waitress", "Python",
            python("waitress", "--listen=127.0.0.1:{port}", "--threads=4", "app_module:app"),
            CHECK, "waitress",
        ),
        # Keep-alive beyond any round: gunicorn's two seconds would cut connections within one.
        Peer(
            "gunicorn", "Python",
            python(
                "gunicorn", "-k", "gthread", "--workers", "1", "--threads", "8", "--keep-alive", "75",
                "--no-control-socket", "--log-level", "warning", "-b", "127.0.0.1:{port}", "app_module:app",
            ),
            CHECK, "gunicorn",
        ),
    )
}  # fmt: skip
