"""Settings as TOML that can be read again: all keys with what they are about, secrets hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from portico.limits import Limits
from portico.web.config.file import Filled
from portico.web.config.mount import HIDDEN, Auth, MountSettings
from portico.web.config.reading import keys_of
from portico.web.config.settings import Settings

__all__ = ["as_data", "as_toml"]

_BARE = re.compile("[A-Za-z0-9_-]+")
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f\x7f]')


def as_data(value: Any) -> Any:
    """Settings as plain values, for JSON; limits with all defaults, hashes hidden."""
    if isinstance(value, Settings):
        return {**_table(value), "limits": _limits(value.limits, all_of_them=True)}
    if isinstance(value, Auth):
        return {**_table(value), "users": dict.fromkeys(value.users, HIDDEN)}
    if isinstance(value, MountSettings):
        return {**_table(value), "limits": _limits(value.limits, all_of_them=False)}
    if hasattr(value, "__dataclass_fields__"):
        return _table(value)
    if isinstance(value, Mapping):
        return {str(name): "none" if item is None else as_data(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_data(item) for item in value]
    # What came from the environment may be a secret, and is found there again.
    return value.written if isinstance(value, Filled) else _unfilled(value)


def _unfilled(value: Any) -> Any:
    return value.replace("${", "$${") if isinstance(value, str) else value


def _table(value: Any) -> dict[str, Any]:
    return {name: as_data(getattr(value, name)) for name in keys_of(type(value))}


def _limits(given: Mapping[str, Any], *, all_of_them: bool) -> dict[str, Any]:
    names = [field.name for field in fields(Limits)] if all_of_them else list(given)
    limits = Limits().but(**given)
    found = {name: getattr(limits, name) for name in names}
    return {name: "none" if value is None else value for name, value in found.items()}


def as_toml(settings: Settings) -> str:
    """The whole file."""
    lines = ["# What is in force. Keys behind a # are not set."]
    _write(lines, (), settings, as_data(settings))
    return "\n".join(lines) + "\n"


def _write(lines: list[str], path: tuple[str, ...], value: Any, data: Mapping[str, Any]) -> None:
    """A table: first its plain keys, then the tables in it."""
    below = []
    keys = keys_of(type(value))
    for name, key in keys.items():
        inner = getattr(value, name)
        if hasattr(inner, "__dataclass_fields__") or isinstance(inner, Mapping) or _are_tables(inner):
            below.append(name)
            continue
        note = f"  # {key.about}" if key.about else ""
        shown = f"# {name} =" if data[name] is None else f"{name} = {_value(data[name])}"
        lines.append(f"{shown}{note}")
    for name in below:
        _write_below(lines, (*path, name), getattr(value, name), data[name], keys[name].about)


def _are_tables(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(item, MountSettings) for item in value)


def _write_below(lines: list[str], path: tuple[str, ...], value: Any, data: Any, about: str) -> None:
    if isinstance(value, tuple):
        for item, facts in zip(value, data, strict=True):
            lines += ["", f"[[{_dotted(path)}]]"]
            _write(lines, path, item, facts)
        return
    if isinstance(value, Mapping) and not data:
        return
    lines += ["", f"[{_dotted(path)}]" + (f"  # {about}" if about else "")]
    if not isinstance(value, Mapping):
        _write(lines, path, value, data)
        return
    for name, item in data.items():
        lines.append(f"{_name(name)} = {_value(item)}")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{_NEEDS_ESCAPE.sub(_escape, value)}"'
    if isinstance(value, Mapping):
        pairs = [f"{_name(name)} = {_value(item)}" for name, item in value.items() if item is not None]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _escape(found: re.Match[str]) -> str:
    return {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}.get(found[0], f"\\u{ord(found[0]):04x}")


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(_name, path))
