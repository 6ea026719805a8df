"""Where a redirect leads, and what is asked there: RFC 9110, 15.4, and the caution of browsers.

On the way to another origin nothing is taken along that may be meant for the first one alone: of the header
fields only those that say what is wanted in general. They stay behind for good, for whoever has sent us away
chooses what we ask on our return.
"""

from __future__ import annotations

from urllib.parse import quote_from_bytes

from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL
from portico.errors import AddressError, RedirectError
from portico.http.field_map import OutgoingHeaders

__all__ = ["MOST", "REDIRECTS", "redirected"]

MOST = 20
"""Redirects that are followed, as browsers do."""

REDIRECTS = frozenset((301, 302, 303, 307, 308))
_HARMLESS = frozenset(
    "accept accept-charset accept-encoding accept-language cache-control content-encoding content-language "
    "content-type dnt if-match if-modified-since if-none-match if-range if-unmodified-since last-event-id "
    "pragma range te user-agent".split()
)
"""What goes along to another origin."""
_OF_THE_BODY = frozenset(
    "content-encoding content-language content-length content-location content-type digest expect "
    "last-modified transfer-encoding".split()
)


def redirected(request: Request, response: Response, *, downgrade: bool = False) -> Request | None:
    """The request that ``response`` asks for instead; ``None`` where it is no redirect.

    ``downgrade``: whether to go from https to http. Raises ``RedirectError``.
    """
    if response.status not in REDIRECTS:
        return None
    places = response.headers.all("location")
    if not places:
        return None
    if len(set(places)) > 1:
        raise RedirectError(f"{request.url}: a redirect to {len(places)} places", response)
    url = _target(request.url, places[0], response, downgrade)
    method = _method(request.method, response.status)
    body = request.body if method == request.method else None
    if body is not None and not body.replayable:
        what = f"{request.url}: a redirect ({response.status}) to {url}, which wants the body again"
        raise RedirectError(f"{what}; this one cannot be sent twice", response)
    dropped = set() if method == request.method else set(_OF_THE_BODY)
    return Request(method, url, _headers(request, url, dropped), body)


def _target(base: URL, place: str, response: Response, downgrade: bool) -> URL:
    try:
        url = base.join(_text(place)).without_user()
    except AddressError as error:
        raise RedirectError(f"a redirect that leads nowhere: {error}", response) from None
    if url.scheme not in ("http", "https") and url.origin != base.origin:
        raise RedirectError(f"{base}: a redirect to {url.scheme}: is not followed", response)
    if base.secure and not url.secure and not downgrade:
        allow = "downgrade=True follows it"
        raise RedirectError(f"{base}: a redirect to {url}, which is not encrypted; {allow}", response)
    return url if url.fragment is not None or base.fragment is None else _with_fragment(url, base)


def _with_fragment(url: URL, base: URL) -> URL:
    """RFC 9110, 10.2.2: the fragment is inherited."""
    return url.join(f"#{base.fragment}")


def _text(place: str) -> str:
    """Servers send UTF-8, against the rules; other bytes are taken one by one (RFC 3986 has no place for
    them)."""
    if place.isascii():
        return place
    raw = place.encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return quote_from_bytes(raw, safe="".join(map(chr, range(0x21, 0x7F))))


def _method(method: str, status: int) -> str:
    if status == 303 and method != "HEAD":
        return "GET"
    return "GET" if status in (301, 302) and method == "POST" else method


def _headers(request: Request, url: URL, dropped: set[str]) -> OutgoingHeaders:
    headers = request.headers.copy()
    if url.origin != request.url.origin:
        dropped |= {name for name in headers if name not in _HARMLESS}
    for name in dropped:
        del headers[name]
    return headers
