"""Reason phrases, the ``Date`` field and the standard error page."""

from __future__ import annotations

from email.utils import formatdate
from html import escape
from http import HTTPStatus
from time import time

from portico.http.outgoing import Defaults, Field

__all__ = ["METHODS", "REASONS", "error_page", "server_fields"]

REASONS: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}
# RFC 9110 has changed these.
REASONS.update({413: "Content Too Large", 414: "URI Too Long"})
REASONS.update({416: "Range Not Satisfiable", 422: "Unprocessable Content"})

METHODS = frozenset(
    "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE "
    "MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND "
    "PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE "
    "UPDATEREDIRECTREF VERSION-CONTROL".split()
)
"""The methods that IANA has registered, and QUERY, which is about to be."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {reason}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 12vh auto 0; max-width: 34rem; padding: 0 1.5rem;
       color: #222; background: #fff }}
h1 {{ font-size: 1.6rem; margin: 0 0 .5rem }} h1 b {{ color: #8a2432; margin-right: .6rem }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #ddd; background: #181818 }} h1 b {{ color: #e8808f }}
}}
</style></head>
<body><h1><b>{status}</b>{reason}</h1><p>{detail}</p></body></html>
"""


class _Clock:
    """Fields that change once a second."""

    def __init__(self) -> None:
        self._made: tuple[int, Defaults] = (0, ())

    def fields(self) -> Defaults:
        second = int(time())
        made = self._made
        if made[0] != second:
            date = f"Date: {formatdate(second, usegmt=True)}\r\n"
            # One assignment, so that another thread sees the old fields or the new ones, never a mixture.
            made = self._made = second, ((Field.DATE, date), (Field.SERVER, "Server: portico\r\n"))
        return made[1]


server_fields = _Clock().fields
"""What a server says of itself: ``Date`` (RFC 9110, 6.6.1) and ``Server``; the same object for a second."""


def error_page(status: int, detail: str = "") -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of an error answer. ``detail`` is plain text and gets escaped."""
    reason = REASONS.get(status, "Error")
    body = _PAGE.format(status=status, reason=escape(reason), detail=escape(detail)).encode()
    return [("Content-Type", "text/html; charset=utf-8"), ("X-Content-Type-Options", "nosniff")], body
