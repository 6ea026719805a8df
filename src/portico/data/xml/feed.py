"""A document that is parsed while it arrives: from a source to lxml's pull parser, within bounds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from portico.data.sources import Source
from portico.data.xml.bytes import pieces_of
from portico.data.xml.safety import (
    Resolver,
    check_document,
    check_references,
    fatal,
    lxml_etree,
    options,
    refusal,
    resolving,
)
from portico.data.xml.tags import Tags
from portico.engines.identity import get_ident
from portico.errors import DataError, LimitExceeded, LocalProtocolError, PorticoError

__all__ = ["Feed", "weight"]

_MARK = 4
"""Bytes by which libxml2 tells UTF-16 and UTF-32; they must come at once."""

_WEIGHT = 10
"""Bytes that a tag or attribute counts for at least: that of four takes as much memory as that of ten."""


def weight(piece: bytes) -> int:
    """Bytes that a piece counts for in memory."""
    return max(len(piece), _WEIGHT * _nodes(piece))


def _nodes(piece: bytes) -> int:
    """About how many tags and attributes: some ``=`` stand in texts, a few ``<`` in comments."""
    return piece.count(b"<") + piece.count(b"=")


class Feed:
    """A document of a source. ``root_tag`` and what stands before the root are known, and have been checked.

    Raises ``DataError`` and ``LimitExceeded`` as ``xml.safety`` says, and ``LimitExceeded`` for more than
    ``Limits.xml_prolog`` bytes before the root element.
    """

    def __init__(
        self, given: Source, allow: frozenset[str], resolver: Resolver | None = None, **more: Any
    ) -> None:
        self.given = given
        self._allow = allow
        self._resolver = resolver
        pieces, encoding = pieces_of(given)
        self._options = {**options(allow), **more, "encoding": encoding}
        self._beginning: list[bytes] = []
        self._rest = pieces
        self._declared = False
        self._since = 0
        self._tags = self._new_tags()
        self._thread = get_ident()
        self.root_tag = self._look()

    def _look(self) -> str:
        """Parse as far as the root's start tag, byte by byte, and throw that away.

        A pull parser must be told beforehand which elements are wanted. And not a byte of content may be
        parsed before entities are refused: lxml tells of elements within them as if they were in the tree,
        and frees them.
        """
        probe = self._parser("XMLPullParser", ("start",))
        found = probe.read_events()
        head = bytearray()
        for piece in self._rest:
            at = 0
            while at < len(piece):
                step = piece[at : at + (1 if head else _MARK)]
                at += len(step)
                head += step
                failed = self._fed(probe, step)
                for _, root in found:
                    self._beginning = [bytes(head), piece[at:]]
                    return self._checked(root)
                if failed is not None:
                    raise failed
            self._check_size(len(head))
        failed = self._ended(probe)
        self._beginning = [bytes(head)]
        for _, root in found:
            return self._checked(root)
        raise failed or DataError("there is no element", self.given.name)

    def _check_size(self, size: int) -> None:
        most = self.given.limits.xml_prolog
        if size > most:
            raise LimitExceeded(
                f"{self.given.name}: more than {most} bytes before the root element", "xml_prolog", 413
            )

    def _checked(self, root: Any) -> str:
        tree = root.getroottree()
        check_document(tree, self.given.name, self._allow)
        self._declared = tree.docinfo.doctype != ""
        return str(root.tag)

    def pull(
        self, events: Collection[str], tags: Collection[str] | None
    ) -> Iterator[tuple[bytes, Iterator[Any]]]:
        """Each piece that came, and the events of ``lxml.etree.XMLPullParser``. What came
        before an error is given before that is raised.

        The events are to be taken one by one: elements that somebody holds are dear to drop.
        """
        # Not to collect IDs is faster; but with that, libxml2 reads a document type elsewhere unasked.
        parser = self._parser("XMLPullParser", events, tag=tags, collect_ids=self._declared)
        for piece in self._all():
            failed = self._fed(parser, piece)
            yield piece, parser.read_events()
            if failed is not None:
                raise failed
        failed = self._ended(parser)
        yield b"", parser.read_events()
        if failed is not None:
            raise failed

    def tree(self, most: int) -> Any:
        """The whole, as an ``ElementTree``. Raises ``LimitExceeded`` for more than ``most`` bytes, or
        ``Limits.xml_nodes``."""
        parser = self._parser("XMLParser")
        size = nodes = 0
        for piece in self._all():
            size += len(piece)
            nodes += _nodes(piece)
            if nodes > self.given.limits.xml_nodes:
                raise LimitExceeded(
                    f"{self.given.name}: more than {self.given.limits.xml_nodes} tags and attributes at "
                    "once; take records() of it, or pass limits=Limits(xml_nodes=…)",
                    "xml_nodes",
                    413,
                )
            if size > most:
                raise LimitExceeded(
                    f"{self.given.name}: more than {most} bytes at once; take records() of it, or pass "
                    "limits=Limits(answer=…)",
                    "answer",
                    413,
                )
            failed = self._fed(parser, piece)
            if failed is not None:
                raise failed
        try:
            return parser.close().getroottree()
        except lxml_etree().XMLSyntaxError as error:
            raise refusal(error, self.given.name) from None

    def _all(self) -> Iterator[bytes]:
        self._since, self._tags = 0, self._new_tags()
        yield from filter(None, self._beginning)
        yield from self._rest

    def _new_tags(self) -> Tags:
        return Tags(self.given.limits.xml_attributes, self.given.name)

    def _parser(self, kind: str, *args: Any, **more: Any) -> Any:
        return resolving(getattr(lxml_etree(), kind)(*args, **more, **self._options), self._resolver)

    def _check_thread(self) -> None:
        """lxml 6.1 corrupts memory where one thread goes on with what another has begun to parse."""
        if get_ident() != self._thread:
            raise LocalProtocolError(
                f"{self.given.name}: the thread that began to read a document must read on; "
                "hand on what was read instead"
            )

    def _fed(self, parser: Any, piece: bytes) -> PorticoError | None:
        self._check_thread()
        try:
            self._check_tag(piece)
            self._tags.look(piece)
            parser.feed(piece)
        except lxml_etree().XMLSyntaxError as error:
            return refusal(error, self.given.name)
        except DataError as error:  # of a resolver
            return DataError(error.reason, self.given.name)
        except LimitExceeded as error:
            return error
        log = parser.feed_error_log
        if self._declared:
            check_references(log, self.given.name)
        return fatal(log, self.given.name)

    def _check_tag(self, piece: bytes) -> None:
        """libxml2 waits for the end of a tag however long that is. No tag has a ``<`` in it, and a text that
        follows one is bounded."""
        at = piece.rfind(b"<")
        self._since = self._since + len(piece) if at < 0 else len(piece) - at
        if self._since > 2 * self.given.limits.xml_text and "huge" not in self._allow:
            raise LimitExceeded(
                f"{self.given.name}: a tag or comment of more than {self.given.limits.xml_text} bytes",
                "xml_text",
                413,
            )

    def _ended(self, parser: Any) -> PorticoError | None:
        self._check_thread()
        try:
            parser.close()
        except lxml_etree().XMLSyntaxError as error:
            return refusal(error, self.given.name)
        return None
