"""From what a user writes to the parts of an address; strict, and clear about what is wrong.

Whatever two programs could read differently is refused: user names, numbers as hosts, ports with signs
or zeros in front, ``unix://run/x`` (is ``run`` a host?), dot segments, unknown options.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from portico.address.hosts import canonical_host, canonical_ipv6
from portico.address.schemes import SCHEMES, Scheme
from portico.address.services import service_port
from portico.errors import AddressError

__all__ = ["Parts", "port_number", "read", "socket_file"]

Options = tuple[tuple[str, str], ...]
Parts = tuple[str, str, int | None, str, Options]
"""Scheme, host, port, path, options."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URL_PATH = re.compile(r"(?:/(?:[\w.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*", re.ASCII)
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[\w.~-]", re.ASCII)
_INTERFACE = re.compile(r"[\w.-]{1,15}", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3}", re.ASCII)
_DESCRIPTOR = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_USER = "a user name or password has no place in an address; pass them separately"
_SOCKET_PATH_BYTES = 107
"""``sun_path`` has 108 bytes: the last is NUL for a file, the first for an abstract name."""


def read(value: Any, scheme: str) -> Parts:
    """The parts of an address in any of its forms. Raises ``AddressError``."""
    try:
        if isinstance(value, str):
            return _text(value, scheme)
        if isinstance(value, tuple):
            return _tuple(value, scheme)
        if isinstance(value, os.PathLike):
            return "unix", "", None, socket_file(_clean(_path_text(value))), ()
        raise AddressError("expected a URL, a tuple (host, port) or a path")
    except AddressError as error:
        example = _example(value, scheme)
        raise AddressError(f"address {_shown(value)}: {error}; right would be {example}") from None


def port_number(port: object, protocol: str = "tcp") -> int:
    """A port from a number, its digits, or a service name. Raises ``AddressError``."""
    if isinstance(port, str):
        return _port_text(port, protocol)
    if isinstance(port, bool) or not isinstance(port, int):
        raise AddressError(f"the port {port!r} is not a whole number")
    if not 0 <= port <= 65535:
        raise AddressError(f"the port {port} is outside 0 to 65535")
    return port


def socket_file(path: str) -> str:
    """The one spelling of a Unix socket's path; ``@name`` is a file here, not an abstract name."""
    if not path:
        raise AddressError("the path is missing")
    if "\0" in path:
        raise AddressError("the path contains a NUL")
    if path.endswith("/") or path.rpartition("/")[2] in (".", ".."):
        raise AddressError(f"the path {path!r} names a folder")
    # Drops what cannot matter (//, /./) and keeps .., which links give a meaning of its own.
    plain = str(PurePosixPath(path))
    if plain.startswith(("//", "@")):
        plain = plain[1:] if plain.startswith("/") else f"./{plain}"
    size = len(_bytes(plain))
    if size > _SOCKET_PATH_BYTES:
        raise AddressError(f"the path is {size} bytes long; a Unix socket's may have {_SOCKET_PATH_BYTES}")
    return plain


# -- text


def _text(text: str, default: str) -> Parts:
    _clean(text)
    if not text:
        raise AddressError("it is empty")
    if text != text.strip():
        raise AddressError("there is white space around it")
    if text.startswith(("/", "./", "../")):
        return "unix", "", None, socket_file(text), ()
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if colon and (rest.startswith("//") or scheme in SCHEMES):
        return _url(scheme, rest)
    if "/" in text:
        raise AddressError("a path begins with /, ./ or ../, and a URL with its scheme and ://")
    return default, *_host_port(text, default), "", ()


def _url(scheme: str, rest: str) -> Parts:
    kind = SCHEMES.get(scheme)
    if kind is None:
        raise AddressError(f"the scheme {scheme!r} is unknown (known are {', '.join(SCHEMES)})")
    if "#" in rest:
        raise AddressError("a fragment (#) has no place in an address; in a file's name, write %23")
    if kind.place == "host":
        return scheme, *_authority_path(scheme, kind, rest)
    place, mark, query = rest.partition("?")
    return scheme, "", None, _PLACES[kind.place](place), _options(kind, query) if mark else ()


def _authority_path(scheme: str, kind: Scheme, rest: str) -> tuple[str, int | None, str, Options]:
    if not rest.startswith("//"):
        raise AddressError(f"// is missing after {scheme}:")
    before_query, mark, query = rest[2:].partition("?")
    authority, slash, path = before_query.partition("/")
    if "@" in authority or ("@" in path + query and not (kind.has_path and _has_number(authority))):
        raise AddressError(_USER)
    host, port = _host_port(authority, scheme)
    if mark and not kind.options:
        raise AddressError("a query (?) belongs to a request, not to an address")
    if slash and not kind.has_path:
        raise AddressError(f"a path (/{path}) has no meaning after {scheme}://host:port")
    return host, port, _url_path(slash + path), _options(kind, query) if mark else ()


def _has_number(authority: str) -> bool:
    """Whether what stands after a colon is a port, and not the first half of a password with a slash."""
    _, colon, port = authority.rpartition(":")
    return not colon or port.isdigit() or port.endswith("]")


def _host_port(text: str, scheme: str) -> tuple[str, int]:
    default = SCHEMES[scheme].port
    if "@" in text:
        raise AddressError(_USER)
    if text.isascii() and text.isdigit():
        raise AddressError(f"there is a port and no host: for every interface write :{text}")
    host, colon, port = _split_port(text)
    if not colon and (default is None or not host):
        raise AddressError("the port is missing" if host else "the host and the port are missing")
    protocol = "udp" if SCHEMES[scheme].transport == "udp" else "tcp"
    return host, _port_text(port, protocol) if colon or default is None else default


def _split_port(text: str) -> tuple[str, str, str]:
    """Canonical host, colon, port text."""
    if text.startswith("["):
        literal, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise AddressError("the bracket [ is never closed")
        if rest and not rest.startswith(":"):
            raise AddressError(f"{rest!r} after the closing bracket is not a port")
        return canonical_ipv6(literal), rest[:1], rest[1:]
    if "[" in text or "]" in text:
        raise AddressError("a bracket stands in the wrong place")
    if text.count(":") > 1:
        raise AddressError("there is more than one colon; an IPv6 address stands in brackets")
    host, colon, port = text.partition(":")
    return canonical_host(host) if host else "", colon, port


def _port_text(text: str, protocol: str) -> int:
    if not text:
        raise AddressError("the port after the colon is missing")
    if text.isascii() and text.isdigit():
        if len(text) > 1 and text.startswith("0"):
            raise AddressError(f"the port {text!r} begins with a zero")
        return port_number(int(text[:6]))
    known = service_port(text, protocol)
    if known is None:
        raise AddressError(f"the port {text!r} is neither a number from 0 to 65535 nor a known service")
    return known


def _url_path(path: str) -> str:
    """Normalised as RFC 3986, 6.2.2: what need not be escaped is not, escapes are upper case."""
    ascii_path = "".join(c if c.isascii() else quote(_bytes(c)) for c in path)
    if not _URL_PATH.fullmatch(ascii_path):
        raise AddressError(f"the path {path!r} contains a character that a URL has to write as %XX")
    normal = _ESCAPE.sub(_normal_escape, ascii_path)
    if any(segment in (".", "..") for segment in normal.split("/")):
        raise AddressError(f"the path {path!r} contains a dot segment")
    return "" if normal == "/" else normal


def _normal_escape(match: re.Match[str]) -> str:
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()


# -- places that are no hosts


def _url_file(text: str) -> str:
    if text.startswith("//") and text[2:3] not in ("", "/"):
        raise AddressError(f"{text!r} names a host; a relative path has no slashes in front, others have one")
    path = _unescape(text.removeprefix("//"))
    return _abstract(path) if path.startswith("@") else socket_file(path)


def _abstract(path: str) -> str:
    size = len(_bytes(path)) - 1
    if not 0 < size <= _SOCKET_PATH_BYTES:
        raise AddressError(f"an abstract name has 1 to {_SOCKET_PATH_BYTES} bytes after the @, not {size}")
    return path


def _name(text: str) -> str:
    text = text.removeprefix("//")
    if not text:
        raise AddressError("the name is missing")
    name = _unescape(text)
    if name.startswith("/") or any(character.isspace() for character in text):
        raise AddressError(f"the name {text!r} begins with a slash or contains white space")
    return name


def _descriptor(text: str) -> str:
    number = text.removeprefix("//")
    if not _DESCRIPTOR.fullmatch(number) or int(number) >= 1 << 31:
        raise AddressError(f"{number!r} is no descriptor's number")
    return number


def _interface(text: str) -> str:
    return _interface_name(text.removeprefix("//"))


def _interface_name(name: str) -> str:
    if not _INTERFACE.fullmatch(name) or name in (".", ".."):
        raise AddressError(f"{name!r} is no name of an interface (1 to 15 letters, digits, dots, hyphens)")
    return name


_PLACES: dict[str, Callable[[str], str]] = {
    "socket file": _url_file,
    "name": _name,
    "descriptor": _descriptor,
    "interface": _interface,
}


def _options(kind: Scheme, query: str) -> Options:
    found: dict[str, str] = {}
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if name not in kind.options:
            known = f"known: {', '.join(sorted(kind.options))}" if kind.options else "there are none here"
            raise AddressError(f"the option {name!r} is unknown ({known})")
        if name in found:
            raise AddressError(f"the option {name!r} stands there twice")
        found[name] = _OPTIONS[name](value)
    return tuple(sorted(found.items()))


def _mode(text: str) -> str:
    if not _MODE.fullmatch(text):
        raise AddressError(f"the mode {text!r} is not three octal digits such as 660")
    return text[-3:]


def _tls(text: str) -> str:
    if text not in ("yes", "no"):
        raise AddressError(f"tls={text} is neither tls=yes nor tls=no")
    return text


_OPTIONS: dict[str, Callable[[str], str]] = {"mode": _mode, "interface": _interface_name, "tls": _tls}


# -- other forms


def _tuple(value: tuple[Any, ...], scheme: str) -> Parts:
    if len(value) not in (2, 4):
        raise AddressError(f"a tuple has two parts, or four as for IPv6, not {len(value)}")
    host = "" if value[0] is None else value[0]
    if not isinstance(host, str):
        raise AddressError(f"the host {host!r} is not a text")
    if "[" in host:
        raise AddressError("in a tuple, the host stands without brackets")
    _clean(host)
    protocol = "udp" if SCHEMES[scheme].transport == "udp" else "tcp"
    port = port_number(value[1], protocol)
    return scheme, _tuple_host(host, value[3] if len(value) == 4 else None), port, "", ()


def _tuple_host(host: str, scope: object) -> str:
    if scope is None:
        return canonical_host(host) if host else ""
    if not isinstance(scope, int) or not 0 <= scope < 1 << 32:
        raise AddressError(f"the scope {scope!r} is not the number of an interface")
    if ":" not in host:
        raise AddressError(f"{host!r} is no IPv6 address, so there are no four parts")
    return canonical_ipv6(f"{host}%{scope}" if scope and "%" not in host else host)


def _path_text(path: os.PathLike[Any]) -> str:
    text = os.fspath(path)
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")


# -- characters


def _clean(text: str) -> str:
    found = _CONTROL.search(text)
    if found:
        raise AddressError(f"it contains the control character {found[0]!r}")
    return text


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise AddressError("it contains half a character (a lone surrogate)") from None


def _unescape(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise AddressError("a % is not followed by two hexadecimal digits (write %25 for the sign itself)")
    return unquote_to_bytes(_bytes(text)).decode("utf-8", "surrogateescape")


def _shown(value: object) -> str:
    """The address as a message may show it: without passwords, and not longer than a line."""
    if isinstance(value, str) and "@" in value and not value.lower().startswith(("unix", "/", ".")):
        head, mark, tail = value.rpartition("@")
        scheme, slashes, _ = head.partition("://")
        value = f"{scheme if slashes else ''}{slashes}***{mark}{tail}"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}…{text[-10:]}"


def _example(value: object, scheme: str) -> str:
    if isinstance(value, tuple):
        return "('127.0.0.1', 8000)"
    if isinstance(value, os.PathLike):
        return "/run/app.sock"
    named = value.partition(":")[0].lower() if isinstance(value, str) else ""
    return SCHEMES.get(named, SCHEMES[scheme]).example
