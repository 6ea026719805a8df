"""The settings in force: those of the file, and over them the options that were given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from portico.cli.targets import Folders, make_settings
from portico.errors import ConfigError
from portico.web.config import Settings, Source, read_file
from portico.web.config.kinds import address, network, rate, read_limit, size
from portico.web.config.mount import Auth, MountSettings
from portico.web.config.reading import Kind, Place, Wrong
from portico.web.headers import checked_fields

__all__ = ["Asked"]

_LEVELS = ("warning", "info", "debug")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says: ``options`` holds those that were given, by name."""

    config: str | None
    targets: Sequence[str]
    options: Mapping[str, Any]

    def settings(self) -> tuple[Settings, Source | None]:
        """The settings in force, read anew, and the file that is part of them.

        Raises ``ConfigError``, for a file ``Problems``.
        """
        settings, source = Settings(), None
        if self.config is not None:
            settings, source = read_file(self.config)
        settings = self._with_mounts(settings)
        for name, change in _CHANGES.items():
            if name in self.options:
                settings = change(settings, self.options[name])
        return settings, source

    def _with_mounts(self, settings: Settings) -> Settings:
        given = self.options.get
        fallback = "index.html" if given("spa") else None
        folders = Folders(given("listing", True), given("hidden", False), fallback)
        mounts = make_settings(self.targets, folders)
        if not mounts and not settings.mount:
            if self.config is not None:
                raise ConfigError(f"{self.config} mounts nothing: add a [[mount]], or name a TARGET")
            mounts = make_settings(["."], folders)
        taken = {place for each in mounts for place in _places(each)}
        kept = [each for each in settings.mount if not taken.intersection(_places(each))]
        return replace(settings, mount=(*kept, *mounts))


def _places(mount: MountSettings) -> set[tuple[str, str]]:
    return {(mount.path.rstrip("/"), host) for host in mount.host or ("",)}


# -- options, as changes to settings


Change = Callable[[Settings, Any], Settings]


def _plain(name: str) -> Change:
    return lambda settings, value: replace(settings, **{name: value})


def _read(kind: Kind, option: str, value: Any) -> Any:
    """A value, read as that of the file is. Raises ``ConfigError`` in the words of the command line."""
    try:
        return kind(value, Place(os.getcwd(), (), lambda path, message: None))
    except (Wrong, ConfigError) as error:
        name = option.removeprefix("--").replace("-", "_")
        raise ConfigError(f"{option} {str(error).removeprefix(f'{name} ')}") from error


def _max_memory(settings: Settings, value: str) -> Settings:
    return replace(settings, max_memory=_read(size, "--max-memory", value))


def _engine(settings: Settings, value: str) -> Settings:
    """An engine that is named says all about processes, unless --workers is named beside it."""
    return replace(settings, engine=value, workers=None)


def _tls(name: str) -> Change:
    def change(settings: Settings, value: Any) -> Settings:
        tls = settings.tls
        if name == "self_signed":
            return replace(settings, tls=replace(tls, self_signed=True))
        if name == "certificate":  # the file's key belongs to the file's certificate
            tls = replace(tls, key=None, self_signed=False)
        return replace(settings, tls=replace(tls, **{name: os.path.abspath(value)}))

    return change


def _admission(name: str, kind: Kind | None = None) -> Change:
    def change(settings: Settings, value: Any) -> Settings:
        option = f"--{name.replace('_', '-')}"
        if kind is not None:
            many = isinstance(value, tuple)
            value = tuple(_read(kind, option, each) for each in value) if many else _read(kind, option, value)
        elif value < 1:
            raise ConfigError(f"{option} {value}: expected a whole number above zero")
        return replace(settings, admission=replace(settings.admission, **{name: value}))

    return change


def _limits(settings: Settings, pairs: Sequence[str]) -> Settings:
    """``NAME=VALUE`` each."""
    changes = dict(settings.limits)
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--limit {pair}: write NAME=VALUE, as in body=1000000")
        changes[name] = _read(read_limit(name), f"--limit {pair}:", _number(text))
    return replace(settings, limits=changes)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _headers(settings: Settings, fields: Sequence[str]) -> Settings:
    """``NAME: VALUE`` each."""
    changed = dict(settings.headers.set)
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon:
            raise ConfigError(f"--header {field!r}: write NAME: VALUE")
        checked_fields([(name, value.strip())])
        changed[name] = value.strip()
    return replace(settings, headers=replace(settings.headers, set=changed))


def _users(settings: Settings, file: str) -> Settings:
    return replace(settings, auth=replace(settings.auth or Auth(), users_file=os.path.abspath(file)))


def _networks(table: str) -> Change:
    def change(settings: Settings, value: Sequence[str]) -> Settings:
        option = "--trust" if table == "forwarded" else "--proxy-protocol"
        trusted = tuple(_read(network, option, each) for each in value)
        return replace(settings, **{table: replace(getattr(settings, table), trusted=trusted)})

    return change


def _metrics(settings: Settings, value: str) -> Settings:
    where = _read(address, "--metrics", value)
    return replace(settings, metrics=replace(settings.metrics, listen=where))


def _log_file(settings: Settings, file: str) -> Settings:
    return replace(settings, log=replace(settings.log, access=True, file=os.path.abspath(file)))


def _log_format(settings: Settings, name: str) -> Settings:
    return replace(settings, log=replace(settings.log, access=True, format=name))


def _level(settings: Settings, times: int) -> Settings:
    return replace(settings, log=replace(settings.log, level=_LEVELS[min(times, 2)]))


_CHANGES: dict[str, Change] = {
    "at": _plain("listen"),
    "engine": _engine,
    "workers": _plain("workers"),
    "max_requests": _plain("max_requests"),
    "max_memory": _max_memory,
    "max_age": _plain("max_age"),
    "grace": _plain("grace"),
    "cert": _tls("certificate"),
    "key": _tls("key"),
    "tls": _tls("self_signed"),
    "https_only": _plain("https_only"),
    "allow": _admission("allow", network),
    "deny": _admission("deny", network),
    "max_connections": _admission("max_connections"),
    "max_per_peer": _admission("max_per_peer"),
    "rate": _admission("rate", rate),
    "limit": _limits,
    "header": _headers,
    "users": _users,
    "trust": _networks("forwarded"),
    "proxy_protocol": _networks("proxy_protocol"),
    "request_ids": _plain("request_ids"),
    "metrics": _metrics,
    "log_file": _log_file,
    "log_format": _log_format,
    "access_log": lambda settings, value: replace(settings, log=replace(settings.log, access=value)),
    "verbose": _level,
}
"""What each option changes; in this order."""
