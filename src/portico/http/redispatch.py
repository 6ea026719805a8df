"""Answering one request as another would be answered, inside the server."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

from portico.http.exchange import Exchange, Route
from portico.http.messages import RequestHead

__all__ = ["redispatch"]

_OF_BODY = frozenset(
    ("content-length", "content-type", "content-encoding", "transfer-encoding", "trailer", "expect")
)


def redispatch(exchange: Exchange, target: str) -> None:
    """Answer a request, not answered so far, as a GET of ``target`` would be: a path, perhaps a query.

    The body goes, and what describes it; conditions and ranges stay (RFC 3875, 6.2.2).
    """
    asked = exchange.request
    fields = [(name, value) for name, value in asked.headers if name not in _OF_BODY]
    inner = Exchange(exchange.connection, RequestHead.of("GET", target, fields, http11=asked.line.http11))
    inner.body = BytesIO()
    inner.notes = exchange.notes  # for the log it is one request
    route: Route = cast(Any, exchange.connection).service.route
    mount = route(inner)
    try:
        if mount is None:
            inner.respond_error(404, "Nothing is mounted here.")
        else:
            inner.mount = mount.prefix
            inner.edit = mount.edit
            mount.gateway(inner)
    finally:
        exchange.started, exchange.status, exchange.sent = inner.started, inner.status, inner.sent
