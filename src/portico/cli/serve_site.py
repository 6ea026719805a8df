"""From settings to what a server serves: each mount made, guarded and put in its place."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from portico.cli.serve_options import read_addresses, told_by
from portico.cli.serve_programs import is_http_class, make_program
from portico.errors import ConfigError
from portico.http.exchange import Edit, Gateway, Mount, placed
from portico.limits import Limits
from portico.web.bounded import Bounded
from portico.web.compress import Compress
from portico.web.config import Settings, Source
from portico.web.config.lines import Path
from portico.web.config.mount import Auth, Headers, MountSettings
from portico.web.config.mount_kinds import ProxyMount, StaticMount
from portico.web.config.reading import keys_of
from portico.web.gateways import is_served
from portico.web.https_only import HTTPSOnly
from portico.web.mounts import Mounts, Place, read_prefix
from portico.web.proxy import Proxy

__all__ = ["Served", "bounds", "close_proxies", "make_served"]


_BARE: dict[str, Any] = {
    "headers": Headers(),
    "https_only": None,
    "limits": {},
    "compress": False,
    "threads": None,
    "queue": None,
}
"""What a mount has where nothing is asked for around it."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server is made for: a handler, and the wire it speaks (``http`` or ``stream``)."""

    handler: Any
    wire: str
    names: Mapping[str, str] | None = None

    @property
    def mounts(self) -> Mapping[str, str]:
        """What answers where."""
        if self.names is not None:
            return self.names
        places = self.handler.places if isinstance(self.handler, Mounts) else {}
        return {str(place): mount.gateway.name for place, mount in places.items()}


def make_served(settings: Settings, source: Source | None = None) -> Served:
    """All mounts together. Imports what they name.

    Raises ``ConfigError``; for mounts of a file, of which all are tried, ``Problems``.
    """
    sys.path[:0] = [folder for folder in settings.python_path if folder not in sys.path]
    places: list[tuple[Place, Mount]] = []
    handler: Any = None
    for number, each in enumerate(settings.mount):
        try:
            value = _made(each, settings)
            if is_served(value):
                here = _placed(settings, each, value)
                Mounts([*places, *here])  # refuses a place that is taken
                places += here
            else:
                handler = value
        except ConfigError as error:
            if source is None:
                raise
            source.note(_at_fault(number, each, str(error)), str(error))
    if source is not None:
        source.check()
    if handler is not None:
        return Served(handler, "http" if is_http_class(handler) else "stream")
    mounts = Mounts(places)
    return Served(mounts, "http")


def _at_fault(number: int, each: MountSettings, message: str) -> Path:
    """The key that a message is about: an option where it begins with one, as in ``static index``."""
    about = re.match(rf"(?:{each.mark} )?(\w+)", message)
    key = about[1] if about is not None and about[1] in keys_of(type(each)) else each.mark
    # What a mount does not say is said for all.
    return (key,) if key == "https_only" and each.https_only is None else ("mount", number, key)


def _made(each: MountSettings, settings: Settings) -> Any:
    """The gateway of a mount; where it stands alone, also mounts made in Python, or a handler of streams."""
    if isinstance(each, ProxyMount) and each.trusted is None:
        each = replace(each, trusted=settings.forwarded.trusted)
    alone = len(settings.mount) == 1 and each.path == "/" and not each.host
    wire = told_by(settings.listen) if alone else "http"
    value = each.make(partial(make_program, wire=wire))
    if not alone and isinstance(value, Mounts):
        raise ConfigError(f"{each.what} has mounts of its own: serve it alone, without a path")
    if is_served(value):
        return value
    if not alone:
        raise ConfigError(
            f"{each.what} is a handler of raw streams: it is served alone, without a path; "
            "start another portico serve for the rest"
        )
    asked = settings.auth or each.auth or settings.https_only or settings.headers != Headers()
    if asked or each != replace(each, **_BARE):
        raise ConfigError(f"{each.what} is a handler of raw streams: passwords and headers belong to HTTP")
    return value


def _placed(settings: Settings, each: MountSettings, value: Any) -> list[tuple[Place, Mount]]:
    if isinstance(value, Mounts):
        return [(place, _around(settings, each, mount)) for place, mount in value.places.items()]
    mount = _mount(settings, each, value, read_prefix(each.path))
    return [(Place(each.path, host), mount) for host in each.host or ("",)]


def _around(settings: Settings, each: MountSettings, made: Mount) -> Mount:
    """A mount made in Python, with what it has of its own, behind what was asked for."""
    outer = _mount(settings, each, made.gateway, made.prefix)
    edits = [edit for edit in (made.edit, outer.edit) if edit is not None]
    edit = partial(_in_turn, edits) if edits else None
    return Mount(outer.gateway, made.prefix, edit=edit, limits=made.limits or outer.limits, load=made.load)


def _in_turn(edits: Sequence[Edit], fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    for edit in edits:
        fields = edit(fields)
    return list(fields)


def _mount(settings: Settings, each: MountSettings, gateway: Gateway, prefix: str) -> Mount:
    """A gateway behind what was asked for around it."""
    gateway = placed(gateway, prefix)
    if each.compress and not isinstance(each, StaticMount):  # which does it better by itself
        gateway = Compress(gateway, codings=None if each.compress is True else each.compress)
    if each.threads is not None:
        gateway = Bounded(gateway, each.threads, each.queue)
    elif each.queue is not None:
        raise ConfigError("queue belongs to threads: say how many run at once")
    auth = settings.auth if each.auth is None else each.auth
    if isinstance(auth, Auth):
        gateway = auth.guard(gateway)
    if settings.https_only if each.https_only is None else each.https_only:
        gateway = HTTPSOnly(gateway, _https_port(settings))  # outermost: no password is asked for without TLS
    edit = each.headers.edit().after(settings.headers.edit())
    return Mount(gateway, prefix, edit=edit or None, limits=_own_limits(settings, each))


def _https_port(settings: Settings) -> int:
    """Where clients are sent to that asked without TLS. Raises ``ConfigError`` where that leads nowhere."""
    addresses = read_addresses(settings.listen, "http", pretend=True)
    port = next((address.port or 443 for address in addresses if address.secure and address.port != 0), None)
    if port is not None:
        return port
    if not settings.forwarded.trusted or any(address.secure for address in addresses):
        raise ConfigError(
            "https_only needs an https address with a port of its own, as in https://:443, or a trusted proxy"
        )
    return 443


def close_proxies(mounts: Iterable[Mount]) -> None:
    """Nobody will be asked by these any more: connections to upstreams that rest are closed."""
    for mount in mounts:
        gateway: Any = mount.gateway
        while not isinstance(gateway, Proxy) and hasattr(gateway, "gateway"):
            gateway = gateway.gateway
        if isinstance(gateway, Proxy):
            gateway.close()


def bounds(settings: Settings) -> Limits:
    """The limits of the server as a whole: bodies as large as the most generous mount takes them."""
    limits = settings.bounds
    bodies = [limits.body, *(each.limits["body"] for each in settings.mount if "body" in each.limits)]
    return limits.but(body=None if None in bodies else max(bodies))


def _own_limits(settings: Settings, each: MountSettings) -> Limits | None:
    """``None``: those of the server, as they are."""
    own = settings.bounds.but(**each.limits)
    return None if own == bounds(settings) else own
