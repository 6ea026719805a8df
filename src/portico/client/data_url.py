"""``data:`` URLs (RFC 2397), read as browsers do (the Fetch standard's processor): content that is its own
address."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any
from urllib.parse import unquote_to_bytes

from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL
from portico.errors import AddressError, ConfigError
from portico.limits import Limits

__all__ = ["open_data"]

_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:;[\t\x20-\x7e]*)?")
_BASE64 = re.compile(r";[ ]*base64[ ]*\Z", re.IGNORECASE)
_BLANKS = re.compile(rb"[\t\n\f\r ]+")
_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*")


def open_data(url: URL, *, limits: Limits | None = None, **options: Any) -> Response:
    """The content of ``url``. Raises ``AddressError`` for one that is none, ``ConfigError`` for a request
    with a body."""
    if options.get("data") is not None:
        raise ConfigError("a data: URL is only read")
    whole = url.target
    kind, comma, content = whole.partition(",")
    if not comma:
        raise AddressError("a data: URL has a comma before its content")
    data = unquote_to_bytes(content)
    kind = kind.strip(" ")
    encoded = _BASE64.search(kind)
    if encoded is not None:
        kind, data = kind[: encoded.start()], _base64(data)
    if kind.startswith(";"):
        kind = f"text/plain{kind}"
    if not _TYPE.fullmatch(kind):
        kind = "text/plain;charset=US-ASCII"
    fields = [("content-type", kind), ("content-length", str(len(data)))]
    return Response(Request("GET", url), 200, "OK", fields, None, data, limits=limits)


def _base64(data: bytes) -> bytes:
    """The forgiving decoder of the Infra standard: blanks do not matter, nor does missing padding."""
    data = _BLANKS.sub(b"", data)
    if len(data) % 4 == 0:
        data = data.removesuffix(b"=").removesuffix(b"=") if data.endswith(b"=") else data
    if len(data) % 4 == 1 or not _ALPHABET.fullmatch(data):
        raise AddressError("the content of the data: URL is no base64")
    return b64decode(data + b"=" * (-len(data) % 4))
