"""CSV, JSON, XML and HTML from a file to Python objects, side by side, and the memory they take.

    python bench/data.py [--quick] [--rounds N] [--megabytes M] [--only FORMAT,FORMAT] [--large] [--json FILE]

Documents are made here, the same in every run. Every reader is a process of its own in every round, on one
core, and has read a small document before, so that imports do not count; rounds are interleaved, each begins
with another reader. Times are of its processor; ratios are speeds in that of the first reader of a kind, in
the same round; ``MiB`` is the most that the process held. Readers of a kind must find the same.

At the end those whose memory is not to grow read twice as much, and 1 GB with ``--large``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and a module there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.common import Missing, Spread, Wrong, end_on_sigterm, machine, pinned, plain, table, two_cores
from bench.readers import Kind

ROOT = Path(__file__).resolve().parent.parent
FORMATS = ("csv", "json", "xml", "html")
FIGURES = ("seconds", "ratio", "peak")
PATIENCE = 900


def kinds_of(name: str) -> dict[str, Kind]:
    """The kinds of readers of a format."""
    kinds: dict[str, Kind] = import_module(f"bench.readers.{name}_readers").KINDS
    return kinds


class Runs:
    """What has been measured, and what could not be."""

    def __init__(self, formats: tuple[str, ...], megabytes: float) -> None:
        self.kinds = {(name, kind): each for name in formats for kind, each in kinds_of(name).items()}
        self.megabytes = megabytes
        self.figures: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        """By kind and reader, one record a round: ``seconds`` (CPU), ``ratio``, ``peak`` (MiB)."""
        self.missing: dict[str, str] = {}
        self.wrong: dict[str, str] = {}
        self.flat: dict[str, dict[float, float]] = defaultdict(dict)

    def round(self, number: int, folder: Path) -> None:
        """Every reader of every kind once."""
        for (name, kind), each in self.kinds.items():
            size = min(self.megabytes, each.most)
            path = _document(folder, name, kind, each, size)
            readers = [reader for reader in each.readers if f"{kind}: {reader}" not in self.failed]
            turn = number % len(readers) if readers else 0
            found = {}
            for reader in readers[turn:] + readers[:turn]:
                try:
                    found[reader] = measured(name, kind, reader, path)
                except Wrong as why:
                    self.wrong[f"{kind}: {reader}"] = str(why)
                except Missing as why:
                    self.missing[f"{kind}: {reader}"] = str(why)
            self._note((name, kind), [reader for reader in each.readers if reader in found], found)

    def _note(self, kind: tuple[str, str], readers: list[str], found: dict[str, dict[str, Any]]) -> None:
        if not readers:
            return
        first = found[readers[0]]
        for reader in readers:
            told = found[reader]
            if told["found"] != first["found"]:
                self.wrong[f"{kind[1]}: {reader}"] = (
                    f"found {told['found']}, where {readers[0]} found {first['found']}"
                )
                continue
            record = {
                "seconds": told["seconds"],
                "ratio": first["seconds"] / told["seconds"],
                "peak": told["peak"],
            }
            self.figures[kind][reader].append(record)

    def grow(self, folder: Path, sizes: list[float]) -> None:
        """The memory of those in which it is not to grow, for larger documents."""
        for (name, kind), each in self.kinds.items():
            if not each.flat or not self.figures[name, kind][each.flat]:
                continue
            peaks = self.flat[f"{kind}: {each.flat}"]
            peaks[self.megabytes] = _spread(self.figures[name, kind][each.flat], "peak").highest
            for size in sizes:
                path = _document(folder, name, kind, each, size)
                peaks[size] = measured(name, kind, each.flat, path)["peak"]
                path.unlink()

    @property
    def failed(self) -> dict[str, str]:
        return {**self.missing, **self.wrong}

    def tables(self) -> Iterator[str]:
        """What there is to show, in parts."""
        for (name, kind), readers in self.figures.items():
            if rows := [
                [each, *_cells(readers[each])] for each in self.kinds[name, kind].readers if readers[each]
            ]:
                head = [kind, "seconds", f"speed, in that of {rows[0][0]}", "MiB"]
                yield table([head, *rows], {}, (1, 2, 3))
        if self.flat:
            yield "Memory of what is larger:\n" + "\n".join(
                f"{what}: " + ", ".join(f"{peak:.0f} MiB for {size:g} MB" for size, peak in peaks.items())
                for what, peaks in self.flat.items()
            )
        for title, named in (("missing", self.missing), ("wrong", self.wrong)):
            for what, why in named.items():
                yield f"{title}: {what}: {why}"

    def plain(self) -> object:
        """The same for JSON."""
        return {
            "machine": machine(),
            "megabytes": self.megabytes,
            "figures": {
                kind: {
                    reader: {each: plain(_spread(records, each)) for each in FIGURES}
                    for reader, records in readers.items()
                    if records
                }
                for (_, kind), readers in self.figures.items()
            },
            "larger": self.flat,
            "missing": self.missing,
            "wrong": self.wrong,
        }


def _document(folder: Path, name: str, kind: str, each: Kind, megabytes: float) -> Path:
    """The document of that size, and a small one beside it; kinds that write alike share them."""
    writer = each.write.__name__.strip("_")
    path = folder / f"{writer}-{megabytes:g}.{name}"
    if not path.exists():
        each.write(path, megabytes)
        each.write(folder / f"{writer}.{name}", 0)
    return path


def _small(path: Path) -> Path:
    return path.with_name(f"{path.stem.partition('-')[0]}{path.suffix}")


def measured(name: str, kind: str, reader: str, path: Path) -> dict[str, Any]:
    """A reader in a process of its own: ``found``, ``seconds``, ``peak``. Raises ``Missing``, ``Wrong``."""
    command = [sys.executable, "-m", "bench.data", "--one", name, kind, reader, str(path)]
    _, core = two_cores()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=ROOT,
        check=False,
        preexec_fn=pinned(core),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        why = lines[-1][:160] if lines else f"status {done.returncode}"
        raise (Missing if why.startswith("ModuleNotFoundError") else Wrong)(why)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def one(name: str, kind: str, reader: str, path: Path) -> int:
    """What a reader takes, on standard output."""
    read = kinds_of(name)[kind].readers[reader]
    read(str(_small(path)))
    began = time.process_time()
    found = read(str(path))
    seconds = time.process_time() - began
    # Not getrusage: its peak is that of the parent, where that was larger when it forked.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"found": found, "seconds": seconds, "peak": peak}))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where a reader failed, or found what others did not."""
    chosen = _options(arguments)
    if chosen.one:
        name, kind, reader, path = chosen.one
        return one(name, kind, reader, Path(path))
    end_on_sigterm()
    runs = Runs(chosen.only, chosen.megabytes)
    print(f"Documents of {chosen.megabytes:g} MB to Python objects")
    for name, value in machine().items():
        print(f"  {name:<12} {value}")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(chosen.rounds):
            runs.round(number, Path(folder))
        runs.grow(Path(folder), [chosen.megabytes * 2, *([1000.0] if chosen.large else [])])
    for part in runs.tables():
        print(f"\n{part}")
    if chosen.json:
        chosen.json.write_text(json.dumps(runs.plain(), indent=1) + "\n", encoding="utf-8")
    return 1 if runs.wrong else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/data.py", description="Documents to Python objects.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=30.0, help="size of each document")
    parser.add_argument("--quick", action="store_true", help="one round, 5 MB")
    parser.add_argument("--large", action="store_true", help="the memory for 1 GB, too")
    parser.add_argument(
        "--only", type=_formats, default=FORMATS, metavar="FORMAT,FORMAT", help=", ".join(FORMATS)
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.megabytes = 1, min(chosen.megabytes, 5.0)
    return chosen


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(FORMATS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: none of {', '.join(FORMATS)}")
    return names


def _cells(records: list[dict[str, float]]) -> list[str]:
    seconds, ratio, peak = (_spread(records, name) for name in FIGURES)
    return [
        f"{seconds.median:.3f}",
        f"{ratio.median:.2f} ({ratio.lowest:.2f}–{ratio.highest:.2f})",
        f"{peak.median:.0f}",
    ]


def _spread(records: list[dict[str, float]], name: str) -> Spread:
    spread = Spread.of(record[name] for record in records)
    assert spread is not None
    return spread


if __name__ == "__main__":
    raise SystemExit(main())
