"""The open elements of a page of which some say when they end: what forms are told by."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from portico.data.html.lexis import VOID
from portico.data.html.nesting import ACTIVE, CONTAINERS, ONCE, PARTS, Nesting
from portico.data.html.tag import too_deep

__all__ = ["Watched"]

_CONTEXTS = {
    **dict.fromkeys(("caption", "colgroup", "tbody", "tfoot", "thead"), ("table",)),
    "tr": ("tbody", "tfoot", "thead", "table"),
    **dict.fromkeys(("td", "th"), ("tr", "tbody", "tfoot", "thead", "table")),
}
"""What a part of a table is put in: all that is open in there ends."""
_IMPLIED = frozenset("dd dt li optgroup option p rb rp rt rtc".split())
"""These end by themselves (13.2.6.3)."""


class Watched(Nesting):
    """Open elements, of which some tell when they end. ``most``: how many may be open."""

    def __init__(self, most: int, source: str) -> None:
        super().__init__()
        self._most = most
        self._source = source

    @property
    def in_table(self) -> bool:
        """Whether a table, a group of its rows or a row is the innermost."""
        return bool(self._open) and self._open[-1] in CONTAINERS

    def begin(self, name: str, at_end: Callable[[], object] | None = None, *, ended: bool = False) -> int:
        """A start tag of HTML comes; ``ended``: its end tag follows. ``at_end`` is called at the end of the
        element, and of all that is in it. The place of that."""
        if name in PARTS:
            if not self._places["table"]:
                return -1
            self._pop_to(1 + max(self._places[each][-1] for each in _CONTEXTS[name] if self._places[each]))
        elif name in ACTIVE:
            self._act(name)
        if ended or name in VOID or name in ONCE:
            return -1
        return self._put(name, at_end)

    def begin_foreign(self, name: str) -> None:
        """A start tag of SVG or MathML comes, which ends nothing."""
        self._put(f":{name}")

    @property
    def foreign(self) -> bool:
        """Whether there is an ``svg`` or ``math``."""
        return bool(self._places.get(":svg") or self._places.get(":math"))

    def end_all_foreign(self) -> None:
        """End the outermost ``svg`` or ``math``, and what is in it."""
        self._pop_to(min(self._places[each][0] for each in (":svg", ":math") if self._places.get(each)))

    def _put(self, name: str, at_end: Callable[[], object] | None = None) -> int:
        place = len(self._open)
        if place >= self._most:
            raise too_deep(self._most, self._source)
        self._push(name, "")
        if at_end is not None:
            self._marked[place] = at_end
        return place

    def end(self, name: str) -> None:
        """An end tag comes."""
        self._end(name)

    def end_foreign(self, name: str) -> bool:
        """End the innermost element of SVG or MathML of that name; whether there is one that can be."""
        places = self._places.get(f":{name}")
        within = 0 if not places else len(self._open) - places[-1]
        if not places or not all(each[:1] == ":" for each in islice(reversed(self._open), within)):
            return False
        self._pop_to(places[-1])
        return True

    def end_all(self) -> None:
        """The page ends."""
        self._pop_to(0)

    def end_select(self) -> bool:
        """End a ``select``, if there is one in scope; whether there was."""
        places = self._places["select"]
        found = bool(places) and places[-1] == self._walls[-1]
        if found:
            self._pop_to(places[-1])
        return found

    def end_options(self, name: str) -> None:
        """What an ``option`` or ``optgroup`` ends that begins."""
        places = self._places["select"]
        if places and places[-1] == self._walls[-1]:
            while self._open[-1] in _IMPLIED and (name, self._open[-1]) != ("option", "optgroup"):
                self._pop(ended=True)
        elif self._open and self._open[-1] == "option":
            self._pop(ended=True)

    def place_of_innermost(self, name: str) -> int | None:
        """The place of the innermost element, if that is its name."""
        return len(self._open) - 1 if self._open and self._open[-1] == name else None

    def is_within(self, inner: str, outer: str) -> bool:
        """Whether an element is open within the innermost of another kind."""
        places, around = self._places.get(inner, []), self._places.get(outer, [])
        return places[-1:] > around[-1:] > []

    def is_watched(self, place: int) -> bool:
        """Whether the element at a place tells when it ends."""
        return place in self._marked

    def _end_alone(self, name: str, place: int) -> None:
        if name != "form" and place > self._special[-1]:  # nothing is in it that would go on
            self._pop_to(place)
        else:
            super()._end_alone(name, place)

    def _gone(self, place: int, mark: Callable[[], object], ended: bool) -> None:
        mark()

    def _drop_ended(self) -> None:
        while self._open and not self._open[-1]:
            self._open.pop()
            done = self._marked.pop(len(self._open), None)
            if done is not None:
                done()

    def _pop(self, *, ended: bool) -> None:
        name = self._open[-1]
        super()._pop(ended=ended)
        if not self._places[name]:  # of a page without end, there is no end of names
            del self._places[name]
