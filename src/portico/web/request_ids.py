"""A name for each request: in its answer, in the logs, and for the program that answers it.

``server.request_ids = RequestIds(trusted=["10.0.0.0/8"])``. The same name stands in ``X-Request-ID`` of the
request that reaches an upstream and of the answer, in the access log, in the lines of the error log, and in
``request_id.get()`` for whatever code runs for the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar
from copy import copy
from secrets import token_hex
from weakref import WeakKeyDictionary

from portico.address.networks import Networks, ip_of, local_kind
from portico.errors import ConfigError
from portico.http.exchange import Edit, Exchange, Gateway, Mount, Route
from portico.http.messages import RequestHead

__all__ = ["RequestIds", "request_id"]

request_id: ContextVar[str] = ContextVar("portico_request_id", default="")
"""What the request is called for which this code runs; empty outside of one."""

_VALID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
_FIELD = "X-Request-ID"
_BYTES = 16


class RequestIds:
    """Gives every request a name. One that the client sends is kept where the other end of its connection is
    in a ``trusted`` network, and it looks like one. Raises ``ConfigError``."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        if isinstance(trusted, str):
            raise ConfigError('request ids: name networks in a list, as in ["10.0.0.0/8"]')
        try:
            self._trusted = Networks(trusted)
        except ConfigError as error:
            raise ConfigError(f"request ids: {error}") from None
        self._named = tuple(trusted)

    def route(self, inner: Route) -> Route:
        """``inner``, for requests that have a name."""
        known: WeakKeyDictionary[Mount, Mount] = WeakKeyDictionary()  # a reload makes others

        def named(exchange: Exchange) -> Mount | None:
            notes = exchange.note()
            name = notes.request_id = notes.request_id or self.name(exchange)  # it may be answered as another
            mount = inner(exchange)
            if mount is None:
                exchange.edit = _adding(name, None)  # the server itself answers
                return None
            found = known.get(mount)
            if found is None:
                found = known[mount] = copy(mount)
                found.gateway = _Named(mount.gateway)
            return found

        return named

    def name(self, exchange: Exchange) -> str:
        """What the request is to be called."""
        peer = exchange.connection.transport.peer
        given = exchange.header("x-request-id")
        if given is None or peer is None or not _VALID.fullmatch(given):
            return token_hex(_BYTES)
        return given if self._trusted.covers(ip_of(peer), local_kind(peer)) else token_hex(_BYTES)

    def __repr__(self) -> str:
        return f"<RequestIds, from {', '.join(self._named) or 'nobody'}>"


class _Named:
    """A gateway that runs with the name of its request."""

    def __init__(self, gateway: Gateway) -> None:
        self.name = gateway.name
        self._gateway = gateway

    def streams(self, request: RequestHead) -> bool:
        return self._gateway.streams(request)

    def __call__(self, exchange: Exchange) -> None:
        name = exchange.note().request_id
        exchange.edit = _adding(name, exchange.edit)
        before = request_id.set(name)
        try:
            self._gateway(exchange)
        finally:
            request_id.reset(before)


def _adding(name: str, edit: Edit | None) -> Edit:
    """What puts a request's name into the head of its answer, after ``edit``."""

    def add(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        kept = [each for each in headers if each[0].lower() != "x-request-id"]
        return [*(kept if edit is None else edit(kept)), (_FIELD, name)]

    return add
