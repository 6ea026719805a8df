"""From the path that was asked for to the upstream's, and back in what it redirects to."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from portico.http.exchange import Exchange
from portico.web.proxy.upstream import Upstream

__all__ = ["Paths", "climbs"]

_KEPT = "/:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class Paths:
    """``strip``: the upstream does not know of the mount's path. An upstream with a path of its own
    (``http://app:9000/base``) gets that in front of everything. ``rewrite``: redirects to the upstream
    become redirects to this server."""

    strip: bool
    rewrite: bool

    def target(self, exchange: Exchange, base: str) -> str:
        """The request target for an upstream whose path is ``base``: undecoded, as it came."""
        whole = exchange.request.origin_form
        if whole == "*":
            return whole
        path = exchange.raw_path_info if self.strip else exchange.raw_path
        rest = whole[len(exchange.raw_path) :]  # the query, with its mark even where it is empty
        if path and not path.startswith("/"):
            path = "/" + path
        return (base.rstrip("/") + path or "/") + rest

    def prefix(self, exchange: Exchange) -> str:
        """What is in front of every path of the upstream's as the client sees it."""
        return quote(exchange.mount.encode("latin-1"), safe=_KEPT) if self.strip else ""

    def location(self, value: str, exchange: Exchange, upstream: Upstream) -> str:
        """A ``Location`` as the client can use it."""
        if not self.rewrite:
            return value
        path = _path_on(value, upstream, exchange.host)
        if path is None:
            return value
        base = upstream.base.rstrip("/")
        if base:
            if path != base and not path.startswith((base + "/", base + "?")):
                return value
            path = path[len(base) :]
        found = self.prefix(exchange) + path
        return found if found.startswith("/") else "/" + found

    def fields(
        self, fields: list[tuple[str, str]], exchange: Exchange, upstream: Upstream
    ) -> list[tuple[str, str]]:
        """The fields of an answer, with what leads somewhere rewritten."""
        return [
            (name, self.location(value, exchange, upstream) if name in _LEADING else value)
            for name, value in fields
        ]


def climbs(path: str) -> bool:
    """Whether a decoded path leads above its beginning: an upstream that removes dot segments would be
    led out of the path that was meant for this proxy."""
    if "/.." not in path:
        return False
    depth = 0
    for segment in path.split("/"):
        if segment not in ("", "."):
            depth += -1 if segment == ".." else 1
        if depth < 0:
            return True
    return False


_LEADING = ("location", "content-location")


def _path_on(value: str, upstream: Upstream, asked: str) -> str | None:
    """The path of a URL that leads to the upstream; ``None``: it leads elsewhere. Some servers (nginx) make
    one of the host that was ``asked`` for and their own port."""
    if value.startswith("/"):
        return None if value.startswith("//") else value
    scheme, mark, rest = value.partition("://")
    own = "https" if upstream.secure else "http"
    authority = rest.split("/", 1)[0].split("?", 1)[0]
    odd = f"{asked.rpartition(':')[0] or asked}:{upstream.address.port}"
    if (
        not mark
        or scheme.lower() != own
        or authority.lower() not in (upstream.authority.lower(), odd.lower())
    ):
        return None
    return rest[len(authority) :] or "/"
