"""What a page's tree would cost, told from its tags before it is made.

A tree of the HTML standard may be far larger than its page: formatting that is never ended (``<b a=1><p><b
a=2><p>…``) is begun anew in every paragraph, so that a hundred kilobytes make millions of elements; and each
tag may look through all elements that are open. A parser in C cannot be stopped while it does that. So the
tags are counted first: how many elements are open, and how many would be begun anew. It is an estimate, on
the high side: an element counts as ended where the standard's rules (13.2.6.4.7) surely end it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from portico.data.html.event import EndTag, Event, StartTag
from portico.data.html.lexis import ATTRIBUTES, VOID, lower
from portico.data.html.nesting import ACTIVE, FORMATTING, ONCE, TAGS, Nesting
from portico.data.html.tokens import Tokenizer
from portico.errors import LimitExceeded
from portico.limits import Limits

__all__ = ["check_growth"]

_CELLS = frozenset(("td", "th"))
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
_FRAMES = re.compile("<frameset", re.IGNORECASE)


def check_growth(text: str, limits: Limits, source: str) -> None:
    """Raises ``LimitExceeded`` for a page whose tree would be too large, too deep, or too dear to make."""
    if len(text) < _SMALL:
        return
    count = _Count(limits, source)
    count.check_frames(text)
    tokens = Tokenizer(
        limits, source, frozenset(), passed=lambda part, at, end: count.take(TAGS.findall(part, at, end))
    )
    for at in range(0, len(text), _PIECE):
        count.take_events(tokens.feed(text[at : at + _PIECE]), tokens.is_foreign)
    count.take_events(tokens.close(), tokens.is_foreign)


class _Count(Nesting):
    def __init__(self, limits: Limits, source: str) -> None:
        super().__init__()
        self._limits = limits
        self._source = source
        self.nodes = 0
        self._steps = 0
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
            if ended and name in _CELLS and open_ and open_[-1] == "tr" and len(attributes) <= _LONG:
                pass  # it ends nothing, and has ended
            elif name[0] == "/":
                if open_ and open_[-1] == name[1:]:
                    self._pop(ended=True)
                else:
                    self._end(name[1:])
            else:
                if len(attributes) > _LONG:
                    self.check_attributes(sum(1 for _ in ATTRIBUTES.finditer(attributes)))
                if name in ACTIVE:
                    if name in ONCE:
                        self._merge(attributes)
                    self._act(name)
                if not (ended or name in VOID or name in ONCE or (name == "form" and self._places["form"])):
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
                        self.take([(name, str(attributes) if name in FORMATTING else "", "")])
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

    def _merge(self, attributes: str) -> None:
        """The attributes of later tags are added to the first."""
        self._merged += len(ATTRIBUTES.findall(attributes))
        self.check_attributes(self._merged)

    def _push(self, name: str, attributes: str) -> None:
        place = len(self._open)
        if place + self._kept >= self._limits.html_depth:  # what is kept may be within all that is open
            depth = place + self._kept + 1
            self._check(depth, self._limits.html_depth, "html_depth", "elements within elements")
        super()._push(name, attributes)
        if name in FORMATTING:
            self._keep(place, (name, "" if name == "a" else attributes))

    def _keep(self, place: int, key: tuple[str, str]) -> None:
        if self._same[key] < (1 if key[0] == "a" else _SAME):
            self._same[key] += 1
            self._kept += 1
            self._marked[place] = key

    def _forget(self, place: int) -> None:
        key = self._marked.pop(place, None)
        if key is not None:
            self._kept -= 1
            self._same[key] -= 1

    def _end_alone(self, name: str, place: int) -> None:
        blocks = sum(each != "" and each not in FORMATTING for each in self._open[place + 1 : place + 50])
        if blocks <= _LOOPS:
            self._forget(place)
        self._marked.pop(place, None)
        super()._end_alone(name, place)

    def _gone(self, place: int, mark: tuple[str, str], ended: bool) -> None:
        if ended:  # else it goes on in what follows, and is never known to end
            self._kept -= 1
            self._same[mark] -= 1
