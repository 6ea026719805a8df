"""What a page's tree would cost, told from its tags before it is made.

A tree of the HTML standard may be far larger than its page: formatting that is never ended (``<b a=1><p><b
a=2><p>…``) is begun anew in every paragraph, so that a hundred kilobytes make millions of elements; and each
tag may look through all elements that are open. A parser in C cannot be stopped while it does that. So the
tags are counted first: how many elements are open, and how many would be begun anew. It is an estimate, on
the high side: an element counts as ended where the standard's rules (13.2.6.4.7) surely end it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from portico.data.html.event import EndTag, Event, StartTag
from portico.data.html.lexis import ATTRIBUTES, TAG, VOID, lower
from portico.data.html.tokens import Tokenizer
from portico.errors import LimitExceeded
from portico.limits import Limits

__all__ = ["check_growth"]

_SMALL = 4096
"""Characters of a page that is too small to do harm."""
_PIECE = 1 << 20
"""Characters that are looked at together."""
_LONG = 4096
"""Characters of a tag's attributes from which on they are counted."""
_STEPS = 1 << 30
"""Steps through open elements that all tags together may take: some seconds."""
_SAME = 3
"""Open formatting elements of one kind that are kept (13.2.4.3)."""
_LOOPS = 6
"""Blocks within a formatting element that its end tag surely ends: the standard tries eight times."""
_LOOKED_BACK = 16
_FORMATTING = frozenset("a b big code em font i nobr s small strike strong tt u".split())
_WALLS = frozenset("applet caption marquee object select table td template th svg math".split())
"""An end tag does not reach through these (13.2.4.2)."""
_CELLS = frozenset("caption td th".split())
_PARTS = frozenset("caption colgroup tbody td tfoot th thead tr".split())
_ENDS_PART = {
    "td": ("td", "th", "caption"),
    "th": ("td", "th", "caption"),
    "tr": ("tr", "caption"),
    **dict.fromkeys(("thead", "tbody", "tfoot"), ("thead", "tbody", "tfoot", "tr", "caption")),
}
_CONTAINERS = frozenset("table tbody tfoot thead tr".split())
_ENDS_ITEM = {
    "li": ("li",),
    "dd": ("dd", "dt"),
    "dt": ("dd", "dt"),
}
_ENDS_ITSELF = frozenset(("a", "button", "nobr"))
_ONCE = frozenset(("html", "head", "body"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_TRANSPARENT = frozenset("address div p span".split()) | _FORMATTING
"""A new item is looked for through these (``li``, 13.2.6.4.7)."""
_ENDS_PARAGRAPH = frozenset(
    """address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hgroup hr li listing main menu nav ol p plaintext pre search section
    summary table ul xmp""".split()
)

_ACTIVE = (
    _ENDS_PARAGRAPH | _ENDS_PART.keys() | _ENDS_ITEM.keys() | _ENDS_ITSELF | _HEADINGS | _ONCE | {"option"}
)
_FOREIGN = frozenset(("svg", "math"))
_SPECIAL = (
    _ENDS_PARAGRAPH
    | _PARTS
    | _WALLS
    | _ONCE
    | frozenset(
        "button dd dt iframe noembed noframes noscript script select style textarea title frameset".split()
    )
)
"""The end tag of another element does not reach through these, either."""
_FRAMES = re.compile("<frameset", re.IGNORECASE)
_TAGS = re.compile(rf"{TAG.pattern}(?:[^<]*+(</\1>))?")


def check_growth(text: str, limits: Limits, source: str) -> None:
    """Raises ``LimitExceeded`` for a page whose tree would be too large, too deep, or too dear to make."""
    if len(text) < _SMALL:
        return
    count = _Count(limits, source)
    count.check_frames(text)
    tokens = Tokenizer(
        limits, source, frozenset(), passed=lambda part, at, end: count.take(_TAGS.findall(part, at, end))
    )
    for at in range(0, len(text), _PIECE):
        count.take_events(tokens.feed(text[at : at + _PIECE]), tokens.is_foreign)
    count.take_events(tokens.close(), tokens.is_foreign)


class _Count:
    def __init__(self, limits: Limits, source: str) -> None:
        self._limits = limits
        self._source = source
        self.nodes = 0
        self._steps = 0
        self._open: list[str] = []  # names, or "" for one that was ended out of its turn
        self._places: defaultdict[str, list[int]] = defaultdict(list)  # of each name in that list
        self._walls: list[int] = [-1]
        self._special: list[int] = [-1]
        self._keys: dict[int, tuple[str, str] | None] = {}  # of formatting elements, by their place
        self._same: Counter[tuple[str, str]] = Counter()
        self._kept = 0  # formatting elements that text may begin anew
        self._merged = 0

    def take(self, tags: Iterable[tuple[str, str, str]]) -> None:
        """Tags, one after the other: the name, with the slash of an end tag; the attributes; the end tag, if
        there is nothing but text before it."""
        nodes, steps, open_ = 0, 0, self._open
        for name, attributes, ended in tags:
            if not name.islower():
                name = lower(name)  # noqa: PLW2901
            if name[0] == "/":
                if open_ and open_[-1] == name[1:]:
                    self._pop(ended=True)
                else:
                    self._end(name[1:])
            else:
                if len(attributes) > _LONG:
                    self.check_attributes(len(ATTRIBUTES.findall(attributes)))
                if name in _ACTIVE:
                    self._act(name, attributes)
                if not (ended or name in VOID or name in _ONCE or (name == "form" and self._places["form"])):
                    self._push(name, attributes)
            nodes += 2 + self._kept  # it, and a text
            steps += len(open_) + self._kept
        self.nodes += nodes
        self._steps += steps
        self._check(self.nodes, self._limits.html_nodes, "html_nodes", "elements and texts")
        self._check(self._steps, _STEPS, "html_depth", "steps through elements within elements")

    def take_events(self, events: Iterable[Event], foreign: Callable[[], bool]) -> None:
        """Those of what the tokenizer does not pass over. ``foreign``: whether one is an element of SVG or
        MathML, which ends no others."""
        for event in events:
            match event:
                case StartTag(name, attributes, closed):
                    self.check_attributes(len(attributes))
                    if foreign():
                        self._push(name, "")
                        self.nodes += 2 + self._kept
                        self._steps += len(self._open)
                    elif not closed:
                        self.take([(name, str(attributes) if name in _FORMATTING else "", "")])
                case EndTag(name):
                    self.take([(f"/{name}", "", "")])
                case _:
                    self.nodes += 1
        self._check(self.nodes, self._limits.html_nodes, "html_nodes", "elements and texts")

    def check_frames(self, text: str) -> None:
        """Where there are frames, the tags of scripts and titles are passed over, and what is in them counts:
        each ``frameset`` is taken for one, wherever it stands."""
        number = sum(1 for _ in _FRAMES.finditer(text))
        self._check(number, self._limits.html_depth, "html_depth", "elements within elements")

    def check_attributes(self, number: int) -> None:
        self._check(number, self._limits.html_attributes, "html_attributes", "attributes in a tag")

    def _check(self, number: int, most: int, limit: str, what: str) -> None:
        if number > most:
            raise LimitExceeded(f"{self._source}: a page of more than {most} {what}", limit, 413)

    def _act(self, name: str, attributes: str) -> None:
        """What a start tag does to elements that are open."""
        if name in _ONCE:  # the attributes of later tags are added to the first
            self._merged += len(ATTRIBUTES.findall(attributes))
            self.check_attributes(self._merged)
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
        if place + self._kept >= self._limits.html_depth:  # what is kept may be within all that is open
            depth = place + self._kept + 1
            self._check(depth, self._limits.html_depth, "html_depth", "elements within elements")
        self._places[name].append(place)
        self._open.append(name)
        if name in _SPECIAL:
            self._special.append(place)
        if name in _WALLS:
            self._walls.append(place)
        elif name in _FORMATTING:
            self._keep(place, (name, "" if name == "a" else attributes))

    def _keep(self, place: int, key: tuple[str, str]) -> None:
        if self._same[key] < (1 if key[0] == "a" else _SAME):
            self._same[key] += 1
            self._kept += 1
            self._keys[place] = key

    def _forget(self, place: int) -> None:
        key = self._keys.pop(place, None)
        if key is not None:
            self._kept -= 1
            self._same[key] -= 1

    def _end(self, name: str) -> None:
        """An end tag of an element that is not the innermost."""
        places = self._places.get(name)
        if not places:
            return
        place = places[-1]
        wall = self._walls[-1]
        if name in _PARTS or name == "table":
            tables = self._places["table"]
            wall = (tables[-1] if tables else len(self._open)) - (name == "table")
        elif place == wall:
            wall -= 1
        elif name == "li":  # lists within it hold it open
            wall = max([wall, *(self._places[each][-1] for each in ("ul", "ol") if self._places[each])])
        if place <= wall:
            return
        if name in _FORMATTING or name == "form":
            self._end_alone(name, place)
        elif (name not in _SPECIAL or name in _FOREIGN) and place < self._special[-1]:
            return
        else:
            self._pop_to(place)

    def _end_alone(self, name: str, place: int) -> None:
        """What is in it stays open."""
        blocks = sum(each != "" and each not in _FORMATTING for each in self._open[place + 1 : place + 50])
        if blocks <= _LOOPS:
            self._forget(place)
        self._keys.pop(place, None)
        self._places[name].pop()
        self._open[place] = ""
        self._drop_ended()

    def _end_part(self, names: tuple[str, ...]) -> None:
        if self._open and self._open[-1] in _CONTAINERS and self._open[-1] not in names:
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
        name = self._open.pop()
        place = len(self._open)
        if name:
            self._places[name].pop()
        if self._walls[-1] == place:
            self._walls.pop()
        if self._special[-1] == place:
            self._special.pop()
        if place in self._keys:
            if ended:
                self._forget(place)
            else:
                del self._keys[place]  # it goes on in what follows, and is never known to end
        self._drop_ended()

    def _drop_ended(self) -> None:
        while self._open and not self._open[-1]:
            self._open.pop()
