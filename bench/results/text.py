"""The figures of a run for people: plain aligned text, CPU time first, being the steadiest."""

from __future__ import annotations

from collections.abc import Iterator

from bench.common import table
from bench.load import CONNECTIONS, KINDS
from bench.peers import Peer
from bench.results import LIMIT, Run

__all__ = ["as_text"]

GROUPS = {1: "CPU µs a request", 4: "share of C (lowest–highest)", 7: "requests a second"}
ERRORS = 10


def as_text(run: Run, header: dict[str, str], peers: list[Peer]) -> str:
    """Header, table and notes."""
    title = f"Tiny WSGI application, {CONNECTIONS} keep-alive connections, one worker on one core"
    lines = [title, *(f"  {name:<12} {value}" for name, value in header.items()), ""]
    measured = [peer for peer in peers if any(run.all_of(peer.name, kind) for kind in KINDS)]
    rows = [["server", *list(KINDS) * len(GROUPS), "errors"], *(_row(run, peer) for peer in measured)]
    return "\n".join([*lines, table(rows, GROUPS, (ERRORS,)), "", *_notes(run)])


def _row(run: Run, peer: Peer) -> list[str]:
    cells = [cell(run, peer.name, kind) for cell in (_cpu, _share, _rate) for kind in KINDS]
    errors = sum(sum(run.errors(peer.name, kind).values()) for kind in KINDS)
    return [f"{peer.name} ({peer.language})", *cells, str(errors)]


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


def _notes(run: Run) -> Iterator[str]:
    names = list(dict.fromkeys(s.peer for s in run.samples))
    if any(run.bounded_by_load(name, kind) for name in names for kind in KINDS):
        yield "* the load generator was at its end before the server: the true rate is higher"
        if any(run.bounded_by_load(LIMIT, kind) for kind in KINDS):
            yield "  (and where this is the C loop, the shares of all others are too high: try --load own)"
    if disturbed := run.disturbance():
        yield (
            f"other work on the two cores meanwhile: {disturbed.median:.0%} of one core (median),"
            f" {disturbed.highest:.0%} at worst"
        )
    for name in names:
        for kind in KINDS:
            if errors := run.errors(name, kind):
                yield f"errors: {name}, {kind}: " + ", ".join(f"{n} {what}" for what, n in errors.items())
    if LIMIT in run.missing:
        yield "no shares: the C loop is missing"
    yield from run.notes
    for name, why in run.missing.items():
        yield f"missing: {name}: {why}"
