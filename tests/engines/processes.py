"""Looking at the processes of a server from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from portico import Server, timeout
from portico.engines.workers import Workers
from tests.engines.serving import SECONDS, dial, until

__all__ = ["PROCESS_ENGINES", "ask_pid", "engine_of", "halt", "pids", "serving", "settled"]

PROCESS_ENGINES = ("workers:2/threads", "workers:2/inline", "workers:2/events", "forks")


def engine_of(server: Server) -> Workers:
    engine = server._engine
    assert isinstance(engine, Workers)
    return engine


def pids(server: Server, state: str = "serving") -> set[int]:
    """The workers that are in this state."""
    return {pid for _, pid, now in engine_of(server).workers if now == state}


def ask_pid(server: Server) -> int:
    """Who serves a connection made now."""
    with timeout(SECONDS), dial(server) as stream:
        return int(stream.read_line())


@contextmanager
def serving(handler: Any, address: str = "tcp://127.0.0.1:0", **options: Any) -> Iterator[Server]:
    options.setdefault("engine", "workers:2/threads")
    server = Server(handler, address, **options)
    family: list[psutil.Process] = []
    with timeout(60):
        server.start()
        try:
            family = psutil.Process(engine_of(server).supervisor).children(recursive=True)
            yield server
        finally:
            server.stop(0.0)
    until(lambda: not any(alive(each.pid) for each in family), "every process to have ended")


def alive(pid: int) -> bool:
    """Whether there is such a process; one that nobody has buried counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def settled(server: Server, many: int, without: set[int] | None = None) -> set[int]:
    """Wait until so many workers serve, none of them from before, and no other is there."""
    gone = without or set()

    def so() -> bool:
        now = engine_of(server).workers
        return len(now) == many and len(pids(server) - gone) == many

    until(so, "the workers to be replaced")
    return pids(server)


def halt(pid: int) -> None:
    """Stop a process, and wait until all of its threads stand still."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")

    def still() -> bool:
        return all(") T " in (each / "stat").read_text() for each in tasks.iterdir())

    until(still, "it to stand still")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
