"""Where in a page SVG or MathML is: in there, markup counts in elements that hold raw text elsewhere
(HTML standard, 13.2.6.5)."""

from __future__ import annotations

from collections import Counter

from portico.data.html_lexis import VOID

__all__ = ["Foreign"]

_POINTS = frozenset("foreignobject desc title mi mo mn ms mtext".split())
"""Integration points: in these, it is HTML again."""
_HTML_IN_XML = frozenset(("text/html", "application/xhtml+xml"))
_BREAKOUT = frozenset(
    """b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing
    menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var""".split()
)
_FONT = frozenset(("color", "face", "size"))


class Foreign:
    """The open elements from the outermost ``svg`` or ``math`` on. True while there is one."""

    def __init__(self) -> None:
        self._open: list[tuple[str, bool]] = []
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def markup(self) -> bool:
        """Whether the innermost element is foreign, and no integration point."""
        return bool(self._open) and not self._open[-1][1]

    def start(self, name: str, attributes: dict[str, str], closed: bool) -> bool:
        """An element begins. Whether markup counts in it, whatever it is called."""
        if self.markup and (name in _BREAKOUT or (name == "font" and not _FONT.isdisjoint(attributes))):
            while self.markup:
                self._pop()
        foreign = self.markup
        if not self._open and name not in ("svg", "math"):
            return False
        html = not foreign and name not in ("svg", "math")
        if not (closed and not html) and not (html and name in VOID):
            point = html or name in _POINTS or attributes.get("encoding", "").lower() in _HTML_IN_XML
            self._open.append((name, point))
            self._counts[name] += 1
        return foreign

    def end(self, name: str) -> None:
        """An end tag comes."""
        if self.markup and name in ("p", "br"):
            while self.markup:
                self._pop()
        if self._counts[name]:
            while self._pop() != name:
                pass

    def _pop(self) -> str:
        name, _ = self._open.pop()
        self._counts[name] -= 1
        return name
