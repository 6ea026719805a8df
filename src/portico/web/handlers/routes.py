"""Which handler answers which path and method.

::

    routes = Routes(sessions=Sessions(key))

    @routes.get("/users/{id:int}")
    def user(request, id): ...

    routes.add("/files/{path:path}", Files)             # a class with get, put, delete
    routes.mount("/static", Static("static"))
    routes.mount("/api", api, name="api")               # other routes

Literal text wins over parameters, ``int`` and ``uuid`` over text, everything over what is mounted. ``/a`` and
``/a/`` are two paths; where only the other one is there, the client is sent to it (308).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portico.http.exchange import raw_below
from portico.web.handlers.answer import answer
from portico.web.handlers.app import other_method
from portico.web.handlers.locations import encode_path
from portico.web.handlers.methods import METHODS, allowed
from portico.web.handlers.pattern import split_raw
from portico.web.handlers.refusal import Refuse
from portico.web.handlers.request import Request
from portico.web.handlers.response import Response
from portico.web.handlers.table import Table
from portico.web.handlers.tree import Asked, Endpoint, Found

if TYPE_CHECKING:
    from portico.http.exchange import Exchange, Gateway
    from portico.http.messages import RequestHead

__all__ = ["Routes"]


class Routes(Table):
    """Routes as a gateway: to be served, mounted, or mounted in other routes.

    ``table``, ``sessions``, ``redirect_slashes``, ``name``, and how routes are added: see ``Table``.
    """

    def streams(self, request: RequestHead) -> bool:
        """Whether the handler that answers wants the body as it arrives."""
        return self._streams_below("", request)

    def below(self, prefix: str) -> Gateway:
        """These routes at a prefix: which one answers is asked before there is an exchange."""
        return _Below(self, prefix) if prefix else self

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        asked = Asked(exchange.method, exchange.host)
        found = self._look_up(exchange.raw_path_info, asked)
        trail = _enter(exchange, self, found)
        if found is not None and not isinstance(found.answers, Endpoint):
            found.answers(exchange)
            return
        sessions = next((routes.sessions for _, routes in reversed(trail) if routes.sessions), None)
        request = Request(exchange, sessions)
        request._reverse = _Reverse(exchange, trail)
        if found is None:
            answer(request, lambda: self._nothing(request, asked))
        else:
            answer(request, lambda: _call(request, found))

    def _look_up(self, raw: str, asked: Asked) -> Found | None:
        if raw and not raw.startswith("/"):
            return None
        parts = split_raw(raw) if raw else []
        return None if parts is None else self.find(parts, asked)

    def _streams_below(self, prefix: str, head: RequestHead) -> bool:
        if not self._streams:
            return False
        found = self._look_up(raw_below(head.line.raw_path, prefix), Asked(head.method, head.authority))
        if found is None:
            return False
        answers = found.answers
        return bool(answers.bounds.streams(head) if isinstance(answers, Endpoint) else answers.streams(head))

    def _nothing(self, request: Request, asked: Asked) -> Response | None:
        """What nobody answers: by another method, with another slash, or not at all."""
        exchange = request.exchange
        if exchange.target == "*":
            return other_method(request, METHODS)
        if asked.seen:
            return other_method(request, allowed(asked.seen))
        raw = exchange.raw_path
        other = raw[:-1] if raw.endswith("/") else raw + "/"
        below = raw_below(other, exchange.mount) if other.startswith("/") else ""
        if self._redirect_slashes and below and not raw.endswith("//"):
            again = Asked(exchange.method, exchange.host)
            if self._look_up(below, again) is not None or again.seen:
                query = f"?{exchange.query}" if exchange.query else ""
                return Response(b"", 308, [("Location", encode_path(other) + query)])
        raise Refuse(404, "There is nothing here.")


class _Below:
    """Routes at a prefix."""

    def __init__(self, routes: Routes, prefix: str) -> None:
        self._routes = routes
        self._prefix = prefix
        self.name = routes.name

    def streams(self, request: RequestHead) -> bool:
        return self._routes._streams_below(self._prefix, request)

    def __call__(self, exchange: Exchange) -> None:
        self._routes(exchange)


class _Reverse:
    """Names of routes, looked up in the innermost first, and made paths on this server."""

    def __init__(self, exchange: Exchange, trail: list[tuple[str, Any]]) -> None:
        self._exchange = exchange
        self._trail = [(mount, routes) for mount, routes in trail if isinstance(routes, Table)]

    def __call__(self, name: str, /, *, query: Mapping[str, Any] | None = None, **params: Any) -> str:
        known = [each for each in self._trail if not each[1].names.isdisjoint((name, name.partition(".")[0]))]
        # Where nobody knows it, the innermost raises, and says what there is.
        mount, routes = (known or self._trail)[-1]
        raw = self._exchange.raw_path
        above = raw[: len(raw) - len(raw_below(raw, mount))]
        return encode_path(above) + str(routes.path_for(name, query=query, **params))


def _enter(exchange: Exchange, routes: Table, found: Found | None) -> list[tuple[str, Any]]:
    """The routes on the way to who answers, each with its mount; the exchange is below the last one now."""
    trail: list[tuple[str, Any]] = [(exchange.mount, routes)]
    if found is not None and found.trail:
        raw, base = exchange.raw_path_info, exchange.mount
        parts = split_raw(raw) or []
        for before, branch in found.trail:
            size = sum(1 + len(part.encode()) for part in parts[:before])
            trail.append((exchange.path[: len(base) + size], branch))
        exchange.mount = trail[-1][0]
    return trail


def _call(request: Request, found: Found) -> Any:
    endpoint: Endpoint = found.answers
    request.params = found.params
    endpoint.bounds.check(request.exchange)
    takes = endpoint.takes
    if not takes and takes is not None:
        return endpoint.function(request)
    given = {name: value for name, value in found.params.items() if takes is None or name in takes}
    return endpoint.function(request, **given)
