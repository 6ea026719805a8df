"""A request as a value: what is sent, and nothing about how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from portico.client.body import Body
from portico.client.url import URL
from portico.compiled import mypyc_attr
from portico.http.field_map import OutgoingHeaders

__all__ = ["Request"]

_STANDARD = frozenset("CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE".split())


@mypyc_attr(allow_interpreted_subclasses=True)
class Request:
    """What is asked of a server.

    ``method``: the standard ones in any case, others exactly as they are. ``headers``: those of this request,
    without ``Host`` and what frames its body, unless they are to differ from what follows from ``url`` and
    ``body``. Raises ``AddressError`` for a URL, ``LocalProtocolError`` for a header that cannot be.
    """

    __slots__ = ("body", "headers", "method", "url")

    def __init__(
        self,
        method: str,
        url: URL | str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: Body | None = None,
    ) -> None:
        self.method = method if method in _STANDARD or method.upper() not in _STANDARD else method.upper()
        self.url = URL.parse(url)
        if isinstance(headers, OutgoingHeaders):
            self.headers = headers
        else:
            self.headers = OutgoingHeaders(headers.items() if isinstance(headers, Mapping) else headers)
        self.body = body

    def but(self, **changes: Any) -> Request:
        """A copy with other ``method``, ``url``, ``headers`` or ``body``; its headers are its own."""
        return Request(
            changes.pop("method", self.method),
            changes.pop("url", self.url),
            changes.pop("headers", None) or self.headers.copy(),
            changes.pop("body", self.body),
            **changes,
        )

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"
