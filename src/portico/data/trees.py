"""HTML pages and XML documents as trees of lxml, read so that a hostile one can do nothing but be refused.

XML: no entity is expanded but the five of XML itself, and a document that declares others is refused; nothing
is fetched or opened; depth and size of a document's parts are bounded by libxml2 (256 levels, 10 MB of text
in one piece). HTML has no entities of its own, and every page can be read.
"""

from __future__ import annotations

import re
from typing import Any

from portico.errors import ConfigError, LimitExceeded, ProtocolError

__all__ = ["parse_html", "parse_xml"]

_PLACE = re.compile(r", line \d+, column \d+\Z")
_DEPTH = "xcessive depth"


def parse_html(text: str, base: str) -> Any:
    """The ``html`` element of a page; ``base`` is its URL. Raises ``ProtocolError`` for a page without
    anything in it, ``ConfigError`` without lxml."""
    lxml = _lxml()
    parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False)
    try:  # libxml2 knows fewer encodings than the web
        return lxml.html.document_fromstring(text.encode("utf-8", "replace"), parser=parser, base_url=base)
    except lxml.etree.LxmlError as error:
        raise ProtocolError(f"{base}: no HTML page: {error}", 502) from None


def parse_xml(data: bytes, source: str = "the document") -> Any:
    """The root element of a document. ``source`` is named in errors.

    Raises ``ProtocolError`` with line and column for what is not well-formed, ``LimitExceeded`` for one that
    declares entities or is too deep, ``ConfigError`` without lxml.
    """
    lxml = _lxml()
    parser = lxml.etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = lxml.etree.fromstring(data, parser)
    except lxml.etree.XMLSyntaxError as error:
        raise _refusal(error, source) from None
    except (lxml.etree.LxmlError, ValueError) as error:
        raise ProtocolError(f"{source}: no XML document: {error}", 502) from None
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and next(declared.iterentities(), None) is not None:
        raise LimitExceeded(f"{source}: it declares entities, which are not expanded here", "entities", 413)
    return root


def _refusal(error: Any, source: str) -> ProtocolError | LimitExceeded:
    codes = _lxml().etree.ErrorTypes
    message, (line, column) = error.msg, error.position
    said = f"{source}, line {line}, column {column + 1}: {_PLACE.sub('', message)}"
    if error.code in (codes.ERR_ENTITY_LOOP, codes.ERR_RESOURCE_LIMIT):
        return LimitExceeded(f"{said}; it is refused", "entities", 413)
    if error.code == codes.ERR_INTERNAL_ERROR and _DEPTH in message:  # which has no code of its own
        return LimitExceeded(f"{said}; it is refused", "depth", 413)
    return ProtocolError(f"{said}; it is no XML document", 502)


def _lxml() -> Any:
    try:
        import lxml.etree
        import lxml.html
    except ImportError:
        raise ConfigError("html() and xml() take lxml: pip install 'portico[data]'") from None
    return lxml
