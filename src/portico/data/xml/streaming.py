"""The matching elements of a document one by one, while it arrives, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from random import random
from typing import Any, Literal, TypeVar, overload

from portico.data.faults import Errors, Told, told_of
from portico.data.sources import Source
from portico.data.xml.bytes import reading
from portico.data.xml.dicts import Mapper
from portico.data.xml.expanding import expanded
from portico.data.xml.feed import Feed, weight
from portico.data.xml.match import Pattern
from portico.data.xml.safety import allowed
from portico.errors import ConfigError, DataError, LimitExceeded

__all__ = ["converted", "matches", "records"]

T = TypeVar("T")

_SAMPLED = 1 / 32
"""Of so many pieces the names are looked at, and of those after one that had new names; of all would take
longer than parsing does."""
_FEW = 256
"""Characters of new names in a piece that are nothing to look after."""


@overload
def records(
    what: Any,
    select: str,
    *,
    namespaces: Mapping[str | None, str] | None = None,
    as_: str = "element",
    type: type[T],
    attribute: str = "@",
    text: str = "#text",
    lists: Collection[str] = (),
    on_error: Errors = "raise",
    allow: Collection[str] = (),
) -> Iterator[T]: ...
@overload
def records(
    what: Any,
    select: str,
    *,
    namespaces: Mapping[str | None, str] | None = None,
    as_: Literal["dict"],
    type: None = None,
    attribute: str = "@",
    text: str = "#text",
    lists: Collection[str] = (),
    on_error: Errors = "raise",
    allow: Collection[str] = (),
) -> Iterator[dict[str, Any]]: ...
@overload
def records(
    what: Any,
    select: str,
    *,
    namespaces: Mapping[str | None, str] | None = None,
    as_: str = "element",
    type: Any = None,
    attribute: str = "@",
    text: str = "#text",
    lists: Collection[str] = (),
    on_error: Errors = "raise",
    allow: Collection[str] = (),
) -> Iterator[Any]: ...
def records(
    what: Any,
    select: str,
    *,
    namespaces: Mapping[str | None, str] | None = None,
    as_: str = "element",
    type: Any = None,  # noqa: A002
    attribute: str = "@",
    text: str = "#text",
    lists: Collection[str] = (),
    on_error: Errors = "raise",
    allow: Collection[str] = (),
) -> Iterator[Any]:
    """The elements that fit a pattern (see ``xml.match``), each as soon as it has ended, and so one within
    another first.

    ``select``: ``"item"``, ``"shop/item"``, ``"/list/item"``, ``"{uri}item"``, ``"p:item"`` with
    ``namespaces={"p": uri}``. ``as_``: ``"element"`` of lxml, or ``"dict"``, in which attributes are called
    ``attribute`` and their name, and text ``text``; children of the names in ``lists`` are lists even where
    there is one. ``type``: what a dict is converted to, by msgspec: a ``Struct``, a dataclass. ``on_error``:
    a list that gets the error of each element that does not fit the type, or a function that is told; the
    next one follows. What is not well-formed ends the document, and is raised always. ``allow``:
    ``"entities"``, ``"huge"`` (see ``xml.safety``).

    Comments and processing instructions are left out: they would cut texts in two. An element has its
    ancestors until the next step; one that is kept longer stays whole. What is read and not wanted is
    dropped with every 64 KiB.

    Raises ``DataError`` with line and column, after the elements before it; ``LimitExceeded`` for what a
    document may not do, and beyond ``Limits.xml_record``, ``xml_attributes`` and ``xml_names``; what
    ``source`` does; ``ConfigError`` for a pattern that is none, and without lxml; ``LocalProtocolError``
    where another thread goes on with the iteration.
    """
    if as_ not in ("element", "dict"):
        raise ConfigError(f"as_={as_!r}: expected 'element' or 'dict'")
    pattern = Pattern(select, namespaces)
    names = allowed(allow, None)
    mapper = None
    if as_ == "dict" or type is not None:
        mapper = Mapper(namespaces, attribute=attribute, text=text, lists=lists)
    return _records(what, pattern, names, mapper, type, told_of(on_error))


def _records(
    what: Any, pattern: Pattern, allow: frozenset[str], mapper: Mapper | None, wanted: Any, told: Told
) -> Iterator[Any]:
    with reading(what) as given:
        found = matches(given, pattern, allow)
        yield from found if mapper is None else converted(found, mapper, wanted, told, given.name)


def converted(found: Iterator[Any], mapper: Mapper, wanted: Any, told: Told, name: str) -> Iterator[Any]:
    """Elements as dicts, or what those are converted to."""
    if wanted is None:
        yield from map(mapper.record, found)
        return
    for element in found:
        try:
            made = mapper.typed(element, wanted, name)
        except DataError as error:
            if told is None:
                raise
            told(error)
        else:
            yield made


def matches(given: Source, pattern: Pattern, allow: frozenset[str]) -> Iterator[Any]:
    """The elements that fit, each when it has ended."""
    if "entities" in allow:
        given = expanded(given)
    feed = Feed(given, allow - {"entities"}, remove_comments=True, remove_pis=True)
    tags = None if pattern.tags is None else (feed.root_tag, pattern.tags)
    release = _Release(given, pattern)
    fits = pattern.fits
    last = None
    for piece, events in feed.pull(("start", "end"), tags):
        for event, element in events:
            if event == "end":
                if fits(element):
                    last = element
                    yield element
            elif release.root is None:
                release.root = element
        release.after(piece, last)


class _Release:
    """Lets go of what has been read: along the line of elements that are open, all before the last, down to
    the first that is wanted.

    The last child stays, for it may be open, or have a text after it to which the parser adds.
    """

    def __init__(self, given: Source, pattern: Pattern) -> None:
        self.root: Any = None
        self._given = given
        self._fits = pattern.fits
        self._names: set[str] = set()
        self._length = 0
        self._suspect = True
        self._held = 0
        self._kept: Any = None

    def after(self, piece: bytes, last: Any) -> None:
        """A piece has been parsed, and what ended in it was given, at last ``last``."""
        if self.root is None:
            return
        if self._suspect or random() < _SAMPLED:
            self._look()
        node = self.root
        while len(node) and not self._fits(node):
            del node[:-1]
            node.text = None
            node = node[-1]
        self._bound(node if node is not last and self._fits(node) else None, piece)

    def _bound(self, wanted: Any, piece: bytes) -> None:
        """While one that is wanted is open, it grows."""
        self._held = self._held + weight(piece) if wanted is not None and wanted is self._kept else 0
        self._kept = wanted
        if self._held > self._given.limits.xml_record:
            raise LimitExceeded(
                f"{self._given.name}: a record of more than {self._given.limits.xml_record} bytes",
                "xml_record",
                413,
            )

    def _look(self) -> None:
        """libxml2 keeps every name that it has met, as long as the thread lives, and does not count them."""
        found: set[str] = set()
        for node in self.root.iter():
            found.add(node.tag)
            found.update(node.keys())
            found.update(*node.nsmap.items() if node.nsmap else ())
        new = found - self._names
        length = sum(len(name or "") for name in new)
        self._names |= new
        self._length += length
        self._suspect = length > _FEW
        if self._length > self._given.limits.xml_names:
            raise LimitExceeded(
                f"{self._given.name}: different names of more than {self._given.limits.xml_names} characters "
                "in all",
                "xml_names",
                413,
            )
