"""Proxies: which one leads to a URL, and having it lead there.

A proxy is given as ``[http|https|socks4|socks4a|socks5|socks5h]://[USER:PASSWORD@]HOST[:PORT]``. As in curl,
the ``h`` and the ``a`` mean that the proxy looks names up, so that no question about them leaves this
machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

from portico.address import Address, canonical_host, is_literal
from portico.client.direct import Direct
from portico.client.proxy_login import ProxyLogin
from portico.client.socks import check_socks4, check_socks5, lead_socks4, lead_socks5
from portico.client.tunnel import lead_http
from portico.client.url import URL
from portico.errors import (
    AddressError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    LimitExceeded,
    ProtocolError,
)
from portico.sockets import names
from portico.sockets.names import Resolver
from portico.sockets.stream import Stream
from portico.sockets.tls import ClientTLS

__all__ = ["Proxies", "Proxy"]

_PORTS = {"http": 3128, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_LOOKED_UP_HERE = ("socks4", "socks5")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_FORM = "expected [SCHEME://][USER:PASSWORD@]HOST[:PORT]"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its ``address``, and the ``login`` that it wants. ``tls``: how to speak to one of ``https``;
    ``None``: as to servers, but for a certificate of our own.

    Raises ``ConfigError`` for a login that its protocol cannot carry.
    """

    scheme: str
    address: Address
    login: tuple[str, str] | None = field(default=None, repr=False)
    tls: ClientTLS | None = None
    http_login: ProxyLogin | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.scheme not in _PORTS:
            raise ConfigError(f"{self.scheme}:// is no proxy; there are {', '.join(_PORTS)}")
        if self.login is None or self.http_login is not None:
            return
        if self.forwards:
            object.__setattr__(self, "http_login", ProxyLogin(*self.login))
        elif self.scheme.startswith("socks4"):
            check_socks4(*self.login)
        else:
            check_socks5(*self.login)

    @classmethod
    def parse(cls, text: str | Proxy, what: str = "proxy") -> Proxy:
        """Read a proxy. Raises ``ConfigError``, which does not repeat a login; ``what`` is named in it."""
        if isinstance(text, cls):
            return text
        if not isinstance(text, str):
            raise ConfigError(f"{what}: expected text, as in http://127.0.0.1:3128")
        try:
            return _parsed(text.strip())
        except (AddressError, ConfigError) as error:
            raise ConfigError(f"{what}: {error}") from None

    @property
    def forwards(self) -> bool:
        """Whether it takes requests for ``http:`` URLs itself, instead of a tunnel."""
        return self.scheme in ("http", "https")

    def secure(self, stream: Stream) -> None:
        """Speak to it over TLS, if it is one of ``https``. Raises ``TLSError``."""
        if self.scheme == "https":
            stream.start_tls(self.tls or ClientTLS.default(), self.address.host)

    def lead(
        self,
        stream: Stream,
        host: str,
        port: int,
        dial: Callable[[], Stream],
        resolve: Resolver | None = None,
    ) -> Stream:
        """Have it connect to ``host``; the stream that leads there. ``dial``: another stream to it, where
        this one is used up by a challenge, or by an address at which nobody answers. ``resolve``: as in
        ``portico.connect``, where names are looked up here.

        Raises ``ConnectError``, ``ProtocolError``, ``AuthenticationError``, ``ResolveError``.
        """
        hosts = [host]
        if self.scheme in _LOOKED_UP_HERE and not is_literal(host):
            hosts = self._looked_up(host, port, resolve)
        try:
            while True:
                try:
                    return self._led(stream, hosts.pop(0), port, dial)
                except ConnectError:
                    if not hosts:
                        raise
                stream.close()
                stream = dial()
        except ConnectionLost as error:
            raise ConnectError(f"the proxy {self.address}, asked for {host}: {error}") from error
        except ConnectError as error:
            raise ConnectError(f"the proxy {self.address} cannot connect to {host}: {error}") from None
        except LimitExceeded as error:
            raise LimitExceeded(f"the proxy {self.address}: {error}", error.limit, error.status) from None
        except (ProtocolError, AuthenticationError) as error:
            raise type(error)(f"the proxy {self.address}: {error}") from None

    def _led(self, stream: Stream, host: str, port: int, dial: Callable[[], Stream]) -> Stream:
        if self.forwards:
            return lead_http(stream, host, port, self.http_login, dial)
        if self.scheme.startswith("socks4"):
            lead_socks4(stream, host, port, (self.login or ("",))[0])
        else:
            lead_socks5(stream, host, port, self.login)
        return stream

    def _looked_up(self, host: str, port: int, resolve: Resolver | None) -> list[str]:
        found = [one.ip for one in names.resolve(host, port, resolver=resolve)]
        if self.scheme == "socks4":
            found = [ip for ip in found if ":" not in ip] or found
        return found


@lru_cache(64)
def _parsed(text: str) -> Proxy:
    """Read once, so that what a proxy has asked for is known to all who name it."""
    try:
        url = URL.parse(text if "://" in text else f"http://{text}")
    except AddressError as error:
        if "@" in text:
            hint = "in a user's name or password, / ? # @ and % are written %2F %3F %23 %40 %25"
            raise ConfigError(f"it cannot be read; {hint}") from None  # where the login ends is unknown
        raise ConfigError(str(error)) from None
    if url.scheme not in _PORTS:
        raise ConfigError(f"{url.scheme}:// is no proxy; there are {', '.join(_PORTS)}")
    if url.path != "/" or url.query is not None or url.fragment is not None or not url.host:
        raise ConfigError(_FORM)
    # URLs have port 80 where none is given; proxies are elsewhere.
    port = url.port if re.search(r":[0-9]+/?$", text) else _PORTS[url.scheme]
    login = None if url.username is None else (url.username, url.password or "")
    return Proxy(url.scheme, Address.parse((url.host, port)), login)


def _key(text: str) -> str:
    """A key of a mapping, as ``for_url`` looks for it. Raises ``ConfigError`` for one that no URL would
    match: what is meant to go through a proxy must not quietly go past it."""
    scheme, _, host = text.lower().partition("://")
    try:
        if not _SCHEME.fullmatch(scheme):
            raise AddressError("that is no scheme")
        return f"{scheme}://{canonical_host(host.strip('[]'))}" if host else scheme
    except AddressError as error:
        expected = 'expected "http", "https", "all", or one of these with a host, as in "https://example.org"'
        raise ConfigError(f"proxies: {text!r}: {expected} ({error})") from None


class Proxies:
    """Which proxy leads to a URL: ``by`` scheme (``"http"``), scheme and host (``"https://host"``), or
    ``"all"``. ``none_for``: whom none leads to, as ``Direct`` has it; ``named``: how the keys of ``by`` are
    called in errors. Raises ``ConfigError``.
    """

    def __init__(
        self, by: Mapping[str, str | Proxy | None], none_for: str = "", *, named: str = "proxies: {}"
    ) -> None:
        self._by = {_key(key): Proxy.parse(proxy, named.format(key)) for key, proxy in by.items() if proxy}
        self._direct = Direct(none_for)

    @classmethod
    def of(cls, given: Any, *, env: bool = True) -> Self | None:
        """What a caller gives as ``proxies=``: a mapping (``no_proxy`` in it says for whom not), one proxy
        for everything, ``None`` for those of the environment (with ``env``), ``{}`` or ``False`` for none.

        Raises ``ConfigError``.
        """
        if isinstance(given, cls):
            return given
        if given is None:
            return cls._of_environment() if env else None
        if not given:
            return None
        if isinstance(given, (str, Proxy)):
            return cls({"all": given})
        if not isinstance(given, Mapping):
            raise ConfigError('proxies=: expected a mapping, as in {"https": "http://127.0.0.1:3128"}')
        by = {key: value for key, value in given.items() if key not in ("no_proxy", "no")}
        none_for = given.get("no_proxy") or given.get("no") or ""
        return cls(by, none_for if isinstance(none_for, str) else ",".join(none_for))

    @classmethod
    def _of_environment(cls) -> Self | None:
        by = {}
        for scheme in ("http", "https", "all"):
            value = os.environ.get(f"{scheme}_proxy")
            # In a CGI program, HTTP_PROXY is a header of the request: anybody could set it.
            if value is None and not (scheme == "http" and "REQUEST_METHOD" in os.environ):
                value = os.environ.get(f"{scheme.upper()}_PROXY")
            if value and value.strip():
                by[scheme] = value
        if not by:
            return None
        none_for = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        return cls(by, none_for, named="{}_proxy in the environment")

    def for_url(self, url: URL) -> Proxy | None:
        """The proxy for ``url``; ``None``: it is reached directly."""
        if self._direct.covers(url):
            return None
        host = f"://{url.host}"
        for key in (f"{url.scheme}{host}", url.scheme, f"all{host}", "all"):
            if key in self._by:
                return self._by[key]
        return None

    def __repr__(self) -> str:
        return f"<Proxies for {', '.join(self._by)}>"
