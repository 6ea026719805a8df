"""A private cache of answers, by RFC 9111: off unless a session is given one.

::

    with Session(cache=Cache("~/.cache/example/http.db")) as session:
        session.get("https://example.org/").cache_status      # "miss"
        session.get("https://example.org/").cache_status      # "hit"

``cache_status`` of an answer: ``"hit"`` (fresh), ``"stale"`` (its server, or the request, allows that),
``"revalidated"`` (the server said that it is still right), ``"miss"`` (it comes from the server), ``None``
(the request is none that a cache may answer). Answers from the cache have an ``Age`` field, and no cookies.

Kept are complete answers to ``GET`` without a body, ``Range`` or conditions of its own, for each
``Authorization`` apart; those to Digest credentials, which differ each time, are not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from portico.client.background import Background
from portico.client.cache_body import kept
from portico.client.cache_fields import Directives, asked_directives
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
from portico.client.cache_store import MemoryStore, Store
from portico.client.response import Response
from portico.deadline import timeout
from portico.errors import (
    AddressError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    PorticoError,
    ResolveError,
    Timeout,
)

if TYPE_CHECKING:
    from portico.client.request import Request

__all__ = ["Cache", "CacheLike", "as_cache"]

log = logging.getLogger("portico.client")

Forward: TypeAlias = "Callable[[Request], Response]"

_IN_MEMORY = 64 << 20
_ON_DISK = 2 << 30
_BESIDE = 60.0
"""Seconds that asking a server in the background may take."""
_OWN_CONDITIONS = frozenset(
    ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")
)
_OUTAGES = (ConnectError, ConnectionLost, ResolveError, Timeout)
_FAILURES = frozenset((500, 502, 503, 504))


class Cache:
    """Answers kept in the file ``path``, or in memory; for any number of sessions, threads and processes.

    ``size``: bytes, 2 GiB on disk and 64 MiB in memory unless given; an answer may have half of it, and those
    used longest ago go first. The file is made at first use, readable for its owner alone; where it cannot be
    used, the log says so, and nothing is kept. ``clock``: seconds since 1970. A context manager.

    Raises ``ConfigError``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        size: int | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        if size is not None and not size > 0:
            raise ConfigError(f"cache: size={size!r}: expected bytes, above zero")
        self.path = None if path is None else _file(path)
        self._store = self._opened(size)
        self._clock = clock
        self._background = Background()

    def _opened(self, size: int | None) -> Store:
        if self.path is None:
            return MemoryStore(size or _IN_MEMORY)
        from portico.client.cache_disk import DiskStore

        return DiskStore(self.path, size or _ON_DISK)

    def __call__(self, request: Request, forward: Forward, background: Background | None = None) -> Response:
        """The answer to a request: a kept one, or what ``forward`` brings.

        ``background``: where a server is asked while a stale answer is used already; ends with the session.
        Raises what ``forward`` raises.
        """
        if request.method not in ("GET", "HEAD"):
            return self._changed(request, forward(request))
        asked = asked_directives(request.headers)
        if _passes(request, asked):
            return forward(request)
        stored = self._store.find(key_of(request), request)
        what = Use.ASK if stored is None else use(stored, request, self._clock())
        if stored is not None and what is not Use.ASK:
            response = self._answer(stored, request, "hit" if what is Use.FRESH else "stale")
            if response is not None:
                if what is Use.REFRESH and "only-if-cached" not in asked:
                    self._refresh(stored, request, forward, background or self._background)
                return response
        if "only-if-cached" in asked:
            return Response(request, 504, "Gateway Timeout", [("content-length", "0")], None)
        if request.method == "HEAD":
            return self._head(request, forward, stored)
        if stored is None:
            return self._fetched(request, forward)
        return self._validated(stored, request, forward)

    def clear(self) -> None:
        """Forget everything."""
        self._store.clear()

    def close(self) -> None:
        """End what runs in the background, and close the file. It is opened again where it is used again."""
        self._background.close()
        self._background = Background()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Cache {'in memory' if self.path is None else self.path}>"

    # -- from the store

    def _answer(self, stored: Stored, request: Request, status: str) -> Response | None:
        """A kept answer; ``None`` when its body is gone meanwhile."""
        source = None
        if request.method != "HEAD":
            source = self._store.source(stored)
            if source is None:
                return None
        pairs = [pair for pair in stored.pairs if pair[0] != "age"]
        pairs.append(("age", str(int(stored.age(self._clock())))))
        response = Response(request, stored.status, stored.reason, pairs, source, version=stored.version)
        response.cache_status = status
        return response

    # -- from the server

    def _fetched(self, request: Request, forward: Forward) -> Response:
        asked = self._clock()
        return self._kept(request, forward(request), asked, None)

    def _validated(self, stored: Stored, request: Request, forward: Forward) -> Response:
        """The kept answer if its server says so, or cannot be asked and that is allowed; else a new one."""
        asked = self._clock()
        try:
            response = forward(conditional(request, stored))
        except _OUTAGES as error:
            saved = self._despite_failure(stored, request)
            if saved is None:
                raise
            log.info("%s: a stale answer instead of: %s", request.url, error)
            return saved
        if response.status in _FAILURES:
            saved = self._despite_failure(stored, request)
            if saved is not None:
                response.close()
                return saved
        news = self._confirmed(stored, request, response, asked)
        if news is not None:
            return self._answer(news, request, "revalidated") or self._fetched(request, forward)
        if response.status == 304:
            return self._fetched(request, forward)  # it spoke of another version: ask without conditions
        return self._kept(request, response, asked, stored)

    def _despite_failure(self, stored: Stored, request: Request) -> Response | None:
        if not survives_error(stored, request, self._clock()):
            return None
        return self._answer(stored, request, "stale")

    def _confirmed(self, stored: Stored, request: Request, response: Response, asked: float) -> Stored | None:
        """The stored answer with the fields of a 304 about it; ``None``: it is not confirmed."""
        if response.status != 304:
            return None
        response.close()
        if not same(stored, response.headers):
            self._store.drop(stored)
            return None
        return self._freshen(stored, request, response, asked)

    def _freshen(self, stored: Stored, request: Request, response: Response, asked: float) -> Stored:
        news = freshened(stored, request, response.headers, asked, self._clock())
        if news.worth_keeping():
            self._store.update(news)
        else:
            self._store.drop(stored)
        return news

    def _kept(self, request: Request, response: Response, asked: float, before: Stored | None) -> Response:
        """A new answer, which is kept while it is read, if it may be."""
        response.cache_status = "miss"
        came = self._clock()
        pairs = response.headers.pairs
        stored = made(request, response.status, response.reason, response.version, pairs, asked, came)
        if stored.worth_keeping():
            kept(response, self._store.writer(stored))
        elif before is not None and response.status not in _FAILURES:
            self._store.drop(before)
        return response

    def _head(self, request: Request, forward: Forward, stored: Stored | None) -> Response:
        """The answer to a HEAD tells whether the one to a GET is still right (RFC 9111, 4.3.5)."""
        asked = self._clock()
        response = forward(request)
        response.cache_status = "miss"
        if stored is None or response.status != 200:
            return response
        length = response.headers.get("content-length", str(stored.size))
        if stored.status == 200 and length == str(stored.size) and same(stored, response.headers):
            self._freshen(stored, request, response, asked)
        else:
            self._store.drop(stored)
        return response

    def _changed(self, request: Request, response: Response) -> Response:
        """After a method that changes something, what is kept of it is out of date (RFC 9111, 4.4)."""
        if request.method in SAFE or not 200 <= response.status < 400:
            return response
        self._store.remove(key_of(request))
        for name in ("location", "content-location"):
            for place in response.headers.all(name):
                try:
                    url = request.url.join(place)
                except AddressError:
                    continue
                if url.origin == request.url.origin:
                    self._store.remove(key_of(request.but(url=url)))
        return response

    def _refresh(self, stored: Stored, request: Request, forward: Forward, background: Background) -> None:
        background.start((stored.key, stored.match), self._ask_beside, stored, request.but(), forward)

    def _ask_beside(self, stored: Stored, request: Request, forward: Forward) -> None:
        """Ask for a stale answer that is in use already; nobody waits for what comes of it."""
        try:
            with timeout(_BESIDE, shield=True):
                asked = self._clock()
                response = forward(conditional(request, stored))
                if response.status in _FAILURES or self._confirmed(stored, request, response, asked):
                    response.close()
                    return
                with self._kept(request, response, asked, stored):
                    for _ in response.iter_bytes():
                        pass
        except PorticoError as error:
            log.info("%s: asking again in the background: %s", request.url, error)


CacheLike: TypeAlias = Cache | str | os.PathLike[str] | bool | None
"""``True``: in memory; a path: on disk; ``None`` or ``False``: none."""


def as_cache(value: CacheLike) -> Cache | None:
    """What a caller gives as ``cache=``. Raises ``ConfigError``."""
    if isinstance(value, Cache):
        return value
    if value is None or isinstance(value, bool):
        return Cache() if value else None
    return Cache(value)


def _file(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):  # type: ignore[redundant-expr]
        raise ConfigError(f"cache={path!r}: expected the path of a file, True, or a Cache(…)")
    file = Path(path).expanduser().absolute()
    if file.is_dir():
        raise ConfigError(f"cache={str(path)!r} is a folder: expected the path of a file")
    return file


def _passes(request: Request, asked: Directives) -> bool:
    """Whether a request goes by: one that has conditions of its own, or wants no trace."""
    if "no-store" in asked or request.body is not None:
        return True
    headers = request.headers
    if any(name in _OWN_CONDITIONS for name, _ in headers.pairs):
        return True
    return headers.get("authorization", "")[:7].lower() == "digest "
