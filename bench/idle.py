"""What an idle connection costs: memory of the server, and of the kernel, by the number of connections.

    python bench/idle.py [--quick] [--peers portico,nginx] [--json FILE]

Every connection has been used once: a request answered and kept alive, or a message echoed, after which
the handler waits for the next. The clients are in this process, the servers in others. The slope is that
of the line closest to the points (least squares), in KiB a connection.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and http.py there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field

from bench.common import Missing, Wrong, end_on_sigterm, machine, table, two_cores
from bench.idle_clients import Clients
from bench.memory import Held, settled
from bench.peers.idle_servers import Parked, all_parked, make_certificate
from bench.peers.process import Running

TOTAL_SECONDS = 270
WARM = 64
PAUSE, QUICK_PAUSE = 0.2, 0.05  # seconds between two looks at memory
MEASURES = ("proportional", "resident", "kernel")
# Points on the line, as parts of the most connections.
FULL = (0.0, 0.2, 1.0)


@dataclass
class Row:
    """What was measured of one server: connections, and what was held with so many."""

    parked: Parked
    points: list[tuple[int, Held]] = field(default_factory=list)

    def slope(self, of: str) -> float | None:
        """KiB a connection, by least squares; nothing where it is not known."""
        xs = [float(count) for count, _ in self.points]
        ys: list[float] = [getattr(memory, of) for _, memory in self.points]
        if None in ys:
            return None
        x, y = sum(xs) / len(xs), sum(ys) / len(ys)
        return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)


@dataclass
class Found:
    """Everything a run found out."""

    pause: float
    rows: list[Row] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def measure(self, parked: Parked, counts: Sequence[int], folder: Path, core: int) -> None:
        try:
            with parked.peer.running(folder, core, warm_up=1) as server:
                self.rows.append(Row(parked, list(_points(server, counts, self.pause))))
        except Wrong as why:
            self.wrong[parked.name] = str(why)
        except Missing as why:
            self.missing[parked.name] = str(why)


def _points(server: Running, counts: Sequence[int], pause: float) -> Iterator[tuple[int, Held]]:
    """Memory with so many connections. Raises ``Wrong`` when one is not answered, or not kept."""
    with closing(Clients(server)) as clients:
        clients.open(WARM)
    with closing(Clients(server)) as clients:
        for count in counts:
            clients.open(count - len(clients))
            yield count, settled(server.process.pid, pause)
        clients.check()


def _counts(parked: Parked, limit: int) -> list[int]:
    most = min(parked.most, limit)
    return [round(part * most) for part in FULL]


def _descriptors() -> int:
    """As many as may be, here and in the servers; the connections that this allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - 200


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/idle.py", description="What an idle connection costs.")
    add = parser.add_argument
    add("--quick", action="store_true", help="at most 500 connections, 100 with TLS (Portico only)")
    add(
        "--most",
        type=int,
        metavar="N",
        help="at most so many connections (10000; threads, TLS and waitress: 2000)",
    )
    add("--peers", metavar="NAME,...", help="only servers whose names begin so")
    add("--plain", action="store_true", help="no TLS")
    add("--json", type=Path, metavar="FILE", help="write the figures here, too")
    chosen = parser.parse_args(arguments)
    if chosen.most is not None and chosen.most < 10:
        parser.error("--most is at least 10")
    return chosen


def _limit(chosen: argparse.Namespace, parked: Parked, descriptors: int) -> int:
    quick = (100 if parked.peer.tls else 500) if chosen.quick else parked.most
    return min(descriptors, chosen.most or quick)


def _measure_all(chosen: argparse.Namespace, found: Found, descriptors: int) -> None:
    wanted = tuple(chosen.peers.split(",")) if chosen.peers else ("",)
    end, (core, _) = time.monotonic() + TOTAL_SECONDS, two_cores()
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as name:
        for parked in _rows(Path(name), found):
            if not parked.peer.name.startswith(wanted) or (chosen.plain and parked.peer.tls):
                continue
            left_out = _left_out(chosen, parked, end)
            if left_out:
                found.missing[parked.name] = left_out
                continue
            counts = _counts(parked, _limit(chosen, parked, descriptors))
            found.measure(parked, counts, Path(name), core)


def _rows(folder: Path, found: Found) -> Iterator[Parked]:
    """All there are; without a certificate the plain ones."""
    try:
        certificate = make_certificate(folder)
    except Missing as why:
        found.missing["TLS"] = str(why)
        certificate = None
    return all_parked(certificate)


def _left_out(chosen: argparse.Namespace, parked: Parked, end: float) -> str:
    """Why this row is not measured in this run, if so."""
    if chosen.quick and parked.peer.tls and not parked.peer.name.startswith("portico"):
        return "not with --quick"
    return "no time left" if time.monotonic() > end else ""


HEAD = ("server", "connections", "Pss", "Rss", "kernel", "none", "a fifth", "all", "all: Rss")
GROUPS = {2: "KiB a connection", 5: "MiB of the server with (Pss)"}


def _as_text(found: Found, header: dict[str, str]) -> str:
    lines = ["Idle connections, each used once", *(f"  {name:<12} {value}" for name, value in header.items())]
    shown = []
    for what in dict.fromkeys(row.parked.what for row in found.rows):
        rows = [_cells(row) for row in found.rows if row.parked.what == what]
        shown += ["", what, table([HEAD, *rows], GROUPS, (8,))]
    notes = [
        "kernel: sockets of both ends with their buffers, and threads; of the whole machine, so rough",
        *(f"wrong: {name}: {why}" for name, why in found.wrong.items()),
        *(f"missing: {name}: {why}" for name, why in found.missing.items()),
    ]
    return "\n".join([*lines, *shown, "", *notes])


def _cells(row: Row) -> list[str]:
    peer, points = row.parked.peer, row.points
    slopes = ["-" if (slope := row.slope(of)) is None else f"{slope:.2f}" for of in MEASURES]
    sizes = [f"{memory.proportional / 1024:.1f}" for _, memory in points]
    last = f"{points[-1][1].resident / 1024:.1f}"
    return [f"{peer.name} ({peer.language})", f"{points[-1][0]:,}", *slopes, *sizes, last]


def _as_json(found: Found, header: dict[str, str]) -> dict[str, object]:
    rows = [
        {
            "server": row.parked.peer.name,
            "what": row.parked.what,
            "kib_a_connection": {of: row.slope(of) for of in MEASURES},
            "points": [{"connections": count, **asdict(memory)} for count, memory in row.points],
        }
        for row in found.rows
    ]
    return {"header": header, "rows": rows, "missing": found.missing, "wrong": found.wrong}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 after wrong answers."""
    chosen = _options(arguments)
    end_on_sigterm()
    header, found = machine(), Found(QUICK_PAUSE if chosen.quick else PAUSE)
    _measure_all(chosen, found, _descriptors())
    peers = [row.parked.peer for row in found.rows if row.parked.peer.version]
    header["versions"] = ", ".join(dict.fromkeys(f"{peer.package} {peer.version}" for peer in peers))
    print(_as_text(found, header))
    if chosen.json:
        chosen.json.write_text(json.dumps(_as_json(found, header), indent=1) + "\n", encoding="utf-8")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
