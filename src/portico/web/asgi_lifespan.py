"""The life of an ASGI application: it starts before the first request, and shuts down after the last.

Source: the ASGI specification, "Lifespan Protocol", version 2.0.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from portico.deadline import timeout
from portico.engines.bridge import result, run
from portico.errors import ConnectError, LocalProtocolError, Timeout
from portico.sync import Event, Task, spawn

__all__ = ["Lifespan", "versions"]

log = logging.getLogger("portico.web")

Message = MutableMapping[str, Any]

_LAST_WORDS = 1.0
"""Seconds that an application which is called off gets for its clean-up."""


def versions(spec: str) -> dict[str, str]:
    """What a scope says of the protocol: ASGI 3, and the version of a part of its specification."""
    return {"version": "3.0", "spec_version": spec}


class Lifespan:
    """A context manager in which ``app`` has started. ``state``: what it keeps for its requests.

    One that knows nothing of this protocol (it raises, or returns at once) lives without. ``seconds``: how
    long its end may take; then it is called off. Raises ``ConnectError`` when it fails to start.
    """

    def __init__(self, app: Any, state: dict[str, Any], seconds: float) -> None:
        self._app = app
        self._state = state
        self._seconds = seconds
        self._asked = 0
        self._told: dict[str, str] = {}
        self._news = Event()
        self._ending = Event()
        self._task: Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = spawn(self._live, name="the lifespan of an application")
        try:
            self._news.wait()
        except BaseException:
            self._call_off()
            raise
        if "lifespan.startup.failed" in self._told:
            self._call_off()
            why = self._told["lifespan.startup.failed"] or "it does not say why"
            raise ConnectError(f"the application did not start: {why}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        if "lifespan.startup.complete" in self._told:
            self._ending.set()
            with suppress(Timeout), timeout(self._seconds, shield=True):
                self._task.wait()
        self._call_off()
        if "lifespan.shutdown.failed" in self._told:
            log.error("an application did not shut down: %s", self._told["lifespan.shutdown.failed"])

    def _call_off(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(Timeout), timeout(_LAST_WORDS, shield=True):
            self._task.wait()

    def _live(self) -> None:
        scope = {"type": "lifespan", "asgi": versions("2.0"), "state": self._state}
        try:
            result(self._app(scope, self._receive, self._send))
        except Exception as error:
            if self._told:
                log.error("the lifespan of an application failed: %r", error, exc_info=error)
            else:
                log.debug("an application knows no lifespan: %r", error)
        finally:
            self._news.set()

    async def _receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        await run(self._ending.wait)
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind not in _TOLD or kind in self._told:
            raise LocalProtocolError(f"{kind!r} has no place here in the lifespan of an application")
        self._told[kind] = str(message.get("message", ""))
        self._news.set()


_TOLD = frozenset(
    f"lifespan.{step}.{end}" for step in ("startup", "shutdown") for end in ("complete", "failed")
)
