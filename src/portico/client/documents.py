"""Bodies that are documents: JSON, read into Python's values or checked against a type; pages.

JSON is not read by ``portico.data.json``, which takes seven times as long for a small body: it is made to
find places in large documents.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from portico.charsets.text import charset_of
from portico.errors import ConfigError, ProtocolError

if TYPE_CHECKING:
    from portico.client.response import Response
    from portico.data.html.page import Page

__all__ = ["json_of", "page_of"]


def page_of(response: Response) -> Page:
    """The page that a response holds: see ``Response.html``."""
    from portico.data import source
    from portico.data.html import load

    url = str(response.url.without_user())
    content = source(
        response.content, packing="identity", encoding=response.charset, limits=response.limits, name=url
    )
    return load(content, url)


def json_of(content: bytes, kind: Any, source: str) -> Any:
    """The JSON document (RFC 8259) in ``content``; with ``kind``, checked and converted by msgspec.

    ``source`` is named in errors. Raises ``ProtocolError`` for what is no JSON, is of another kind, or says
    NaN or Infinity, which JSON does not know.
    """
    charset = charset_of(content, "application/json")
    try:
        if kind is not None:
            return _checked(content if charset == "utf-8" else content.decode(charset).encode(), kind, source)
        text = content.decode(charset).removeprefix("\ufeff")
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{source}: the body is no JSON: {error}", 502) from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _checked(content: bytes, kind: Any, source: str) -> Any:
    try:
        import msgspec
    except ImportError:
        raise ConfigError("json(type) takes msgspec: pip install 'portico[data]'") from None
    try:
        return msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{source}: the body is not what was expected: {error}", 502) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolError(f"{source}: the body is no JSON: {error}", 502) from None
