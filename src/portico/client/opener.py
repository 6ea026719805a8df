"""``portico.open(url)``: one response for every scheme; and single requests without a session of one's own.

Schemes register by name, so that anybody can add one::

    def open_gopher(url, options): ...      # gives a Response
    register_scheme("gopher", open_gopher)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from portico.client.response import Response
from portico.client.url import URL
from portico.errors import AddressError, ConfigError

if TYPE_CHECKING:
    from portico.client.session import Session

__all__ = ["Opener", "open", "open_with", "register_scheme", "schemes"]

Opener = Callable[..., Response]
"""Called with a ``URL`` and the keyword arguments of ``open``; gives a ``Response`` whose body is still to
come."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")  # RFC 3986, 3.1
_HTTP = ("http", "https", "http+unix")
_SCHEMES: dict[str, Opener | str] = {
    **dict.fromkeys(_HTTP, "portico.client.opener:_open_http"),
    "file": "portico.client.file_url:open_file",
    "data": "portico.client.data_url:open_data",
}
"""By scheme, an opener or where to find it: what nobody asks for is not loaded."""


def register_scheme(scheme: str, opener: Opener) -> None:
    """Let ``portico.open`` open URLs of a scheme, in place of whoever did so before.

    Raises ``ConfigError`` for what is no scheme's name.
    """
    if not _SCHEME.fullmatch(scheme):
        raise ConfigError(
            f"register_scheme({scheme!r}): expected a scheme in lower case, as in http or x-mine"
        )
    _SCHEMES[scheme] = opener


def schemes() -> list[str]:
    """The schemes that can be opened."""
    return sorted(_SCHEMES)


def open(url: str | URL, data: Any = None, **options: Any) -> Response:  # noqa: A001 - as the user knows it
    """Open a URL: the response, whose body is read as a file, in pieces, by lines, or as a whole.

    ``data`` makes it a POST over HTTP. ``options``: those of ``Session.request`` and of ``Session``, and
    ``method=``, where the scheme has them. ``with`` closes it. Raises ``AddressError`` for a URL of an
    unknown scheme, and what ``Session`` raises.
    """
    where = URL.parse(url)
    opener = _SCHEMES.get(where.scheme)
    if opener is None:
        raise AddressError(
            f"URL {str(where)!r}: nobody opens {where.scheme}: (known are {', '.join(schemes())})"
        )
    if isinstance(opener, str):
        module, _, name = opener.partition(":")
        opener = _SCHEMES[where.scheme] = getattr(import_module(module), name)
    if data is not None:
        options["data"] = data
    return opener(where, **options)


def open_with(session: Session, method: str, url: str | URL, **options: Any) -> Response:
    """Open a URL as ``open`` does, over HTTP by a session, whose options hold for it then."""
    where = URL.parse(url)
    if where.scheme in _HTTP:
        return session.request(method, where, stream=True, **options)
    return open(where, method=method, **options)


def _open_http(url: URL, **options: Any) -> Response:
    from portico.client.single import request  # most of the client, which file: URLs do without

    method = options.pop("method", None) or ("POST" if _has_body(options) else "GET")
    return request(method, url, **{"stream": True, **options})


def _has_body(options: dict[str, Any]) -> bool:
    return any(options.get(name) is not None for name in ("data", "json", "files"))
