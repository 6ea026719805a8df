"""A page as a tree, built by the HTML standard's rules (13.2.6) whatever its markup, asked in CSS or XPath.

The tree is that of lexbor (``selectolax``), which is what browsers make of the page. CSS is asked of it. For
XPath there is a copy of it in lxml, made at the first question; what is found there comes back as the element
of the one tree that it stands for. In both, what is inside a ``template`` is no part of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from io import StringIO
from typing import TYPE_CHECKING, Any

from portico.data.html.bounds import check_growth
from portico.data.html.form import Form
from portico.data.html.form_page import forms_in
from portico.data.html.linking import Link, links_in
from portico.data.html.meta import Metadata, metadata_of
from portico.data.html.plaintext import text_of
from portico.data.html.table import Table, table_of
from portico.data.sources import Source
from portico.errors import ConfigError, DataError, LimitExceeded, PorticoError
from portico.limits import Limits

if TYPE_CHECKING:
    from portico.data.html.joining import Join
    from portico.data.html.xpath import Copy

__all__ = ["Element", "Page", "base_of", "page_of", "rows_of"]

_ROW_ENDS = re.compile("<tr[^a-z]|</tr|</table", re.IGNORECASE)
"""What a row ends before, at the latest."""


class Element:
    """An element of a page. Two that stand for the same one are equal."""

    def __init__(self, page: Page, node: Any) -> None:
        self._page = page
        self._node = node

    @property
    def name(self) -> str:
        """In lower case; in SVG, with the capitals that are part of its names."""
        return str(self._node.tag)

    @cached_property
    def attributes(self) -> dict[str, str]:
        """By name, in lower case; ``""`` for one without a value."""
        return {name: value or "" for name, value in self._node.attributes.items()}

    def get(self, name: str, default: str = "") -> str:
        """An attribute's value."""
        return self.attributes.get(name, default)

    @property
    def html(self) -> str:
        """It and what is in it, as markup."""
        return self._node.html or ""

    @property
    def parent(self) -> Element | None:
        """The element it is in; ``None`` for the root."""
        above = self._node.parent
        return Element(self._page, above) if above is not None and above.is_element_node else None

    def __iter__(self) -> Iterator[Element]:
        """The elements directly in it."""
        return (Element(self._page, each) for each in self._node.iter() if each.is_element_node)

    def text(self) -> str:
        """What a person reads of it: see ``portico.data.html.text``."""
        return text_of(self._node)

    def select(self, css: str) -> list[Element]:
        """The elements in it that match a selector (Selectors 4), in the page's order. Raises ``ConfigError``
        for what is none."""
        return [Element(self._page, each) for each in _selected(self._node, css)]

    def first(self, css: str) -> Element | None:
        """The first of them."""
        return next(iter(self.select(css)), None)

    def xpath(self, expression: str) -> Any:
        """What an XPath 1.0 expression gives, asked from here: a list of elements and texts (``str``), or one
        text, number or truth. Names are without namespaces: ``//svg``. Raises ``ConfigError`` for what is no
        expression, or without lxml."""
        return self._page._copy.ask(self._node, expression, lambda node: Element(self._page, node))

    def table(self) -> Table:
        """It as a table. Raises ``DataError`` if it is no ``table``, ``LimitExceeded``."""
        if self.name != "table":
            raise DataError(f"<{self.name}> is no table", self._page.source)
        return table_of(self._node, self._page.limits, self._page.source)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Element) and self._node.mem_id == other._node.mem_id

    def __hash__(self) -> int:
        return hash(self._node.mem_id)

    def __repr__(self) -> str:
        name = self.get("id") and f"#{self.get('id')}"
        return f"<Element {self.name}{name}>"


class Page:
    """A page. ``base``: the URL it was read from, or what was given for it. ``charset``: the codec it was
    written in. Made by ``portico.data.html.load``."""

    def __init__(self, parser: Any, source: str, base: str, charset: str, limits: Limits) -> None:
        self._parser = parser
        self.source = source
        self.base = base
        self.charset = charset
        self.limits = limits

    @property
    def root(self) -> Element:
        """The ``html`` element, which every page has."""
        return Element(self, self._parser.root)

    @property
    def title(self) -> str:
        """The text of its title, without white space around and double (4.2.2)."""
        found = self._parser.css_first("title")
        return "" if found is None else " ".join(found.text().split())

    @property
    def html(self) -> str:
        """All of it, as markup that means the same tree."""
        return self._parser.html or ""

    def select(self, css: str) -> list[Element]:
        """The elements that match a selector: see ``Element.select``."""
        return self.root.select(css)

    def first(self, css: str) -> Element | None:
        """The first element that matches a selector."""
        return self.root.first(css)

    def xpath(self, expression: str) -> Any:
        """What an XPath expression gives, asked from the root of the page: see ``Element.xpath``."""
        return self._copy.ask(None, expression, lambda node: Element(self, node))

    def text(self) -> str:
        """What a person reads: see ``portico.data.html.text``."""
        return text_of(self._parser.root)

    def tables(self) -> list[Table]:
        """Its tables, those within others among them, in the order in which they begin."""
        return [table_of(each, self.limits, self.source) for each in self._parser.css("table")]

    def links(self, *, kinds: Iterable[str] | None = None, join: Join | None = None) -> list[Link]:
        """Its links: see ``portico.data.html.links``."""
        return list(
            links_in([self._text], self.base, limits=self.limits, source=self.source, kinds=kinds, join=join)
        )

    def forms(self) -> list[Form]:
        """Its forms: see ``portico.data.html.forms``."""
        return forms_in([self._text], self.base, limits=self.limits, source=self.source).forms

    def metadata(self) -> Metadata:
        """What it says of itself: see ``portico.data.html.metadata``."""
        return metadata_of(self._parser, self.base, self.charset)

    @property
    def _text(self) -> str:
        text: str = self._parser.raw_html.decode("utf-8", "replace")
        return text

    @cached_property
    def _copy(self) -> Copy:
        from portico.data.html.xpath import Copy

        return Copy(self._parser.root)

    def __repr__(self) -> str:
        return f"<Page {self.source}>"


def page_of(opened: Source, base: str | None) -> Page:
    """The page that a source holds, all of it."""
    return _made("".join(_bounded(opened)), opened, base)


def rows_of(opened: Source) -> tuple[Page, PorticoError | None]:
    """The page that a source holds; where that fails in its middle, what there is up to the last whole row of
    a table, and the error."""
    came = StringIO(newline="")
    fault: PorticoError | None = None
    end = None
    try:
        for piece in _bounded(opened):
            came.write(piece)
    except LimitExceeded:
        raise
    except PorticoError as error:
        ends = [each.start() for each in _ROW_ENDS.finditer(came.getvalue())]
        if not ends:
            raise
        fault, end = error, ends[-1]
    return _made(came.getvalue()[:end], opened, None), fault


def _made(text: str, opened: Source, base: str | None) -> Page:
    lexbor = _lexbor()
    check_growth(text, opened.limits, opened.name)
    try:
        # Its events copy the chosen option into a select's button, in time by the square of the options.
        parser = lexbor.LexborHTMLParser(
            text.encode("utf-8", "replace"), options=lexbor.LexborDocumentOptions.WO_EVENTS
        )
    except lexbor.SelectolaxError as error:
        raise DataError(f"no tree can be made of it: {error}", opened.name) from None
    return Page(parser, opened.name, base_of(opened, base), opened.charset("text/html"), opened.limits)


def base_of(opened: Source, base: str | None) -> str:
    """What references are relative to: what was given, else where the page comes from."""
    return opened.url if base is None else base


def _bounded(opened: Source) -> Iterator[str]:
    size = 0
    for piece in opened.text("text/html", "replace"):
        size += len(piece)
        if size > opened.limits.answer:
            raise LimitExceeded(
                f"{opened.name}: a page of more than {opened.limits.answer} characters", "answer", 413
            )
        yield piece


def _selected(node: Any, css: str) -> list[Any]:
    try:
        found: list[Any] = node.css(css)
    except _lexbor().SelectolaxError as error:
        raise ConfigError(f"{css[:200]!r} is no CSS selector: {error}") from None
    return found


def _lexbor() -> Any:
    try:
        from selectolax import lexbor
    except ImportError:
        raise ConfigError("the tree of a page takes selectolax: pip install 'portico[data]'") from None
    return lexbor
