"""Responses that are copied, kept in a file or given to another process: what was read, and no connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portico.client.body import BytesBody
from portico.client.request import Request
from portico.client.wire import HeldBody

if TYPE_CHECKING:
    from portico.client.response import Response

__all__ = ["reduced"]

_FACTS = (
    "history", "peer", "tls", "cache_status",
    "_started", "_charset", "_steps", "_began", "_first_byte", "_ended",
)  # fmt: skip


def reduced(response: Response) -> tuple[Any, ...]:
    """What ``__reduce__`` returns. A body that nobody has begun to read is read: raises what that does."""
    if response._content is None and not (response._started or response.closed):
        _ = response.content
    content = response._content
    asked = response.request
    body = asked.body if type(asked.body) is BytesBody else None  # files and iterators stay here
    request = Request(asked.method, asked.url, asked.headers.copy(), body)
    head = (request, response.status, response.reason, response._pairs)
    facts = {name: getattr(response, name) for name in _FACTS}
    facts["closed"] = response.closed or (content is None and not response._ended)
    trailers = None if response._source is None else response._source.trailers
    return _restored, (type(response), head, content, trailers, response.version, response.limits, facts)


def _restored(
    kind: Any,
    head: tuple[Request, int, str, list[tuple[str, str]]],
    content: bytes | None,
    trailers: Any,
    version: str,
    limits: Any,
    facts: dict[str, Any],
) -> Response:
    source = None
    if trailers is not None:
        source = HeldBody(b"")
        source.trailers = trailers
    response: Response = kind(*head, source, content, version, limits)
    for name, value in facts.items():
        setattr(response, name, value)
    return response
