"""Which gateway answers which host and path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from posixpath import normpath
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from portico.address import canonical_host
from portico.errors import AddressError, ConfigError
from portico.http.exchange import Exchange, Mount
from portico.web.kinds import as_gateway

__all__ = ["Mounts", "Place", "read_host", "read_prefix"]

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_REMEMBERED = 512
"""Hosts whose mounts are remembered: whoever asks chooses them."""


class Place(NamedTuple):
    """Where something is mounted: below ``path``, for ``host`` (``*.example.org`` for all below it; empty:
    for every host)."""

    path: str
    host: str = ""

    def __str__(self) -> str:
        return f"//{self.host}{self.path or '/'}" if self.host else self.path or "/"


class _Table:
    """Mounts in the order in which they are tried. Never changed: a new one is put in its place."""

    def __init__(self, mounts: dict[Place, Mount]) -> None:
        self.mounts = mounts
        self.single = mounts.get(Place("")) if len(mounts) == 1 else None
        self.everywhere = _ordered(mounts, "")
        self.hosts = {place.host for place in mounts} - {""}
        self.seen: dict[str, Sequence[Mount]] = {}

    def of_host(self, authority: str) -> Sequence[Mount]:
        """The mounts for a host, the most particular first."""
        found = self.seen.get(authority)
        if found is None:
            found = [mount for host in self._fitting(authority) for mount in _ordered(self.mounts, host)]
            if len(self.seen) >= _REMEMBERED:
                self.seen.clear()
            self.seen[authority] = found
        return found

    def _fitting(self, authority: str) -> Iterator[str]:
        host = _bare_host(authority)
        if host in self.hosts:
            yield host
        _, _, above = host.partition(".")
        while above:
            if f"*.{above}" in self.hosts:
                yield f"*.{above}"
            _, _, above = above.partition(".")
        yield ""


class Mounts:
    """Gateways by host and path; of those for the most particular host that fits, the longest path answers.

    A mount is a path (or a ``Place``) and what is there: a gateway, a ``Mount``, or whatever ``as_gateway``
    makes one of. A path fits whole segments: ``/app`` answers ``/app`` and ``/app/x``, not ``/apple``. Paths
    are compared as decoded. One that would be another mount's without its dot segments and repeated slashes,
    ``//app`` or ``/x/../app``, is nobody's: what is behind a mount may take it for the other's path, and
    whoever guards that would not be asked. A host fits whatever the port and the case; an exact one comes
    before ``*.example.org``, that before mounts without a host, which answer what no other does. Raises
    ``ConfigError``.
    """

    def __init__(self, mounts: Iterable[tuple[str | Place, Any]]) -> None:
        found: dict[Place, Mount] = {}
        for where, what in mounts:
            place = where if isinstance(where, Place) else Place(where)
            place = Place(read_prefix(place.path), place.host and read_host(place.host))
            if place in found:
                raise ConfigError(f"two targets are mounted at {place}: give one another path")
            found[place] = what if isinstance(what, Mount) else Mount(as_gateway(what), place.path)
        if not found:
            raise ConfigError("nothing is mounted: name at least one target")
        self._table = _Table(found)

    def __iter__(self) -> Iterator[Mount]:
        return iter(self._table.mounts.values())

    @property
    def places(self) -> dict[Place, Mount]:
        """What is mounted where."""
        return dict(self._table.mounts)

    def become(self, other: Mounts) -> None:
        """Take over what ``other`` has, in one step: who asks from now on is answered by that."""
        self._table = other._table

    def find(self, exchange: Exchange) -> Mount | None:
        """The mount for a request, or ``None``."""
        table = self._table
        if table.single is not None:
            return table.single
        path = exchange.path
        mounts = table.of_host(exchange.host) if table.hosts else table.everywhere
        found = _first(mounts, path)
        if ("//" in path or "/." in path) and _first(mounts, _plain(path)) is not found:
            return None
        return found

    def __repr__(self) -> str:
        places = sorted(self._table.mounts, key=lambda place: (-len(place.path), place.host))
        return "<Mounts " + ", ".join(map(str, places)) + ">"


def _first(mounts: Sequence[Mount], path: str) -> Mount | None:
    for mount in mounts:
        prefix = mount.prefix
        if not prefix or path == prefix or path.startswith(prefix + "/"):
            return mount
    return None


def _plain(path: str) -> str:
    """Without dot segments and repeated slashes (RFC 3986, 5.2.4; what most file servers do, too)."""
    return "/" + normpath(path).lstrip("/")


def _ordered(mounts: dict[Place, Mount], host: str) -> list[Mount]:
    return sorted(
        (mount for place, mount in mounts.items() if place.host == host), key=lambda mount: -len(mount.prefix)
    )


def _bare_host(authority: str) -> str:
    """A host as mounts have it: without its port, its last dot and capitals."""
    host, colon, port = authority.rpartition(":")
    if not colon or not (port.isdigit() or not port) or (":" in host and not host.endswith("]")):
        host = authority
    return host.lower().removesuffix(".")


def read_host(text: str) -> str:
    """A mount's host, as written by a user, in the form in which it is asked for. Raises ``ConfigError``."""
    bare = text.removeprefix("*.")
    ipv6 = bare.startswith("[") and bare.endswith("]")
    try:
        host = canonical_host(bare[1:-1] if ipv6 else bare)
    except AddressError as error:
        raise ConfigError(f"the host {text!r}: {error}") from error
    if not host or "*" in host or (":" in host and not ipv6) or "%" in host:
        raise ConfigError(f"the host {text!r} is no name, as in example.org or *.example.org; without a port")
    if ":" in host:
        host = f"[{host}]"
    return f"*.{host}" if bare != text else host


def read_prefix(text: str) -> str:
    """A mount's path, as written by a user, in its decoded form. Raises ``ConfigError``."""
    if not text.startswith("/"):
        raise ConfigError(f"the mount {text!r} must begin with a slash, as in /app")
    if "?" in text or "#" in text or any(ord(char) < 0x21 or ord(char) == 0x7F for char in text):
        raise ConfigError(f"the mount {text!r} must be a plain path, as in /app; use % for other characters")
    if _BAD_ESCAPE.search(text):
        raise ConfigError(f"the mount {text!r} has a broken escape: % must be followed by two hex digits")
    decoded = unquote_to_bytes(text).decode("latin-1")
    prefix = decoded.rstrip("/")
    if prefix and any(segment in ("", ".", "..") for segment in prefix[1:].split("/")):
        raise ConfigError(f"the mount {text!r} has an empty segment or dots")
    return prefix
