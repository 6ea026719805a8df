"""From a request to its answer: redirects around credentials around the cache around retries around the
wire."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from time import monotonic
from typing import Any, TypeAlias

from portico.client.background import Background
from portico.client.caller import Caller
from portico.client.cookies import CookieJar
from portico.client.options import Options
from portico.client.pool import PoolSize
from portico.client.redirects import REDIRECTS, redirected
from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL
from portico.deadline import timeout
from portico.errors import HTTPError, RedirectError
from portico.sync import run_blocking

__all__ = ["Carrier"]

_AUTH_ROUNDS = 4
"""Answers to challenges in one request: Digest needs one, and one more for a nonce that has gone stale."""


Forward: TypeAlias = Callable[[Request], Response]


class Carrier:
    """Carries requests over connections of its pool; keeps cookies and HSTS."""

    def __init__(
        self,
        cookies: Any,
        *,
        hsts: Any = None,
        app: Any = None,
        size: PoolSize | None = None,
        env: bool = True,
        home: URL | None = None,
    ) -> None:
        """``home``: whose host cookies without a domain belong to; ``None``: the one that is asked first."""
        self._cookies = cookies
        self._home = home
        self._hsts = hsts
        self._env = env
        self._netrc: Any = None  # until it is needed
        self._caller = Caller(cookies, hsts, app, size)
        self._background = Background()

    def send(self, request: Request, options: Options) -> Response:
        """The answer, after redirects. Raises as ``Session`` says."""
        total = options.timeouts.total
        if total is None:
            response = self._follow(request, options, inf)
        else:
            with timeout(total):
                response = self._follow(request, options, monotonic() + total)
        if options.check and response.status >= 400:
            response.keep_some()
            response.raise_for_status()
        return response

    def keep_cookies_in(self, jar: CookieJar) -> None:
        """Another jar from now on."""
        self._cookies = self._caller.cookies = jar

    def close(self) -> None:
        """End what runs beside requests; close what rests, and the application in memory."""
        self._background.close()
        self._caller.close()

    def __repr__(self) -> str:
        return str(self._caller)

    # -- redirects

    def _follow(self, request: Request, options: Options, until: float) -> Response:
        history: list[Response] = []
        first = request.url
        if request.url.username is not None and options.auth is None:
            options = replace(options, auth=_of_url(request.url))
        while True:
            if options.auth is None and self._netrc == ():
                response = self._carried(request, options, until)
            else:
                response = self._authenticated(request, options, until)
            if response.status not in REDIRECTS:
                break
            target = self._redirected(request, response, options)
            if target is None:
                break
            response.close()
            history.append(response)
            if len(history) > options.redirects:
                raise RedirectError(
                    f"{history[0].url}: {len(history)} redirects, the last to {target.url}", response
                )
            if options.trace is not None:
                options.trace("redirect", {"url": target.url, "status": response.status})
            request = target
            if options.auth is not None and request.url.origin != first.origin:
                options = replace(options, auth=None)  # for good: who sends us away chooses what we ask then
        if history:
            response.history = tuple(history)
        if not options.stream:
            _ = response.content
        return response

    def _redirected(self, request: Request, response: Response, options: Options) -> Request | None:
        if not options.redirects:
            return None
        with _Unused(response):
            return redirected(request, response, downgrade=options.downgrade)

    # -- credentials

    def _authenticated(self, request: Request, options: Options, until: float) -> Response:
        auth = options.auth
        if auth is None:
            auth = self._found_auth(request)
        if auth is None:
            return self._carried(request, options, until)
        request = request.but()
        request = auth.begin(request) or request
        response = self._carried(request, options, until)
        for _ in range(_AUTH_ROUNDS):
            with _Unused(response):
                another = auth.again(request, response)
            if another is None:
                break
            response.close()
            request = another
            response = self._carried(request, options, until)
        return response

    def _found_auth(self, request: Request) -> Any:
        """Credentials of ``~/.netrc`` for a host."""
        if self._netrc is None:
            self._netrc = (run_blocking(_read_netrc) if self._env else None) or ()
        if not self._netrc or "authorization" in request.headers:
            return None
        return self._netrc.for_host(request.url.host)

    # -- what surrounds each request that goes out

    def _carried(self, request: Request, options: Options, until: float) -> Response:
        simple = options.retry is None and options.cache is None and not options.hooks
        if simple and self._hsts is None and not self._cookies:
            return self._caller.call(request, options, until)
        return self._surrounded(request, options, until)

    def _surrounded(self, request: Request, options: Options, until: float) -> Response:
        if self._hsts is not None:
            url = self._hsts.upgrade(request.url)
            if url is not request.url:
                request = request.but(url=url)
        if self._cookies:
            self._cookies.settle(self._home or request.url)
            cookies = self._cookies.header(request.url)
            if cookies:
                request = request.but()
                given = request.headers.get("cookie")
                request.headers["Cookie"] = f"{given}; {cookies}" if given else cookies
        for hook in options.hooks.get("request", ()):
            request = hook(request) or request

        forward: Forward = partial(self._caller.call, options=options, until=until)
        if options.retry is not None:
            forward = _layered(options.retry.layer(options.trace, whole=not options.stream), forward)
        if options.cache is not None:
            forward = partial(
                options.cache, forward=forward, background=self._background, limits=options.limits
            )
        response = forward(request)
        for hook in options.hooks.get("response", ()):
            with _Unused(response):
                response = hook(response) or response
        return response


class _Unused:
    """Closes a response if what looks at it raises: nobody else will."""

    __slots__ = ("_response",)

    def __init__(self, response: Response) -> None:
        self._response = response

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is HTTPError:
            self._response.keep_some()  # a hook that calls raise_for_status: its page says why
        if kind is not None:
            self._response.close()


def _of_url(url: URL) -> Any:
    from portico.client.auth import Basic

    return Basic(url.username or "", url.password or "")


def _read_netrc() -> Any:
    from portico.client.netrc import read_netrc

    return read_netrc()


def _layered(layer: Callable[[Request, Forward], Response], forward: Forward) -> Forward:
    return lambda request: layer(request, forward)
