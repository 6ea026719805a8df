"""Which elements are open in a page, told from its tags alone by the standard's rules (13.2.6.4.7).

Each tag costs the same, however many elements are open: where each name is open is kept beside their list.
Elements count as open until those rules surely end them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from typing import Any

from portico.data.html.lexis import TAG

__all__ = ["ACTIVE", "CONTAINERS", "FORMATTING", "ONCE", "PARTS", "TAGS", "Nesting"]

TAGS = re.compile(rf"{TAG.pattern}(?:[^<]*+(</\1>))?")
"""A tag: its name, with the slash of an end tag; its attributes; its end tag, if there is nothing but text
before that."""
_LOOKED_BACK = 16
"""Open elements among which a new item looks for one before it."""
FORMATTING = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_POINTS = frozenset(":annotation-xml :desc :foreignobject :mi :mn :mo :ms :mtext :title".split())
"""Of SVG and MathML, where it is HTML again."""
_WALLS = _POINTS | frozenset("applet caption marquee object select table td template th svg math".split())
"""An end tag does not reach through these (13.2.4.2)."""
_CELLS = frozenset("caption td th".split())
PARTS = frozenset("caption colgroup tbody td tfoot th thead tr".split())
_ENDS_PART = {
    "td": ("td", "th", "caption"),
    "th": ("td", "th", "caption"),
    "tr": ("tr", "caption"),
    **dict.fromkeys(("thead", "tbody", "tfoot"), ("thead", "tbody", "tfoot", "tr", "caption")),
}
CONTAINERS = frozenset("table tbody tfoot thead tr".split())
_ENDS_ITEM = {
    "li": ("li",),
    "dd": ("dd", "dt"),
    "dt": ("dd", "dt"),
}
_ENDS_ITSELF = frozenset(("a", "button", "nobr"))
ONCE = frozenset(("html", "head", "body"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_TRANSPARENT = frozenset("address div p span".split()) | FORMATTING
"""A new item is looked for through these (``li``, 13.2.6.4.7)."""
_ENDS_PARAGRAPH = frozenset(
    """address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hgroup hr li listing main menu nav ol p plaintext pre search section
    summary table ul xmp""".split()
)

ACTIVE = (
    _ENDS_PARAGRAPH | _ENDS_PART.keys() | _ENDS_ITEM.keys() | _ENDS_ITSELF | _HEADINGS | ONCE | {"option"}
)
_FOREIGN = frozenset(("svg", "math"))
_SPECIAL = (
    _ENDS_PARAGRAPH
    | PARTS
    | _WALLS
    | ONCE
    | frozenset(
        "button dd dt iframe noembed noframes noscript script select style textarea title frameset".split()
    )
)
"""The end tag of another element does not reach through these, either."""


class Nesting:
    """The open elements."""

    def __init__(self) -> None:
        self._open: list[str] = []  # names, or "" for one that was ended out of its turn
        self._places: defaultdict[str, list[int]] = defaultdict(list)  # of each name in that list
        self._walls: list[int] = [-1]
        self._special: list[int] = [-1]
        self._marked: dict[int, Any] = {}  # by their place: elements whose end is to be told

    def _gone(self, place: int, mark: Any, ended: bool) -> None:
        """An element with a mark has ended; ``ended``: formatting does not go on after it."""

    def _act(self, name: str) -> None:
        """What a start tag does to elements that are open."""
        if name in _ENDS_PARAGRAPH:
            self._end("p")
        if name in _ENDS_PART:
            self._end_part(_ENDS_PART[name])
        elif name in _ENDS_ITEM:
            self._end_item(_ENDS_ITEM[name])
        elif name == "option":
            if self._open and self._open[-1] == name:
                self._pop(ended=True)
        elif name in _ENDS_ITSELF:
            self._end(name)
        elif name in _HEADINGS and self._open and self._open[-1] in _HEADINGS:
            self._pop(ended=True)

    def _push(self, name: str, attributes: str) -> None:
        place = len(self._open)
        self._places[name].append(place)
        self._open.append(name)
        if name in _SPECIAL:
            self._special.append(place)
        if name in _WALLS:
            self._walls.append(place)

    def _end(self, name: str) -> None:
        """An end tag of an element that is not the innermost."""
        places = self._places.get(name)
        if not places:
            return
        place = places[-1]
        wall = self._walls[-1]
        if name in PARTS or name == "table":
            tables = self._places["table"]
            wall = (tables[-1] if tables else len(self._open)) - (name == "table")
        elif place == wall:
            wall -= 1
        elif name == "li":  # lists within it hold it open
            wall = max([wall, *(self._places[each][-1] for each in ("ul", "ol") if self._places[each])])
        if place <= wall:
            return
        if name in FORMATTING or name == "form":
            self._end_alone(name, place)
        elif (name not in _SPECIAL or name in _FOREIGN) and place < self._special[-1]:
            return
        else:
            self._pop_to(place)

    def _end_alone(self, name: str, place: int) -> None:
        """What is in it stays open."""
        self._places[name].pop()
        self._open[place] = ""
        self._drop_ended()

    def _end_part(self, names: tuple[str, ...]) -> None:
        if self._open and self._open[-1] in CONTAINERS and self._open[-1] not in names:
            return  # as in most tables
        tables = self._places["table"]
        if tables:
            place = max((self._places[name][-1] for name in names if self._places[name]), default=-1)
            if place > tables[-1]:
                self._pop_to(place)

    def _end_item(self, names: tuple[str, ...]) -> None:
        for place in range(len(self._open) - 1, max(len(self._open) - _LOOKED_BACK, 0) - 1, -1):
            if self._open[place] in names:
                self._pop_to(place)
                return
            if self._open[place] and self._open[place] not in _TRANSPARENT:
                return

    def _pop_to(self, place: int) -> None:
        """An element ends, and what is in it. Formatting goes on after it, but for that in a cell."""
        cells = len(self._open)
        for name in _CELLS:
            places = self._places[name]
            first = bisect_left(places, place)
            if first < len(places):
                cells = min(cells, places[first])
        while len(self._open) > place:
            self._pop(ended=len(self._open) > cells)

    def _pop(self, *, ended: bool) -> None:
        """The innermost element ends. ``ended``: formatting does not go on after it."""
        name = self._open.pop()
        place = len(self._open)
        if name:
            self._places[name].pop()
        if self._walls[-1] == place:
            self._walls.pop()
        if self._special[-1] == place:
            self._special.pop()
        if place in self._marked:
            self._gone(place, self._marked.pop(place), ended)
        self._drop_ended()

    def _drop_ended(self) -> None:
        while self._open and not self._open[-1]:
            self._open.pop()
