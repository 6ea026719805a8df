"""Names and values as text: the query of a URL, a form (``application/x-www-form-urlencoded``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote_from_bytes, quote_plus

from portico.client.url import URL
from portico.errors import ConfigError

__all__ = ["add_params", "encoded", "pairs_of", "urlencoded"]

_AS_GIVEN = "".join(map(chr, range(0x21, 0x7F)))


def pairs_of(
    given: Mapping[Any, Any] | Iterable[Any], what: str = "params"
) -> Iterator[tuple[str | bytes, Any]]:
    """Names and values, one of each at a time, from a mapping or pairs whose values may be lists; what is
    ``None`` is left out. Raises ``ConfigError``."""
    pairs: Any = given.items() if isinstance(given, Mapping) else given
    for pair in pairs if isinstance(pairs, Iterable) else [given]:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"{what}: expected a mapping or pairs of name and value, not {pair!r:.60}")
        name, value = pair
        for each in value if isinstance(value, (list, tuple, set, frozenset)) else (value,):
            if each is not None:
                yield name if isinstance(name, (str, bytes)) else str(name), each


def urlencoded(given: Mapping[Any, Any] | Iterable[Any], what: str = "data") -> str:
    """Names and values as a form sends them, in UTF-8."""
    return "&".join(
        f"{quote_plus(_text(name))}={quote_plus(_text(value))}" for name, value in pairs_of(given, what)
    )


def add_params(url: URL, params: Any) -> URL:
    """``url`` with more in its query: a mapping, pairs, or text that is taken as it is, encoded where it
    must be.

    Raises ``ConfigError``.
    """
    if isinstance(params, bytes):
        params = quote_from_bytes(params, safe=_AS_GIVEN)
    more = params.lstrip("?") if isinstance(params, str) else urlencoded(params, "params")
    if not more:
        return url
    return url.with_query(f"{url.query}&{more}" if url.query else more)


def encoded(text: str, what: str) -> bytes:
    """Text in UTF-8. Raises ``ConfigError`` for what is none: half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{what}: {text[error.start : error.end]!r:.20} cannot be written in UTF-8"
        ) from None


def _text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return encoded(value, "data")
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return encoded(str(value), "data")
