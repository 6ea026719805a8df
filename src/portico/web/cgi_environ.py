"""The environment of a CGI program (RFC 3875, 4.1), built from nothing.

What a client may choose reaches a program under names that the server chose: ``Proxy`` never becomes
``HTTP_PROXY``, which HTTP clients inside programs obey ("httpoxy", CVE-2016-5385); a name with ``_``, which
would collide with one with ``-``, is dropped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from portico.address import Address
from portico.errors import ConfigError, ProtocolError
from portico.http.exchange import Exchange
from portico.web.cgi_lookup import Script

__all__ = ["PASSED", "base_environ", "content_length", "request_environ"]

PASSED = (
    "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY",
    "LC_NUMERIC", "LC_TIME", "TMPDIR", "TZ",
)  # fmt: skip
"""What a program gets of the server's own environment: where programs are, language, time zone."""

_HEADER = re.compile(r"[a-z0-9-]+")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
# Content-* have variables of their own (4.1.2, 4.1.3); the rest is between the client and the server.
_NOT_PASSED = frozenset((
    "connection", "content-length", "content-type", "expect", "keep-alive", "proxy", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
))  # fmt: skip
# 4.1.18: what the server may check itself is not for every program to see.
_CREDENTIALS = frozenset(("authorization", "proxy-authorization"))

Environ = dict[bytes, bytes]


def base_environ(extra: Mapping[str, str], passed: Sequence[str]) -> Environ:
    """The part that is the same for every request. Raises ``ConfigError`` for an impossible name."""
    environ = {}
    for name in passed:
        value = os.environ.get(name, os.defpath if name == "PATH" else None)
        if value is not None:
            environ[os.fsencode(name)] = os.fsencode(value)
    for name, value in extra.items():
        if not name or "=" in name or "\0" in name + value:
            raise ConfigError(f"cgi: {name!r} cannot be an environment variable")
        environ[os.fsencode(name)] = os.fsencode(value)
    return environ


def request_environ(
    exchange: Exchange, script: Script, *, documents: Path, credentials: bool, length: int | None
) -> Environ:
    """The variables of one request.

    ``documents``: the folder onto which ``PATH_TRANSLATED`` maps (4.1.6); ``credentials``: pass
    ``Authorization`` on; ``length``: the body's size, ``None`` without a body. Bytes arrive at the
    program as they were sent. Raises ``ProtocolError`` (400) for what no environment can hold.
    """
    named = _about_server(exchange) | _about_client(exchange) | _about_request(exchange, script, length)
    named |= _headers(exchange.headers, credentials)
    if exchange.host:
        named["HTTP_HOST"] = exchange.host  # that of the target, or what a trusted proxy tells, counts more
    environ = {name.encode("latin-1"): value.encode("latin-1") for name, value in named.items()}
    environ[b"SCRIPT_FILENAME"] = os.fsencode(script.file)
    if script.path_info:
        environ[b"PATH_TRANSLATED"] = os.fsencode(documents) + script.path_info.encode("latin-1")
    if any(b"\0" in value for value in environ.values()):
        raise ProtocolError("a NUL in the request cannot be passed to a program")
    return environ


def _about_server(exchange: Exchange) -> dict[str, str]:
    here, port = _place(exchange.local)
    match = _HOST.fullmatch(exchange.host)
    about = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "portico",
        "SERVER_NAME": match[1] if match else here or "localhost",
        "SERVER_PORT": str(port or _port_asked_for(exchange)),
        "SERVER_PROTOCOL": exchange.request.version,
        "REQUEST_SCHEME": exchange.scheme,
    }
    if exchange.scheme == "https":
        about["HTTPS"] = "on"
    return about


def _place(address: Address | None) -> tuple[str, int]:
    """Host, as URLs have it, and port; empty and 0 for what has none, such as a Unix socket."""
    if address is None or not address.host:
        return "", 0
    return f"[{address.host}]" if ":" in address.host else address.host, address.port or 0


def _port_asked_for(exchange: Exchange) -> int:
    """Where the server itself has no port, the one in the client's URL is the best there is."""
    match = _HOST.fullmatch(exchange.host)
    if match and match[2]:
        return int(match[2])
    return 443 if exchange.scheme == "https" else 80


def _about_client(exchange: Exchange) -> dict[str, str]:
    peer = exchange.peer
    if peer is None or not peer.host:
        return {"REMOTE_ADDR": "unix:"}  # never an address that a program could take for a trusted one
    return {"REMOTE_ADDR": peer.host, "REMOTE_PORT": str(peer.port or 0)}


def _about_request(exchange: Exchange, script: Script, length: int | None) -> dict[str, str]:
    query = f"?{exchange.query}" if exchange.query else ""
    own_form = exchange.target.startswith("/")
    about = {
        "REQUEST_METHOD": exchange.method,
        "REQUEST_URI": exchange.target if own_form else exchange.raw_path + query,
        "QUERY_STRING": exchange.query,
        "SCRIPT_NAME": exchange.mount + script.name,
    }
    if script.path_info:
        about["PATH_INFO"] = script.path_info
    if exchange.user:  # 4.1.1, 4.1.11
        about["AUTH_TYPE"], about["REMOTE_USER"] = "Basic", exchange.user.encode().decode("latin-1")
    if length is not None:
        about["CONTENT_LENGTH"] = str(length)
    kind = exchange.header("content-type")
    if kind is not None:
        about["CONTENT_TYPE"] = kind
    return about


def content_length(exchange: Exchange, arrived: int) -> int | None:
    """``CONTENT_LENGTH`` (4.1.2): the size of the body, ``None`` when the request has none."""
    said = exchange.header("content-length") is not None or exchange.header("transfer-encoding") is not None
    return arrived if said or arrived else None


def _headers(headers: Iterable[tuple[str, str]], credentials: bool) -> dict[str, str]:
    """``HTTP_*`` (4.1.18), repeated headers joined."""
    hidden = _NOT_PASSED if credentials else _NOT_PASSED | _CREDENTIALS
    found: dict[str, str] = {}
    for name, value in headers:
        if name in hidden or not _HEADER.fullmatch(name):
            continue
        variable = "HTTP_" + name.upper().replace("-", "_")
        joint = "; " if name == "cookie" else ", "  # RFC 6265, 5.4: a cookie's parts are joined by "; "
        found[variable] = found[variable] + joint + value if variable in found else value
    return found
