"""From settings to a running server, and again at each reload."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import invalidate_caches
from typing import Any

from portico.cli.logs import log_access
from portico.cli.serve_options import read_addresses, read_engine, read_tls
from portico.cli.serve_settings import Asked
from portico.cli.serve_site import Served, bounds, make_served
from portico.cli.serve_watch import Watched, module_folders, needs_library, watch
from portico.engines.workers.children import ask
from portico.errors import ConfigError
from portico.server import Fresh, Late, Server
from portico.web.config import Settings, Source
from portico.web.config.mounts import AnyProgram, Handler, WSGIMount
from portico.web.mounts import Mounts

__all__ = ["Site"]

log = logging.getLogger("portico.serve")

_FIXED = ("listen", "engine", "workers", "max_requests", "max_memory", "max_age", "grace", "log.level")
_FIXED_LIMITS = ("limits.backlog", "limits.connections", "limits.queue")
"""What belongs to the processes and sockets that a reload keeps."""
_QUIET = 0.2
"""Seconds that an old worker keeps idle connections, in development: a browser is to see the new code."""


class Site:
    """One ``portico serve``: what was asked for, what is served now, and how it is made anew."""

    def __init__(self, asked: Asked, settings: Settings, source: Source | None, *, watched: bool) -> None:
        self._asked = asked
        self._settings = settings
        self._source = source
        self._watched = watched
        self._mounts: Mounts | None = None
        self._files: Watched | None = None
        if watched:
            needs_library()
            sys.dont_write_bytecode = True  # a cache by the second would hide the second change in one
            self._settings = _for_development(settings)

    def server(self) -> Server:
        """A server for it, not started. Raises ``ConfigError``, ``AddressError``."""
        settings = self._settings
        engine = read_engine(settings)
        # With workers, this process and their supervisor never load what is served: each new worker does.
        self.served = self._look_at() if engine.processes else self._make(settings, self._source)
        self._addresses = read_addresses(settings.listen, self.served.wire)
        fresh = self._fresh(settings, self.served.handler)
        server = Server(
            fresh.handler,
            *self._addresses,
            engine=engine,
            limits=fresh.limits,
            tls=fresh.tls,
            grace=settings.grace,
            wire=self.served.wire,
            admission=fresh.admission,
        )
        server.access = fresh.access
        server.renew = partial(self._check, server) if engine.processes else self._renew
        return server

    def watch(self, server: Server) -> None:
        """With ``--reload``: begin to look for changes."""
        if self._files is not None:
            watch(server, self._files)

    def _make(self, settings: Settings, source: Source | None) -> Served:
        served = make_served(settings, source)
        if isinstance(served.handler, Mounts):
            if self._mounts is None:
                self._mounts = served.handler
            else:
                self._mounts.become(served.handler)
                served = replace(served, handler=self._mounts)
        return served

    def _fresh(self, settings: Settings, handler: Any) -> Fresh:
        return Fresh(
            handler=handler,
            limits=bounds(settings),
            tls=read_tls(self._addresses, settings.tls),
            admission=settings.admission.admission(),
            access=log_access if settings.log.access else None,
        )

    # -- with processes

    def _look_at(self) -> Served:
        """What is imported is imported elsewhere: here by a process that ends at once, and then by each
        worker that is to serve it."""

        def facts() -> tuple[str, Mapping[str, str], list[str]]:
            served = make_served(self._settings, self._source)
            return served.wire, dict(served.mounts), module_folders()

        wire, names, folders = ask(facts)
        if self._watched:
            self._files = Watched(folders, self._asked.config)
        return Served(Late(self._load), wire, names)

    def _load(self) -> Fresh:
        """In a worker: the file and the code as they are now."""
        invalidate_caches()  # there may be files that were not there when the server began
        settings, source = self._read_again()
        return self._fresh(settings, make_served(settings, source).handler)

    def _check(self, server: Server) -> None:
        """In the first process, before workers are replaced: see that the file is right, and how many of
        them it wants."""
        settings = self._read_again()[0]
        before, now = self._settings.workers, settings.workers
        if before is not None and now is not None and before != now:
            for _ in range(abs(now - before)):
                server.resize(1 if now > before else -1)
            self._settings = replace(self._settings, workers=now)
        self._tell_what_stays(settings)

    # -- without

    def _renew(self) -> Fresh:
        """The file as it is now; code that was imported stays as it is."""
        settings, source = self._read_again()
        served = make_served(settings, source)
        fresh = self._fresh(settings, served.handler)
        if self._mounts is not None and isinstance(served.handler, Mounts):
            self._mounts.become(served.handler)
            fresh = replace(fresh, handler=self._mounts)
        elif type(served.handler) is not type(self.served.handler):
            raise ConfigError("a handler of streams and a website cannot take each other's place: restart")
        self._tell_what_stays(settings)
        if any(isinstance(each, (WSGIMount, AnyProgram, Handler)) for each in settings.mount):
            log.info("modules that were imported stay as they are; with --workers a reload brings new code")
        return fresh

    def _tell_what_stays(self, settings: Settings) -> None:
        for name in (*_FIXED, *_FIXED_LIMITS):
            if _value(settings, name) != _value(self._settings, name):
                log.warning("%s has changed, and stays as it was until a restart", name)

    def _read_again(self) -> tuple[Settings, Source | None]:
        settings, source = self._asked.settings()
        return (_for_development(settings) if self._watched else settings), source


def _for_development(settings: Settings) -> Settings:
    """With a worker, which can be replaced; whose connections go soon."""
    if settings.workers is None and not settings.engine.startswith(("workers", "forks")):
        settings = replace(settings, workers=1)
    return replace(settings, limits={"drain_quiet": _QUIET, **settings.limits})


def _value(settings: Settings, name: str) -> Any:
    table, _, key = name.rpartition(".")
    if table == "limits":
        return getattr(settings.bounds, key)
    return getattr(getattr(settings, table) if table else settings, key)
