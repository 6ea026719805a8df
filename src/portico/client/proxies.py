"""Proxies: which one leads to a URL, and having it lead there.

A proxy is given as ``[http|https|socks4|socks4a|socks5|socks5h]://[USER:PASSWORD@]HOST[:PORT]``. As in curl,
the ``h`` and the ``a`` mean that the proxy looks names up, so that no question about them leaves this
machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from portico.address import Address, is_literal
from portico.address.networks import Networks, ip_of
from portico.client.auth import Basic
from portico.client.digest import Digest
from portico.client.socks import check_login, lead_socks4, lead_socks5
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
from portico.http.client_connection import ClientConnection
from portico.limits import Limits
from portico.sockets import names
from portico.sockets.stream import Stream
from portico.sockets.tls import ClientTLS

__all__ = ["Proxies", "Proxy"]

_PORTS = {"http": 3128, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_LOOKED_UP_HERE = ("socks4", "socks5")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: its ``address``, and the ``login`` that it wants. ``tls``: how to speak to one of ``https``.

    Raises ``ConfigError`` for a login that its protocol cannot carry.
    """

    scheme: str
    address: Address
    login: tuple[str, str] | None = field(default=None, repr=False)
    tls: ClientTLS | None = None

    @classmethod
    def parse(cls, text: str | Proxy, what: str = "proxy") -> Self:
        """Read a proxy. Raises ``ConfigError``, which does not repeat a login; ``what`` is named in it."""
        if isinstance(text, cls):
            return text
        if not isinstance(text, str):
            raise ConfigError(f"{what}: expected text, as in http://127.0.0.1:3128")
        try:
            url = URL.parse(text if "://" in text else f"http://{text}")
        except AddressError as error:
            raise ConfigError(f"{what}: {error}") from None
        if url.scheme not in _PORTS:
            raise ConfigError(f"{what}: {url.scheme}:// is no proxy; there are {', '.join(_PORTS)}")
        if url.path != "/" or url.query or url.fragment or not url.host:
            raise ConfigError(f"{what}: expected [SCHEME://][USER:PASSWORD@]HOST[:PORT]")
        # URLs have port 80 where none is given; proxies are elsewhere.
        given = text.rpartition("@")[2].partition("://")[2] or text.rpartition("@")[2]
        port = url.port if given.rstrip("/").endswith(f":{url.port}") else _PORTS[url.scheme]
        login = None if url.username is None else (url.username, url.password or "")
        return cls(url.scheme, Address.parse((url.host, port)), cls._checked(url.scheme, login, what))

    @staticmethod
    def _checked(scheme: str, login: tuple[str, str] | None, what: str) -> tuple[str, str] | None:
        if login is not None:
            if scheme.startswith("socks5"):
                check_login(*login)
            elif ":" in login[0]:
                raise ConfigError(f"{what}: a user's name cannot have a colon in it (RFC 7617, 2)")
        return login

    @property
    def forwards(self) -> bool:
        """Whether it takes requests for ``http:`` URLs itself, instead of a tunnel."""
        return self.scheme in ("http", "https")

    def fields(self) -> list[tuple[str, str]]:
        """What a request that it forwards says to it alone."""
        if self.login is None:
            return []
        return [("Proxy-Authorization", Basic(*self.login).value)]

    def secure(self, stream: Stream) -> None:
        """Speak to it over TLS, if it is one of ``https``. Raises ``TLSError``."""
        if self.scheme == "https":
            stream.start_tls(self.tls or ClientTLS.default(), self.address.host)

    def lead(self, stream: Stream, host: str, port: int, dial: Callable[[], Stream]) -> Stream:
        """Have it connect to ``host``; the stream that leads there. ``dial``: another stream to it, where
        this one is used up by a challenge.

        Raises ``ConnectError``, ``ProtocolError``, ``AuthenticationError``.
        """
        try:
            if self.scheme in _LOOKED_UP_HERE and not is_literal(host):
                host = self._looked_up(host, port)
            if self.forwards:
                return self._tunnel(stream, host, port, dial)
            if self.scheme.startswith("socks4"):
                lead_socks4(stream, host, port, (self.login or ("",))[0])
            else:
                lead_socks5(stream, host, port, self.login)
        except ConnectionLost as error:
            raise ConnectError(f"the proxy {self.address}, asked for {host}: {error}") from error
        except ConnectError as error:
            raise ConnectError(f"the proxy {self.address} cannot connect to {host}: {error}") from None
        except LimitExceeded as error:
            raise LimitExceeded(f"the proxy {self.address}: {error}", error.limit, error.status) from None
        except (ProtocolError, AuthenticationError) as error:
            raise type(error)(f"the proxy {self.address}: {error}") from None
        return stream

    def _looked_up(self, host: str, port: int) -> str:
        found = [one.ip for one in names.resolve(host, port)]
        if self.scheme == "socks4":
            found = [ip for ip in found if ":" not in ip] or found
        return found[0]

    # -- CONNECT (RFC 9110, 9.3.6)

    def _tunnel(self, stream: Stream, host: str, port: int, dial: Callable[[], Stream]) -> Stream:
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        own = self.fields()
        connection, status, challenges, reason = _asked(stream, target, own)
        if status == 407 and self.login is not None:
            digest = Digest(*self.login, proxy=True)
            space = digest.space_of(challenges)
            if space is not None:
                answer = digest.answer(space, "CONNECT", target, None)
                stream = self._again(connection, dial)
                connection, status, _, reason = _asked(stream, target, [("Proxy-Authorization", answer)])
        if status == 407:
            raise AuthenticationError(
                "it wants a login" if self.login is None else "it does not accept this login"
            )
        if not 200 <= status < 300:
            raise ConnectError(f"{status} {reason}".rstrip())
        return connection.switch()

    def _again(self, connection: ClientConnection, dial: Callable[[], Stream]) -> Stream:
        """The stream for another try: the same, if the proxy keeps it, without the page that came with the
        no."""
        connection.close()
        return dial()


def _asked(
    stream: Stream, target: str, own: list[tuple[str, str]]
) -> tuple[ClientConnection, int, list[str], str]:
    """Connection, status, challenges and reason phrase after a CONNECT."""
    connection = ClientConnection(stream, Limits())
    connection.send_head("CONNECT", target, [("Host", target), *own])
    head = connection.read_final_head()
    challenges = [value for name, value in head.headers if name == "proxy-authenticate"]
    return connection, head.status, challenges, head.reason


class Proxies:
    """Which proxy leads to a URL: ``by`` scheme (``"http"``), scheme and host (``"https://host"``), or
    ``"all"``.

    ``none_for``: hosts to be reached directly: names (with all below them), ``.suffix``, ``*.suffix``, IP
    addresses and networks (``10.0.0.0/8``), each with a port or without; ``*`` for all.
    """

    def __init__(self, by: Mapping[str, str | Proxy], none_for: str = "") -> None:
        self._by = {key.lower(): Proxy.parse(proxy, key) for key, proxy in by.items() if proxy}
        self._names: list[tuple[str, str]] = []
        self._networks: list[tuple[Networks, str]] = []
        self._all = False
        for entry in none_for.replace(",", " ").split():
            self._leave_out(entry.lower())

    @classmethod
    def of(cls, given: Any, *, env: bool = True) -> Proxies | None:
        """What a caller gives as ``proxies=``: a mapping (``no_proxy`` in it says for whom not), one proxy
        for everything, ``None`` for those of the environment (with ``env``), ``{}`` or ``False`` for none.

        Raises ``ConfigError``.
        """
        if isinstance(given, Proxies):
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
        return cls(by, given.get("no_proxy") or given.get("no") or "")

    @classmethod
    def _of_environment(cls) -> Proxies | None:
        by = {}
        for scheme in ("http", "https", "all"):
            value = os.environ.get(f"{scheme}_proxy")
            # In a CGI program, HTTP_PROXY is a header of the request: anybody could set it.
            if value is None and not (scheme == "http" and "REQUEST_METHOD" in os.environ):
                value = os.environ.get(f"{scheme.upper()}_PROXY")
            if value:
                by[scheme] = value
        if not by:
            return None
        return cls(by, os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "")

    def for_url(self, url: URL) -> Proxy | None:
        """The proxy for ``url``; ``None``: it is reached directly."""
        if self._is_left_out(url):
            return None
        host = f"://{url.host}"
        for key in (f"{url.scheme}{host}", url.scheme, f"all{host}", "all"):
            if key in self._by:
                return self._by[key]
        return None

    def __repr__(self) -> str:
        return f"<Proxies for {', '.join(self._by)}>"

    # -- whom they do not lead to

    def _leave_out(self, entry: str) -> None:
        if entry == "*":
            self._all = True
            return
        host, port = entry, ""
        before, colon, after = entry.rpartition(":")
        if colon and after.isdigit() and (":" not in before or before.endswith("]")):
            host, port = before, after
        host = host.strip("[]")
        try:
            self._networks.append((Networks([host]), port))
        except ConfigError:
            self._names.append((host.removeprefix("*").strip("."), port))

    def _is_left_out(self, url: URL) -> bool:
        if self._all:
            return True
        port = str(url.port)
        if is_literal(url.host):
            ip = ip_of(Address.parse((url.host, url.port or 80)))
            return any(nets.covers(ip, "") and its_port in ("", port) for nets, its_port in self._networks)
        host = url.host.removesuffix(".")
        return any(
            (host == name or host.endswith(f".{name}")) and its_port in ("", port)
            for name, its_port in self._names
        )
