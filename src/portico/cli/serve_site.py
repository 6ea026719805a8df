"""From settings to what a server serves: each mount made, guarded and put in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portico.cli.serve_programs import make_program
from portico.engines.contract import Blocking
from portico.errors import ConfigError
from portico.http.exchange import Gateway, Mount
from portico.limits import Limits
from portico.web.bounded import Bounded
from portico.web.cgi import CGI
from portico.web.config import Settings, Source
from portico.web.config.mounts import Auth, MountSettings
from portico.web.gateways import is_gateway
from portico.web.mounts import Mounts, Place, read_prefix

__all__ = ["Served", "bounds", "make_served"]


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
    places: list[tuple[Place, Mount]] = []
    alone: Any = None
    for number, each in enumerate(settings.mount):
        try:
            value = _made(each, settings.mount)
            if isinstance(value, Mounts) or not is_gateway(value):
                alone = value
                continue
            mount = _mount(settings, each, value)
            here = [(Place(each.path, host), mount) for host in each.host or ("",)]
            Mounts([*places, *here])  # refuses a place that is taken
            places += here
        except ConfigError as error:
            if source is None:
                raise
            source.note(("mount", number, each.mark), str(error))
    if source is not None:
        source.check()
    if alone is not None:
        return Served(alone, "http" if isinstance(alone, Mounts) else "stream")
    mounts = Mounts(places)
    _connect(mounts)
    return Served(mounts, "http")


def _made(each: MountSettings, all_of_them: Sequence[MountSettings]) -> Any:
    """The gateway of a mount, or a handler of streams where that stands alone."""
    value = each.make(make_program)
    alone = len(all_of_them) == 1 and each.path == "/" and not each.host
    if not alone and isinstance(value, Mounts):
        raise ConfigError(f"{each.what} has mounts of its own: serve it alone, without a path")
    if not alone and not is_gateway(value):
        raise ConfigError(
            f"{each.what} is a handler of raw streams: it is served alone, without a path; "
            "start another portico serve for the rest"
        )
    return value


def _mount(settings: Settings, each: MountSettings, gateway: Gateway) -> Mount:
    """A gateway behind what was asked for around it."""
    load = None
    if each.threads is not None:
        gateway, load = Bounded(gateway, each.threads, each.queue), Blocking()
    elif each.queue is not None:
        raise ConfigError("queue belongs to threads: say how many run at once")
    auth = settings.auth if each.auth is None else each.auth
    if isinstance(auth, Auth):
        gateway = auth.guard(gateway)
    edit = each.headers.edit().after(settings.headers.edit())
    return Mount(
        gateway, read_prefix(each.path), edit=edit or None, limits=_own_limits(settings, each), load=load
    )


def bounds(settings: Settings) -> Limits:
    """The limits of the server as a whole: bodies as large as the most generous mount takes them."""
    limits = settings.bounds
    bodies = [limits.body, *(each.limits["body"] for each in settings.mount if "body" in each.limits)]
    return limits.but(body=None if None in bodies else max(bodies))


def _own_limits(settings: Settings, each: MountSettings) -> Limits | None:
    """``None``: those of the server, as they are."""
    own = settings.bounds.but(**each.limits)
    return None if own == bounds(settings) else own


def _connect(mounts: Mounts) -> None:
    """CGI programs may answer by the path of something else that is mounted (RFC 3875, 6.2.2)."""
    for mount in mounts:
        gateway: Any = mount.gateway
        while not isinstance(gateway, CGI) and hasattr(gateway, "gateway"):
            gateway = gateway.gateway
        if isinstance(gateway, CGI):
            gateway.redispatch = mounts.redispatch
