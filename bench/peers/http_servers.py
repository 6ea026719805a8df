"""Who serves a WSGI application, the tiny one of ``apps/app_module.py`` or another: one worker that runs
Python one at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from bench.common import compile_c
from bench.load.requests import KINDS, fixed
from bench.peers.checks import Check, says_hello
from bench.peers.process import Peer, python, script

__all__ = ["FAST", "PEERS", "portico", "serving"]

CHECK = says_hello(fixed(request) for request in KINDS.values())
TINY = "app_module:app"
FAST = Path(sys.prefix) / "fast"
"""Where ``make fast`` puts Portico with its hot modules compiled."""


def portico(
    engine: str | None = None, app: str = TINY, check: Check = CHECK, *, compiled: bool = False
) -> Peer:
    """Portico's own command, on its default engine or another; with its hot modules compiled."""
    options = ["--engine", engine] if engine else []
    command = python("portico", "serve", f"wsgi:{app}", "--at", "http://127.0.0.1:0", *options)
    name = " ".join(["portico", *(["compiled"] if compiled else []), *([engine] if engine else [])])
    path = FAST if compiled else None
    return Peer(name, "Python", command, check, "portico.__main__", announces=True, path=path)


def serving(app: str, check: Check) -> Iterator[Peer]:
    """Everybody but the C loop, with this application."""
    yield portico(None, app, check, compiled=True)
    yield portico(None, app, check)
    yield Peer("fastwsgi", "C", script("http_fastwsgi", app), check, "fastwsgi")
    yield Peer("bjoern", "C", script("http_bjoern", app), check, "bjoern")
    yield Peer("granian", "Rust", python(*_GRANIAN, app), check, "granian")
    yield Peer("waitress", "Python", python(*_WAITRESS, app), check, "waitress")
    yield Peer("gunicorn", "Python", python(*_GUNICORN, app), check, "gunicorn")


_GRANIAN = (
    "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "1",
    "--http", "1", "--no-ws", "--log-level", "warning", "--host", "127.0.0.1", "--port", "{port}",
)  # fmt: skip
_WAITRESS = ("waitress", "--listen=127.0.0.1:{port}", "--threads=4")
# Keep-alive beyond any round: gunicorn's two seconds would cut connections within one.
_GUNICORN = (
    "gunicorn", "-k", "gthread", "--workers", "1", "--threads", "8", "--keep-alive", "75",
    "--no-control-socket", "--log-level", "warning", "-b", "127.0.0.1:{port}",
)  # fmt: skip
# With the application's ASGI twin: uvicorn has no WSGI of its own.
_UVICORN = (
    "uvicorn", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off",
    "--no-access-log", "--log-level", "warning",
    "--host", "127.0.0.1", "--port", "{port}", "app_module:asgi",
)  # fmt: skip

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        # The limit, and what every other rate is a share of.
        Peer("c-loop", "C", lambda port, folder: [str(compile_c("epoll_loop", folder)), str(port)], CHECK),
        *serving(TINY, CHECK),
        portico("events"),
        portico("workers:1/threads"),
        Peer("uvicorn", "Python", python(*_UVICORN), CHECK, "uvicorn", ("uvloop", "httptools")),
    )
}
