"""The figures of a run: single samples, and what is made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from bench.common import Spread, plain
from bench.load import KINDS, Burst
from bench.peers import Peer

__all__ = ["LIMIT", "Run", "Sample", "as_json"]

LIMIT = "c-loop"


@dataclass(frozen=True)
class Sample:
    """One server under one kind of request in one round; CPU times in seconds.

    ``other_cpu`` is what everything else on the two cores used meanwhile: it disturbs.
    """

    peer: str
    kind: str
    round: int
    burst: Burst
    server_cpu: float
    other_cpu: float

    @property
    def rate(self) -> float:
        return self.burst.requests / self.burst.seconds

    @property
    def cpu_us(self) -> float:
        return self.server_cpu / self.burst.requests * 1e6

    @property
    def load_was_the_limit(self) -> bool:
        """The generator had hardly any time left while the server had: its true rate is higher."""
        load, server = self.burst.load_cpu, self.server_cpu
        return load > 0.9 * self.burst.seconds and load > server

    @property
    def disturbance(self) -> float:
        """Other work, as a share of one core."""
        return max(0.0, self.other_cpu / self.burst.seconds)


@dataclass
class Run:
    """Everything one run of the benchmark found out."""

    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def all_of(self, peer: str, kind: str) -> list[Sample]:
        return [s for s in self.samples if (s.peer, s.kind) == (peer, kind)]

    def answered(self, peer: str, kind: str) -> list[Sample]:
        return [s for s in self.all_of(peer, kind) if s.burst.requests]

    def cpu(self, peer: str, kind: str) -> Spread | None:
        return Spread.of(s.cpu_us for s in self.answered(peer, kind))

    def rate(self, peer: str, kind: str) -> Spread | None:
        return Spread.of(s.rate for s in self.answered(peer, kind))

    def share(self, peer: str, kind: str) -> Spread | None:
        """Of the rate of the C loop in the same round."""
        limit = {s.round: s.rate for s in self.answered(LIMIT, kind)}
        return Spread.of(s.rate / limit[s.round] for s in self.answered(peer, kind) if s.round in limit)

    def bounded_by_load(self, peer: str, kind: str) -> bool:
        samples = self.answered(peer, kind)
        return 2 * sum(s.load_was_the_limit for s in samples) > len(samples)

    def errors(self, peer: str, kind: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for sample in self.all_of(peer, kind):
            for what, number in sample.burst.errors.items():
                total[what] = total.get(what, 0) + number
        return total

    def disturbance(self) -> Spread | None:
        return Spread.of(s.disturbance for s in self.samples)


def as_json(run: Run, header: dict[str, str], peers: list[Peer]) -> dict[str, object]:
    """The run for machines: medians with their spread, and every sample."""
    rows = [_row(run, peer, kind) for peer in peers for kind in KINDS if peer.name not in run.missing]
    samples = [asdict(sample) for sample in run.samples]
    return {"header": header, "rows": rows, "missing": run.missing, "notes": run.notes, "samples": samples}


def _row(run: Run, peer: Peer, kind: str) -> dict[str, object]:
    return {
        "server": peer.name,
        "language": peer.language,
        "version": peer.version,
        "request": kind,
        "cpu_us": plain(run.cpu(peer.name, kind)),
        "share_of_c": plain(run.share(peer.name, kind)),
        "rate": plain(run.rate(peer.name, kind)),
        "load_was_the_limit": run.bounded_by_load(peer.name, kind),
        "errors": run.errors(peer.name, kind),
    }
