"""One request and the cache: answered from the store, confirmed by its server, or asked anew and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from portico.client.background import Background
from portico.client.cache_body import kept
from portico.client.cache_changes import Changes
from portico.client.cache_fields import asked_directives
from portico.client.cache_rules import (
    SAFE,
    Stored,
    Use,
    conditional,
    freshened,
    key_of,
    made,
    same,
    survives_error,
    use,
)
from portico.client.cache_store import Store
from portico.client.connection import RESTED
from portico.client.response import Response
from portico.deadline import timeout
from portico.errors import (
    AddressError,
    ConnectError,
    ConnectionLost,
    PorticoError,
    ResolveError,
    Timeout,
)
from portico.limits import Limits

if TYPE_CHECKING:
    from portico.client.request import Request

__all__ = ["Asking", "Forward"]

log = logging.getLogger("portico.client")

Forward: TypeAlias = "Callable[[Request], Response]"

_BESIDE = 60.0
"""Seconds that asking a server in the background may take."""
_OWN_CONDITIONS = frozenset(
    ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")
)
_OUTAGES = (ConnectError, ConnectionLost, ResolveError, Timeout)
_FAILURES = frozenset((500, 502, 503, 504))


class Asking:
    """A request on its way through a cache, whose answers are in ``store``; ``forward`` asks the server."""

    __slots__ = ("_background", "_changes", "_clock", "_forward", "_limits", "_request", "_store")

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        changes: Changes,
        request: Request,
        forward: Forward,
        background: Background,
        limits: Limits | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes
        self._request = request
        self._forward = forward
        self._background = background
        self._limits = limits

    def answer(self) -> Response:
        """What the cache has, or what the server says. Raises what ``forward`` raises."""
        request = self._request
        if request.method not in ("GET", "HEAD"):
            return self._changed(self._forward(request))
        asked = asked_directives(request.headers)
        if "no-store" in asked or _passes(request):
            return self._forward(request)
        stored = self._store.find(key_of(request), request)
        what = Use.ASK if stored is None else use(stored, request, self._clock())
        if stored is not None and what is not Use.ASK:
            response = self._stored(stored, "hit" if what is Use.FRESH else "stale")
            if response is not None:
                if what is Use.REFRESH and "only-if-cached" not in asked:
                    self._refresh(stored)
                return response
        if "only-if-cached" in asked:
            return Response(request, 504, "Gateway Timeout", [("content-length", "0")], None)
        if request.method == "HEAD":
            return self._head(stored)
        return self._fetched() if stored is None else self._validated(stored)

    # -- from the store

    def _stored(self, stored: Stored, status: str) -> Response | None:
        """A kept answer; ``None`` when its body is gone meanwhile."""
        began, source = monotonic(), None
        if self._request.method != "HEAD":
            source = self._store.source(stored)
            if source is None:
                return None
        pairs = [pair for pair in stored.pairs if pair[0] != "age"]
        pairs.append(("age", str(int(stored.age(self._clock())))))
        facts = (self._request, stored.status, stored.reason, pairs, source)
        response = Response(*facts, version=stored.version, limits=self._limits)
        response._time(began, RESTED)
        response.cache_status = status
        return response

    # -- from the server

    def _fetched(self) -> Response:
        asked = self._clock()
        return self._kept(self._forward(self._request), asked, None)

    def _validated(self, stored: Stored) -> Response:
        """The kept answer if its server says so, or cannot be asked and that is allowed; else a new one."""
        asked = self._clock()
        try:
            response = self._forward(conditional(self._request, stored))
        except _OUTAGES as error:
            saved = self._despite_failure(stored)
            if saved is None:
                raise
            log.info("%s: a stale answer instead of: %s", self._request.url, error)
            return saved
        if response.status in _FAILURES:
            saved = self._despite_failure(stored)
            if saved is not None:
                response.close()
                return saved
        news = self._confirmed(stored, response, asked)
        if news is not None:
            return self._stored(news, "revalidated") or self._fetched()
        if response.status == 304:
            return self._fetched()  # it spoke of another version: ask without conditions
        return self._kept(response, asked, stored)

    def _despite_failure(self, stored: Stored) -> Response | None:
        if not survives_error(stored, self._request, self._clock()):
            return None
        return self._stored(stored, "stale")

    def _confirmed(self, stored: Stored, response: Response, asked: float) -> Stored | None:
        """The stored answer with the fields of a 304 about it; ``None``: it is not confirmed."""
        if response.status != 304:
            return None
        response.close()
        if not same(stored, response.headers):
            self._store.drop(stored)
            return None
        return self._freshen(stored, response, asked)

    def _freshen(self, stored: Stored, response: Response, asked: float) -> Stored:
        news = freshened(stored, self._request, response.headers, asked, self._clock())
        if news.worth_keeping():
            self._store.update(news)
        else:
            self._store.drop(stored)
        return news

    def _kept(self, response: Response, asked: float, before: Stored | None) -> Response:
        """A new answer, which is kept while it is read, if it may be."""
        response.cache_status = "miss"
        came = self._clock()
        pairs = response.headers.pairs
        stored = made(self._request, response.status, response.reason, response.version, pairs, asked, came)
        if stored.worth_keeping():
            kept(response, self._store.writer(stored), lambda: self._changes.since(stored.key, asked))
        elif before is not None and response.status not in _FAILURES:
            self._store.drop(before)
        return response

    def _head(self, stored: Stored | None) -> Response:
        """The answer to a HEAD tells whether the one to a GET is still right (RFC 9111, 4.3.5)."""
        asked = self._clock()
        response = self._forward(self._request)
        response.cache_status = "miss"
        if stored is None or response.status != 200:
            return response
        length = response.headers.get("content-length", str(stored.size))
        if stored.status == 200 and length == str(stored.size) and same(stored, response.headers):
            self._freshen(stored, response, asked)
        else:
            self._store.drop(stored)
        return response

    def _changed(self, response: Response) -> Response:
        """After a method that changes something, what is kept of it is out of date (RFC 9111, 4.4)."""
        request = self._request
        if request.method in SAFE or not 200 <= response.status < 400:
            return response
        self._forget(key_of(request))
        for name in ("location", "content-location"):
            for place in response.headers.all(name):
                try:
                    url = request.url.join(place)
                except AddressError:
                    continue
                if url.origin == request.url.origin:
                    self._forget(key_of(request.but(url=url)))
        return response

    def _forget(self, key: str) -> None:
        self._changes.note(key, self._clock())
        self._store.remove(key)

    def _refresh(self, stored: Stored) -> None:
        shared = (self._store, self._clock, self._changes)
        beside = Asking(*shared, self._request.but(), self._forward, self._background, None)
        self._background.start((stored.key, stored.match), beside._ask_beside, stored)

    def _ask_beside(self, stored: Stored) -> None:
        """Ask for a stale answer that is in use already; nobody waits for what comes of it."""
        try:
            with timeout(_BESIDE, shield=True):
                asked = self._clock()
                response = self._forward(conditional(self._request, stored))
                with response:
                    if response.status == 304:
                        self._confirmed(stored, response, asked)
                    elif response.status not in _FAILURES:
                        self._kept(response, asked, stored)
                        for _ in response.iter_bytes():
                            pass
        except PorticoError as error:
            log.info("%s: asking again in the background: %s", self._request.url, error)


def _passes(request: Request) -> bool:
    """Whether a request goes by: with a body, conditions of its own, or credentials that never come twice."""
    if request.body is not None or any(name in _OWN_CONDITIONS for name, _ in request.headers.pairs):
        return True
    return request.headers.get("authorization", "")[:7].lower() == "digest "
