"""An application that answers a session without a socket: served in this process at ``memory:`` addresses."""

from __future__ import annotations

import os
from contextlib import nullcontext
from contextvars import Context
from typing import Any

from portico.client.memory_home import Home
from portico.http.exchange import Mount
from portico.sync import Guard, run_blocking, spawn_thread
from portico.web.gateways import route_to
from portico.web.kinds import is_asgi

__all__ = ["InMemory"]

_GRACE = 1.0
"""Seconds in which a loop has to end after all that ran on it has."""


class InMemory:
    """Serves ``app`` from the first request on, over HTTP like any other, until ``close()``.

    ``app``: a WSGI or ASGI application, a request handler, a gateway, ``Mounts``. Raises ``ConfigError``.

    An ASGI application lives on the asyncio loop of those who ask it, and for those who have none, on a loop
    in a thread of its own: one life (startup to shutdown) for each loop. All else has threads. A fork begins
    anew.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._asgi = is_asgi(app)
        self._route = None if self._asgi else route_to(app)
        self._homes: dict[Any, Home] = {}
        self._guard = Guard()

    def address(self, *, secure: bool) -> str:
        """Where it answers the caller, as ``https`` or as ``http``. The first call starts it, the others wait
        for that. Raises ``ConnectError`` when it says that it cannot start."""
        here = _loop() if self._asgi else None
        place = os.getpid(), here
        with self._guard:
            home = self._homes.get(place)
            if home is None or home.over.is_set():
                home = self._homes[place] = self._beside(here) if self._asgi else self._in_threads()
        return home.address(secure=secure)

    def close(self) -> None:
        """Stop serving: requests under way get a moment to end."""
        with self._guard:
            homes, self._homes = self._homes, {}
        for (process, _), home in homes.items():
            if process == os.getpid():
                home.close()

    def _in_threads(self) -> Home:
        assert self._route is not None
        home = Home(self._route, nullcontext)
        home.call_off = Context().run(spawn_thread, home.live).cancel
        return home

    def _beside(self, here: Any) -> Home:
        """On the loop of the caller, or on one in a thread."""
        from portico.web.asgi import ASGI

        gateway = ASGI(self._app)
        mount = Mount(gateway)
        home = Home(lambda exchange: mount, gateway.lifespan)
        if here is not None:
            home.call_off = Context().run(here.spawn, home.live).cancel
            return home
        from portico.engines.bridge import run
        from portico.engines.loop_thread import LoopThread

        loop = LoopThread("portico application in memory")
        loop.start()
        loop.submit(lambda: run(home.live), home.ended)
        home.call_off = lambda: run_blocking(loop.stop, _GRACE)
        return home


def _loop() -> Any:
    """The door of the loop on which the caller runs, if it does."""
    from portico.engines import door
    from portico.engines.bridge import BridgeDoor

    here = door.current()
    return here if isinstance(here, BridgeDoor) else None
