"""XML of a large file: elements one by one, events, whole trees, beside lxml and etree by hand.

    python bench/data_xml.py [--quick] [--rounds N] [--size MB] [--large] [--json FILE]

Each reader is a process of its own in every round; rounds are interleaved, each begins with another reader.
Times are its CPU's, once it has read a small document; shares are of the first reader of a kind, in the same
round; memory is the peak of the process.
``--large`` reads a document of 1 GB once more, for its memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and a module there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.common import Spread, machine, pinned, plain, table, two_cores

ROOT = Path(__file__).resolve().parent.parent
Figures = dict[str, dict[str, list[dict[str, float]]]]
"""By kind and reader, one record a round: ``cpu`` (s), ``share``, ``peak`` (MiB)."""


def ours(path: str) -> int:
    """``xml.records``."""
    from portico.data import xml

    return sum(len(item.findtext("name")) for item in xml.records(path, "item"))


def ours_of_a_place(path: str) -> int:
    """``xml.records``, of elements that stand in a certain place."""
    from portico.data import xml

    return sum(len(item.findtext("name")) for item in xml.records(path, "/catalog/item"))


def lxml_by_hand(path: str) -> int:
    """The loop of lxml's own documentation."""
    from lxml import etree

    size = 0
    for _, item in etree.iterparse(path, events=("end",), tag="item"):
        size += len(item.findtext("name"))
        item.clear()
        while item.getprevious() is not None:
            del item.getparent()[0]
    return size


def etree_by_hand(path: str) -> int:
    """The standard library, whose root is cleared with each element."""
    from xml.etree import ElementTree as ET

    size = 0
    found = ET.iterparse(path, events=("start", "end"))
    _, root = next(found)
    for event, item in found:
        if event == "end" and item.tag == "item":
            size += len(item.findtext("name") or "")
            root.clear()
    return size


def our_dicts(path: str) -> int:
    """``xml.records`` as dicts."""
    from portico.data import xml

    return sum(len(item["name"]) for item in xml.records(path, "item", as_="dict"))


def dicts_by_hand(path: str) -> int:
    """The same dicts from lxml, for this one document: its shape is known."""
    from lxml import etree

    size = 0
    for _, item in etree.iterparse(path, events=("end",), tag="item"):
        record = {f"@{name}": value for name, value in item.items()}
        for child in item:
            if len(child):
                record[child.tag] = {child[0].tag: [each.text or "" for each in child]}
            elif child.attrib:
                named = {f"@{name}": value for name, value in child.items()}
                record[child.tag] = {**named, "#text": child.text}
            else:
                record[child.tag] = child.text or ""
        size += len(record["name"])
        item.clear()
        while item.getprevious() is not None:
            del item.getparent()[0]
    return size


def our_events(path: str) -> int:
    """``xml.events``."""
    from portico.data import xml

    return sum(len(event.text) for event in xml.events(path) if event.kind == "text")


def events_by_hand(path: str) -> int:
    """expat, with what an event has: name, attributes, text, line, column."""
    from xml.parsers import expat

    size, found = 0, []
    parser = expat.ParserCreate(namespace_separator="}")

    def put(kind: str, *what: object) -> None:
        found.append((kind, *what, parser.CurrentLineNumber, parser.CurrentColumnNumber))

    parser.StartElementHandler = lambda name, attributes: put("start", name, attributes)
    parser.EndElementHandler = lambda name: put("end", name)
    parser.CharacterDataHandler = lambda text: put("text", text)
    with open(path, "rb") as file:
        while data := file.read(1 << 16):
            parser.Parse(data, False)
            size += sum(len(event[1]) for event in found if event[0] == "text")
            found.clear()
        parser.Parse(b"", True)
    return size


def events_by_lxml(path: str) -> int:
    """An object that lxml calls, without lines."""
    from lxml import etree

    class Target:
        size = 0

        def start(self, name: str, attributes: object) -> None:
            pass

        def end(self, name: str) -> None:
            pass

        def data(self, text: str) -> None:
            self.size += len(text)

        def close(self) -> int:
            return self.size

    return int(etree.parse(path, etree.XMLParser(target=Target(), resolve_entities=False)))


def our_tree(path: str) -> int:
    """``xml.load``."""
    from portico.data import xml

    return len(xml.load(path).getroot())


def tree_of_lxml(path: str) -> int:
    """``lxml.etree.parse``."""
    from lxml import etree

    return len(etree.parse(path).getroot())


def tree_of_etree(path: str) -> int:
    """``xml.etree.ElementTree.parse``."""
    from xml.etree import ElementTree as ET

    return len(ET.parse(path).getroot())


KINDS: dict[str, dict[str, Callable[[str], int]]] = {
    "records": {
        "portico": ours,
        "portico, /catalog/item": ours_of_a_place,
        "lxml.iterparse": lxml_by_hand,
        "etree.iterparse": etree_by_hand,
    },
    "records as dicts": {"portico": our_dicts, "lxml, this shape only": dicts_by_hand},
    "events": {"portico": our_events, "expat": events_by_hand, "lxml target": events_by_lxml},
    "trees": {"portico": our_tree, "lxml": tree_of_lxml, "etree": tree_of_etree},
}
SMALL = "small.xml"
FLAT = ("records", "portico")
"""What is measured with larger documents, too."""


def write_document(path: Path, megabytes: int) -> None:
    """A catalogue of so many million bytes."""
    with path.open("wb") as file:
        file.write(b'<?xml version="1.0"?>\n<catalog>\n')
        number = 0
        while number == 0 or file.tell() < megabytes * 1_000_000:
            file.write("".join(_item(each) for each in range(number, number + 100)).encode())
            number += 100
        file.write(b"</catalog>\n")


def _item(number: int) -> str:
    return (
        f'  <item id="{number}" kind="k{number % 7}"><name>Thing nümber {number}</name>'
        f'<price currency="EUR">{number * 0.37:.2f}</price><tags><tag>a{number % 13}</tag>'
        f"<tag>b{number % 17}</tag></tags><text>{'lorem ipsum dolor sit amet ' * 6}</text></item>\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where readers disagree."""
    chosen = _options(arguments)
    if chosen.child:
        kind, name, path = chosen.child
        return _child(KINDS[kind][name], path)
    figures: Figures = {kind: defaultdict(list) for kind in KINDS}
    flat: dict[int, float] = {}
    agreed = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "document.xml"
        write_document(path.with_name(SMALL), 0)
        write_document(path, chosen.size)
        for number in range(chosen.rounds):
            for kind in KINDS:
                agreed = _round(kind, path, number, figures[kind]) and agreed
        for megabytes in (chosen.size * 2, *([1000] if chosen.large else [])):
            write_document(path, megabytes)
            flat[megabytes] = _measure(*FLAT, path)["peak"]
    _show(figures, flat, chosen.size)
    if chosen.json:
        told = {"machine": machine(), "figures": _plain(figures), "peak": flat}
        chosen.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if agreed else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/data_xml.py", description="XML of a large file.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=100, help="of the document, in millions of bytes")
    parser.add_argument("--quick", action="store_true", help="one round with 10 MB")
    parser.add_argument("--large", action="store_true", help="the memory for 1 GB, too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds, chosen.size = 1, 10
    return chosen


def _child(read: Callable[[str], int], path: str) -> int:
    read(str(Path(path).with_name(SMALL)))  # what it imports is not counted
    began = time.process_time()
    found = read(path)
    used = time.process_time() - began
    # Not getrusage: its peak is that of the parent, where that was larger when it forked.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"found": found, "cpu": used, "peak": peak}))
    return 0


def _round(kind: str, path: Path, number: int, figures: dict[str, list[dict[str, float]]]) -> bool:
    names = list(KINDS[kind])
    turn = number % len(names)
    measured = {name: _measure(kind, name, path) for name in names[turn:] + names[:turn]}
    for name, record in measured.items():
        figures[name].append({**record, "share": record["cpu"] / measured[names[0]]["cpu"]})
    return len({record["found"] for record in measured.values()}) == 1


def _measure(kind: str, name: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.data_xml", "--child", kind, name, str(path)]
    _, core = two_cores()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=ROOT, check=True, preexec_fn=pinned(core)
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _show(figures: Figures, flat: dict[int, float], size: int) -> None:
    print(f"XML, {size} MB")
    for name, value in machine().items():
        print(f"  {name:<12} {value}")
    for kind, readers in figures.items():
        rows = [["reader", "s", "share of the first", "MiB"]]
        rows += [[name, *_cells(records)] for name, records in sorted(readers.items(), key=_order(kind))]
        print(f"\n{kind}\n{table(rows, {1: 'CPU'}, (2,))}")
    print("\nPeak of records: " + ", ".join(f"{peak:.0f} MiB of {large} MB" for large, peak in flat.items()))


def _order(kind: str) -> Callable[[tuple[str, object]], int]:
    names = list(KINDS[kind])
    return lambda item: names.index(item[0])


def _cells(records: list[dict[str, float]]) -> list[str]:
    cpu, share, peak = (_spread(records, name) for name in ("cpu", "share", "peak"))
    return [
        f"{cpu.median:.2f}",
        f"{share.median:.2f} ({share.lowest:.2f}–{share.highest:.2f})",
        f"{peak.median:.0f}",
    ]


def _spread(records: list[dict[str, float]], name: str) -> Spread:
    spread = Spread.of(record[name] for record in records)
    assert spread is not None
    return spread


def _plain(figures: Figures) -> object:
    return {
        kind: {
            name: {each: plain(_spread(records, each)) for each in ("cpu", "share", "peak")}
            for name, records in readers.items()
        }
        for kind, readers in figures.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
