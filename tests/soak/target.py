"""The servers under attack, by what they speak; and what their processes hold."""

from __future__ import annotations

import gc
import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil

from portico import Limits, Server, Stream
from portico.http.exchange import Exchange
from tests.engines.serving import Gateway, Peer, client_tls, dial, server_tls, until

__all__ = ["LARGE", "Target"]

LARGE = b"x" * 2_000_000
LEFT_ALONE = 20
"""Idle connections that the attackers keep, until the server has enough of them."""


def answer(exchange: Exchange) -> bytes:
    if exchange.path == "/raise":
        raise ValueError("on purpose")
    return LARGE if exchange.path == "/large" else exchange.body.read()


def converse(stream: Stream) -> None:
    for line in stream:
        if line == b"raise\n":
            raise ValueError("on purpose")
        stream.write(facts() if line == b"facts\n" else line)


def facts() -> bytes:
    """How many greenlets of ours, and threads, live in this process."""
    gc.collect()
    alive = [each for each in gc.get_objects() if type(each).__name__ == "Strand" and not each.dead]
    return json.dumps([os.getpid(), len(alive), threading.active_count()]).encode() + b"\n"


class Target:
    """HTTP and conversations, plain, under TLS, on a Unix socket and in memory."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        limits = Limits().but(linger=0.2, idle=0.5, handshake=2)
        tls = server_tls()
        self.context = client_tls().context
        http = "http://127.0.0.1:0", "https://127.0.0.1:0"
        raw = "tcp://127.0.0.1:0", "tls://127.0.0.1:0", f"unix:{folder}/talk.sock", "memory:soak"
        self.http = Server(Gateway(answer), *http, engine=engine, limits=limits, tls=tls)
        self.talk = Server(converse, *raw, engine=engine, limits=limits, tls=tls)
        self._left_alone: deque[Peer] = deque()
        self._mine = threading.local()  # of one attacker: what the present stage has opened
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.http.start()
        self.talk.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close_idle()
        self.http.stop()
        self.talk.stop()

    @property
    def open(self) -> int:
        return self.http.connections + self.talk.connections

    @property
    def accepted(self) -> int:
        return self.http.accepted + self.talk.accepted

    def to_http(self, data: bytes = b"", where: int = 0, **options: int) -> Peer:
        return self._opened(Peer(self.http.addresses[where], data, **options))

    def to_talk(self, data: bytes = b"", where: int = 0) -> Peer:
        return self._opened(Peer(self.talk.addresses[where], data))

    def _opened(self, peer: Peer) -> Peer:
        self._mine.peer = peer
        return peer

    def give_up(self) -> None:
        """A stage came to nothing: close what it had opened."""
        if hasattr(self._mine, "peer"):
            self._mine.peer.close()

    def in_memory(self) -> Stream:
        return dial(self.talk.addresses[3])

    def leave_alone(self, peer: Peer) -> None:
        with self._lock:
            self._left_alone.append(peer)
            surplus = self._left_alone.popleft() if len(self._left_alone) > LEFT_ALONE else None
        if surplus is not None:
            surplus.close()

    def close_idle(self) -> None:
        while self._left_alone:
            self._left_alone.pop().close()

    def settle(self) -> None:
        """Until nothing is open."""
        self.close_idle()
        until(lambda: self.open == 0, "every connection to be given back")
        gc.collect()

    # -- what the processes hold

    def processes(self) -> list[psutil.Process]:
        """Ours, the supervisors and the workers. To be asked when nothing is open."""
        me = psutil.Process()
        return [me, *me.children(recursive=True)]

    def resident(self) -> int:
        return sum(process.memory_info().rss for process in self.processes())

    def descriptors(self) -> int:
        return sum(process.num_fds() for process in self.processes())

    def threads(self) -> int:
        return sum(process.num_threads() for process in self.processes())

    def pids(self) -> set[int]:
        return {process.pid for process in self.processes()}

    def greenlets(self) -> int:
        """Of ours, alive, in all processes that talk; without those that were asked."""
        found: dict[int, int] = {}
        workers = 2 if self.engine.startswith("workers") else 1
        for pid, strands in self._asked():
            found[pid] = max(strands - ("events" in self.engine), 0)
            if len(found) == workers:
                break
        return sum(found.values())

    def _asked(self) -> Iterator[tuple[int, int]]:
        for _ in range(1000):
            with self.to_talk(b"facts\n") as peer:
                pid, strands, _ = json.loads(peer.sock.recv(100))
            yield pid, strands
            until(lambda: self.talk.connections == 0)
