"""XML as a format of records: dicts out of the elements that repeat, and elements out of dicts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from portico.data.faults import Errors, told_of
from portico.data.sources import Source
from portico.data.xml.dicts import Mapper
from portico.data.xml.match import Pattern
from portico.data.xml.safety import allowed
from portico.data.xml.streaming import converted, matches
from portico.errors import DataError, PorticoError

__all__ = ["read_xml"]


def read_xml(
    source: Source,
    select: str | None = None,
    *,
    namespaces: Mapping[str | None, str] | None = None,
    attribute: str = "@",
    text: str = "#text",
    lists: Collection[str] = (),
    type: Any = None,  # noqa: A002
    on_error: Errors = "raise",
    allow: Collection[str] = (),
) -> Iterator[Any]:
    """The elements that ``select`` names, as dicts (see ``xml.dicts``); all else is as in ``records``.

    Without ``select``: the children of the root, as long as they all have one name. Raises ``DataError`` at
    the first that has another, for then something else may be meant.
    """
    told = told_of(on_error)
    mapper = Mapper(namespaces, attribute=attribute, text=text, lists=lists)
    names = allowed(allow, None)
    found = _alike(source, names) if select is None else matches(source, Pattern(select, namespaces), names)
    yield from converted(found, mapper, type, told, source.name)


def _alike(source: Source, allow: frozenset[str]) -> Iterator[Any]:
    """The first waits for the second: where those differ, none has been given."""
    found = matches(source, Pattern("/*/*"), allow)
    first = next(found, None)
    if first is None:
        return
    try:
        second = next(found, None)
    except PorticoError:  # nothing has come that differs
        yield first
        raise
    for element in chain((second,) if second is not None else (), found):
        if element.tag != first.tag:
            raise DataError(
                f"<{element.tag}> follows <{first.tag}> in the root, so its children are no records; "
                "pass select= the name of the elements that are",
                source.name,
                line=element.sourceline,
            )
        if element is second:
            yield first
        yield element
    if second is None:
        yield first
