"""From whatever a user has, an application or a folder, to a gateway; and gateways served over HTTP."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from portico.errors import ConfigError
from portico.http.exchange import Exchange, Gateway, Mount, Route
from portico.http.server import Service
from portico.server import Server
from portico.web.logs import told_to
from portico.web.mounts import Mounts
from portico.web.wsgi import WSGI
from portico.wires import Connector, register_wire

__all__ = ["as_gateway", "is_gateway", "route_to"]


def is_gateway(handler: Any) -> bool:
    """Whether ``handler`` is a gateway already, or a set of mounts."""
    if isinstance(handler, (Mounts, type)):
        return isinstance(handler, Mounts)
    return callable(handler) and callable(getattr(handler, "streams", None))


def as_gateway(handler: Any, name: str = "") -> Gateway:
    """A gateway for a gateway or a WSGI application. Raises ``ConfigError`` for anything else."""
    if is_gateway(handler) and not isinstance(handler, Mounts):
        gateway: Gateway = handler
        return gateway
    kind = kind_of(handler)
    if kind == "wsgi":
        return WSGI(handler, name=name)
    if kind == "asgi":
        raise ConfigError(
            f"{name or handler!r} is an ASGI application, which this version cannot serve; wrap it for WSGI "
            "(for example with a2wsgi)"
        )
    raise ConfigError(
        f"{name or handler!r} is no web application: expected app(environ, start_response) or a gateway"
    )


def kind_of(handler: Any) -> str:
    """``wsgi``, ``asgi``, ``handler`` (a function of a stream, or a class with ``handle``) or ``""``."""
    if isinstance(handler, type):
        if callable(getattr(handler, "handle", None)):
            return "handler"
        # PEP 3333's own example of a class: its instances are the answers.
        return "wsgi" if hasattr(handler, "__iter__") and _required(handler) == 2 else ""
    if not callable(handler):
        return ""
    plain = inspect.isroutine(handler) or isinstance(handler, partial)
    call = handler if plain else getattr(handler, "__call__", handler)  # noqa: B004
    if inspect.iscoroutinefunction(call):
        return "asgi"
    required = _required(call)
    if required is None:
        return "wsgi"  # written in C, or hidden behind *args: the commonest kind
    return {1: "handler", 2: "wsgi", 3: "asgi"}.get(required, "")


def _required(call: Any) -> int | None:
    """How many positional arguments a callable wants; ``None`` where it cannot be told."""
    try:
        # What a wrapper takes, not what it wraps: werkzeug's applications wrap a function of a request.
        parameters = inspect.signature(call, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return None
    return len(
        [
            each
            for each in parameters
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
        ]
    )


def route_to(handler: Any) -> Route:
    """How requests find their gateway: through ``Mounts``, or all to the one there is."""
    if isinstance(handler, Mounts):
        return handler.find
    mount = Mount(as_gateway(handler))

    def only(exchange: Exchange) -> Mount | None:
        return mount

    return only


def _http_wire(handler: Any, server: Server) -> Connector:
    route = route_to(handler)
    if server.request_ids is not None:
        route = server.request_ids.route(route)
    if server.forwarded is not None:
        route = server.forwarded.route(route)
    told = [hook for hook in (server.access, server.metrics) if hook is not None]
    access = told_to(*told) if told else None
    service = Service(route, server.limits, access, server.refused_requests)
    service.side_by_side = server.side_by_side
    return service.connect


register_wire("http", _http_wire, claims=is_gateway)
