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

_PIECE = 1 << 16
"""Bytes that are parsed at a time: as fast as a whole file, and little to hold."""
_MARK = 4
"""Bytes by which libxml2 tells UTF-16 and UTF-32; they must come at once."""


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
        raise self._ended(probe) or DataError("there is no element", self.given.name)

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
    ) -> Iterator[tuple[int, Iterator[Any]]]:
        """For each piece that came, its size and the events of ``lxml.etree.XMLPullParser``. What came before
        an error is given before that is raised.

        The events are to be taken one by one: elements that somebody holds are dear to drop.
        """
        # Not to collect IDs is faster; but with that, libxml2 reads a document type elsewhere unasked.
        parser = self._parser("XMLPullParser", events, tag=tags, collect_ids=self._declared)
        for piece in self._all():
            failed = self._fed(parser, piece)
            yield len(piece), parser.read_events()
            if failed is not None:
                raise failed
        failed = self._ended(parser)
        yield 0, parser.read_events()
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
        yield from filter(None, self._beginning)
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
        given.peek(_MARK)
        return cut(given.chunks()), codec
    return cut(piece.encode("utf-8", "surrogatepass") for piece in given.text("application/xml")), "utf-8"


def cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Bytes in pieces that are not too large."""
    for chunk in chunks:
        for at in range(0, len(chunk), _PIECE):
            yield chunk[at : at + _PIECE]
