"""An application that answers a session without a socket: served in this process at a ``memory:`` address."""

from __future__ import annotations

from itertools import count
from typing import Any

from portico.server import Server

__all__ = ["InMemory"]

_numbers = count(1)


class InMemory:
    """Serves ``app`` from the first request on, over HTTP like any other, until ``close()``.

    ``app``: a WSGI application, a request handler, a gateway; see ``portico.as_gateway``. Raises
    ``ConfigError``.
    """

    def __init__(self, app: Any) -> None:
        self.address = f"memory:portico-session-{next(_numbers)}"
        self._server = Server(app, self.address, wire="http", engine="threads")
        self._server.start()

    def close(self) -> None:
        """Stop serving: requests under way get a moment to end."""
        self._server.stop(1.0)
