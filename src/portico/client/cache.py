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

import os
from collections.abc import Callable
from pathlib import Path
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from portico.client.background import Background
from portico.client.cache_asking import Asking, Forward
from portico.client.cache_changes import Changes
from portico.client.cache_store import MemoryStore, Store
from portico.errors import ConfigError
from portico.limits import Limits

if TYPE_CHECKING:
    from portico.client.request import Request
    from portico.client.response import Response

__all__ = ["Cache", "CacheLike", "as_cache"]

_IN_MEMORY = 64 << 20
_ON_DISK = 2 << 30


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
        self._changes = Changes()
        self._background = Background()

    def _opened(self, size: int | None) -> Store:
        if self.path is None:
            return MemoryStore(size or _IN_MEMORY)
        from portico.client.cache_disk import DiskStore

        return DiskStore(self.path, size or _ON_DISK)

    def __call__(
        self,
        request: Request,
        forward: Forward,
        background: Background | None = None,
        limits: Limits | None = None,
    ) -> Response:
        """The answer to a request: a kept one, or what ``forward`` brings.

        ``background``: where a server is asked while a stale answer is used already; ends with the session.
        ``limits``: for the body of an answer that is kept.
        Raises what ``forward`` raises.
        """
        beside = background or self._background
        shared = (self._store, self._clock, self._changes)
        return Asking(*shared, request, forward, beside, limits).answer()

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
