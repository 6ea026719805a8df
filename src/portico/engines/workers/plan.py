"""What a process engine was asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path

from portico.engines.contract import Engine
from portico.errors import ConfigError

__all__ = ["MOST", "Plan", "inner_engine", "make_plan", "processors"]

MOST = 256
"""More workers than that are a slip of the pen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a process engine was asked for. ``max_memory``: bytes; ``max_age``: seconds."""

    workers: int
    inner: str
    forks: int | None = None
    max_requests: int | None = None
    max_memory: int | None = None
    max_age: float | None = None

    @property
    def watched(self) -> bool:
        """Whether somebody has to look at clocks and sizes."""
        return self.max_memory is not None or self.max_age is not None


def make_plan(
    workers: int,
    inner: str,
    forks: int | None,
    max_requests: int | None,
    max_memory: int | None,
    max_age: float | None,
) -> Plan:
    """A plan whose bounds can be kept. Raises ``ConfigError``."""
    bounds = {"max_requests": max_requests, "max_memory": max_memory, "max_age": max_age}
    for name, value in bounds.items():
        if value is not None and not 0 < value < inf:
            raise ConfigError(f"{name}={value!r}: expected a number above zero")
    if max_memory is not None and not Path("/proc/self/statm").exists():
        raise ConfigError("max_memory: this system does not tell how much memory a process has")
    return Plan(
        workers=workers,
        inner=inner,
        forks=forks,
        max_requests=max_requests,
        max_memory=max_memory,
        max_age=max_age,
    )


def inner_engine(inner: str) -> Engine:
    """What stands in a worker. Raises ``ConfigError`` where that cannot be."""
    from portico.engines import make_engine

    engine = make_engine(inner)
    if engine.processes:
        raise ConfigError(f"workers have no processes of their own inside: {inner} cannot stand there")
    return engine


def processors() -> int:
    """How many we may use."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST)
    return min(os.cpu_count() or 1, MOST)
