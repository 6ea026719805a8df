"""Connecting through a proxy: HTTP CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928; its login RFC 1929).

The proxy looks the name up, so that no question about it leaves this machine. The login goes to the proxy as
it is, unless that is spoken to by TLS (``https://``).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from portico.address import Address
from portico.errors import AuthenticationError, ConfigError, ConnectError, ConnectionLost, ProtocolError
from portico.limits import Limits
from portico.sockets.dial import connect as dial
from portico.sockets.stream import Stream
from portico.sockets.tls import ClientTLS

__all__ = ["Proxy", "connect_through"]

_PORTS = {"http": 3128, "https": 443, "socks5": 1080}
_LONGEST = 255  # bytes of a name, a user, a password in SOCKS
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([\x20-\x7e]*))?")
_REPLIES = {
    1: "it failed",
    2: "its rules do not allow that",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "it took too long",
    7: "it does not do that",
    8: "it does not know such addresses",
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy as on the command line: ``[http|https|socks5]://[USER:PASSWORD@]HOST[:PORT]``."""

    scheme: str
    address: Address
    login: tuple[str, str] | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``ConfigError``, ``AddressError``. What is wrong with a login is said without it."""
        try:
            url = urlsplit(text if "://" in text else f"http://{text}")
            port = url.port
        except ValueError as error:
            raise ConfigError(f"--proxy: {error}") from None
        if url.scheme not in _PORTS:
            raise ConfigError(f"--proxy: {url.scheme}:// is no proxy; there are {', '.join(_PORTS)}")
        if not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise ConfigError("--proxy: expected [SCHEME://][USER:PASSWORD@]HOST[:PORT]")
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        scheme = "tls" if url.scheme == "https" else "tcp"
        return cls(url.scheme, Address.parse(f"{scheme}://{host}:{port or _PORTS[url.scheme]}"), _login(url))

    def ask(self, stream: Stream, host: str, port: int) -> None:
        """Let the proxy connect; then the stream leads there. Raises ``ConnectError``, ``ProtocolError``,
        ``AuthenticationError``."""
        ask = _ask_socks if self.scheme == "socks5" else _ask_http
        try:
            ask(stream, host, port, self.login)
        except ConnectionLost as error:
            raise ConnectError(f"the proxy {self.address}, asked for {host}: {error}") from error
        except ConnectError as error:
            raise ConnectError(f"the proxy {self.address} cannot connect to {host}: {error}") from None
        except (ProtocolError, AuthenticationError) as error:
            raise type(error)(f"the proxy {self.address}: {error}") from None


def connect_through(
    proxy: Proxy,
    where: Address,
    *,
    tls: ClientTLS | None,
    server_name: str | None,
    local: tuple[str, int] | None,
    options: Mapping[Any, Any] | None,
    resolve: Callable[[str, int], list[str]] | None,
) -> Stream:
    """As ``portico.connect``, by way of a proxy. ``resolve``: the name is looked up here after all."""
    if where.port is None:
        raise ConfigError(f"--proxy: {where} is on this machine, where no proxy leads")
    host = where.host if resolve is None else resolve(where.host, where.port)[0]
    stream = dial(proxy.address, local=local, options=options)
    try:
        proxy.ask(stream, host, where.port)
        if tls is not None:
            stream.start_tls(tls, server_name or where.host)
    except BaseException:
        stream.abort()
        raise
    return stream


def _login(url: SplitResult) -> tuple[str, str] | None:
    if url.username is None:
        return None
    user, password = unquote(url.username), unquote(url.password or "")
    if url.scheme == "socks5":
        if not all(0 < len(part.encode()) <= _LONGEST for part in (user, password)):
            raise ConfigError(f"--proxy: SOCKS wants a user and a password of 1 to {_LONGEST} bytes")
    elif ":" in user:
        raise ConfigError("--proxy: a user's name cannot have a colon in it (RFC 7617, 2)")
    return user, password


def _ask_http(stream: Stream, host: str, port: int, login: tuple[str, str] | None) -> None:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if login is not None:
        lines.append(f"Proxy-Authorization: Basic {b64encode(':'.join(login).encode()).decode()}")
    stream.write("\r\n".join([*lines, "", ""]).encode())
    status, reason = _read_head(stream)
    while status < 200:
        status, reason = _read_head(stream)
    if status == 407:
        raise AuthenticationError("it wants a login" if login is None else "it does not accept this login")
    if status >= 300:
        raise ConnectError(f"{status} {reason}".rstrip())


def _read_head(stream: Stream) -> tuple[int, str]:
    line = stream.read_line()
    found = _STATUS.fullmatch(line)
    if found is None:
        raise ProtocolError(f"no HTTP answer to CONNECT but {line[:40]!r}")
    for _ in range(Limits().headers):
        if not stream.read_line():
            return int(found[1]), (found[2] or b"").decode()
    raise ProtocolError("its answer to CONNECT has too many header fields")


def _ask_socks(stream: Stream, host: str, port: int, login: tuple[str, str] | None) -> None:
    target = _socks_address(host)
    stream.write(b"\5\1\0" if login is None else b"\5\2\0\2")
    version, method = stream.read_exactly(2)
    if version != 5:
        raise ProtocolError("it does not speak SOCKS5")
    if method == 2 and login is not None:
        user, password = (part.encode() for part in login)
        stream.write(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if stream.read_exactly(2)[1] != 0:
            raise AuthenticationError("it does not accept this login")
    elif method:
        raise AuthenticationError("it wants a login of another kind" if login else "it wants a login")
    stream.write(b"\5\1\0" + target + port.to_bytes(2))
    version, reply, _ = stream.read_exactly(3)
    if version != 5:
        raise ProtocolError("its answer is not SOCKS5")
    if reply:
        raise ConnectError(_REPLIES.get(reply, f"reply {reply}"))
    _skip_socks_address(stream)


def _socks_address(host: str) -> bytes:
    try:
        ip = ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        if len(name) > _LONGEST:
            raise ConfigError(f"--proxy: a name for SOCKS has at most {_LONGEST} characters") from None
        return bytes([3, len(name)]) + name
    return (b"\1" if ip.version == 4 else b"\4") + ip.packed


def _skip_socks_address(stream: Stream) -> None:
    """From where the proxy has connected, which says nothing to us."""
    kind = stream.read_exactly(1)[0]
    length = stream.read_exactly(1)[0] if kind == 3 else {1: 4, 4: 16}.get(kind)
    if length is None:
        raise ProtocolError(f"its answer has an address of an unknown kind, {kind}")
    stream.read_exactly(length + 2)
