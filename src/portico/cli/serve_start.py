"""From settings to a running server, and again at each reload."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import invalidate_caches
from typing import Any

from portico.admission import Gate
from portico.cli.serve_options import read_addresses, read_engine, read_tls
from portico.cli.serve_settings import Asked
from portico.cli.serve_site import Served, bounds, close_proxies, make_served
from portico.cli.serve_watch import Watched, module_folders, needs_library, watch
from portico.engines.workers.children import ask
from portico.errors import ConfigError
from portico.server import Fresh, Late, Server
from portico.web.config import Settings, Source
from portico.web.config.mount_kinds import AnyProgram, AppMount, Handler, WSGIMount
from portico.web.config.settings import LogSettings
from portico.web.logs import AccessLog
from portico.web.mounts import Mounts
from portico.web.request_ids import RequestIds

__all__ = ["Site"]

log = logging.getLogger("portico.serve")

_FIXED = (
    "listen", "engine", "workers", "max_requests", "max_memory", "max_age", "grace", "log.level", "metrics",
)  # fmt: skip
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
        self._logged: tuple[LogSettings, AccessLog] | None = None
        if watched:
            needs_library()
            sys.dont_write_bytecode = True  # a cache by the second would hide the second change in one
            self._settings = _for_development(settings)

    def server(self) -> Server:
        """A server for it, not started. Raises ``ConfigError``, ``AddressError``."""
        settings = self._settings
        engine = read_engine(settings)
        # With workers, this process and their supervisor never load what is served: each new worker does.
        self.served = self._look_at() if engine.processes else make_served(settings, self._source)
        if isinstance(self.served.handler, Mounts):
            self._mounts = self.served.handler
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
        server.access, server.forwarded = fresh.access, fresh.forwarded
        server.request_ids, server.proxy_protocol = fresh.request_ids, fresh.proxy_protocol
        server.metrics = self._metrics = settings.metrics.metrics()
        server.renew = partial(self._check, server) if engine.processes else partial(self._renew, server)
        return server

    @contextmanager
    def beside(self, server: Server) -> Iterator[Server | None]:
        """What runs beside the server, once it serves: the page of its figures, and the look for changes."""
        if self._files is not None:
            watch(server, self._files)
        if self._metrics is None:
            yield None
            return
        assert self._settings.metrics.listen is not None
        with self._metrics.serve(self._settings.metrics.listen) as page:
            yield page

    def _fresh(self, settings: Settings, handler: Any) -> Fresh:
        limits, admission = bounds(settings), settings.admission.admission()
        if admission is not None:
            Gate(admission, limits)  # refuses what a server would refuse, before anything is exchanged
        return Fresh(
            handler=handler,
            limits=limits,
            tls=read_tls(self._addresses, settings.tls),
            admission=admission,
            access=self._access_log(settings),
            forwarded=settings.forwarded.forwarded(),
            request_ids=RequestIds(settings.forwarded.trusted) if settings.request_ids else None,
            proxy_protocol=settings.proxy_protocol.proxy_protocol(),
        )

    def _access_log(self, settings: Settings) -> AccessLog | None:
        """The one that there is, for as long as nothing of it changes."""
        log = settings.log
        if not log.wanted:
            return None
        if self._logged is None or self._logged[0] != log:
            more = {"engine": settings.engine}
            made = AccessLog(log.file or "-", format=log.format, sample=log.sample, more=more)
            self._logged = log, made
        return self._logged[1]

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

    def _renew(self, server: Server) -> Fresh:
        """The file as it is now; code that was imported stays as it is."""
        settings, source = self._read_again()
        served = make_served(settings, source)
        if server.relistens:
            self._addresses = read_addresses(settings.listen, served.wire)
            self._settings = replace(self._settings, listen=settings.listen)
        fresh = self._fresh(settings, served.handler)
        if server.relistens:
            fresh = replace(fresh, addresses=self._addresses)
        if self._mounts is not None and isinstance(served.handler, Mounts):
            exchange = partial(self._exchange, self._mounts, served.handler)
            fresh = replace(fresh, handler=self._mounts, exchange=exchange)
        elif type(served.handler) is not type(self.served.handler):
            raise ConfigError("a handler of streams and a website cannot take each other's place: restart")
        self._tell_what_stays(settings)
        if any(isinstance(each, (WSGIMount, AppMount, AnyProgram, Handler)) for each in settings.mount):
            log.info("modules that were imported stay as they are; with --workers a reload brings new code")
        return fresh

    def _exchange(self, mounts: Mounts, others: Mounts) -> None:
        before = tuple(mounts)
        mounts.become(others)
        close_proxies(before)

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
