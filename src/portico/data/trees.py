"""XML documents of whose bytes all are there, as trees of lxml, read so that a hostile one can do nothing but
be refused: as ``portico.data.xml`` reads it, which says what is refused.
"""

from __future__ import annotations

from typing import Any

from portico.data import sources
from portico.data.xml.trees import load
from portico.errors import DataError, ProtocolError
from portico.limits import Limits

__all__ = ["parse_xml"]


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
