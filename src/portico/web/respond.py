"""A gateway with one answer for all: ``Respond(200, "pong\\n")``; for health checks and closed doors."""

from __future__ import annotations

from collections.abc import Mapping

from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.http.messages import RequestHead
from portico.http.pages import REASONS, error_page
from portico.web.headers import EMPTY, checked_fields

__all__ = ["Respond"]

_BODILESS = (204, 304)


class Respond:
    """Answers each request with ``status`` (200 to 599), ``headers`` and ``body``.

    Without a ``body`` an error has the standard page, with the status' own name in it. ``Content-Type`` is
    plain text unless ``headers`` say otherwise. Raises ``ConfigError``.
    """

    def __init__(
        self, status: int = 200, body: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        if not 200 <= status <= 599:
            raise ConfigError(f"respond: {status} is not the status of a final answer: write 200 to 599")
        if status in _BODILESS and body:
            raise ConfigError(f"respond: an answer with status {status} has no body")
        self.name = f"respond:{status}"
        self._status = status
        given = checked_fields(headers or {})
        fields: list[tuple[str, str]] = [("Content-Type", "text/plain; charset=utf-8")]
        page = (body or "").encode()
        if body is None and status >= 400:
            fields, page = error_page(status, REASONS.get(status, ""))
        elif not page:
            fields = [] if status in _BODILESS else [EMPTY]
        names = {name.lower() for name, _ in given}
        self._fields = [(name, value) for name, value in fields if name.lower() not in names] + given
        self._body = page

    def streams(self, request: RequestHead) -> bool:
        """Always: nobody reads the body."""
        return True

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        exchange.respond(self._status, list(self._fields), self._body, hold=True)

    def __repr__(self) -> str:
        return f"<Respond {self._status}>"
