"""The load: what is sent, and the programs that send it."""

from __future__ import annotations

import re
import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.common import Missing, pinned

__all__ = ["CONNECTIONS", "PATIENCE", "Burst", "Generator"]

CONNECTIONS = 64
PATIENCE = 5
"""Seconds after which what has not been answered counts as an error."""

_LATENCIES = ("p50_us", "p99_us", "max_us")


@dataclass(frozen=True)
class Burst:
    """What one run of the generator saw: answers, seconds, its own CPU seconds, errors by their kind.

    ``latencies``: ``p50_us``, ``p99_us`` and ``max_us``, in microseconds.
    """

    requests: int
    seconds: float
    load_cpu: float
    errors: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Generator:
    """A load generator: ``command(port, kind, seconds)`` is what to run, on this core.

    ``whole`` says that it knows whole seconds only.
    """

    name: str
    command: Callable[[int, str, float], list[str]]
    core: int
    whole: bool = False

    def run(self, port: int, kind: str, seconds: float) -> Burst:
        """Load 127.0.0.1:``port`` for so long. Raises ``Missing`` when the generator fails."""
        command = self.command(port, kind, seconds)
        before = _children_cpu()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds + 15, check=False,
                preexec_fn=pinned(self.core),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"{self.name} did not end") from None
        return read_burst(self.name, done.stdout + done.stderr, _children_cpu() - before)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_burst(name: str, output: str, load_cpu: float) -> Burst:
    """The line that a generator prints at its end. Raises ``Missing`` without one."""
    line = re.search(r"^requests=.*$", output, re.MULTILINE)
    if not line:
        raise Missing(f"{name} failed: {' '.join(output.split())[-160:]}")
    counts = dict(pair.split("=") for pair in line[0].split())
    requests, seconds = int(counts.pop("requests")), float(counts.pop("seconds"))
    latencies = {what: float(counts.pop(what)) for what in _LATENCIES if what in counts}
    errors = {what: int(number) for what, number in counts.items() if int(number)}
    if not requests:
        errors["round without an answer"] = 1  # of which wrk says nothing
    return Burst(requests, seconds, load_cpu, errors, latencies)
