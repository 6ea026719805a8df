"""expat, told to refuse what is not safe."""

from __future__ import annotations

from typing import NoReturn
from xml.parsers import expat

from portico.data.sources import Source
from portico.data.xml.event import Event
from portico.data.xml.names import StandIns
from portico.data.xml.tags import Tags
from portico.data.xml.undeclared import Undeclared
from portico.errors import DataError, LimitExceeded, PorticoError

__all__ = ["Reader"]

_SHORT = 1024
"""Bytes of a tag or comment that may be parsed again and again."""
_PARTS = 1024
"""Pieces of a text that are kept apart: each reference is one, and a string takes 80 bytes."""
_made = tuple.__new__
"""An ``Event`` of a tuple: twice as fast as by its own constructor, and there are millions."""
_AMPLIFIED = 43
"""expat's XML_ERROR_AMPLIFICATION_LIMIT_BREACH."""
_UNDEFINED = 11
"""XML_ERROR_UNDEFINED_ENTITY."""
_DEFAULTS, _GROWTH = 1_000_000, 5
"""Characters of attributes that a document type may add, and how many for each byte that came, as libxml2
bounds them."""


class Reader:
    """A document's pieces go in, events come out. ``kinds``: those that are wanted."""

    def __init__(self, given: Source, kinds: frozenset[str], entities: bool, encoding: str | None) -> None:
        self._name = given.name
        self._limits = given.limits
        self._kinds = kinds
        self._entities = entities
        self._events: list[Event] = []
        self._names: dict[str, str] = {}
        self._named = 0
        self._texts: list[str] = []
        self._parts: list[str] = []
        self._text_kind = "text"
        self._tells = "text" in kinds
        self._length = 0
        self._at = (1, 1)
        self._depth = 0
        self._deepest = given.limits.xml_depth
        self._starts = "start" in kinds
        self._fed = 0
        self._begun = False
        self._undeclared = Undeclared()
        self._refused: LimitExceeded | None = None
        self._defaults = False
        self._added = 0
        self._piece = b""
        self._held = bytearray()
        self._pending = 0
        self._tags = Tags(given.limits.xml_attributes, given.name)
        self._stand_ins = StandIns() if encoding in (None, "utf-8") else None
        self._parser = expat.ParserCreate(encoding, "}")
        self._connect()

    def _connect(self) -> None:
        parser, wanted = self._parser, self._kinds
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end if "end" in wanted else self._ended
        parser.CharacterDataHandler = self._text if wanted & {"text", "cdata"} else None
        if "comment" in wanted:
            parser.CommentHandler = self._comment
        if "instruction" in wanted:
            parser.ProcessingInstructionHandler = self._instruction
        if "cdata" in wanted:
            parser.StartCdataSectionHandler = self._cdata
            parser.EndCdataSectionHandler = self._cdata_ended
        parser.StartNamespaceDeclHandler = self._namespace
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.AttlistDeclHandler = self._attlist
        parser.ExternalEntityRefHandler = self._external
        parser.SkippedEntityHandler = self._skipped

    def taken(self) -> list[Event]:
        """The events since the last time."""
        taken, self._events = self._events, []
        if self._stand_ins is not None and self._stand_ins.used:
            pending = self._at[0] if self._texts else self._parser.CurrentLineNumber
            return self._stand_ins.told(taken, pending)
        return taken

    def feed(self, piece: bytes, last: bool = False) -> PorticoError | None:
        """Parse some more; an error is given, not raised, for events may have come before it."""
        try:
            self._tags.look(piece)
            if self._stand_ins is not None:
                piece = self._stand_ins.last() if last else self._stand_ins.given(piece)
            self._held += piece
            room = min(self._pending, self._limits.xml_text - self._pending)
            if len(self._held) < room and not last:
                return None
            self._piece = bytes(self._held)
            self._held.clear()
            self._parser.Parse(self._piece, last)
            self._fed += len(self._piece)
            self._wait()
            self._undeclared.look(self._piece)  # for the sake of a tag that has not ended
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
        if error.code == _UNDEFINED and (name := self._reference()):
            reason = f"{reason} {self._real(name)[:40]!r}"
        column = self._column(error.lineno, error.offset + 1)
        said = DataError(reason or "not well-formed", self._name, line=error.lineno, column=column)
        if error.code == _AMPLIFIED:
            return LimitExceeded(f"{said}; it is refused", "entities", 413)
        return said

    def _reference(self) -> str:
        """The name of the entity that is referred to where the parser is, if that began in the last piece."""
        at = self._parser.ErrorByteIndex - self._fed
        return (self._undeclared.first_in(self._piece[at:]) or "") if at >= 0 else ""

    def _column(self, line: int, column: int) -> int:
        return column if self._stand_ins is None else self._stand_ins.column(line, column)

    # -- what expat says

    def _put(self, kind: str, name: str, attributes: dict[str, str], text: str) -> None:
        if self._texts:
            self._put_text()
        if kind in self._kinds:
            parser = self._parser
            where = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
            self._events.append(_made(Event, (kind, name, attributes, text, *where)))

    def _put_text(self) -> None:
        texts = self._texts
        if self._parts:
            texts, self._parts = [*self._parts, *texts], []
        text = texts[0] if len(texts) == 1 else "".join(texts)
        self._texts, self._length = [], 0
        if self._tells:
            self._events.append(_made(Event, (self._text_kind, "", {}, text, *self._at)))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._begun:
            self._begin()
        self._depth += 1
        if self._depth > self._deepest:
            self._beyond("xml_depth", f"more than {self._deepest} levels")
        if attributes:
            attributes = self._attributes(attributes)
        if self._texts:
            self._put_text()
        name = self._names.get(name) or self._new(name)
        if self._starts:
            parser = self._parser  # as in _put, whose call would take a fifth of the time
            where = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
            self._events.append(_made(Event, ("start", name, attributes, "", *where)))

    def _begin(self) -> None:
        self._begun = True
        if self._refused is not None:
            raise self._refused

    def _attributes(self, given: dict[str, str]) -> dict[str, str]:
        if len(given) > self._limits.xml_attributes:
            self._beyond(
                "xml_attributes", f"an element of more than {self._limits.xml_attributes} attributes"
            )
        if self._undeclared.elsewhere:
            self._check_references()
        if self._defaults:
            self._check_growth(given)
        return {self._names.get(name) or self._new(name): value for name, value in given.items()}

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._texts:
            self._put_text()
        parser = self._parser
        where = parser.CurrentLineNumber, parser.CurrentColumnNumber + 1
        self._events.append(_made(Event, ("end", self._names[name], {}, "", *where)))

    def _ended(self, name: str) -> None:
        self._depth -= 1
        if self._texts:
            self._put_text()

    def _text(self, text: str) -> None:
        if not self._texts:
            parser = self._parser
            self._at = (parser.CurrentLineNumber, parser.CurrentColumnNumber + 1)
        elif len(self._texts) > _PARTS:
            self._parts.append("".join(self._texts[:-1]))
            del self._texts[:-1]
        self._texts.append(text)
        self._length += len(text)
        if self._length > self._limits.xml_text:
            self._beyond("xml_text", f"a text of more than {self._limits.xml_text} characters")

    def _cdata(self) -> None:
        if self._texts:
            self._put_text()
        self._at = (self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)
        self._text_kind, self._texts, self._tells = "cdata", [""], True

    def _cdata_ended(self) -> None:
        self._put_text()
        self._text_kind, self._tells = "text", "text" in self._kinds

    def _comment(self, text: str) -> None:
        self._put("comment", "", {}, text)

    def _instruction(self, name: str, text: str) -> None:
        self._put("instruction", name, {}, text)

    def _namespace(self, prefix: str | None, uri: str | None) -> None:
        for name in (prefix, uri):
            if name and name not in self._names:
                self._new(name)
        if "namespace" in self._kinds:
            self._put("namespace", prefix or "", {}, uri or "")

    def _doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        self._undeclared.elsewhere = system is not None
        found = {"public": public, "system": system}
        self._put("doctype", name, {key: value for key, value in found.items() if value is not None}, "")

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

    def _entity(self, name: str, parameter: int, value: str | None, *where: str | None) -> None:
        """What is declared is refused when all has been read: it may be no document type at all."""
        self._undeclared.declared.add(name)
        if not self._entities and self._refused is None:
            self._refused = LimitExceeded(
                f"{self._name}, line {self._parser.CurrentLineNumber}: it declares entities ("
                f'{self._real(name)[:40]!r}), which are not expanded here; allow={{"entities"}} expands them',
                "entities",
                413,
            )

    def _attlist(self, element: str, name: str, kind: str, default: str | None, required: int) -> None:
        self._defaults = self._defaults or default is not None

    def _check_growth(self, given: dict[str, str]) -> None:
        """``<a/>`` can have a megabyte of attributes by default."""
        self._added += sum(map(len, given.values())) + sum(map(len, given))
        if self._added > _DEFAULTS + _GROWTH * (self._fed + len(self._piece)):
            self._beyond("entities", "attributes that the document type gives grow too large")

    def _external(self, context: str, base: str | None, system: str | None, public: str | None) -> int:
        return self._refuse(f"it refers to {(system or public or '')[:200]!r}, which is not read here")

    def _skipped(self, name: str, parameter: int) -> None:
        if self._refused is not None:
            raise self._refused
        self._refuse(
            f"entity {self._real(name)[:40]!r} is not declared here; what is declared elsewhere is not read"
        )

    def _real(self, name: str) -> str:
        return name if self._stand_ins is None else self._stand_ins.shown(name)

    def _check_references(self) -> None:
        name = self._undeclared.found(self._piece, self._parser.GetInputContext())
        if name is not None:
            self._skipped(name, 0)

    def _refuse(self, reason: str) -> NoReturn:
        line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        raise DataError(reason, self._name, line=line, column=self._column(line, column))

    def _beyond(self, limit: str, what: str) -> NoReturn:
        raise LimitExceeded(f"{self._name}, line {self._parser.CurrentLineNumber}: {what}", limit, 413)
