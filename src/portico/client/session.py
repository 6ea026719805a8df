"""Sessions: requests that share connections, cookies, header fields and options.

::

    with Session(base_url="https://api.example.org/v1/", auth=("me", "secret"), timeout=10) as session:
        user = session.get("users/1").json()
        session.post("users", json={"name": "Ada"})

An answer that says no (400 and above) raises ``HTTPError``, unless ``check=False``. One timeout covers a
whole request: look-up, redirects, retries and the body. A session may be used by any number of threads and
strands.

``trace=`` is called with the name of what has happened and its facts:

============  ========================================================================================
``resolve``   ``host`` (str), ``addresses`` (a list of str), ``seconds`` (float)
``connect``   ``peer``, ``local`` (``Address``), ``seconds``; to the proxy, where there is one
``proxy``     ``peer``, ``seconds``: it lets us through
``tls``       ``tls`` (``TLSInfo``), ``seconds``
``request``   ``method``, ``url`` (``URL``), ``target`` (str), ``headers`` (a list of pairs, of credentials
              the scheme alone), ``reused`` (bool): whether the connection was there already
``response``  ``status``, ``reason``, ``version``, ``headers``, ``seconds`` since the request
``redirect``  ``url``, to where it leads, ``status``
``retry``     ``seconds`` that pass before, ``error`` or ``response`` because of which; the other is ``None``
``close``     ``peer``, ``aborted`` (bool): the end of a connection made for a request with this ``trace``
============  ========================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from portico.client.carrier import Carrier
from portico.client.cookies import CookieJar, as_jar, given_cookies
from portico.client.encode import encode_body
from portico.client.fields import default_headers, fields_of
from portico.client.options import UNSET, Options, as_hooks, client_tls, unknown_option
from portico.client.params import add_params
from portico.client.pool import PoolSize
from portico.client.redirects import MOST
from portico.client.request import Request
from portico.client.response import Response
from portico.client.retries import as_retry
from portico.client.timeouts import TimeoutLike, Timeouts, as_timeouts
from portico.client.url import URL
from portico.client.verbs import Verbs
from portico.compiled import mypyc_attr
from portico.http.field_map import OutgoingHeaders
from portico.limits import Limits
from portico.sockets.names import Resolver
from portico.sockets.tls import ClientTLS

if TYPE_CHECKING:
    from portico.client.forms import HTMLForm
    from portico.client.sse import ServerSentEvent

__all__ = ["Session"]

_PROXY_VARIABLES = "http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY".split()


@mypyc_attr(allow_interpreted_subclasses=True)
class Session(Verbs[Response]):
    """Sends requests. A context manager that closes its connections.

    ``base_url``: what relative URLs are relative to; ``auth``, ``headers`` and ``params`` of the session then
    go to its origin only, ``cookies`` without a domain to its host. ``headers``, ``params``, ``cookies`` (a
    ``CookieJar``, a mapping, or the path of a Netscape file): for every request. ``auth``: ``(user,
    password)``, an ``Auth``, or a function of the request. ``timeout``: seconds for everything together, or
    ``Timeouts``; by default only silence is bounded. ``proxies``: as ``requests`` has them; ``env``: whether
    proxies and ``~/.netrc`` come from the environment. ``verify`` and ``cert``: see ``client_tls``.
    ``redirects``: followed at most, 0 for none; ``downgrade``: also from https to http. ``retry``: a
    ``Retry``, or how many more times. ``cache``: a ``Cache``, ``hsts``: an ``HSTS``; or ``True``, or the path
    of its file. ``app``: an application (WSGI, ASGI, a request handler or gateway of Portico) that answers in
    memory, instead of the network. ``pool``: a ``PoolSize``. ``resolve``: host to address, as in
    ``portico.connect``.

    Its methods raise ``HTTPError``, ``RedirectError``, and what connecting and streams do:
    ``AddressError``, ``ResolveError``, ``ConnectError``, ``TLSError``, ``Timeout``, ``ConnectionLost``,
    ``ProtocolError``, ``LimitExceeded``, ``AuthenticationError``. ``error.request`` and ``error.reached``
    tell what was attempted and how far it got.
    """

    def __init__(
        self,
        *,
        base_url: str | URL | None = None,
        headers: Any = None,
        params: Any = None,
        auth: Any = None,
        cookies: Any = None,
        timeout: TimeoutLike = Timeouts(),  # noqa: B008 - a frozen value
        proxies: Any = None,
        env: bool = True,
        verify: Any = True,
        cert: Any = None,
        redirects: int = MOST,
        downgrade: bool = False,
        retry: Any = None,
        check: bool = True,
        stream: bool = False,
        cache: Any = None,
        hsts: Any = None,
        hooks: Mapping[str, Any] | None = None,
        app: Any = None,
        pool: PoolSize | None = None,
        limits: Limits | None = None,
        resolve: Resolver | None = None,
        trace: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self.base_url = None if base_url is None else URL.parse(base_url)
        self.headers = OutgoingHeaders(default_headers())
        self.headers.update(headers or {})
        self.params = params
        self._bare = base_url is None
        self._cookies = as_jar(cookies)
        self.env = env
        self.defaults = Options(
            timeouts=as_timeouts(timeout),
            redirects=redirects,
            downgrade=downgrade,
            check=check,
            stream=stream,
            tls=client_tls(verify, cert),
            auth=_as_auth(auth),
            proxies=_as_proxies(proxies, env),
            retry=as_retry(retry),
            cache=_as_cache(cache),
            hooks=as_hooks(hooks),
            limits=limits or Limits(),
            resolve=resolve,
            trace=trace,
        )
        """What holds for requests that say nothing else."""
        self._verify, self._cert = verify, cert
        self._given_cache = cache
        self._elsewhere = replace(self.defaults, auth=None)
        self._carrier = Carrier(
            self._cookies, hsts=_as_hsts(hsts), app=app, size=pool, env=env, home=self.base_url
        )

    # -- options that may be set for requests to come

    @property
    def auth(self) -> Any:
        """Who asks: what ``auth=`` was given as, or set to."""
        return self.defaults.auth

    @auth.setter
    def auth(self, value: Any) -> None:
        self._set(auth=value)

    @property
    def cookies(self) -> CookieJar:
        """The jar; another one may take its place."""
        return self._cookies

    @cookies.setter
    def cookies(self, value: Any) -> None:
        self._cookies = as_jar(value)
        self._carrier.keep_cookies_in(self._cookies)

    @property
    def timeout(self) -> Timeouts:
        """The bounds of each request; may be set as ``timeout=`` is given."""
        return self.defaults.timeouts

    @timeout.setter
    def timeout(self, value: TimeoutLike) -> None:
        self._set(timeout=value)

    @property
    def proxies(self) -> Any:
        """The ``Proxies`` in use, ``None`` without any; may be set as ``proxies=`` is given."""
        return self.defaults.proxies

    @proxies.setter
    def proxies(self, value: Any) -> None:
        self._set(proxies=value)

    @property
    def verify(self) -> Any:
        """Whom to trust: see ``client_tls``."""
        return self._verify

    @verify.setter
    def verify(self, value: Any) -> None:
        self._set(verify=value)
        self._verify = value

    @property
    def cert(self) -> Any:
        """Our own certificate: see ``client_tls``."""
        return self._cert

    @cert.setter
    def cert(self, value: Any) -> None:
        self._set(cert=value)
        self._cert = value

    def request(
        self,
        method: str,
        url: str | URL,
        *,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        files: Any = None,
        headers: Any = None,
        cookies: Any = None,
        **options: Any,
    ) -> Response:
        """Send a request and return its answer, the body included unless ``stream=True``.

        ``params``: a mapping, pairs or text, added to the query. ``data``: a mapping or pairs (a form),
        bytes, text, a file, or an iterable of bytes. ``json``: any value. ``files``: as ``requests`` has
        them; with ``data``, a multipart form. ``cookies``: for this request alone; of a jar, those that are
        for its URL. All else as the session has it: ``auth timeout proxies verify cert redirects downgrade
        retry check stream cache hooks limits resolve trace``; ``allow_redirects=False`` is ``redirects=0``.
        """
        nothing = params is None and data is None and json is None and files is None
        if nothing and headers is None and cookies is None and self._bare and self.params is None:
            request = Request(method, url, fields_of(self.headers))
        else:
            request = self.prepare(
                method,
                url,
                params=params,
                data=data,
                json=json,
                files=files,
                headers=headers,
                cookies=cookies,
            )
        return self.send(request, **options)

    def prepare(
        self,
        method: str,
        url: str | URL,
        *,
        params: Any = None,
        data: Any = None,
        json: Any = None,
        files: Any = None,
        headers: Any = None,
        cookies: Any = None,
    ) -> Request:
        """The request that ``request`` would send with these arguments, but for cookies of the jar and
        credentials."""
        target = URL.parse(url, self.base_url)
        ours = self.base_url is None or target.origin == self.base_url.origin
        if self.params is not None and ours:
            target = add_params(target, self.params)
        if params is not None:
            target = add_params(target, params)
        fields = fields_of(self.headers) if ours else OutgoingHeaders(default_headers())
        if headers:
            fields.update(headers)
        body = None
        if data is not None or json is not None or files is not None:
            body = encode_body(data=data, json=json, files=files)
            if body is not None and body.content_type is not None:
                fields.setdefault("Content-Type", body.content_type)
        if cookies:
            given = "; ".join(filter(None, (fields.get("cookie"), given_cookies(cookies, target))))
            if given:
                fields["Cookie"] = given
        return Request(method, target, fields, body)

    def submit(self, form: HTMLForm, button: str | bool | None = None, **options: Any) -> Response:
        """Submit a form of a page, with the button of that name, value or text (the first one; ``False``:
        with none). ``options``: those of ``request``. Raises ``ConfigError``."""
        from portico.client.forms import referrer

        method, url, body = form.submitted(button)
        told = referrer(form.document, url)
        headers = {**({} if told is None else {"Referer": told}), **dict(options.pop("headers", None) or {})}
        return self.request(method, url, data=body, headers=headers, **options)

    def send(self, request: Request, **options: Any) -> Response:
        """Send a request as it is, with cookies of the jar and credentials."""
        own = self.base_url is None or request.url.origin == self.base_url.origin
        defaults = self.defaults if own else self._elsewhere
        return self._carrier.send(request, self._options(options, defaults) if options else defaults)

    def events(self, url: str | URL, *, last_id: str = "", **options: Any) -> Iterator[ServerSentEvent]:
        """The server-sent events of ``url``, connecting again whenever the stream is cut: see
        ``portico.client.sse.events``."""
        from portico.client.sse import events

        limits = options.pop("limits", self.defaults.limits)
        return events(self.get, url, last_id=last_id, limits=limits, **options)

    def close(self) -> None:
        """Close its connections; what is being read is closed when it has been read."""
        self._carrier.close()
        if self.defaults.cache is not None and self.defaults.cache is not self._given_cache:
            self.defaults.cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        base = "" if self.base_url is None else f" of {self.base_url}"
        return f"<Session{base}: {self._carrier}>"

    # -- inside

    def _set(self, **changes: Any) -> None:
        """Let all requests to come have other options. Raises as ``_options``, with nothing changed."""
        self.defaults = self._options(changes, self.defaults)
        self._elsewhere = replace(self.defaults, auth=None)

    def _options(self, changes: dict[str, Any], defaults: Options) -> Options:
        """``defaults`` with what one call changes. Raises ``ConfigError``, ``TypeError``."""
        if changes.pop("allow_redirects", True) is False:
            changes["redirects"] = 0
        if "timeout" in changes:
            changes["timeouts"] = as_timeouts(changes.pop("timeout"))
        if "verify" in changes or "cert" in changes:
            changes["tls"] = self._tls(changes.pop("verify", UNSET), changes.pop("cert", UNSET))
        if "proxies" in changes:
            changes["proxies"] = _as_proxies(changes["proxies"], self.env)
        if "retry" in changes:
            changes["retry"] = as_retry(changes["retry"])
        if "auth" in changes:
            changes["auth"] = _as_auth(changes["auth"])
        if changes.get("cache", UNSET) is not UNSET:
            changes["cache"] = _as_cache(changes["cache"])
        if "hooks" in changes:
            changes["hooks"] = as_hooks(changes["hooks"])
        wanted = {name: value for name, value in changes.items() if value is not UNSET}
        try:
            return replace(defaults, **wanted)
        except TypeError:
            raise unknown_option(wanted) from None

    def _tls(self, verify: Any, cert: Any) -> ClientTLS:
        """TLS for one call: the session's own, but for what the call says. (A ``ClientTLS`` says all.)"""
        if cert is UNSET:
            cert = None if isinstance(verify, ClientTLS) else self._cert
        return client_tls(self._verify if verify is UNSET else verify, cert)


# What many programs do without is loaded by those that use it.


def _as_auth(value: Any) -> Any:
    if value is None:
        return None
    from portico.client.auth import as_auth

    return as_auth(value)


def _as_proxies(value: Any, env: bool) -> Any:
    if value is None and not (env and any(name in os.environ for name in _PROXY_VARIABLES)):
        return None
    from portico.client.proxies import Proxies

    return Proxies.of(value, env=env)


def _as_cache(value: Any) -> Any:
    if value is None or value is False:
        return None
    from portico.client.cache import as_cache

    return as_cache(value)


def _as_hsts(value: Any) -> Any:
    if value is None or value is False:
        return None
    from portico.client.hsts import as_hsts

    return as_hsts(value)
