"""One request, one answer, over a connection of the pool: whom to connect to, what to send, what to note."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from portico.client.connection import RESTED, Connection, Route, open_connection
from portico.client.exchange import Exchange
from portico.client.incoming import Source
from portico.client.options import Options
from portico.client.pool import Pool, PoolSize
from portico.client.request import Request
from portico.client.response import Response
from portico.client.retries import IDEMPOTENT
from portico.client.timeouts import Timeouts
from portico.client.url import Origin
from portico.client.wire import HeldBody, WireBody
from portico.deadline import timeout
from portico.errors import AddressError, AuthenticationError, ConnectionLost, LocalProtocolError, PorticoError
from portico.http.field_map import veiled
from portico.http.messages import ResponseHead

if TYPE_CHECKING:
    from portico.client.proxies import Proxy
    from portico.sockets.tls import ClientTLS

__all__ = ["Caller", "as_sent"]

_SCHEMES = ("http", "https", "http+unix")
_ROUTES = 4096
"""Routes that are remembered; a crawler has more, and finds them anew."""


class Caller:
    """Sends requests over connections of its pool, or to an application in memory."""

    def __init__(self, cookies: Any, hsts: Any, app: Any, size: PoolSize | None) -> None:
        self.cookies = cookies
        self._hsts = hsts
        self._app = None if app is None else _in_memory(app)
        self._pool = Pool(size)
        self._routes: dict[Any, Route] = {}

    def close(self) -> None:
        """Close what rests, and the application in memory."""
        self._pool.close()
        if self._app is not None:
            self._app.close()

    def __repr__(self) -> str:
        return f"{self._pool.open} connections, {self._pool.resting} at rest"

    def call(self, request: Request, options: Options, until: float) -> Response:
        """Send over a connection of the pool; over a new one, if a kept one turns out to have been closed."""
        route = self._route(request, options)
        response = self._called(route, request, options, until)
        if response.status == 407 and _is_forwarded(route):
            return self._proved(route, request, response, options, until)
        return response

    def _proved(
        self, route: Route, request: Request, response: Response, options: Options, until: float
    ) -> Response:
        """What comes instead of a proxy's 407, which is no answer of the origin. Raises
        ``AuthenticationError``."""
        from portico.client.proxy_login import FIELD, ROUNDS
        from portico.client.tunnel import refused

        login, target = route.proxy.http_login, _absolute(request)
        once = request.body is not None and not request.body.replayable
        proof, why = None, ""
        for _ in range(ROUNDS):
            response.close()
            challenges = response.headers.all("proxy-authenticate")
            if login is None or FIELD in request.headers:
                break
            another = login.answer(challenges, request.method, target, None if once else request.body, proof)
            if another is None:
                break
            if once:
                why = "it wants Digest, and this body cannot be sent twice; send a small request first"
                break
            proof, signed = another, request.but()
            signed.headers[FIELD] = proof.field
            response = self._called(route, signed, options, until)
            if response.status != 407:
                proof.accepted()
                return response
        response.close()
        error = AuthenticationError(f"the proxy {route.proxy.address}: {why or refused(login)}")
        error.request, error.reached = request, "proxy"
        raise error

    def _called(self, route: Route, request: Request, options: Options, until: float) -> Response:
        connection = self._take(route, options, request)
        try:
            return self._exchanged(connection, request, options, until)
        except ConnectionLost as error:
            if not connection.reused or connection.received or not _repeatable(request):
                raise
            if options.trace is not None:
                options.trace("retry", {"seconds": 0.0, "error": error, "response": None})
        connection = self._take(route, options, request, fresh=True)
        return self._exchanged(connection, request, options, until)

    def _exchanged(
        self, connection: Connection, request: Request, options: Options, until: float
    ) -> Response:
        times = options.timeouts
        target, fields = self._to_send(connection, request, options)
        began = monotonic()
        head, content, exchange = self._answered(connection, request, target, fields, times)
        source: Source | None = None
        named = dict(head.headers)  # one value of each name: whether there is any
        if content is None:
            source = WireBody(exchange or Exchange(connection, times), self._pool, times, until)
        else:
            self._pool.give_back(connection)
            if "content-encoding" in named or len(content) > options.limits.answer:
                source, content = HeldBody(content), None
        response = Response(
            request, head.status, head.reason, head.headers, source, content, head.version, options.limits
        )
        response._time(began, connection.steps if not connection.reused else RESTED)
        response.peer, response.tls = connection.peer, connection.tls
        try:
            if "set-cookie" in named:
                cookies = [value for name, value in head.headers if name == "set-cookie"]
                self.cookies.store(response.url, cookies)
            if "strict-transport-security" in named:
                self._note(response, options)
            if options.trace is not None:
                facts = {
                    "status": head.status,
                    "reason": head.reason,
                    "version": head.version,
                    "headers": head.headers,
                }
                options.trace("response", {**facts, "seconds": monotonic() - began})
        except BaseException:
            response.close()
            raise
        return response

    def _to_send(
        self, connection: Connection, request: Request, options: Options
    ) -> tuple[str, list[tuple[str, str]]]:
        """Target and fields of a request, which a trace hears of."""
        try:
            if connection.route.proxy is not None and _is_forwarded(connection.route):
                target, fields = as_sent(request, connection.route.proxy)
            else:
                target, fields = request.url.target, self._fields(connection, request)
            if options.trace is not None:
                facts = {
                    "method": request.method,
                    "url": request.url,
                    "target": target,
                    "headers": veiled(fields),
                }
                options.trace("request", {**facts, "reused": connection.reused})
        except BaseException:
            self._pool.drop(connection)
            raise
        return target, fields

    def _answered(
        self,
        connection: Connection,
        request: Request,
        target: str,
        fields: list[tuple[str, str]],
        times: Timeouts,
    ) -> tuple[ResponseHead, bytes | None, Exchange | None]:
        """Ask, and wait for the head of the answer; with the whole body if that has come with it."""
        exchange: Exchange | None = None
        try:
            if request.body is None:
                with timeout(times.read):
                    head, content = connection.ask(request.method, target, fields)
                if head is not None and head.status >= 200:
                    return head, content, None
                exchange = Exchange(connection, times)
                return exchange.final_head(head), None, exchange
            exchange = Exchange(connection, times)
            return exchange.ask(request.method, target, fields, request.body), None, exchange
        except BaseException as error:
            self._pool.drop(connection, abort=True)
            if isinstance(error, PorticoError):
                error.request = error.request or request
                asking = "wait" if connection.asked else "send"
                error.reached = error.reached or (asking if exchange is None else exchange.reached)
            raise

    def _fields(self, connection: Connection, request: Request) -> list[tuple[str, str]]:
        """The fields of a request, ``Host`` first. Those of the one before, where nothing has changed."""
        lines = request.headers.spelt()
        if lines is not connection.lines:
            connection.lines = lines
            connection.fields = _with_host(request)
        return connection.fields

    def _note(self, response: Response, options: Options) -> None:
        """Keep that the server is to be spoken to over TLS only."""
        url = response.url
        if self._hsts is not None and url.secure and options.tls is not None and options.tls.verify:
            self._hsts.note(url, response.headers.all("strict-transport-security")[0])

    def _route(self, request: Request, options: Options) -> Route:
        url = request.url
        if self._app is not None and url.scheme in _SCHEMES and request.method != "CONNECT":
            return Route(url.origin, None, memory=self._app.address(secure=url.secure))
        key = (url.scheme, url.host, url.port, options.tls, options.proxies)
        route = self._routes.get(key)
        if route is None or request.method == "CONNECT":
            if len(self._routes) >= _ROUTES:
                self._routes.clear()
            route = self._routes[key] = self._found_route(request, options)
        return route

    def _found_route(self, request: Request, options: Options) -> Route:
        url = request.url
        if url.scheme not in _SCHEMES:
            # Not all of it: without its http:// it may begin with a user's name and password.
            speaks = "which speaks http:// and https://; portico.open() opens others"
            raise AddressError(f"{url.scheme}:… is not for a session, {speaks}")
        if request.method == "CONNECT":
            raise LocalProtocolError(
                "CONNECT is for proxies=; by hand, portico.http.client_connection has it"
            )
        tls = options.tls if url.secure else None
        proxy = None if url.socket_path or options.proxies is None else options.proxies.for_url(url)
        if proxy is None:
            return Route(url.origin, tls)
        if proxy.scheme == "https" and proxy.tls is None and _is_for_all(options.tls):
            proxy = replace(proxy, tls=options.tls)
        if tls is None and proxy.forwards:  # one connection serves for all origins
            return Route(Origin(proxy.scheme, proxy.address.host, proxy.address.port), None, proxy)
        return Route(url.origin, tls, proxy)

    def _take(self, route: Route, options: Options, request: Request, fresh: bool = False) -> Connection:
        def make() -> Connection:
            with timeout(options.timeouts.connect):
                return open_connection(route, options.limits, resolve=options.resolve, trace=options.trace)

        try:
            return self._pool.take(route, make, options.timeouts.pool, fresh=fresh)
        except PorticoError as error:
            error.request = error.request or request
            raise


def _in_memory(app: Any) -> Any:
    from portico.client.memory import InMemory

    return InMemory(app)


def _is_for_all(tls: ClientTLS | None) -> bool:
    """Whether settings hold for a proxy too: a certificate of ours and the name to expect are the origin's
    business."""
    return tls is not None and tls.server_name is None and not tls.has_certificate


def _with_host(request: Request) -> list[tuple[str, str]]:
    lines, url = request.headers.spelt(), request.url
    if "host" in request.headers:
        return lines
    return [("Host", "localhost" if url.socket_path else url.authority), *lines]


def as_sent(request: Request, proxy: Proxy | None = None) -> tuple[str, list[tuple[str, str]]]:
    """Target and fields of a request, as the origin is told, or ``proxy``, which forwards it."""
    target = request.url.target
    if proxy is None:
        return target, _with_host(request)
    target = _absolute(request)
    return target, _forwarded_fields(proxy, request, target)


def _forwarded_fields(proxy: Proxy, request: Request, target: str) -> list[tuple[str, str]]:
    """The fields of a request that a proxy forwards, with what only the proxy is told."""
    fields = _with_host(request)
    if proxy.http_login is None or "proxy-authorization" in request.headers:
        return fields
    return [*fields, *proxy.http_login.first(request.method, target, request.body)]


def _absolute(request: Request) -> str:
    """What a proxy is asked for (RFC 9112, 3.2.2)."""
    return f"{request.url.origin}{request.url.target}"


def _is_forwarded(route: Route) -> bool:
    """Whether a proxy takes the requests themselves, instead of a tunnel."""
    return route.proxy is not None and route.tls is None and bool(route.proxy.forwards)


def _repeatable(request: Request) -> bool:
    """Whether a request that may have been acted upon can be sent once more all the same."""
    return request.method in IDEMPOTENT and (request.body is None or request.body.replayable)
