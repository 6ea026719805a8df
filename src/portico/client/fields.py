"""The header fields of requests: those that every one has, and how a caller's take their place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from portico.http.field_map import OutgoingHeaders

__all__ = ["default_headers", "update_fields"]


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


def update_fields(fields: OutgoingHeaders, more: Any) -> None:
    """Put in the caller's fields: ``None`` takes one away, a list gives several of a name.

    Raises ``LocalProtocolError`` for what no field can be.
    """
    pairs: list[tuple[str, str]] = []
    for given, value in more.items() if isinstance(more, Mapping) else more:
        name = given if isinstance(given, str) else _text(given)
        if value is None:
            del fields[name]
        elif isinstance(value, (list, tuple)):
            pairs += [(name, _text(each)) for each in value]
        else:
            pairs.append((name, value if isinstance(value, str) else _text(value)))
    fields.update(pairs)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
