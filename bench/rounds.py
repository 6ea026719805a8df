"""Interleaved rounds: a slow moment of the machine meets every server alike."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.common import Missing, Wrong, busy_seconds, cpu_seconds
from bench.load import Generator
from bench.memory import held
from bench.peers.process import Peer, Running
from bench.results import Run, Sample

__all__ = ["Rounds", "seconds_for", "start_all"]

MEASURE_SECONDS = 250  # with starts and stops, a run ends within five minutes, come what may
OVERHEAD = 0.25  # of a burst: starting the generator, looking at /proc, the check after it


def start_all(peers: list[Peer], run: Run, stack: ExitStack, folder: Path, core: int) -> dict[str, Running]:
    """Start every peer that can be; the others are written down as missing, with the reason."""
    servers = {}
    for peer in peers:
        try:
            servers[peer.name] = stack.enter_context(peer.running(folder, core))
        except Wrong as why:
            run.wrong[peer.name] = str(why)
        except Missing as why:
            run.missing[peer.name] = str(why)
    return servers


def seconds_for(wanted: float, turns: int, lengths: Iterable[float]) -> float:
    """Seconds of a burst of length one, such that so many turns fit: a multiple of a half."""
    each = list(lengths)
    room = MEASURE_SECONDS / max(turns, 1) - OVERHEAD * len(each)
    fitting = room / sum(each)
    return min(wanted, math.floor(fitting * 2) / 2) if fitting >= 0.5 else 0.5


@dataclass
class Rounds:
    """Running servers and the load for them. ``cores`` are the server's and the load's.

    ``bursts`` are the seconds of each kind's burst.
    """

    servers: dict[str, Running]
    generator: Generator
    cores: tuple[int, int]
    count: int
    bursts: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.generator.whole:
            self.bursts = {kind: max(1.0, math.floor(seconds)) for kind, seconds in self.bursts.items()}

    def measure(self, run: Run) -> None:
        """Fill ``run``, round by round; stops early, and says so, when the time is used up."""
        end = time.monotonic() + MEASURE_SECONDS
        for number in range(self.count):
            for kind, name in self._order(number):
                if time.monotonic() + self.bursts[kind] > end:
                    run.notes.append(f"stopped in round {number + 1} of {self.count}: no time left")
                    return
                if name in self.servers:
                    self._measure_one(run, name, kind, number)

    def _order(self, number: int) -> Iterator[tuple[str, str]]:
        """Each round starts with another server, so that none always follows the same one."""
        names = list(self.servers)
        turn = number % len(names) if names else 0
        for kind in self.bursts:
            for name in names[turn:] + names[:turn]:
                yield kind, name

    def _measure_one(self, run: Run, name: str, kind: str, number: int) -> None:
        try:
            run.samples.append(self._sample(name, kind, number))
            self.servers[name].check()
        except Missing as why:
            run.wrong[name] = f"{why}, in round {number + 1} under {kind}: no figures from here on"
            del self.servers[name]

    def _sample(self, name: str, kind: str, number: int) -> Sample:
        server = self.servers[name]
        pid = server.process.pid
        busy, used = busy_seconds(self.cores), cpu_seconds(pid)
        burst = self.generator.run(server.port, kind, self.bursts[kind])
        used, busy = cpu_seconds(pid) - used, busy_seconds(self.cores) - busy
        return Sample(name, kind, number, burst, used, busy - used - burst.load_cpu, held(pid).proportional)
