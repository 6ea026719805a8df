"""The figures of a run: single samples, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from bench.common import Spread, plain
from bench.load import Burst
from bench.peers.process import Peer

__all__ = ["LIMIT", "Run", "Sample", "as_json"]

LIMIT = "c-loop"


@dataclass(frozen=True)
class Sample:
    """One server under one kind of load in one round; CPU times in seconds.

    ``other_cpu`` is what everything else on the two cores used meanwhile: it disturbs. ``resident``: the
    server's memory after the burst, in KiB.
    """

    peer: str
    kind: str
    round: int
    burst: Burst
    server_cpu: float
    other_cpu: float
    resident: int = 0

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
    """Everything one run of a benchmark found out.

    ``most``: the rate of a kind that nobody can pass, where it can be reckoned; elsewhere the C loop's
    rate is what others are a share of.
    """

    kinds: Sequence[str]
    most: Mapping[str, float] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def all_of(self, peer: str, kind: str) -> list[Sample]:
        return [s for s in self.samples if (s.peer, s.kind) == (peer, kind)]

    def answered(self, peer: str, kind: str) -> list[Sample]:
        return [s for s in self.all_of(peer, kind) if s.burst.requests]

    def cpu(self, peer: str, kind: str) -> Spread | None:
        return Spread.of(s.cpu_us for s in self.answered(peer, kind))

    def rate(self, peer: str, kind: str) -> Spread | None:
        return Spread.of(s.rate for s in self.answered(peer, kind))

    def latency(self, peer: str, kind: str, which: str) -> Spread | None:
        """``p50_us``, ``p99_us`` or ``max_us``, in milliseconds."""
        known = (s.burst.latencies.get(which) for s in self.answered(peer, kind))
        return Spread.of(us / 1000 for us in known if us is not None)

    def resident(self, peer: str, kind: str) -> Spread | None:
        """MiB of the server and its children after a burst."""
        return Spread.of(s.resident / 1024 for s in self.answered(peer, kind))

    def share(self, peer: str, kind: str) -> Spread | None:
        """Of the most there can be, or of the rate of the C loop in the same round."""
        limit = {s.round: s.rate for s in self.answered(LIMIT, kind)}
        if kind in self.most:
            limit = {s.round: self.most[kind] for s in self.samples}
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

    @property
    def failed(self) -> bool:
        """Somebody answered wrongly, or not at all."""
        return bool(self.wrong) or any(sample.burst.errors for sample in self.samples)

    def disturbance(self) -> Spread | None:
        return Spread.of(s.disturbance for s in self.samples)


def as_json(run: Run, header: Mapping[str, str], peers: Iterable[Peer]) -> dict[str, object]:
    """The run for machines: medians with their spread, and every sample."""
    rows = [_row(run, peer, kind) for peer in peers for kind in run.kinds if peer.name not in run.missing]
    return {
        "header": dict(header),
        "rows": rows,
        "missing": run.missing,
        "wrong": run.wrong,
        "notes": run.notes,
        "samples": [asdict(sample) for sample in run.samples],
    }


def _row(run: Run, peer: Peer, kind: str) -> dict[str, object]:
    return {
        "server": peer.name,
        "language": peer.language,
        "version": peer.version,
        "kind": kind,
        "cpu_us": plain(run.cpu(peer.name, kind)),
        "share": plain(run.share(peer.name, kind)),
        "rate": plain(run.rate(peer.name, kind)),
        "p50_ms": plain(run.latency(peer.name, kind, "p50_us")),
        "p99_ms": plain(run.latency(peer.name, kind, "p99_us")),
        "resident_mib": plain(run.resident(peer.name, kind)),
        "load_was_the_limit": run.bounded_by_load(peer.name, kind),
        "errors": run.errors(peer.name, kind),
    }
