"""Which header fields go across, and which are this hop's own (RFC 9110, 7.6).

Framing is never passed on: each side's messages are framed anew from their content, so that what this server
and an upstream could read differently does not exist. Names with ``_`` are dropped, for many programs cannot
tell them from names with ``-``: a client could so pose as this proxy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from portico.address.networks import Networks, ip_of, local_kind
from portico.errors import ConfigError, ProtocolError
from portico.http.exchange import Exchange
from portico.http.framing import list_tokens
from portico.http.messages import Fields, ResponseHead
from portico.http.targets import check_host
from portico.web.forwarded import forwarded_element

__all__ = ["Introduction", "passed_trailers", "request_fields", "response_fields"]

Headers = list[tuple[str, str]]

_OF_THE_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection "
    "te trailer transfer-encoding upgrade".split()
)
_FRAMING = frozenset({"content-length", "expect", "host"})
_ABOUT_THE_CLIENT = frozenset({"forwarded", "x-real-ip"})
_KINDS = ("x", "rfc", "both", "none")
_PSEUDONYM = re.compile("[A-Za-z0-9][A-Za-z0-9.-]*")
_ROUNDS = 8
"""So often a request may pass here; a proxy that is its own upstream would go on for ever."""


def connection_options(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The fields that ``Connection`` declares to be this hop's own."""
    return frozenset(list_tokens([value for name, value in headers if name == "connection"]))


@dataclass(frozen=True, slots=True)
class Introduction:
    """How the upstream is told who really asks.

    ``forwarded``: ``x`` (``X-Forwarded-For``, ``-Proto``, ``-Host``, ``-Prefix``), ``rfc`` (``Forwarded``),
    ``both`` or ``none``. What a client itself says of the kind is passed on only where the other end of its
    connection is in ``trusted``; then it is added to. ``via``: this proxy's name in ``Via`` (RFC 9110,
    7.6.3), ``None`` for no such field. ``host``: ``keep``, ``upstream``, or another host to ask for.
    """

    forwarded: str
    trusted: Networks
    via: str | None
    host: str
    upstreams_host: str

    def __post_init__(self) -> None:
        if self.forwarded not in _KINDS:
            raise ConfigError(f"proxy: forwarded={self.forwarded!r}: expected one of {', '.join(_KINDS)}")
        if self.via is not None and not _PSEUDONYM.fullmatch(self.via):
            raise ConfigError(
                f"proxy: via={self.via!r}: expected a name of letters, digits, dots and hyphens"
            )
        try:
            check_host(self.host)
        except ProtocolError as error:
            raise ConfigError(f"proxy: host={self.host!r}: {error}") from None

    def trusts(self, exchange: Exchange) -> bool:
        """Whether what the request says about its client may be believed."""
        notes = exchange.notes
        if notes is not None and notes.trusted:
            return True
        peer = exchange.connection.transport.peer
        return peer is not None and self.trusted.covers(ip_of(peer), local_kind(peer))

    def host_for(self, exchange: Exchange) -> str:
        """What ``Host`` says to the upstream."""
        if self.host == "keep":
            return exchange.request.authority or self.upstreams_host
        return self.upstreams_host if self.host == "upstream" else self.host

    def loops(self, exchange: Exchange) -> bool:
        """Whether the request has been here too often."""
        if self.via is None:
            return False
        received = (exchange.header("via") or "").split(",")
        return sum(each.split()[1:2] == [self.via] for each in received) >= _ROUNDS

    def fields(self, exchange: Exchange, given: Headers, prefix: str) -> Headers:
        """What is said of the client. ``given``: the request's own fields of that kind, to be trusted."""
        said = [*self._via(exchange)]
        if self.forwarded in ("x", "both"):
            said += self._x_fields(exchange, given, prefix)
        if self.forwarded in ("rfc", "both"):
            before = [value for name, value in given if name == "forwarded"]
            peer = exchange.connection.transport.peer
            element = forwarded_element(peer, exchange.scheme, exchange.host)
            said.append(("Forwarded", ", ".join([*before, element])))
        return said

    def _x_fields(self, exchange: Exchange, given: Headers, prefix: str) -> Headers:
        def before(name: str) -> list[str]:
            return [value for key, value in given if key == name]

        peer = exchange.connection.transport.peer
        host = peer.host.partition("%")[0] if peer is not None else ""
        said = [("X-Forwarded-For", ", ".join([*before("x-forwarded-for"), *([host] if host else [])]))]
        said.append(("X-Forwarded-Proto", ", ".join(before("x-forwarded-proto")) or exchange.scheme))
        said.append(("X-Forwarded-Host", ", ".join(before("x-forwarded-host")) or exchange.host))
        said.append(("X-Forwarded-Prefix", "".join([*before("x-forwarded-prefix"), prefix])))
        return [(name, value) for name, value in said if value]

    def _via(self, exchange: Exchange) -> Iterable[tuple[str, str]]:
        if self.via is None:
            return
        before = exchange.header("via")
        mine = f"{exchange.request.version.partition('/')[2]} {self.via}"
        yield "Via", f"{before}, {mine}" if before else mine


def request_fields(
    exchange: Exchange,
    introduction: Introduction,
    extra: Sequence[tuple[str, str]],
    prefix: str,
    upgrade: str,
) -> Headers:
    """The fields for the upstream, but for what frames the message. ``upgrade``: the protocols offered."""
    own = connection_options(exchange.request.fields) | _OF_THE_HOP | _FRAMING
    named = exchange.notes.request_id if exchange.notes is not None else ""
    extra = [*extra, ("X-Request-ID", named)] if named else extra
    ours = frozenset(name.lower() for name, _ in extra)
    kept: Headers = []
    about: Headers = []
    for name, value in exchange.request.fields:
        if name in _ABOUT_THE_CLIENT or name.startswith("x-forwarded-"):
            about.append((name, value))
        elif name not in own and "_" not in name and name not in ours and name != "via":
            kept.append((name, value))
    if about and not introduction.trusts(exchange):
        about = []
    if introduction.via is None:
        kept += [("via", value) for name, value in exchange.request.fields if name == "via"]
    host = [("Host", introduction.host_for(exchange))]
    said = introduction.fields(exchange, about, prefix)
    names = {name.lower() for name, _ in said}
    passed = [(name, value) for name, value in about if name not in names]
    return [*host, *kept, *passed, *said, *_hop(exchange.takes_trailers, upgrade), *extra]


def _hop(takes_trailers: bool, upgrade: str) -> Headers:
    """What this hop says of itself."""
    options = [("TE", "trailers")] if takes_trailers else []
    options += [("Upgrade", upgrade)] if upgrade else []
    return [*options, ("Connection", ", ".join(name for name, _ in options))] if options else []


def response_fields(head: ResponseHead, takes_trailers: bool) -> Headers:
    """The fields for the client; the length, where it is known, is kept to."""
    own = connection_options(head.headers) | _OF_THE_HOP
    if takes_trailers:
        own -= {"trailer"}
    # The length is known to framing, whatever Connection says, and said once.
    fields = [(name, value) for name, value in head.headers if name not in own and name != "content-length"]
    length = next((value for name, value in head.headers if name == "content-length"), None)
    if length is not None and head.status != 204 and head.get("transfer-encoding") is None:
        fields.append(("Content-Length", length))
    return fields


def passed_trailers(trailers: Fields) -> Headers:
    """Trailers that may go across: the codec has refused what must not be one (RFC 9110, 6.5.1)."""
    return [(name, value) for name, value in trailers if name not in _OF_THE_HOP and "_" not in name]
