"""Where a redirect leads: encoded, and not to where it does not look like leading."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from portico.errors import LocalProtocolError
from portico.web.handlers.refusal import Refuse

__all__ = ["encode_path", "read_location"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")


def read_location(text: str, *, here: bool) -> str:
    """The value of ``Location``. Raises ``LocalProtocolError``, for one that is not ``here`` ``Refuse``."""
    try:
        return _checked(text, here)
    except LocalProtocolError as error:
        if here:
            raise Refuse(400, "The place to go on to is not on this server.") from error
        raise


def _checked(text: str, here: bool) -> str:
    if not text or _CONTROL.search(text):
        raise LocalProtocolError(
            f"redirect: a location is not empty and has no control characters: {text[:80]!r}"
        )
    if text != text.strip() or "\\" in text:
        raise LocalProtocolError(f"redirect: browsers read this otherwise than it looks: {text[:80]!r}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        if text.startswith("//"):
            raise LocalProtocolError(f"redirect: {text[:80]!r} names a host; write https: in front of it")
        return _encoded(text)
    if scheme[1].lower() not in ("http", "https"):
        raise LocalProtocolError(f"redirect: a location leads to http, https or a path, not to {scheme[1]}:")
    return _absolute(text, here)


def _absolute(text: str, here: bool) -> str:
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna" if not text.isascii() else "ascii").decode("ascii")
        port = parts.port
    except ValueError:  # UnicodeError is one
        raise LocalProtocolError(f"redirect: {text[:80]!r} is not a URL") from None
    if not host or here or parts.username is not None:
        raise LocalProtocolError(
            f"redirect: {text[:80]!r} " + ("is elsewhere" if here else "needs a plain host")
        )
    place = f"[{host}]" if ":" in host else host
    place += "" if port is None else f":{port}"
    rest = text.partition("//")[2][len(parts.netloc) :]
    return f"{parts.scheme}://{place}{_encoded(rest)}"


def _encoded(text: str) -> str:
    """Only what a URL cannot hold is encoded: what is encoded already stays (RFC 3987, 3.1)."""
    return quote(text.encode("utf-8", "surrogateescape"), safe="%/:?#[]@!$&'()*+,;=~")


def encode_path(raw: str) -> str:
    """An undecoded path of a request as a location: what is no part of a path in a URL is encoded."""
    return quote(raw.encode("latin-1"), safe="%/:@!$&'()*+,;=~")
