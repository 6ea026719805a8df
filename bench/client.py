"""HTTP clients side by side: small GETs one after the other and 64 at once, and a large download.

    python bench/client.py [--quick] [--rounds N] [--seconds S] [--only NAME,NAME] [--json FILE]

The server has one core, the client the other: a C loop that answers without looking, and nginx for the
download. Every client is a process of its own in every round; rounds are interleaved, each begins with
another client; shares are of the first client of a kind, in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and a module there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.clients.program import KINDS
from bench.common import Missing, Spread, end_on_sigterm, machine, pinned, plain, table, two_cores
from bench.peers.http_servers import FAST, PEERS
from bench.peers.process import Running
from bench.peers.static_servers import peers as static_peers
from bench.peers.static_servers import write_files

Figures = dict[str, dict[str, list[dict[str, float]]]]
"""By kind and client, one record a round: ``rate``, ``share``, ``cpu`` (µs), ``peak`` (MiB)."""

ROOT = Path(__file__).resolve().parent.parent
COMPILED = "portico compiled"
"""As its clients are called where ``make fast`` has compiled the hot modules."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where a client answered wrongly."""
    chosen = _options(arguments)
    end_on_sigterm()
    figures: Figures = {kind: defaultdict(list) for kind in KINDS}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = _servers(Path(folder), stack, failed)
        for number in range(chosen.rounds):
            for kind, url in servers.items():
                _round(kind, url, number, chosen, figures[kind], failed)
    _show(figures, failed)
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"machine": machine(), "figures": _plain(figures)}, indent=1) + "\n"
        )
    return 1 if any("wrong" in why for why in failed.values()) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/client.py", description="HTTP clients, side by side.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each client in each round")
    parser.add_argument("--quick", action="store_true", help="one round of half a second")
    parser.add_argument("--only", default="", help="clients, with commas between")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, 0.5
    return chosen


def _servers(folder: Path, stack: ExitStack, failed: dict[str, str]) -> dict[str, str]:
    """The URL to ask for each kind."""
    core, _ = two_cores()
    loop: Running = stack.enter_context(PEERS["c-loop"].running(folder, core))
    small = f"http://127.0.0.1:{loop.port}/"
    urls = {kind: small for kind in KINDS if kind != "100 MiB"}
    try:
        write_files(folder)
        nginx: Running = stack.enter_context(static_peers()["nginx"].running(folder, core))
        urls["100 MiB"] = f"http://127.0.0.1:{nginx.port}/files/{100 << 20}.bin"
    except Missing as why:
        failed["nginx"] = f"{why}: no downloads"
    return urls


def _round(
    kind: str, url: str, number: int, chosen: argparse.Namespace, figures: dict[str, list[dict[str, float]]],
    failed: dict[str, str],
) -> None:  # fmt: skip
    names = [name for name in _names(kind) if not chosen.only or name in chosen.only.split(",")]
    turn = number % len(names)
    found = {}
    for name in names[turn:] + names[:turn]:
        if f"{name} ({kind})" not in failed:
            measured = _measure(name, kind, url, chosen.seconds, failed)
            if measured is not None:
                found[name] = measured
    limit = found.get(names[0])
    for name, measured in found.items():
        share = measured["rate"] / limit["rate"] if limit else 0.0
        figures[name].append({**measured, "share": share})


def _names(kind: str) -> list[str]:
    """The clients of a kind; of ours, also what `make fast` builds of the same source."""
    return [
        each
        for name in KINDS[kind]
        for each in ([name, name.replace("portico", COMPILED)] if name.startswith("portico") else [name])
    ]


def _measure(
    name: str, kind: str, url: str, seconds: float, failed: dict[str, str]
) -> dict[str, float] | None:
    environment = dict(os.environ)
    if name.startswith(COMPILED):
        if not FAST.is_dir():
            failed[f"{name} ({kind})"] = "not built (make fast)"
            return None
        environment["PYTHONPATH"] = str(FAST)
    client = name.replace(COMPILED, "portico")
    command = [sys.executable, "-m", "bench.clients.program", client, kind, url, str(seconds)]
    _, core = two_cores()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False, env=environment,
        preexec_fn=pinned(core),
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        failed[f"{name} ({kind})"] = lines[-1][:160] if lines else f"status {done.returncode}"
        return None
    told = json.loads(done.stdout)
    count = max(told["count"], 1)
    return {"rate": count / told["seconds"], "cpu": told["cpu"] / count * 1e6, "peak": told["peak"] / 1024}


def _show(figures: Figures, failed: dict[str, str]) -> None:
    print("HTTP clients")
    for name, value in machine().items():
        print(f"  {name:<12} {value}")
    for kind, clients in figures.items():
        rows = [["client", "µs", f"share of {next(iter(KINDS[kind]))}", "a second", "MiB"]]
        rows += [[name, *_cells(clients[name])] for name in _names(kind) if name in clients]
        if len(rows) > 1:
            print(f"\n{kind}\n{table(rows, {1: 'CPU each'}, (2,))}")
    for name, why in failed.items():
        print(f"\n{name}: {why}")


def _cells(records: list[dict[str, float]]) -> list[str]:
    cpu, share, rate, peak = (_spread(records, name) for name in ("cpu", "share", "rate", "peak"))
    figures = f"{share.median:.2f} ({share.lowest:.2f}–{share.highest:.2f})"
    return [f"{cpu.median:,.1f}", figures, f"{rate.median:,.1f}", f"{peak.median:.0f}"]


def _spread(records: list[dict[str, float]], name: str) -> Spread:
    spread = Spread.of(record[name] for record in records)
    assert spread is not None
    return spread


def _plain(figures: Figures) -> object:
    names = ("rate", "share", "cpu", "peak")
    return {
        kind: {
            client: {name: plain(_spread(records, name)) for name in names}
            for client, records in clients.items()
        }
        for kind, clients in figures.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
