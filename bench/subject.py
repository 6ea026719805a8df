"""What a benchmark measures, and its command line: the same options for all that measure in rounds."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.common import Missing, end_on_sigterm, machine, two_cores
from bench.load import Generator
from bench.peers.process import Peer
from bench.results import LIMIT, Run, as_json
from bench.results.text import View, as_text
from bench.rounds import Rounds, seconds_for, start_all

__all__ = ["Subject", "main"]


@dataclass(frozen=True)
class Subject:
    """A benchmark in rounds.

    ``kinds`` are the kinds of load, each with the length of its burst in ``seconds``. ``portico(engine)``
    makes a row of an engine. ``load(choice, folder, core)`` finds the generator; ``choices`` are those of
    ``--load``. ``most``: see ``Run``. ``tables`` are the figures to show.
    """

    program: str
    title: str
    kinds: Mapping[str, float]
    peers: Mapping[str, Peer]
    portico: Callable[[str], Peer]
    load: Callable[[str, Path, int], Generator]
    tables: Sequence[Sequence[View]]
    choices: Sequence[str] = ("own",)
    most: Mapping[str, float] | None = None
    rounds: int = 5
    seconds: float = 2.0
    notes: Sequence[str] = ()


QUICK_ROUNDS, QUICK_SECONDS = 1, 0.5


def main(subject: Subject, arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 after wrong answers, 2 where nothing can make load."""
    chosen = _options(subject, arguments)
    end_on_sigterm()
    run = Run(tuple(subject.kinds), subject.most or {}, notes=list(subject.notes))
    peers = _chosen_peers(subject, chosen.peers, chosen.engine)
    try:
        header = _measure_all(subject, chosen, peers, run)
    except Missing as why:
        print(why, file=sys.stderr)
        return 2
    print(as_text(subject.title, run, header, peers, subject.tables))
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(run, header, peers), indent=1) + "\n", encoding="utf-8")
    return 1 if run.failed else 0


def _options(subject: Subject, arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=subject.program, description=f"{subject.title}, side by side.")
    add = parser.add_argument
    add("--quick", action="store_true", help="one round of short bursts: a first look within half a minute")
    add("--rounds", type=int, help=f"interleaved rounds ({subject.rounds})")
    add("--seconds", type=float, help="length of a burst (what fits; whole seconds with wrk)")
    add("--peers", metavar="NAME,...", help=f"only these of {','.join(subject.peers)}")
    add("--engine", action="append", default=[], help="an engine for Portico; may be repeated")
    add("--load", choices=subject.choices, default=subject.choices[0], help="load generator")
    add("--json", type=Path, metavar="FILE", help="write the figures here, too")
    chosen = parser.parse_args(arguments)
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds is at least 1")
    if chosen.seconds is not None and not 0.1 <= chosen.seconds <= 60:
        parser.error("--seconds is from 0.1 to 60")
    return chosen


def _chosen_peers(subject: Subject, names: str | None, engines: list[str]) -> list[Peer]:
    """In the order of the registry; the C loop is always there; ``--engine`` replaces Portico's rows."""
    wanted = set(names.split(",")) if names else set(subject.peers)
    if unknown := wanted - subject.peers.keys():
        known = ", ".join(subject.peers)
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; there are {known}")
    picked = [peer for name, peer in subject.peers.items() if name in wanted or name == LIMIT]
    if not engines:
        return picked
    others = [peer for peer in picked if not peer.name.startswith("portico")]
    rows = [subject.portico(engine) for engine in dict.fromkeys(engines)]
    limit = [peer for peer in others if peer.name == LIMIT]
    return [*limit, *rows, *(peer for peer in others if peer not in limit)]


def _measure_all(subject: Subject, chosen: argparse.Namespace, peers: list[Peer], run: Run) -> dict[str, str]:
    """Start, measure, stop. Returns the header. Raises ``Missing`` when nothing can make load."""
    header, cores = machine(), two_cores()
    # A first look is short: wrk knows whole seconds only.
    choice = "own" if chosen.quick and chosen.load == "auto" else chosen.load
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as name, ExitStack() as stack:
        generator = subject.load(choice, Path(name), cores[1])
        servers = start_all(peers, run, stack, Path(name), cores[0])
        count = chosen.rounds or (QUICK_ROUNDS if chosen.quick else subject.rounds)
        lengths = subject.kinds.values()
        seconds = chosen.seconds or (
            QUICK_SECONDS if chosen.quick else seconds_for(subject.seconds, len(servers) * count, lengths)
        )
        bursts = {kind: length * seconds for kind, length in subject.kinds.items()}
        rounds = Rounds(servers, generator, cores, count, bursts)
        header |= _how(rounds, peers)
        rounds.measure(run)
    return header


def _how(rounds: Rounds, peers: list[Peer]) -> dict[str, str]:
    """How it was measured, beside ``machine()``."""
    server, load = rounds.cores
    pinned = f"server on core {server}, load on core {load}"
    if server == load:
        pinned = "server and load SHARE the only core: rates mean little, look at the CPU time"
    started = [peer for peer in peers if peer.version and peer.name in rounds.servers]
    lengths = " to ".join(dict.fromkeys(f"{s:g}" for s in sorted({*rounds.bursts.values()})))
    return {
        "pinned": pinned,
        "load": f"{rounds.generator.name}, one thread; each connection waits for its answer (closed loop)",
        "rounds": f"{rounds.count}, interleaved, {lengths} s a burst; medians",
        "versions": ", ".join(dict.fromkeys(f"{peer.package} {peer.version}" for peer in started)),
    }
