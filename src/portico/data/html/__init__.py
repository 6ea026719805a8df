"""HTML pages, as browsers read them, whatever their markup: links while they arrive, text, tables, trees.

::

    for link in links("https://example.org/"):
        print(link.url, link.text)
    page = load("page.html")
    prices = page.first("table.prices").table().rows
    names = page.xpath("//h2/text()")

All take what ``portico.data.source`` takes. ``events`` and ``links`` read a page of any size while it comes;
the others need the whole, up to ``Limits.answer``, and refuse one whose tree would be far larger than itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from portico.data.columns import Duplicates
from portico.data.html.event import Comment, Doctype, EndTag, Event, StartTag, Text
from portico.data.html.form import Control, Form, Option
from portico.data.html.form_page import forms_in
from portico.data.html.joining import Join
from portico.data.html.linking import KINDS, Link, links_in
from portico.data.html.meta import Metadata
from portico.data.html.page import Element, Page, base_of, page_of, rows_of
from portico.data.html.table import Cell, Table
from portico.data.html.tokens import Tokenizer
from portico.data.html.writing import write_html
from portico.data.sources import Source, source
from portico.errors import DataError

__all__ = [
    "KINDS",
    "Cell",
    "Comment",
    "Control",
    "Doctype",
    "Element",
    "EndTag",
    "Event",
    "Form",
    "Link",
    "Metadata",
    "Option",
    "Page",
    "StartTag",
    "Table",
    "Text",
    "events",
    "forms",
    "links",
    "load",
    "metadata",
    "read_html",
    "tables",
    "text",
    "write_html",
]

_KIND = "text/html"
_TOLD = 10
"""Tables that an error describes."""


def load(what: Any, base: str | None = None) -> Page:
    """A page as a tree, to be asked in CSS or XPath.

    ``base``: its URL, where ``what`` does not tell. Raises ``DataError``, ``LimitExceeded`` (``answer``,
    ``html_nodes``, ``html_depth``, ``html_attributes``), ``ConfigError`` without selectolax, and what
    ``source`` does.
    """
    with _opened(what) as opened:
        return page_of(opened, base)


def links(
    what: Any, base: str | None = None, *, kinds: Iterable[str] | None = None, join: Join | None = None
) -> Iterator[Link]:
    """The links of a page, each as soon as it has come: the page may still be on its way.

    An ``a`` comes with its end tag, for its text; links in a ``head`` come with its end, for a ``base``
    after them counts for them. ``kinds``: names of elements, a choice of ``KINDS``. ``base``: the page's URL,
    where ``what`` does not tell; without one, relative references stay as they are. ``join``: makes a URL of
    what the page has written, in place of ``urllib.parse.urljoin`` and the URL standard's rules on white
    space; what it answers ``""`` to, as is done for what can be no URL, is left out.

    Raises ``LimitExceeded`` (``html_token``, ``html_attributes``, ``html_depth``), ``ConfigError`` for an
    unknown kind, and what ``source`` does.
    """
    with _opened(what) as opened:
        yield from links_in(
            opened.text(_KIND, "replace"),
            base_of(opened, base),
            limits=opened.limits,
            source=opened.name,
            kinds=kinds,
            join=join,
        )


def events(what: Any) -> Iterator[Event]:
    """A page as events, each as soon as it has come: tags as they are written, none added or moved, text and
    comments. Raises ``LimitExceeded`` (``html_token``, ``html_attributes``, ``html_depth``), and what
    ``source`` does."""
    with _opened(what) as opened:
        tokens = Tokenizer(opened.limits, opened.name)
        for piece in opened.text(_KIND, "replace"):
            yield from tokens.feed(piece)
        yield from tokens.close()


def forms(what: Any, base: str | None = None) -> list[Form]:
    """The forms of a page, with all that is in their controls. A page of any size is read, of which no more
    than its forms is kept.

    ``base``: the page's URL, where ``what`` does not tell; without one, relative actions stay as they are.
    Raises ``LimitExceeded`` (``html_controls``, ``html_token``, ``html_attributes``, ``html_depth``,
    ``answer``), and what ``source`` does.
    """
    with _opened(what) as opened:
        url = base_of(opened, base)
        return forms_in(opened.text(_KIND, "replace"), url, limits=opened.limits, source=opened.name).forms


def text(what: Any) -> str:
    """What a person reads of a page: the standard's ``innerText`` (3.2.7). Lines as a browser breaks them,
    white space as it shows it, a blank line around paragraphs, tabs between the cells of a row; no scripts,
    no styles, nothing that is hidden by an attribute. Raises what ``load`` does."""
    return load(what).text()


def tables(what: Any) -> list[Table]:
    """The tables of a page, those within others among them, in the order in which they begin, with row and
    column spans resolved (4.9.12). Raises what ``load`` does, ``LimitExceeded`` (``html_cells``)."""
    return load(what).tables()


def metadata(what: Any, base: str | None = None) -> Metadata:
    """What a page says of itself. Raises what ``load`` does."""
    return load(what, base).metadata()


def read_html(
    opened: Source,
    *,
    table: int | str | None = None,
    headers: int | None = None,
    duplicates: Duplicates = "number",
) -> Iterator[dict[str, str]]:
    """The rows of a table of a page, as records by its header cells.

    ``table``: its number, from 0, in the order of ``tables``, or a CSS selector; not needed for a page with
    one. ``headers``: how many rows are headers, where the page does not tell. ``duplicates``: a name that
    comes twice gets a number (``a_2``), or is an ``"error"``. Raises ``DataError`` where it is not told which
    table, and what ``load`` does; of a page that breaks off, after the rows that had come.
    """
    page, fault = rows_of(opened)
    try:
        chosen = _chosen(page, table)
    except DataError:
        if fault is not None:  # it may have been to come
            raise fault from None
        raise
    yield from chosen.records(headers, duplicates=duplicates)
    if fault is not None:
        raise fault


def _chosen(page: Page, which: int | str | None) -> Table:
    if isinstance(which, str):
        found = page.select(which)
        if not found:
            raise DataError(f"no element matches {which!r}", page.source)
        return found[0].table()
    every = page.tables()
    if which is None and len(every) == 1:
        return every[0]
    if which is not None and 0 <= which < len(every):
        return every[which]
    if not every:
        raise DataError("no table in the page", page.source)
    told = "; ".join(_described(number, each) for number, each in enumerate(every[:_TOLD]))
    more = "; …" if len(every) > _TOLD else ""
    lead = f"no table {which}" if which is not None else "choose one of its tables with table="
    raise DataError(f"{lead}: {told}{more}", page.source)


def _described(number: int, table: Table) -> str:
    names = ", ".join(table.names()[:4])
    return f"{number}: {len(table.cells)} rows ({table.caption[:40] or names[:60]})"


def _opened(what: Any) -> AbstractContextManager[Source]:
    """Who gave a source closes it."""
    return nullcontext(what) if isinstance(what, Source) else source(what)
