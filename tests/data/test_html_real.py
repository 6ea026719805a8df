"""Manuals that are installed on this machine: large and odd pages that nobody wrote for a test."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from portico.data import source
from portico.data.html import links, load
from portico.data.html.joining import joiner
from tests.peers import missing, need_module

need_module("selectolax")

FOLDERS = ("/usr/share/doc", "/usr/share/gtk-doc", "/usr/share/javascript", "/usr/local/share/doc")
LEAST = 40
SIZE = (15_000, 5_000_000)
"""Bytes of a page that is large, and of one that takes too long here."""


def found_pages():
    """The largest pages of each package, so that they are of many makes."""
    packages = {}
    for folder in map(Path, FOLDERS):
        for pattern in ("*.html", "*.htm", "*.html.gz", "*.htm.gz"):
            for path in folder.rglob(pattern) if folder.is_dir() else ():
                if path.is_file() and SIZE[0] <= path.stat().st_size <= SIZE[1]:
                    packages.setdefault(path.relative_to(folder).parts[0], []).append(path)
    for paths in packages.values():
        paths.sort(key=lambda path: -path.stat().st_size)
    return [path for paths in packages.values() for path in paths[:45]][:80]


PAGES = found_pages()


def test_there_are_enough_of_them():
    if len(PAGES) < LEAST:
        missing(f"{LEAST} large HTML pages in {', '.join(FOLDERS)}: there are {len(PAGES)}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_real_page_is_read(path):
    need_module("lxml")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    page = load(path)
    assert page.xpath("//*") == page.select("*")
    assert page.text()
    assert all(len({len(row) for row in each.cells}) <= 1 for each in page.tables())
    page.metadata()
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    streamed = list(links(source(iter(pieces), encoding=page.charset)))
    assert streamed == list(links(path, ""))
    assert streamed == page.links()
    join = joiner("")
    of_tree = Counter(join(each.get("href")) for each in page.select("a[href]"))
    base = page.first("base[href]")
    if base is None:  # links in the tree, as often as there; broken ones may be begun anew
        of_stream = Counter(each.url for each in streamed if each.kind == "a")
        assert of_stream.keys() == {url for url in of_tree if url}
