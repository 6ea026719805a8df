"""HTTP servers side by side on one tiny application: CPU time a request, share of a C loop, rate.

    python bench/http.py [--quick] [--peers portico,granian] [--engine SPEC] [--json FILE]

Server and load have a core each. Rounds are interleaved, so that a slow moment of the machine meets
every server alike; shares are taken within a round, and shown with their lowest and highest.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and this module would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench.common import Missing, busy_seconds, cpu_seconds, end_on_sigterm, machine, two_cores
from bench.load import KINDS, Generator, find_generator
from bench.peers import PEERS, Peer, Running, portico
from bench.results import LIMIT, Run, Sample, as_json
from bench.results.text import as_text

MEASURE_SECONDS = 260  # with starts and stops, a run ends within five minutes, come what may
BURST_OVERHEAD = 0.2


@dataclass
class Bench:
    """Running servers and the load for them. ``cores`` are the server's and the load's."""

    servers: dict[str, Running]
    generator: Generator
    cores: tuple[int, int]
    rounds: int
    seconds: int

    def measure(self, run: Run) -> None:
        """Fill ``run``, round by round; stops early, and says so, when the time is used up."""
        end = time.monotonic() + MEASURE_SECONDS
        for number in range(self.rounds):
            for kind, name in _order(list(self.servers), number):
                if time.monotonic() + self.seconds > end:
                    run.notes.append(f"stopped in round {number + 1} of {self.rounds}: no time left")
                    return
                if name in self.servers:
                    self._measure_one(run, name, kind, number)

    def _measure_one(self, run: Run, name: str, kind: str, number: int) -> None:
        try:
            run.samples.append(self._sample(name, kind, number))
        except Missing as why:
            run.notes.append(f"{name}: {why}, in round {number + 1} under {kind}: no figures from here on")
            del self.servers[name]

    def _sample(self, name: str, kind: str, number: int) -> Sample:
        server = self.servers[name]
        pid = server.process.pid
        busy, used = busy_seconds(self.cores), cpu_seconds(pid)
        burst = self.generator.run(server.port, kind, self.seconds)
        used, busy = cpu_seconds(pid) - used, busy_seconds(self.cores) - busy
        server.check()
        return Sample(name, kind, number, burst, used, busy - used - burst.load_cpu)


def _order(names: list[str], number: int) -> Iterator[tuple[str, str]]:
    """Each round starts with another server, so that none always follows the same one."""
    turn = number % len(names) if names else 0
    for kind in KINDS:
        for name in names[turn:] + names[:turn]:
            yield kind, name


def start_all(peers: list[Peer], run: Run, stack: ExitStack, folder: Path, core: int) -> dict[str, Running]:
    """Start every peer that can be; the others are written down as missing, with the reason."""
    servers = {}
    for peer in peers:
        try:
            servers[peer.name] = stack.enter_context(peer.running(folder, core))
        except Missing as why:
            run.missing[peer.name] = str(why)
    return servers


def seconds_for(peers: int, rounds: int) -> int:
    """Whole seconds a burst may take (wrk knows no fractions): two, or one where two take too long."""
    return 2 if peers * rounds * len(KINDS) * (2 + BURST_OVERHEAD) < MEASURE_SECONDS else 1


def chosen_peers(names: str | None, engines: list[str]) -> list[Peer]:
    """The peers to measure, in the order of the registry; ``--engine`` replaces Portico's one row."""
    wanted = {LIMIT, *(names.split(",") if names else PEERS)}
    if unknown := wanted - PEERS.keys():
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    picked = [peer for name, peer in PEERS.items() if name in wanted]
    if not engines:
        return picked
    rows = [portico(engine) for engine in dict.fromkeys(engines)]
    return [row for peer in picked for row in (rows if peer.name == "portico" else [peer])]


def options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/http.py", description="HTTP servers side by side.")
    add = parser.add_argument
    add("--quick", action="store_true", help="two rounds of a second each")
    add("--rounds", type=int, help="interleaved rounds (5)")
    add("--seconds", type=int, help="length of a burst, whole seconds (2, or 1 with many peers)")
    add("--peers", metavar="NAME,...", help=f"only these of {','.join(PEERS)}; {LIMIT} is always there")
    add("--engine", action="append", default=[], help="an engine for Portico; may be repeated")
    add("--load", choices=["auto", "wrk", "own"], default="auto", help="load generator (auto: wrk first)")
    add("--json", type=Path, metavar="FILE", help="write the figures here, too")
    chosen = parser.parse_args(arguments)
    if any(value is not None and value < 1 for value in (chosen.rounds, chosen.seconds)):
        parser.error("--rounds and --seconds are at least 1")
    return chosen


def run_header(bench: Bench, peers: list[Peer]) -> dict[str, str]:
    """How it was measured, beside ``machine()``."""
    server, load = bench.cores
    pinned = f"server on core {server}, load on core {load}"
    if server == load:
        pinned = "server and load SHARE the only core: rates mean little, look at the CPU time"
    started = [peer for peer in peers if peer.version and peer.name in bench.servers]
    return {
        "pinned": pinned,
        "load": f"{bench.generator.name}, one thread",
        "rounds": f"{bench.rounds}, interleaved, {bench.seconds} s a burst; medians",
        "versions": ", ".join(f"{peer.name} {peer.version}" for peer in started),
    }


def measure_all(chosen: argparse.Namespace, peers: list[Peer], run: Run) -> dict[str, str]:
    """Start, measure, stop. Returns the header. Raises ``Missing`` when nothing can make load."""
    header, cores = machine(), two_cores()
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as name, ExitStack() as stack:
        generator = find_generator(chosen.load, Path(name), cores[1])
        servers = start_all(peers, run, stack, Path(name), cores[0])
        rounds = chosen.rounds or (2 if chosen.quick else 5)
        seconds = chosen.seconds or (1 if chosen.quick else seconds_for(len(servers), rounds))
        bench = Bench(servers, generator, cores, rounds, seconds)
        header |= run_header(bench, peers)
        bench.measure(run)
    return header


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 2 where there is nothing to load servers with."""
    chosen = options(arguments)
    end_on_sigterm()
    peers, run = chosen_peers(chosen.peers, chosen.engine), Run()
    try:
        header = measure_all(chosen, peers, run)
    except Missing as why:
        print(why, file=sys.stderr)
        return 2
    print(as_text(run, header, peers))
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(run, header, peers), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
