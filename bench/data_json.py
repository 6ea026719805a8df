"""JSON side by side: elements of a large array, lines, whole documents, and writing.

    python bench/data_json.py [--quick] [--rounds N] [--megabytes N] [--only KIND,KIND] [--json FILE]

Every reader is a process of its own in every round, on one core; rounds are interleaved, each begins with
another reader; shares are of the first reader of a kind, in the same round. A reader that finds another sum
than is in the file is dropped. ``--megabytes 1000`` shows whose memory grows.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.common import Spread, end_on_sigterm, machine, pinned, plain, table, two_cores

ROOT = Path(__file__).resolve().parent.parent
Figures = dict[str, dict[str, list[dict[str, float]]]]
"""By kind and reader, one record a round: ``rate`` (MB/s), ``share``, ``peak`` (MiB)."""


# -- the readers: each gives the sum of all "id", of a file


def _summed(records: Iterable[Any]) -> int:
    return sum(record["id"] for record in records)


def _summed_typed(records: Iterable[Any]) -> int:
    return sum(record.id for record in records)


def _row() -> Any:
    import msgspec

    return msgspec.defstruct(
        "Row",
        [("id", int), ("name", str), ("tags", list[str]), ("price", float), ("place", dict[str, int]),
         ("text", str), ("ok", bool), ("none", int | None)],
    )  # fmt: skip


def _portico(name: str, *arguments: Any, typed: bool = False) -> Callable[[str], int]:
    def read(path: str) -> int:
        import portico.data.json as portico_json

        options = {"type": _row()} if typed else {}
        found = getattr(portico_json, name)(path, *arguments, **options)
        found = found["items"] if name == "load" else found
        if arguments == ("items[*].id",):
            return sum(found)
        return (_summed_typed if typed else _summed)(found)

    return read


def _ijson(path: str, where: str = "items.item") -> int:
    from ijson.backends import yajl2_c

    with open(path, "rb") as file:
        found = yajl2_c.items(file, where, use_float=True)
        return sum(found) if where.endswith("id") else _summed(found)


def _json_load(path: str) -> int:
    with open(path, "rb") as file:
        return _summed(json.load(file)["items"])


def _msgspec_load(path: str) -> int:
    import msgspec

    return _summed(msgspec.json.decode(Path(path).read_bytes())["items"])


def _msgspec_load_typed(path: str) -> int:
    import msgspec

    document = msgspec.defstruct("Document", [("items", list[_row()])])
    return _summed_typed(msgspec.json.decode(Path(path).read_bytes(), type=document).items)


def _msgspec_lines(path: str, *, typed: bool = False) -> int:
    import msgspec

    decoder = msgspec.json.Decoder(_row() if typed else Any)
    with open(path, "rb") as file:
        return (_summed_typed if typed else _summed)(decoder.decode(line) for line in file)


def _json_lines(path: str) -> int:
    with open(path, "rb") as file:
        return _summed(json.loads(line) for line in file)


def _some(path: str) -> list[Any]:
    """Records to write: reading them is measured, too, alike for all."""
    with open(path, "rb") as file:
        return [json.loads(line) for line in file]


def _write_msgspec(path: str) -> int:
    import msgspec

    records = _some(path)
    encoder = msgspec.json.Encoder()
    with open("/dev/null", "wb") as file:
        file.writelines(encoder.encode(record) + b"\n" for record in records)
    return _summed(records)


def _write_json(path: str) -> int:
    records = _some(path)
    with open("/dev/null", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return _summed(records)


def _write_portico(path: str) -> int:
    from portico.data.json import write_lines

    records = _some(path)
    write_lines(records, "/dev/null")
    return _summed(records)


KINDS: dict[str, dict[str, Callable[[str], int]]] = {
    "elements of an array": {
        "ijson yajl2_c": _ijson,
        "portico": _portico("records", "items[*]"),
        "json, whole": _json_load,
        "msgspec, whole": _msgspec_load,
    },
    "one field of each element": {
        "ijson yajl2_c": lambda path: _ijson(path, "items.item.id"),
        "portico": _portico("records", "items[*].id"),
    },
    "typed elements": {
        "msgspec, whole": _msgspec_load_typed,
        "portico": _portico("records", "items[*]", typed=True),
    },
    "typed lines": {
        "msgspec by hand": lambda path: _msgspec_lines(path, typed=True),
        "portico": _portico("lines", typed=True),
    },
    "lines": {
        "msgspec by hand": _msgspec_lines,
        "json by hand": _json_lines,
        "portico": _portico("lines"),
    },
    "a whole document": {
        "msgspec": _msgspec_load,
        "json": _json_load,
        "portico": _portico("load"),
    },
    "lines read by json and written": {
        "msgspec by hand": _write_msgspec,
        "json by hand": _write_json,
        "portico": _write_portico,
    },
}


def record(number: int) -> dict[str, Any]:
    """The element of that number: some text, some of it beyond ASCII, numbers and parts of its own."""
    return {
        "id": number,
        "name": f'Name {number} "q"' if number % 7 == 0 else f"Näme {number}",
        "tags": ["a", "b", "c"],
        "price": number * 1.25,
        "place": {"x": number, "y": -number},
        "text": "lorem ipsum dolor sit amet " * 3,
        "ok": True,
        "none": None,
    }


def write_files(folder: Path, name: str, size_of_all: int) -> int:
    """``NAME.json`` and ``NAME.jsonl`` of that size; the sum that all are to find."""
    number = total = size = 0
    with open(folder / f"{name}.json", "wb") as whole, open(folder / f"{name}.jsonl", "wb") as lines:
        whole.write(b'{"meta": {"version": [1, 2, 3]}, "items": [')
        while size < size_of_all:
            text = json.dumps(record(number), ensure_ascii=False).encode()
            whole.write(b", " + text if number else text)
            lines.write(text + b"\n")
            total, number, size = total + number, number + 1, size + len(text) + 2
        whole.write(b"]}")
    return total


def child(name: str, kind: str, path: str) -> int:
    """Read once, and print what it took."""
    read = KINDS[kind][name]
    read(str(Path(path).with_stem("few")))  # so that all has been imported
    began = time.perf_counter()
    found = read(path)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"sum": found, "seconds": seconds, "peak": peak}))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where a reader found something else than there is."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--child"]:
        return child(*given[1:])
    chosen = _options(given)
    end_on_sigterm()
    figures: Figures = {kind: defaultdict(list) for kind in KINDS}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), "few", 1000)
        total = write_files(Path(folder), "x", chosen.megabytes * 1_000_000)
        for number in range(chosen.rounds):
            for kind, readers in KINDS.items():
                if not chosen.only or kind in chosen.only.split(","):
                    path = Path(folder) / ("x.jsonl" if "lines" in kind else "x.json")
                    _round(kind, list(readers), path, total, number, figures[kind], failed)
    _show(figures, failed, chosen.megabytes)
    if chosen.json:
        told = {"machine": machine(), "megabytes": chosen.megabytes, "figures": _plain(figures)}
        chosen.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if any("wrong" in why for why in failed.values()) else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/data_json.py", description="JSON, side by side.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="one round of 20 MB")
    parser.add_argument("--only", default="", help="kinds, with commas between")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.megabytes = 1, 20
    return chosen


def _round(
    kind: str, names: list[str], path: Path, total: int, number: int,
    figures: dict[str, list[dict[str, float]]], failed: dict[str, str],
) -> None:  # fmt: skip
    turn = number % len(names)
    found = {}
    for name in names[turn:] + names[:turn]:
        if f"{name} ({kind})" not in failed:
            measured = _measure(name, kind, path, total, failed)
            if measured is not None:
                found[name] = measured
    first = found.get(names[0])
    for name, measured in found.items():
        share = measured["rate"] / first["rate"] if first else 0.0
        figures[name].append({**measured, "share": share})


def _measure(name: str, kind: str, path: Path, total: int, failed: dict[str, str]) -> dict[str, float] | None:
    command = [sys.executable, "-m", "bench.data_json", "--child", name, kind, str(path)]
    _, core = two_cores()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=ROOT, check=False, preexec_fn=pinned(core)
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        failed[f"{name} ({kind})"] = lines[-1][:160] if lines else f"status {done.returncode}"
        return None
    told = json.loads(done.stdout)
    if told["sum"] != total:
        failed[f"{name} ({kind})"] = f"wrong: the sum is {told['sum']}, and not {total}"
        return None
    return {"rate": path.stat().st_size / told["seconds"] / 1e6, "peak": told["peak"]}


def _show(figures: Figures, failed: dict[str, str], megabytes: int) -> None:
    print(f"JSON, files of {megabytes} MB")
    for name, value in machine().items():
        print(f"  {name:<12} {value}")
    for kind, readers in figures.items():
        rows = [["reader", f"share of {next(iter(KINDS[kind]))}", "MB/s", "MiB"]]
        rows += [[name, *_cells(readers[name])] for name in KINDS[kind] if name in readers]
        if len(rows) > 1:
            print(f"\n{kind}\n{table(rows, {}, (1,))}")
    for name, why in failed.items():
        print(f"\n{name}: {why}")


def _cells(records: list[dict[str, float]]) -> list[str]:
    share, rate, peak = (_spread(records, name) for name in ("share", "rate", "peak"))
    # Without the first reader there is nothing to share in.
    shares = f"{share.median:.2f} ({share.lowest:.2f}–{share.highest:.2f})" if share.median else "–"
    return [shares, f"{rate.median:,.0f}", f"{peak.median:.0f}"]


def _spread(records: list[dict[str, float]], name: str) -> Spread:
    spread = Spread.of(record[name] for record in records)
    assert spread is not None
    return spread


def _plain(figures: Figures) -> object:
    return {
        kind: {
            reader: {name: plain(_spread(records, name)) for name in ("rate", "share", "peak")}
            for reader, records in readers.items()
        }
        for kind, readers in figures.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
