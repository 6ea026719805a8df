"""A document as events, while it arrives: what starts, ends and stands between.

By expat, which tells the exact line and column of each, takes no more memory than the longest piece of a
document, and needs no library. lxml tells neither columns nor, behind 65,535, all lines; where those are not
wanted, ``records`` is some four times as fast.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any

from portico.data.xml.bytes import pieces_of, reading
from portico.data.xml.event import ALWAYS, KINDS, Event
from portico.data.xml.reader import Reader
from portico.data.xml.safety import allowed
from portico.errors import ConfigError

__all__ = ["events", "handle"]


def events(
    what: Any, *, kinds: Collection[str] = ALWAYS, allow: Collection[str] = ()
) -> Generator[Event, None, None]:
    """The events of a document, in its order, as its bytes come.

    ``kinds``: of events that are wanted, see ``Event``; the fewer, the faster. A text ends where another
    event comes, wanted or not. ``allow``: ``"entities"`` expands those that the document declares and that
    stand in it, within bounds.

    Raises ``DataError`` with line and column for what is not well-formed, after the events before it;
    ``LimitExceeded`` for a document that declares entities, and beyond ``Limits.xml_depth``, ``xml_text``,
    ``xml_attributes``, ``xml_names``, ``xml_prolog``; what ``source`` does.
    """
    names = allowed(allow, None)
    if not names <= {"entities"}:
        raise ConfigError(f"events take allow={{'entities'}} only; bounds are in Limits: {sorted(names)}")
    wanted = frozenset((kinds,) if isinstance(kinds, str) else kinds)
    for kind in sorted(wanted):
        if kind not in KINDS:
            raise ConfigError(f"kinds={kind!r}: expected some of {', '.join(KINDS)}")
    return _events(what, wanted, "entities" in names)


def handle(what: Any, handler: Any, *, allow: Collection[str] = ()) -> None:
    """Tell an object of each event, by those of its methods that it has: ``start(name, attributes)``,
    ``end(name)``, ``text(text)``, ``comment(text)``, ``instruction(name, text)``, ``cdata(text)``,
    ``doctype(name, attributes)``, ``namespace(prefix, uri)``; before each, ``place(line, column)``. Raises as
    ``events`` does, and what the methods do."""
    calls = {kind: call for kind in KINDS if (call := getattr(handler, kind, None)) is not None}
    place = getattr(handler, "place", None)
    for event in events(what, kinds=calls, allow=allow):
        if place is not None:
            place(event.line, event.column)
        calls[event.kind](*[event[at] for at in _ARGUMENTS[event.kind]])


_ARGUMENTS = {
    "start": (1, 2), "end": (1,), "text": (3,), "comment": (3,), "instruction": (1, 3), "cdata": (3,),
    "doctype": (1, 2), "namespace": (1, 3),
}  # fmt: skip


def _events(what: Any, kinds: frozenset[str], entities: bool) -> Generator[Event, None, None]:
    with reading(what) as given:
        pieces, encoding = pieces_of(given)
        reader = Reader(given, kinds, entities, encoding)
        for piece in pieces:
            failed = reader.feed(piece)
            yield from reader.taken()
            if failed is not None:
                raise failed
        failed = reader.feed(b"", last=True)
        yield from reader.taken()
        if failed is not None:
            raise failed
