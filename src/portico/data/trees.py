"""HTML pages and XML documents as trees of lxml, read so that a hostile one can do nothing but be refused.

XML: as ``portico.data.xml`` reads it, which says what is refused. HTML has no entities of its own, and every
page can be read.
"""

from __future__ import annotations

from typing import Any

from portico.data import sources
from portico.data.xml.trees import load
from portico.errors import ConfigError, DataError, ProtocolError
from portico.limits import Limits

__all__ = ["parse_html", "parse_xml"]


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
    given = sources.source(data, packing="identity", name=source, limits=Limits(answer=max(len(data), 1)))
    try:
        return load(given).getroot()
    except DataError as error:
        raise ProtocolError(f"{error}; it is no XML document", 502) from None


def _lxml() -> Any:
    try:
        import lxml.etree
        import lxml.html
    except ImportError:
        raise ConfigError("html() and xml() take lxml: pip install 'portico[data]'") from None
    return lxml
