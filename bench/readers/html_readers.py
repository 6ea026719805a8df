"""HTML: links, trees, text and tables of large pages."""

from __future__ import annotations

import random
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

from bench.readers import Kind

BASE = "http://example.org/x/"
MOST = 5.0
"""Millions of bytes of a page: some readers take many times that."""
WORDS = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor grün über naïve".split()


def write_articles(path: Path, megabytes: float) -> None:
    """A page as content management systems make them: of 5 MB, 17,000 links and 190,000 tags."""
    chance, parts, size, number = random.Random(6), [], 0, 0
    while number == 0 or size < megabytes * 1e6:
        words = chance.choices(WORDS, k=22)
        parts.append(
            f'<div class="row r{number}"><h3 id="h{number}">{words[0]} &amp; {words[1]}</h3><p>'
            f'{" ".join(words[2:12])} <a href="/item/{number}?a=1&amp;b=2" title="x">{words[12]}</a> '
            f'<b>x</b> <img src="img/{number}.png" alt="y"> {" ".join(words[13:])}</p></div>\n'
        )
        size += len(parts[-1])
        number += 1
    head = "<!doctype html><html><head><meta charset=utf-8><title>t</title></head><body>"
    path.write_text(f"{head}{''.join(parts)}</body></html>", encoding="utf-8")


def write_table(path: Path, megabytes: float) -> None:
    """A table of 8 columns: of 5 MB, 35,000 rows."""
    chance = random.Random(6)
    head = "".join(f"<th>c{n}</th>" for n in range(8))
    rows = (
        "<tr>" + "".join(f"<td>{chance.choice(WORDS)} {n}</td>" for n in range(8)) + "</tr>\n"
        for _ in range(1 + int(megabytes * 7000))
    )
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}"
    path.write_text(f"<!doctype html><meta charset=utf-8><table>{body}</table>", encoding="utf-8")


# -- readers: each gives how many it found


def _page(path: str) -> bytes:
    return Path(path).read_bytes()


def our_links(path: str) -> int:
    from portico.data.html import links

    return sum(1 for _ in links(path, BASE, kinds=["a"]))


def our_links_of_all_kinds(path: str) -> int:
    from portico.data.html import links

    return sum(1 for _ in links(path, BASE))


def selectolax_links(path: str) -> int:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_page(path))
    return len([(urljoin(BASE, node.attributes["href"]), node.text()) for node in tree.css("a[href]")])


def selectolax_references(path: str) -> int:
    from selectolax.lexbor import LexborHTMLParser

    return len([node.attributes["href"] for node in LexborHTMLParser(_page(path)).css("a[href]")])


def lxml_links(path: str) -> int:
    import lxml.html

    root = lxml.html.document_fromstring(_page(path))
    anchors = root.iterfind(".//a[@href]")
    return len([(urljoin(BASE, each.get("href")), each.text_content()) for each in anchors])


def bs4_links(path: str) -> int:
    from bs4 import BeautifulSoup

    found = BeautifulSoup(_page(path), "lxml").find_all("a", href=True)
    return len([(urljoin(BASE, str(each["href"])), each.get_text()) for each in found])


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [urljoin(BASE, value or "") for name, value in attrs if name == "href"]


def html_parser_links(path: str) -> int:
    parser = _Anchors()
    parser.feed(_page(path).decode())
    parser.close()
    return len(parser.found)


def our_tree(path: str) -> int:
    from portico.data.html import load

    return len(load(path).select("div > p > a"))


def selectolax_tree(path: str) -> int:
    from selectolax.lexbor import LexborHTMLParser

    return len(LexborHTMLParser(_page(path)).css("div > p > a"))


def lxml_tree(path: str) -> int:
    import lxml.html

    return len(lxml.html.document_fromstring(_page(path)).xpath("//div/p/a"))


def our_text(path: str) -> int:
    from portico.data.html import text

    return min(len(text(path)), 1)


def selectolax_text(path: str) -> int:
    from selectolax.lexbor import LexborHTMLParser

    return min(len(LexborHTMLParser(_page(path)).text(separator="\n")), 1)


def lxml_text(path: str) -> int:
    import lxml.html

    return min(len(lxml.html.document_fromstring(_page(path)).text_content()), 1)


def our_table(path: str) -> int:
    from portico.data import read

    return sum(1 for _ in read(path, "html"))


def selectolax_table(path: str) -> int:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_page(path))
    names = [node.text() for node in tree.css("thead th")]
    rows = ([node.text() for node in row.iter()] for row in tree.css("tbody tr"))
    return len([dict(zip(names, row, strict=True)) for row in rows])


def lxml_table(path: str) -> int:
    import lxml.html

    root = lxml.html.document_fromstring(_page(path))
    names = [node.text_content() for node in root.iterfind(".//thead//th")]
    rows = ([node.text_content() for node in row] for row in root.iterfind(".//tbody/tr"))
    return len([dict(zip(names, row, strict=True)) for row in rows])


KINDS = {
    "links of a page, absolute, with texts": Kind(
        write_articles,
        {
            "selectolax by hand": selectolax_links,
            "portico, kinds=a": our_links,
            "selectolax, href only": selectolax_references,
            "lxml by hand": lxml_links,
            "html.parser, no texts": html_parser_links,
            "bs4 on lxml": bs4_links,
        },
        most=MOST,
        flat="portico, kinds=a",
    ),
    "links of all kinds": Kind(write_articles, {"portico": our_links_of_all_kinds}, most=MOST),
    "a tree of a page, one selector": Kind(
        write_articles,
        {"selectolax by hand": selectolax_tree, "portico": our_tree, "lxml by hand": lxml_tree},
        most=MOST,
    ),
    "text of a page": Kind(
        write_articles,
        {"selectolax by hand": selectolax_text, "portico": our_text, "lxml by hand": lxml_text},
        most=MOST,
    ),
    "records of a table of a page": Kind(
        write_table,
        {"selectolax by hand": selectolax_table, "portico": our_table, "lxml by hand": lxml_table},
        most=MOST,
    ),
}
