"""Who echoes: one process, a handler a connection, each written as its users would write it."""

from __future__ import annotations

from bench.common import compile_c
from bench.peers.checks import echoes
from bench.peers.process import Peer, python, script

__all__ = ["PEERS", "SIZES", "portico"]

SIZES = {"1 KiB": 1024, "16 KiB": 16384}
CHECK = echoes(SIZES.values())


def portico(engine: str) -> Peer:
    """Portico's own command on this engine."""
    target = "handler:echo_handler:echo"
    command = python("portico", "serve", target, "--at", "tcp://127.0.0.1:0", "--engine", engine)
    return Peer(f"portico {engine}", "Python", command, CHECK, "portico.__main__", announces=True)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        # The limit, and what every other rate is a share of.
        Peer("c-loop", "C", lambda port, folder: [str(compile_c("echo_loop", folder)), str(port)], CHECK),
        portico("events"),
        portico("threads"),
        Peer("uvloop streams", "Python", script("echo_asyncio", "uvloop"), CHECK, "uvloop"),
        Peer("asyncio streams", "Python", script("echo_asyncio"), CHECK),
        Peer("gevent", "Python", script("echo_gevent"), CHECK, "gevent"),
        Peer("trio", "Python", script("echo_trio"), CHECK, "trio"),
        Peer("socketserver", "Python", script("echo_socketserver"), CHECK),
    )
}
