"""Where in a page SVG or MathML is: in there, markup counts in elements that hold raw text elsewhere
(HTML standard, 13.2.6.5)."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from portico.data.html.lexis import VOID
from portico.data.html.tag import too_deep

__all__ = ["Foreign"]

_POINTS = {
    "svg": frozenset(("foreignobject", "desc", "title")),
    "math": frozenset(("mi", "mo", "mn", "ms", "mtext")),
    "html": frozenset[str](),
}
"""Integration points: in these, it is HTML again."""
_HTML_IN_XML = frozenset(("text/html", "application/xhtml+xml"))
_BREAKOUT = frozenset(
    """b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing
    menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var""".split()
)
_FONT = frozenset(("color", "face", "size"))


class _Open(NamedTuple):
    name: str
    language: str
    html_within: bool


class Foreign:
    """The open elements from the outermost ``svg`` or ``math`` on, ``most`` at most. True while there is
    one."""

    def __init__(self, most: int, source: str) -> None:
        self._most = most
        self._source = source
        self._open: list[_Open] = []
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def markup(self) -> bool:
        """Whether the innermost element is foreign, and no integration point."""
        return bool(self._open) and not self._open[-1].html_within

    def start(self, name: str, attributes: dict[str, str], closed: bool) -> bool:
        """An element begins. Whether markup counts in it, whatever it is called."""
        if self.markup and (name in _BREAKOUT or (name == "font" and not _FONT.isdisjoint(attributes))):
            while self.markup:
                self._pop()
        language = self._language(name)
        foreign = language != "html"
        if (self._open or foreign) and not (closed if foreign else name in VOID):
            if len(self._open) >= self._most:
                raise too_deep(self._most, self._source)
            self._open.append(_Open(name, language, self._html_within(name, language, attributes)))
            self._counts[name] += 1
        return foreign

    def _language(self, name: str) -> str:
        if self.markup:
            above = self._open[-1]
            return "svg" if (above.name, name) == ("annotation-xml", "svg") else above.language
        return name if name in ("svg", "math") else "html"

    def _html_within(self, name: str, language: str, attributes: dict[str, str]) -> bool:
        if language == "math" and name == "annotation-xml":
            return attributes.get("encoding", "").lower() in _HTML_IN_XML
        return language == "html" or name in _POINTS[language]

    def end(self, name: str) -> None:
        """An end tag comes."""
        if self.markup and name in ("p", "br"):
            while self.markup:
                self._pop()
        if self._counts[name]:
            while self._pop() != name:
                pass

    def leave(self) -> None:
        """All of them end: a tag has ended an element of HTML around them."""
        while self._open:
            self._pop()

    def _pop(self) -> str:
        name = self._open.pop().name
        self._counts[name] -= 1
        if not self._counts[name]:  # of a page without end, there is no end of names
            del self._counts[name]
        return name
