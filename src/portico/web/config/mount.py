"""What every ``[[mount]]`` has: where it answers, and what stands around what it serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from portico.http.exchange import Gateway
from portico.web.basic_auth import BasicAuth, read_users
from portico.web.codings import check_codings
from portico.web.config.kinds import (
    existing,
    flag,
    limits,
    listed,
    named,
    one_or_more,
    table,
    text,
    whole,
)
from portico.web.config.reading import Place, Wrong, read_table, setting
from portico.web.headers import Edit, checked_fields
from portico.web.mounts import read_host, read_prefix
from portico.web.passwords import read_hash

__all__ = ["HIDDEN", "OWN_LIMITS", "Auth", "Headers", "Load", "MountSettings", "field_value"]

Load = Callable[[str, str], Any]
"""From a kind (``wsgi app program handler``) and ``module:name`` to what can be served as such."""


def _prefix(value: Any, place: Place) -> str:
    read_prefix(text(value, place))
    return str(value)


def _host(value: Any, place: Place) -> str:
    return read_host(text(value, place))


HIDDEN = "hidden"
"""Stands for a hash where settings are shown; it is none, so that a file made of that lets nobody in."""


def _password(value: Any, place: Place) -> str:
    if value == HIDDEN:
        raise Wrong("the hash is not shown: put that of the original file here")
    read_hash(text(value, place))
    return str(value)


def _compress(value: Any, place: Place) -> bool | tuple[str, ...]:
    return value if isinstance(value, bool) else check_codings(listed(text)(value, place))


OWN_LIMITS = frozenset((
    "body", "body_grace", "body_memory", "body_rate", "cgi_header_bytes", "cgi_output", "cgi_queue",
    "cgi_seconds", "cgi_wait", "form_fields", "form_files", "form_header_bytes", "form_memory", "request",
    "response_memory", "write_stall",
))  # fmt: skip
"""Limits that a mount may have of its own: those that count once a request's head has come."""


def _limits(value: Any, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = limits(value, place)
    for name in found.keys() - OWN_LIMITS:
        place.below(name).wrong(
            f"is the server's as a whole: set it in [limits]; a mount has {', '.join(sorted(OWN_LIMITS))}"
        )
    return found


def field_value(value: Any, place: Place) -> str:
    checked_fields([(str(place.path[-1]), text(value, place))])
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Headers:
    """``[headers]``: changes to the fields of answers."""

    set: Mapping[str, str] = setting(named(field_value), dict, "Fields in place of others of the name.")
    add: Mapping[str, Sequence[str]] = setting(named(one_or_more(text)), dict, "Fields beside others.")
    remove: Sequence[str] = setting(listed(text), tuple, "Names of fields that are not sent.")

    def __post_init__(self) -> None:
        self.edit()

    def edit(self) -> Edit:
        """The same, as it is applied."""
        return Edit(self.set, self.add, self.remove)


@dataclass(frozen=True, kw_only=True)
class Auth:
    """``[auth]``: who is let in, by name and password."""

    realm: str = setting(text, "portico", "What clients show when they ask for the password.")
    users: Mapping[str, str] = setting(
        named(_password), dict, "Each name's hash, as 'portico hash-password' makes it."
    )
    users_file: str | None = setting(
        existing, None, "A file of such lines: name:hash. Read when the server starts or reloads."
    )

    def guard(self, gateway: Gateway) -> Gateway:
        """The gateway behind a door. Raises ``ConfigError``."""
        users = dict(self.users)
        if self.users_file is not None:
            users = {**read_users(self.users_file), **users}
        return BasicAuth(gateway, users, self.realm)


def _auth(value: Any, place: Place) -> Auth | bool:
    if value is False:
        return False
    if value is True:
        raise Wrong("expected a table of users, or false for none")
    found: Auth | bool = read_table(Auth, value, place)
    return found


@dataclass(frozen=True, kw_only=True)
class MountSettings:
    """What every mount has, whatever its kind."""

    mark: ClassVar[str] = ""

    path: str = setting(_prefix, "/", "Where it answers: this path and all below it.")
    host: Sequence[str] = setting(
        one_or_more(_host), tuple, "For which names: example.org, *.example.org; all without."
    )
    headers: Headers = setting(table(Headers), Headers, "Changes to its answers, after those of [headers].")
    auth: Auth | bool | None = setting(_auth, None, "Who is let in, instead of [auth]; false: everybody.")
    https_only: bool | None = setting(
        flag, None, "The same of this mount; false: it answers without TLS, too."
    )
    limits: Mapping[str, Any] = setting(_limits, dict, "Limits of its own, such as body and request.")
    compress: bool | Sequence[str] = setting(
        _compress, False, "Compress texts for clients that take it: true, or codings of zstd, br and gzip."
    )
    threads: int | None = setting(whole(1), None, "So many of its requests run at once.")
    queue: int | None = setting(whole(0), None, "So many more wait, by default as many; beyond them 503.")

    def make(self, load: Load) -> Any:
        """The gateway (or handler) itself. Raises ``ConfigError``."""
        raise NotImplementedError

    @property
    def what(self) -> str:
        """What is served, as it was written."""
        return str(getattr(self, self.mark))
