"""A document as events, while it arrives: what starts, ends and stands between.

By expat, which tells the exact line of each, takes no more memory than the longest piece of a document, and
needs no library: about as fast as a tree of the same, whose lines are right up to 65,535 only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator
from typing import Any, NamedTuple, NoReturn
from xml.parsers import expat

from portico.data.sources import Source
from portico.data.xml.bytes import pieces_of, reading
from portico.data.xml.safety import allowed
from portico.errors import ConfigError, DataError, LimitExceeded, PorticoError

__all__ = ["Event", "events", "handle"]

_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*""")
_REFERENCE = re.compile(rb"&(?!#|(?:amp|lt|gt|quot|apos);)([^;]*)")
_SHORT = 1024
"""Bytes of a tag or comment that may be parsed again and again."""
_made = tuple.__new__
"""An ``Event`` of a tuple: twice as fast as by its own constructor, and there are millions."""
_AMPLIFIED = 43
"""expat's XML_ERROR_AMPLIFICATION_LIMIT_BREACH."""


class Event(NamedTuple):
    """Something in a document. ``kind``: ``"start"`` or ``"end"`` of an element, ``"text"``, ``"comment"``,
    ``"instruction"``. ``name``: of the element (``{namespace}local``) or the instruction. ``text``: all that
    stands between two others, or the comment's, or the instruction's. ``line`` and ``column``: from 1."""

    kind: str
    name: str
    attributes: dict[str, str]
    text: str
    line: int
    column: int

    @property
    def namespace(self) -> str:
        """That of the name; ``""``: none."""
        return self.name[1:].rpartition("}")[0] if self.name.startswith("{") else ""

    @property
    def local(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition("}")[2]


def events(what: Any, *, allow: Collection[str] = ()) -> Generator[Event, None, None]:
    """The events of a document, in its order, as its bytes come.

    ``allow``: ``"entities"`` expands those that the document declares and that stand in it, within bounds.

    Raises ``DataError`` with line and column for what is not well-formed, after the events before it;
    ``LimitExceeded`` for a document that declares entities, and beyond ``Limits.xml_depth``, ``xml_text``,
    ``xml_attributes``, ``xml_names``, ``xml_prolog``; what ``source`` does.
    """
    names = allowed(allow, None)
    if not names <= {"entities"}:
        raise ConfigError(f"events take allow={{'entities'}} only; bounds are in Limits: {sorted(names)}")
    return _events(what, "entities" in names)


def handle(what: Any, handler: Any, *, allow: Collection[str] = ()) -> None:
    """Tell an object of each event, by those of its methods that it has: ``start(name, attributes)``,
    ``end(name)``, ``text(text)``, ``comment(text)``, ``instruction(name, text)``. Raises as ``events`` does,
    and what the methods do."""
    calls = {kind: call for kind in _ARGUMENTS if (call := getattr(handler, kind, None)) is not None}
    for event in events(what, allow=allow):
        if (call := calls.get(event.kind)) is not None:
            call(*[event[at] for at in _ARGUMENTS[event.kind]])


_ARGUMENTS = {"start": (1, 2), "end": (1,), "text": (3,), "comment": (3,), "instruction": (1, 3)}


def _events(what: Any, entities: bool) -> Generator[Event, None, None]:
    with reading(what) as given:
        pieces, encoding = pieces_of(given)
        reader = _Reader(given, entities, encoding)
        for piece in pieces:
            failed = reader.feed(piece)
            yield from reader.taken()
            if failed is not None:
                raise failed
        failed = reader.feed(b"", last=True)
        yield from reader.taken()
        if failed is not None:
            raise failed


class _Reader:
    """expat, told to refuse, and what it has said and nobody has taken yet."""

    def __init__(self, given: Source, entities: bool, encoding: str | None) -> None:
        self._name = given.name
        self._limits = given.limits
        self._entities = entities
        self._events: list[Event] = []
        self._names: dict[str, str] = {}
        self._named = 0
        self._texts: list[str] = []
        self._length = 0
        self._at = (1, 1)
        self._depth = 0
        self._fed = 0
        self._begun = False
        self._declared: set[str] = set()
        self._elsewhere = False
        self._piece = b""
        self._held = bytearray()
        self._pending = 0
        self._suspect = False
        self._parser = expat.ParserCreate(encoding, "}")
        self._connect()

    def _connect(self) -> None:
        parser = self._parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.ExternalEntityRefHandler = self._external
        parser.SkippedEntityHandler = self._skipped

    def taken(self) -> list[Event]:
        """The events since the last time."""
        taken, self._events = self._events, []
        return taken

    def feed(self, piece: bytes, last: bool = False) -> PorticoError | None:
        """Parse some more; an error is given, not raised, for events may have come before it."""
        self._held += piece
        room = min(self._pending, self._limits.xml_text - self._pending)
        if len(self._held) < room and not last:
            return None
        self._piece = bytes(self._held)
        self._held.clear()
        try:
            self._parser.Parse(self._piece, last)
            self._fed += len(self._piece)
            self._wait()
            self._look()  # for the sake of a tag that has not ended
        except expat.ExpatError as error:
            return self._refusal(error)
        except PorticoError as error:
            return error
        return None

    def _wait(self) -> None:
        """With each piece, expat begins again what has not ended yet (CVE-2023-52425). So of a long one, the
        next piece must be as long."""
        pending = self._fed - max(self._parser.CurrentByteIndex, 0)
        if pending > _SHORT and self._texts:  # whose last part has been told of
            pending -= len(self._texts[-1].encode("utf-8", "surrogatepass"))
        self._pending = pending if pending > _SHORT else 0
        if pending > self._limits.xml_text:
            self._beyond("xml_text", f"a tag or comment of more than {self._limits.xml_text} bytes")
        if not self._begun and self._fed > self._limits.xml_prolog:
            self._beyond("xml_prolog", f"more than {self._limits.xml_prolog} bytes before the root element")

    def _refusal(self, error: expat.ExpatError) -> PorticoError:
        reason = expat.ErrorString(error.code)
        said = DataError(reason or "not well-formed", self._name, line=error.lineno, column=error.offset + 1)
        if error.code == _AMPLIFIED:
            return LimitExceeded(f"{said}; it is refused", "entities", 413)
        return said

    # -- what expat says

    def _put(self, kind: str, name: str, attributes: dict[str, str], text: str) -> None:
        if self._texts:
            self._put_text()
        parser = self._parser
        where = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        self._events.append(_made(Event, (kind, name, attributes, text, *where)))

    def _put_text(self) -> None:
        text = self._texts[0] if len(self._texts) == 1 else "".join(self._texts)
        self._texts, self._length = [], 0
        self._events.append(_made(Event, ("text", "", {}, text, *self._at)))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._begun = True
        self._depth += 1
        if self._depth > self._limits.xml_depth:
            self._beyond("xml_depth", f"more than {self._limits.xml_depth} levels")
        if attributes:
            attributes = self._attributes(attributes)
        self._put("start", self._names.get(name) or self._new(name), attributes, "")

    def _attributes(self, given: dict[str, str]) -> dict[str, str]:
        if len(given) > self._limits.xml_attributes:
            self._beyond(
                "xml_attributes", f"an element of more than {self._limits.xml_attributes} attributes"
            )
        if self._elsewhere:
            self._check_references()
        return {self._names.get(name) or self._new(name): value for name, value in given.items()}

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._texts:
            self._put_text()
        parser = self._parser  # as in _put, whose call would take a fifth of the time
        where = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        self._events.append(_made(Event, ("end", self._names[name], {}, "", *where)))

    def _text(self, text: str) -> None:
        if not self._texts:
            self._at = (self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)
        self._texts.append(text)
        self._length += len(text)
        if self._length > self._limits.xml_text:
            self._beyond("xml_text", f"a text of more than {self._limits.xml_text} characters")

    def _comment(self, text: str) -> None:
        self._put("comment", "", {}, text)

    def _instruction(self, name: str, text: str) -> None:
        self._put("instruction", name, {}, text)

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        for name in (prefix, uri):
            if name and name not in self._names:
                self._new(name)

    def _new(self, raw: str) -> str:
        """A name that has not been seen; expat keeps every one, as this does."""
        self._named += len(raw)
        if self._named > self._limits.xml_names:
            self._beyond(
                "xml_names", f"different names of more than {self._limits.xml_names} characters in all"
            )
        name = self._names[raw] = f"{{{raw}" if "}" in raw else raw
        return name

    # -- what is refused

    def _doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        self._elsewhere = system is not None

    def _entity(self, name: str, parameter: int, value: str | None, *where: str | None) -> None:
        self._declared.add(name)
        if not self._entities:
            raise LimitExceeded(
                f"{self._name}, line {self._parser.CurrentLineNumber}: it declares entities ({name[:40]!r}), "
                'which are not expanded here; allow={"entities"} expands them',
                "entities",
                413,
            )

    def _external(self, context: str, base: str | None, system: str | None, public: str | None) -> int:
        return self._refuse(f"it refers to {(system or public or '')[:200]!r}, which is not read here")

    def _skipped(self, name: str, parameter: int) -> None:
        self._refuse(f"entity {name[:40]!r} is not declared here; what is declared elsewhere is not read")

    def _look(self) -> None:
        """Whether there has been a reference that may be unknown: to look at each tag is dear."""
        if self._elsewhere and not self._suspect and self._piece:
            self._suspect = _REFERENCE.search(self._piece) is not None
            self._piece = b""

    def _check_references(self) -> None:
        """With a document type elsewhere, expat drops what it does not know from attributes in silence."""
        self._look()
        if not self._suspect:
            return
        tag = _TAG.match(self._parser.GetInputContext() or b"")
        for found in _REFERENCE.findall(tag[0]) if tag else ():
            name = found.decode("utf-8", "replace")
            if name not in self._declared:
                self._skipped(name, 0)

    def _refuse(self, reason: str) -> NoReturn:
        line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        raise DataError(reason, self._name, line=line, column=column)

    def _beyond(self, limit: str, what: str) -> NoReturn:
        raise LimitExceeded(f"{self._name}, line {self._parser.CurrentLineNumber}: {what}", limit, 413)
