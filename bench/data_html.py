"""HTML side by side: links, trees, text and tables of large pages, ours and by hand with what others use.

    python bench/data_html.py [--quick] [--rounds N] [--only NAME,NAME] [--json FILE]

Pages are made here, the same in every run. Every reader is a process of its own in every round, which reads
the page from memory some times and tells its best; rounds are interleaved, each begins with another reader;
shares are of the first reader of a kind, in the same round. ``MiB``: what the process held at most, beyond
what it held before the first reading.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and a module there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.common import Spread, end_on_sigterm, machine, pinned, plain, table, two_cores

Figures = dict[str, dict[str, list[dict[str, float]]]]
"""By kind and reader, one record a round: ``seconds``, ``share``, ``peak`` (MiB)."""

ROOT = Path(__file__).resolve().parent.parent
BASE = "http://example.org/x/"
SIZE = 5 << 20
TIMES = 3
WORDS = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor grün über naïve".split()


def article_page() -> str:
    """A page of 5 MB as content management systems make them: 17,000 links, 190,000 tags."""
    chance, parts, size, number = random.Random(6), [], 0, 0
    while size < SIZE:
        words = chance.choices(WORDS, k=22)
        parts.append(
            f'<div class="row r{number}"><h3 id="h{number}">{words[0]} &amp; {words[1]}</h3><p>'
            f'{" ".join(words[2:12])} <a href="/item/{number}?a=1&amp;b=2" title="x">{words[12]}</a> '
            f'<b>x</b> <img src="img/{number}.png" alt="y"> {" ".join(words[13:])}</p></div>\n'
        )
        size += len(parts[-1])
        number += 1
    head = "<!doctype html><html><head><meta charset=utf-8><title>t</title></head><body>"
    return f"{head}{''.join(parts)}</body></html>"


def table_page() -> str:
    """A table of 20,000 rows and 8 columns."""
    chance = random.Random(6)
    head = "".join(f"<th>c{n}</th>" for n in range(8))
    rows = (
        "<tr>" + "".join(f"<td>{chance.choice(WORDS)} {n}</td>" for n in range(8)) + "</tr>\n"
        for _ in range(20_000)
    )
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}"
    return f"<!doctype html><meta charset=utf-8><table>{body}</table>"


# -- readers: each takes bytes, and gives how many it found


def our_links(data: bytes) -> int:
    from portico.data.html import links

    return sum(1 for _ in links(data, BASE, kinds=["a"]))


def our_links_of_all_kinds(data: bytes) -> int:
    from portico.data.html import links

    return sum(1 for _ in links(data, BASE))


def selectolax_links(data: bytes) -> int:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(data)
    return len([(urljoin(BASE, node.attributes["href"]), node.text()) for node in tree.css("a[href]")])


def selectolax_references(data: bytes) -> int:
    from selectolax.lexbor import LexborHTMLParser

    return len([node.attributes["href"] for node in LexborHTMLParser(data).css("a[href]")])


def lxml_links(data: bytes) -> int:
    import lxml.html

    root = lxml.html.document_fromstring(data)
    anchors = root.iterfind(".//a[@href]")
    return len([(urljoin(BASE, each.get("href")), each.text_content()) for each in anchors])


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [urljoin(BASE, value or "") for name, value in attrs if name == "href"]


def html_parser_links(data: bytes) -> int:
    parser = _Anchors()
    parser.feed(data.decode())
    parser.close()
    return len(parser.found)


def our_tree(data: bytes) -> int:
    from portico.data.html import load

    return len(load(data).select("div > p > a"))


def selectolax_tree(data: bytes) -> int:
    from selectolax.lexbor import LexborHTMLParser

    return len(LexborHTMLParser(data).css("div > p > a"))


def lxml_tree(data: bytes) -> int:
    import lxml.html

    return len(lxml.html.document_fromstring(data).xpath("//div/p/a"))


def our_text(data: bytes) -> int:
    from portico.data.html import text

    return min(len(text(data)), 1)


def selectolax_text(data: bytes) -> int:
    from selectolax.lexbor import LexborHTMLParser

    return min(len(LexborHTMLParser(data).text(separator="\n")), 1)


def lxml_text(data: bytes) -> int:
    import lxml.html

    return min(len(lxml.html.document_fromstring(data).text_content()), 1)


def our_table(data: bytes) -> int:
    from portico.data import read

    return sum(1 for _ in read(data, "html"))


def selectolax_table(data: bytes) -> int:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(data)
    names = [node.text() for node in tree.css("thead th")]
    rows = ([node.text() for node in row.iter()] for row in tree.css("tbody tr"))
    return len([dict(zip(names, row, strict=True)) for row in rows])


def lxml_table(data: bytes) -> int:
    import lxml.html

    root = lxml.html.document_fromstring(data)
    names = [node.text_content() for node in root.iterfind(".//thead//th")]
    rows = ([node.text_content() for node in row] for row in root.iterfind(".//tbody/tr"))
    return len([dict(zip(names, row, strict=True)) for row in rows])


KINDS: dict[str, tuple[Callable[[], str], dict[str, Callable[[bytes], int]]]] = {
    "links of 5 MB, absolute, with their texts": (
        article_page,
        {
            "selectolax by hand": selectolax_links,
            "portico, kinds=a": our_links,
            "portico, all kinds": our_links_of_all_kinds,
            "selectolax, href only": selectolax_references,
            "lxml by hand": lxml_links,
            "html.parser, no texts": html_parser_links,
        },
    ),
    "tree of 5 MB, one selector": (
        article_page,
        {"selectolax by hand": selectolax_tree, "portico": our_tree, "lxml by hand": lxml_tree},
    ),
    "text of 5 MB": (
        article_page,
        {"selectolax by hand": selectolax_text, "portico": our_text, "lxml by hand": lxml_text},
    ),
    "records of a table of 160,000 cells": (
        table_page,
        {"selectolax by hand": selectolax_table, "portico": our_table, "lxml by hand": lxml_table},
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status: 1 where a reader failed."""
    chosen = _options(arguments)
    if chosen.child:
        return _child(*chosen.child)
    end_on_sigterm()
    figures: Figures = {kind: defaultdict(list) for kind in KINDS}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, (make, _)) in enumerate(KINDS.items()):
            page = Path(folder, f"{number}.html")
            page.write_text(make(), encoding="utf-8")
            for turn in range(chosen.rounds):
                _round(kind, page, turn, chosen.only, figures[kind], failed)
    _show(figures, failed)
    if chosen.json:
        told = {"machine": machine(), "figures": _plain(figures)}
        chosen.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if failed else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/data_html.py", description="HTML, side by side.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--only", default="", help="readers, with commas between")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, metavar=("KIND", "NAME", "PAGE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.rounds = 1
    return chosen


def _child(kind: str, name: str, page: str) -> int:
    """What one reader takes, on standard output."""
    read, data = KINDS[kind][1][name], Path(page).read_bytes()
    read(b"<p>x<table><thead><tr><th>a</thead><tbody><tr><td>b</table>")  # its imports
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best, found = float("inf"), 0
    for _ in range(TIMES):
        begun = time.process_time()
        found = read(data)
        best = min(best, time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"seconds": best, "found": found, "peak": peak / 1024}))
    return 0


def _round(
    kind: str, page: Path, number: int, only: str, figures: dict[str, list[dict[str, float]]],
    failed: dict[str, str],
) -> None:  # fmt: skip
    names = [name for name in KINDS[kind][1] if not only or name in only.split(",")]
    turn = number % len(names) if names else 0
    found = {}
    for name in names[turn:] + names[:turn]:
        if f"{name} ({kind})" not in failed:
            measured = _measure(kind, name, page, failed)
            if measured is not None:
                found[name] = measured
    first = found.get(names[0]) if names else None
    for name, measured in found.items():
        share = first["seconds"] / measured["seconds"] if first else 0.0
        figures[name].append({**measured, "share": share})


def _measure(kind: str, name: str, page: Path, failed: dict[str, str]) -> dict[str, float] | None:
    command = [sys.executable, str(Path(__file__).resolve()), "--child", kind, name, str(page)]
    _, core = two_cores()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False, preexec_fn=pinned(core)
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        failed[f"{name} ({kind})"] = lines[-1][:160] if lines else f"status {done.returncode}"
        return None
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _show(figures: Figures, failed: dict[str, str]) -> None:
    print("HTML")
    for name, value in machine().items():
        print(f"  {name:<12} {value}")
    for kind, readers in figures.items():
        rows = [["reader", "ms", f"speed, in that of {next(iter(KINDS[kind][1]))}", "found", "MiB"]]
        rows += [[name, *_cells(readers[name])] for name in KINDS[kind][1] if name in readers]
        if len(rows) > 1:
            print(f"\n{kind}\n{table(rows, {1: 'CPU'}, (2,))}")
    for name, why in failed.items():
        print(f"\n{name}: {why}")


def _cells(records: list[dict[str, float]]) -> list[str]:
    seconds, share, peak = (_spread(records, name) for name in ("seconds", "share", "peak"))
    figures = f"{share.median:.2f} ({share.lowest:.2f}–{share.highest:.2f})"
    return [f"{seconds.median * 1000:,.0f}", figures, f"{records[0]['found']:,}", f"{peak.median:.0f}"]


def _spread(records: list[dict[str, float]], name: str) -> Spread:
    spread = Spread.of(record[name] for record in records)
    assert spread is not None
    return spread


def _plain(figures: Figures) -> object:
    return {
        kind: {
            reader: {name: plain(_spread(records, name)) for name in ("seconds", "share", "peak")}
            for reader, records in readers.items()
        }
        for kind, readers in figures.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
