"""``Proxy``: requests of this server answered by HTTP servers behind it (RFC 9110, 7.6: a gateway)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from time import monotonic

from portico.address import Address
from portico.address.networks import Networks
from portico.deadline import timeout
from portico.errors import ConfigError, LocalProtocolError, Timeout
from portico.figures import GAUGE, SOURCES, Figure
from portico.http.client_connection import ClientConnection
from portico.http.exchange import CutAnswer, Exchange
from portico.http.framing import list_tokens
from portico.http.messages import RequestHead, ResponseHead
from portico.http.outgoing import encode_fields
from portico.limits import Limits
from portico.sockets.tls import ClientTLS
from portico.web.proxy.balance import Balancer
from portico.web.proxy.deadlines import Deadlines, UpstreamError
from portico.web.proxy.fields import Introduction, request_fields, response_fields
from portico.web.proxy.paths import Paths, climbs
from portico.web.proxy.relay import Question, Relay
from portico.web.proxy.tunnel import Tunnel
from portico.web.proxy.upstream import Rules, Upstream

__all__ = ["Proxy"]

log = logging.getLogger("portico.proxy")

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110, 9.2.2
_BLAMELESS = ("unavailable", "loop")
_SURE = 1.0
"""Seconds that a connection may have rested for a request that cannot be repeated, should it be closed."""
_DETAILS = {
    502: "The server behind this address could not be reached, or its answer could not be used.",
    503: "No server behind this address can be asked now.",
    504: "The server behind this address took too long.",
    508: "This request goes round in circles.",
}


class Proxy:
    """A gateway to ``upstreams``: ``http://127.0.0.1:9000``, ``https://app.internal``, ``unix:/app.sock``.

    ``strip``: the upstream gets paths without the mount's. A path of its own (``http://app:9000/base``) comes
    in front. ``host``: what ``Host`` says: ``keep`` (as the client asked), ``upstream``, or another name.
    ``forwarded``: how the upstream is told of the client: ``x`` (``X-Forwarded-For``, ``-Proto``, ``-Host``,
    ``-Prefix``), ``rfc`` (``Forwarded``), ``both``, ``none``; what the request says of the kind is dropped,
    unless the other end of its connection is in ``trusted``. ``via``: our name in ``Via``, or ``None``.
    ``headers``: fields set for the upstream. ``rewrite_location``: redirects to the upstream become ones to
    this server. ``upgrades``: protocols that may be switched to. ``tls``: a ``ClientTLS``, for ``https``.

    ``balance``: ``round_robin`` or ``least`` (connections in use). An upstream that fails ``failures`` times
    in a row is left out for ``pause`` seconds, then for twice as long each time. Of each, ``connections``
    are in use at most, beyond them clients get 503; ``keep`` rest for up to ``idle`` seconds. ``deadlines``:
    see ``Deadlines``. ``body_memory``: a request's body up to so many bytes is complete before an upstream is
    asked, so that slow senders hold nobody up; what is larger, or chunked, goes through as it comes.

    Where one cannot be reached, the next is asked. What met a connection that had been closed while it rested
    is sent again on a fresh one, where the method allows that and the body can be sent again.
    Errors: 502 (not reached, or no proper answer), 503 (nobody to ask), 504 (too slow); an answer that ends
    too early is cut. ``errors`` counts them by upstream and reason. Raises ``ConfigError``, ``AddressError``.
    """

    blocks = True
    """It waits for others: it is never run where that would hold up anybody."""
    strand = True
    """It waits at Portico's door only: on ``events``, ten thousand requests that wait hold no thread."""

    def __init__(
        self,
        *upstreams: str | Address,
        strip: bool = False,
        host: str = "keep",
        forwarded: str = "x",
        trusted: Sequence[str] = (),
        via: str | None = "portico",
        headers: Mapping[str, str] | None = None,
        rewrite_location: bool = True,
        upgrades: Sequence[str] = ("websocket",),
        tls: ClientTLS | None = None,
        balance: str = "round_robin",
        failures: int = 1,
        pause: float = 1.0,
        connections: int = 1000,
        keep: int = 32,
        idle: float = 15.0,
        deadlines: Deadlines | None = None,
        body_memory: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not upstreams:
            raise ConfigError("proxy: name at least one upstream, such as http://127.0.0.1:9000")
        limits = limits or Limits()
        rules = Rules(connections=connections, keep=keep, idle=idle, failures=failures, pause=pause)
        self.balancer = Balancer([Upstream(each, rules, tls, limits) for each in upstreams], balance)
        self.name = "proxy:" + ",".join(each.name for each in self.balancer.upstreams)
        self.errors: Counter[tuple[str, str]] = Counter()
        self._deadlines = deadlines or Deadlines()
        self._paths = Paths(strip, rewrite_location)
        self._extra = _checked_headers(headers or {})
        self._upgrades = frozenset(each.lower() for each in upgrades)
        self._body_memory = limits.body_memory if body_memory is None else body_memory
        self._introductions = {
            each: Introduction(forwarded, Networks(trusted), via, host, each.authority)
            for each in self.balancer.upstreams
        }
        SOURCES.add(self)

    def streams(self, request: RequestHead) -> bool:
        """Whether the body goes through as it comes."""
        return request.body_length is None or request.body_length > self._body_memory

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if climbs(exchange.path_info):
            exchange.respond_error(404, "There is nothing here.")
            return
        whole = timeout(self._deadlines.whole)
        try:
            with whole:
                self._ask(exchange)
        except UpstreamError as error:
            self._fail(exchange, error)
        except Timeout as error:
            if not whole.expired:
                raise  # a deadline of the server's
            self._fail(exchange, UpstreamError("timeout", f"{self.name}: {error}"))

    def figures(self) -> Iterable[Figure]:
        """What the proxy can tell of itself, see ``portico.figures``."""
        for (upstream, reason), count in self.errors.copy().items():
            labels = ("upstream", upstream), ("reason", reason)
            yield Figure("portico_upstream_errors_total", count, labels=labels)
        for each in self.balancer.upstreams:
            yield Figure("portico_upstream_connections", each.active, GAUGE, (("upstream", each.name),))

    def close(self) -> None:
        """Close the connections that rest. The proxy can be used on."""
        for upstream in self.balancer.upstreams:
            upstream.close()

    def __repr__(self) -> str:
        return f"<Proxy {', '.join(map(repr, self.balancer.upstreams))}>"

    # -- asking

    def _ask(self, exchange: Exchange) -> None:
        """Ask one upstream after the other, until one has been reached."""
        tried: list[Upstream] = []
        failure: UpstreamError | None = None
        fresh = False
        while True:
            try:
                upstream = self.balancer.pick(tried)
            except UpstreamError as error:
                self._count(self.name, error) if failure is None else None
                raise failure or error from None
            try:
                fresh = self._ask_one(exchange, upstream, fresh)
                if not fresh:
                    return
            except UpstreamError as error:
                self._count(upstream.name, error)
                if error.reason not in _BLAMELESS:
                    self.balancer.failed(upstream, str(error))
                if not error.untouched:
                    raise
                failure = error
                tried.append(upstream)

    def _ask_one(self, exchange: Exchange, upstream: Upstream, fresh: bool) -> bool:
        """Let one upstream answer. ``True``: its connection was closed while it rested; try a fresh one."""
        introduction = self._introductions[upstream]
        if introduction.loops(exchange):
            raise UpstreamError("loop", f"{self.name}: {exchange.target[:200]} has been here too often")
        question = self._question(exchange, upstream, introduction)
        connection, rested = upstream.take(
            self._deadlines.connect, rested=0.0 if fresh else inf if exchange.method in _REPEATABLE else _SURE
        )
        relay = Relay(exchange, connection, upstream.name, self._deadlines)
        try:
            again = self._relay(exchange, upstream, relay, connection, question)
        except UpstreamError as error:
            upstream.let_go(connection)
            if rested and error.stale and not exchange.started and self._may_repeat(exchange, relay):
                return True
            raise
        except BaseException:
            upstream.let_go(connection)
            raise
        if not again:
            upstream.give_back(connection)
        return False

    def _relay(
        self,
        exchange: Exchange,
        upstream: Upstream,
        relay: Relay,
        connection: ClientConnection,
        question: Question,
    ) -> bool:
        """Ask and answer. Whether the connection has become a tunnel, which gives it back itself."""
        began = monotonic()
        try:
            head = relay.ask(question)
        except LocalProtocolError as error:
            raise UpstreamError("bad_answer", f"the request cannot be passed on: {error}") from error
        finally:
            notes = exchange.note()
            notes.upstream, notes.upstream_seconds = upstream.name, monotonic() - began
        upstream.answered()
        if head.status == 101:
            self._switch(exchange, upstream, connection, head)
            return True
        relay.answer(head, lambda fields: self._paths.fields(fields, exchange, upstream))
        return False

    def _question(self, exchange: Exchange, upstream: Upstream, introduction: Introduction) -> Question:
        offered = list_tokens([exchange.request.upgrade or ""])
        switching = [each for each in offered if each in self._upgrades] if exchange.body_length == 0 else []
        headers = request_fields(
            exchange, introduction, self._extra, self._paths.prefix(exchange), ", ".join(switching)
        )
        target = self._paths.target(exchange, upstream.base)
        return Question(exchange.method, target, headers, exchange.body_length)

    def _may_repeat(self, exchange: Exchange, relay: Relay) -> bool:
        if exchange.method not in _REPEATABLE or relay.upload.touched:
            return False
        if exchange.body_length and not exchange.connection.streaming:
            exchange.body.seek(0)
        return True

    def _switch(
        self, exchange: Exchange, upstream: Upstream, connection: ClientConnection, head: ResponseHead
    ) -> None:
        protocol = (head.get("upgrade") or "").strip()
        if protocol.lower() not in self._upgrades:
            raise UpstreamError(
                "bad_answer", f"{upstream.name} switches to {protocol[:80]!r}, which is not allowed"
            )
        tunnel = Tunnel(upstream, connection, self._deadlines.tunnel)
        fields = [
            field for field in response_fields(head, takes_trailers=False) if field[0] != "content-length"
        ]
        exchange.upgrade(protocol, tunnel, fields)
        tunnel.open = True

    # -- failing

    def _count(self, name: str, error: UpstreamError) -> None:
        self.errors[name, error.reason] += 1

    def _fail(self, exchange: Exchange, error: UpstreamError) -> None:
        # Its words only: a log that keeps the error would keep its frames, and all that is in them.
        log.error("%s: %s", exchange.connection.describe(), str(error))
        if exchange.started:
            raise CutAnswer(str(error)) from error
        retry = [("Retry-After", "1")] if error.status == 503 else []
        exchange.respond_error(error.status, _DETAILS[error.status], retry)


def _checked_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    fields = list(headers.items())
    try:
        encode_fields("GET / HTTP/1.1\r\n", fields)
    except LocalProtocolError as error:
        raise ConfigError(f"proxy: headers: {error}") from None
    framing = {
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "te",
        "upgrade",
        "expect",
        "trailer",
    }
    for name, _ in fields:
        if name.lower() in framing:
            raise ConfigError(f"proxy: headers: {name} is the proxy's own business; for Host there is host=")
    return fields
