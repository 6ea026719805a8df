"""The figures of a run for people: plain aligned text, CPU time first, being the steadiest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.common import table
from bench.load import CONNECTIONS
from bench.peers.process import Peer
from bench.results import LIMIT, Run

__all__ = ["CPU", "MEMORY", "P50", "P99", "RATE", "SHARE_OF_C", "SHARE_OF_MOST", "View", "as_text"]


@dataclass(frozen=True)
class View:
    """A group of columns, one for each kind of load: ``cell(run, peer, kind)``."""

    title: str
    cell: Callable[[Run, str, str], str]


def as_text(
    title: str, run: Run, header: Mapping[str, str], peers: Sequence[Peer], tables: Sequence[Sequence[View]]
) -> str:
    """Header, one table after the other, and notes."""
    lines = [
        f"{title}, {CONNECTIONS} connections",
        *(f"  {name:<12} {value}" for name, value in header.items()),
    ]
    measured = [peer for peer in peers if any(run.all_of(peer.name, kind) for kind in run.kinds)]
    shown = (_table(run, measured, views) for views in tables)
    return "\n".join([*lines, "", *(text + "\n" for text in shown), *_notes(run)])


def _table(run: Run, peers: Sequence[Peer], views: Sequence[View]) -> str:
    width = len(run.kinds)
    rows = [["server", *list(run.kinds) * len(views), "errors"]]
    for peer in peers:
        cells = [view.cell(run, peer.name, kind) for view in views for kind in run.kinds]
        errors = sum(sum(run.errors(peer.name, kind).values()) for kind in run.kinds)
        rows.append([f"{peer.name} ({peer.language})", *cells, str(errors)])
    groups = {1 + number * width: view.title for number, view in enumerate(views)}
    return table(rows, groups, (1 + len(views) * width,))


def _cpu(run: Run, peer: str, kind: str) -> str:
    cpu = run.cpu(peer, kind)
    return f"{cpu.median:.1f}" if cpu else "-"


def _share(run: Run, peer: str, kind: str) -> str:
    share = run.share(peer, kind)
    return f"{share.median:.2f} ({share.lowest:.2f}–{share.highest:.2f})" if share else "-"


def _rate(run: Run, peer: str, kind: str) -> str:
    rate = run.rate(peer, kind)
    # A star or a space, so that the digits stay in line.
    return f"{rate.median:,.0f}{'*' if run.bounded_by_load(peer, kind) else ' '}" if rate else "- "


def _latency(which: str) -> Callable[[Run, str, str], str]:
    def cell(run: Run, peer: str, kind: str) -> str:
        latency = run.latency(peer, kind, which)
        return f"{latency.median:.2f}" if latency else "-"

    return cell


def _memory(run: Run, peer: str, kind: str) -> str:
    resident = run.resident(peer, kind)
    return f"{resident.median:.1f}" if resident else "-"


CPU = View("CPU µs each", _cpu)
SHARE_OF_C = View("share of C (lowest–highest)", _share)
SHARE_OF_MOST = View("share of what the threads can give (lowest–highest)", _share)
RATE = View("a second", _rate)
P50 = View("p50, ms", _latency("p50_us"))
P99 = View("p99, ms", _latency("p99_us"))
MEMORY = View("MiB under load", _memory)


def _notes(run: Run) -> Iterator[str]:
    names = list(dict.fromkeys(s.peer for s in run.samples))
    if any(run.bounded_by_load(name, kind) for name in names for kind in run.kinds):
        yield "* the load generator was at its end before the server: the true rate is higher"
        if any(run.bounded_by_load(LIMIT, kind) for kind in run.kinds):
            yield "  (and where this is the C loop, the shares of all others are too high: try --load own)"
    if disturbed := run.disturbance():
        yield (
            f"other work on the two cores meanwhile: {disturbed.median:.0%} of one core (median),"
            f" {disturbed.highest:.0%} at worst"
        )
    for name in names:
        for kind in run.kinds:
            if errors := run.errors(name, kind):
                yield f"errors: {name}, {kind}: " + ", ".join(f"{n} {what}" for what, n in errors.items())
    if LIMIT in run.missing:
        yield "no shares: the C loop is missing"
    yield from run.notes
    yield from (f"wrong: {name}: {why}" for name, why in run.wrong.items())
    yield from (f"missing: {name}: {why}" for name, why in run.missing.items())
