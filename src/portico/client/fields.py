"""The header fields of requests: those that every one has, and how a caller's take their place."""

from __future__ import annotations

from functools import cache
from typing import Any

from portico.http.field_map import OutgoingHeaders

__all__ = ["default_headers", "fields_of"]


@cache
def default_headers() -> tuple[tuple[str, str], ...]:
    """Who asks, and what is understood."""
    from importlib.metadata import PackageNotFoundError, version

    from portico.client.decoding import accept_encoding

    try:
        name = f"portico/{version('portico')}"
    except PackageNotFoundError:
        name = "portico"
    return (("User-Agent", name), ("Accept", "*/*"), ("Accept-Encoding", accept_encoding()))


def fields_of(given: Any) -> OutgoingHeaders:
    """A copy of a session's fields, in whose place a user may have put any mapping. Raises
    ``LocalProtocolError`` for what no field can be."""
    if isinstance(given, OutgoingHeaders):
        return given.copy()
    fields = OutgoingHeaders()
    fields.update(given)
    return fields
