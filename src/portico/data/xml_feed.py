"""A document that is parsed while it arrives: from a source to lxml's pull parser, within bounds."""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_LE
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from portico.charsets.text import charset_of_beginning
from portico.data.sources import Source, source
from portico.data.xml_safety import (
    Resolver,
    check_document,
    check_references,
    lxml_etree,
    options,
    refusal,
    resolving,
)
from portico.errors import DataError, LimitExceeded, PorticoError

__all__ = ["Feed", "cut", "pieces_of", "reading", "told"]

_SMALL, _LARGE = 1 << 12, 1 << 16
"""Bytes of a piece: at the beginning, where a document is looked at before much of it is parsed; then larger
ones, of which lxml makes no slower work than of a whole file."""


class Feed:
    """A document of a source. ``root_tag`` and what stands before the root are known, and have been checked.

    Raises ``DataError`` and ``LimitExceeded`` as ``xml_safety`` says, and ``LimitExceeded`` for more than
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
        self.root_tag = self._look()

    def _look(self) -> str:
        """Parse as far as the root's start tag, and throw that away: a pull parser must be told beforehand
        which elements are wanted, and what a document declares is checked before its content is parsed."""
        probe = self._parser("XMLPullParser", ("start",))
        size = 0
        for piece in self._rest:
            self._beginning.append(piece)
            failed = self._fed(probe, piece)
            for _, root in probe.read_events():
                tree = root.getroottree()
                check_document(tree, self.given.name, self._allow)
                self._declared = tree.docinfo.doctype != ""
                return str(root.tag)
            if failed is not None:
                raise failed
            size += len(piece)
            if size > self.given.limits.xml_prolog:
                raise LimitExceeded(
                    f"{self.given.name}: more than {self.given.limits.xml_prolog} bytes before the root "
                    "element",
                    "xml_prolog",
                    413,
                )
        raise self._ended(probe) or DataError("there is no element", self.given.name)

    def pull(self, events: Collection[str], tags: Collection[str] | None) -> Iterator[tuple[int, list[Any]]]:
        """For each piece that came, its size and the events of ``lxml.etree.XMLPullParser``. What came before
        an error is given before that is raised."""
        parser = self._parser("XMLPullParser", events, tag=tags)
        for piece in self._all():
            failed = self._fed(parser, piece)
            yield len(piece), list(parser.read_events())
            if failed is not None:
                raise failed
        failed = self._ended(parser)
        yield 0, list(parser.read_events())
        if failed is not None:
            raise failed

    def tree(self, most: int) -> Any:
        """The whole, as an ``ElementTree``. Raises ``LimitExceeded`` for more than ``most`` bytes."""
        parser = self._parser("XMLParser")
        size = 0
        for piece in self._all():
            size += len(piece)
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
        beginning, self._beginning = self._beginning, []
        yield from beginning
        yield from self._rest

    def _parser(self, kind: str, *args: Any, **more: Any) -> Any:
        return resolving(getattr(lxml_etree(), kind)(*args, **more, **self._options), self._resolver)

    def _fed(self, parser: Any, piece: bytes) -> PorticoError | None:
        try:
            parser.feed(piece)
        except lxml_etree().XMLSyntaxError as error:
            return refusal(error, self.given.name)
        except DataError as error:  # of a resolver
            return DataError(error.reason, self.given.name)
        if self._declared:
            check_references(parser.feed_error_log, self.given.name)
        return None

    def _ended(self, parser: Any) -> PorticoError | None:
        try:
            parser.close()
        except lxml_etree().XMLSyntaxError as error:
            return refusal(error, self.given.name)
        return None


def reading(what: Any) -> AbstractContextManager[Source]:
    """A source, which is closed at the end if it was opened here."""
    return nullcontext(what) if isinstance(what, Source) else source(what)


def told(given: Source) -> str | None:
    """The codec that its user or its content type tells, which counts for more than what a document says of
    itself (RFC 7303, 3); ``None``: nothing does."""
    if given._encoding is not None:
        return given._encoding
    by_mark = {charset_of_beginning(mark, given.content_type) for mark in (BOM_UTF8, BOM_UTF16_LE)}
    if len(by_mark) > 1:  # its bytes tell
        return None
    return charset_of_beginning(given.peek(4), given.content_type)


def pieces_of(given: Source) -> tuple[Iterator[bytes], str | None]:
    """A document in pieces, and the encoding that they are in, if it is not what the document says."""
    codec = told(given)
    if codec is None or codec == "utf-8":
        return cut(given.chunks()), codec
    return cut(piece.encode("utf-8", "surrogatepass") for piece in given.text("application/xml")), "utf-8"


def cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Bytes in pieces: small ones first."""
    begun = 0
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            size = _SMALL if begun < _LARGE else _LARGE
            piece = chunk[at : at + size]
            at += len(piece)
            begun += len(piece)
            yield piece
