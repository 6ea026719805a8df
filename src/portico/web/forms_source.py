"""Where forms come from: a request as WSGI, as CGI, or as an exchange, and what matters of it to a form."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portico.errors import FormError

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["Source", "source_of"]


@dataclass(frozen=True, slots=True)
class Source:
    """A request, as far as a form goes.

    ``content_type``: latin-1 text. ``query``: bytes, as sent. ``length``: bytes of the body; ``None``:
    it ends where ``body`` ends. ``coding``: its Content-Encoding.
    """

    method: str
    content_type: str
    query: bytes
    body: Any
    length: int | None
    coding: str


def source_of(request: Mapping[str, Any] | Exchange | None) -> Source:
    """Raises ``FormError`` (400) for a length that is none."""
    if request is None:
        request = os.environ
    if not isinstance(request, Mapping):
        content_type = request.header("content-type") or ""
        query = request.query.encode("latin-1")
        coding = request.header("content-encoding") or ""
        return Source(request.method, content_type, query, request.body, request.body_length, coding)
    wsgi = "wsgi.input" in request
    return Source(
        request.get("REQUEST_METHOD", "GET"),
        _bytes(request.get("CONTENT_TYPE", ""), wsgi).decode("latin-1"),
        _bytes(request.get("QUERY_STRING", ""), wsgi),
        request["wsgi.input"] if wsgi else sys.stdin.buffer,
        _length(request, wsgi),
        request.get("HTTP_CONTENT_ENCODING", ""),
    )


def _bytes(value: str, wsgi: bool) -> bytes:
    return value.encode("latin-1") if wsgi else os.fsencode(value)


def _length(environ: Mapping[str, Any], wsgi: bool) -> int | None:
    value = environ.get("CONTENT_LENGTH", "")
    if not value:
        # Without a length there is no body (RFC 3875, 4.2), unless a WSGI server says that its input ends, or
        # a CGI server that the body came in chunks, as Apache does.
        return None if environ.get("wsgi.input_terminated" if wsgi else "HTTP_TRANSFER_ENCODING") else 0
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise FormError(f"the form has the Content-Length {value[:40]!r}")
    return int(value)
