"""CSV from a file to Python objects, side by side: lists, dicts and typed records, and the memory they take.

    python bench/data_csv.py [--quick] [--rounds N] [--megabytes M] [--json FILE]

One file: integers, floats, days, truth, and text, of which one in five is quoted. Every reader is a process
of its own in every round, on one core, and has read a small file before; rounds are interleaved, each begins
with another; ratios are speeds against the first of a kind, in the same round. What is read is summed up, and
must be the same for all.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import starmap
from pathlib import Path
from typing import Any, get_type_hints

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and a module there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.common import Spread, end_on_sigterm, machine, pinned, plain, table, two_cores

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("id", "name", "price", "quantity", "day", "note", "paid")
SMALL = "small.csv"
Sum = tuple[int, int]
"""Records, and all quantities together."""


@dataclass
class Order:
    id: int
    name: str
    price: float
    quantity: int
    day: date
    note: str
    paid: bool


def write_file(path: Path, megabytes: float) -> None:
    """The file that all read."""
    chance, first = random.Random(1), date(2020, 1, 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        number = 0
        while file.tell() < megabytes * 1e6:
            writer.writerows(_order(number + more, chance, first) for more in range(1000))
            number += 1000


def _order(number: int, chance: random.Random, first: date) -> list[Any]:
    note = 'some "words", quoted' if number % 5 == 0 else "words as they are"
    paid = "true" if number % 2 else "false"
    price, quantity = round(chance.random() * 1000, 2), chance.randrange(100)
    return [number, f"Name {number}", price, quantity, first + timedelta(number % 2000), note, paid]


# -- readers


def _of_lists(rows: Iterable[Any]) -> Sum:
    count = total = 0
    for row in rows:
        count += 1
        total += len(row)
    return count, total


def _of_dicts(rows: Iterable[Any]) -> Sum:
    count = total = 0
    for row in rows:
        count += 1
        total += len(row["quantity"])
    return count, total


def _of_orders(orders: Iterable[Any]) -> Sum:
    count = total = 0
    for order in orders:
        count += 1
        total += order.quantity
    return count, total


def standard_rows(path: str) -> Sum:
    with open(path, encoding="utf-8", newline="") as file:
        return _of_lists(csv.reader(file))


def portico_rows(path: str) -> Sum:
    from portico.data.csv import rows

    return _of_lists(rows(path))


def standard_dicts(path: str) -> Sum:
    with open(path, encoding="utf-8", newline="") as file:
        return _of_dicts(csv.DictReader(file))


def portico_dicts(path: str) -> Sum:
    from portico.data.csv import records

    return _of_dicts(records(path))


def polars_dicts(path: str) -> Sum:
    import polars as pl

    return _of_dicts(pl.read_csv(path, infer_schema=False).iter_rows(named=True))


def by_hand(path: str) -> Sum:
    def orders() -> Iterable[Order]:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            for row in reader:
                yield Order(
                    int(row[0]), row[1], float(row[2]), int(row[3]), date.fromisoformat(row[4]), row[5],
                    row[6] == "true",
                )  # fmt: skip

    return _of_orders(orders())


def portico_dataclasses(path: str) -> Sum:
    from portico.data.csv import records

    return _of_orders(records(path, type=Order))


def portico_structs(path: str) -> Sum:
    import msgspec

    from portico.data.csv import records

    struct = msgspec.defstruct("OrderStruct", list(get_type_hints(Order).items()))
    return _of_orders(records(path, type=struct))


def _polars_table(path: str) -> Any:
    import polars as pl

    kinds = (pl.Int64, pl.String, pl.Float64, pl.Int64, pl.Date, pl.String, pl.Boolean)
    return pl.read_csv(path, schema=dict(zip(COLUMNS, kinds, strict=True)))


def polars_rows_by_name(path: str) -> Sum:
    return _of_orders(Order(**row) for row in _polars_table(path).rows(named=True))


def polars_rows(path: str) -> Sum:
    return _of_orders(starmap(Order, _polars_table(path).rows()))


def polars_iterated(path: str) -> Sum:
    return _of_orders(starmap(Order, _polars_table(path).iter_rows()))


KINDS: dict[str, dict[str, Callable[[str], Sum]]] = {
    "lists": {"csv.reader": standard_rows, "portico rows": portico_rows},
    "dicts": {
        "csv.DictReader": standard_dicts,
        "portico records": portico_dicts,
        "polars iter_rows(named)": polars_dicts,
    },
    "typed": {
        "polars rows(named)": polars_rows_by_name,
        "polars rows()": polars_rows,
        "polars iter_rows()": polars_iterated,
        "csv.reader by hand": by_hand,
        "portico dataclass": portico_dataclasses,
        "portico Struct": portico_structs,
    },
}
Figures = dict[str, dict[str, list[dict[str, float]]]]
"""By kind and reader, one record a round: ``seconds``, ``ratio``, ``peak`` (MiB)."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where readers do not agree."""
    chosen = _options(arguments)
    if chosen.one:
        return _one(*chosen.one)
    end_on_sigterm()
    figures: Figures = {kind: defaultdict(list) for kind in KINDS}
    failed: dict[str, str] = {}
    sums: dict[str, dict[str, Sum]] = {kind: {} for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.csv"
        write_file(path, chosen.megabytes)
        write_file(path.with_name(SMALL), 0.01)
        for number in range(chosen.rounds):
            for kind in KINDS:
                _round(kind, path, number, figures[kind], sums[kind], failed)
    _show(chosen.megabytes, figures, failed)
    wrong = [kind for kind, found in sums.items() if len(set(found.values())) > 1]
    for kind in wrong:
        print(f"\n{kind}: readers do not agree: {sums[kind]}")
    if chosen.json:
        told = {"machine": machine(), "megabytes": chosen.megabytes, "figures": _plain(figures)}
        chosen.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/data_csv.py", description="CSV to Python objects.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=100.0, help="size of the file")
    parser.add_argument("--quick", action="store_true", help="one round, 5 MB")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("KIND", "READER", "PATH"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.megabytes = 1, 5.0
    return chosen


def _one(kind: str, name: str, path: str) -> int:
    """One reader, in a process of its own."""
    read = KINDS[kind][name]
    read(str(Path(path).with_name(SMALL)))
    began = time.perf_counter()
    found = read(path)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"sum": found, "seconds": seconds, "peak": peak}))
    return 0


def _round(
    kind: str, path: Path, number: int, figures: dict[str, list[dict[str, float]]], sums: dict[str, Sum],
    failed: dict[str, str],
) -> None:  # fmt: skip
    names = list(KINDS[kind])
    turn = number % len(names)
    found: dict[str, Any] = {}
    for name in names[turn:] + names[:turn]:
        if f"{name} ({kind})" not in failed:
            told = _measured(kind, name, path, failed)
            if told is not None:
                found[name] = told
                sums[name] = tuple(told.pop("sum"))
    first = next((found[name] for name in names if name in found), None)
    for name, told in found.items():
        figures[name].append({**told, "ratio": first["seconds"] / told["seconds"] if first else 0.0})


def _measured(kind: str, name: str, path: Path, failed: dict[str, str]) -> dict[str, Any] | None:
    command = [sys.executable, str(ROOT / "bench" / "data_csv.py"), "--one", kind, name, str(path)]
    _, core = two_cores()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=ROOT, check=False, preexec_fn=pinned(core)
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        failed[f"{name} ({kind})"] = lines[-1][:160] if lines else f"status {done.returncode}"
        return None
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _show(megabytes: float, figures: Figures, failed: dict[str, str]) -> None:
    print(f"CSV to Python objects, {megabytes:g} MB")
    for name, value in machine().items():
        print(f"  {name:<12} {value}")
    for kind, readers in figures.items():
        present = [name for name in KINDS[kind] if readers.get(name)]
        if present:
            rows = [["reader", "seconds", f"speed against {present[0]}", "peak MiB"]]
            rows += [[name, *_cells(readers[name])] for name in present]
            print(f"\n{kind}\n{table(rows, {}, (1, 2, 3))}")
    for name, why in failed.items():
        print(f"\n{name}: {why}")


def _cells(records: list[dict[str, float]]) -> list[str]:
    seconds, ratio, peak = (_spread(records, name) for name in ("seconds", "ratio", "peak"))
    return [
        f"{seconds.median:.2f}",
        f"{ratio.median:.2f} ({ratio.lowest:.2f}–{ratio.highest:.2f})",
        f"{peak.median:.0f}",
    ]


def _spread(records: list[dict[str, float]], name: str) -> Spread:
    spread = Spread.of(record[name] for record in records)
    assert spread is not None
    return spread


def _plain(figures: Figures) -> object:
    return {
        kind: {
            reader: {name: plain(_spread(records, name)) for name in ("seconds", "ratio", "peak")}
            for reader, records in readers.items()
        }
        for kind, readers in figures.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
