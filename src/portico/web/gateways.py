"""Gateways served over HTTP: one, or many by host and path."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from portico.http.exchange import Exchange, Mount, Route
from portico.http.server import Service
from portico.server import Server
from portico.web import kinds
from portico.web.logs import told_to
from portico.web.mounts import Mounts
from portico.wires import Connector, register_adapter, register_wire

__all__ = ["is_served", "route_to", "speaks_http"]


def is_served(handler: Any) -> bool:
    """Whether ``handler`` can be served as it is: a gateway, or mounts."""
    return isinstance(handler, Mounts) or kinds.is_gateway(handler)


def speaks_http(handler: Any) -> bool:
    """Whether a handler speaks HTTP also where the address does not say so."""
    return isinstance(handler, Mounts) or kinds.speaks_http(handler)


def route_to(handler: Any) -> Route:
    """How requests find their gateway: through ``Mounts``, or all to the one there is."""
    if isinstance(handler, Mounts):
        return handler.find
    mount = Mount(kinds.as_gateway(handler))

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


def _of_the_standard_library(handler: Any) -> Any:
    """A handler class of ``socketserver`` or ``http.server``, also a partial of one; neither is imported to
    find that out."""
    module = sys.modules.get("socketserver")
    kind = handler.func if isinstance(handler, partial) else handler
    if module is None or not isinstance(kind, type) or not issubclass(kind, module.BaseRequestHandler):
        return None
    from portico.compat.handlers import handler as adapt

    return adapt(handler)


register_wire("http", _http_wire, claims=speaks_http)
register_adapter(_of_the_standard_library)
