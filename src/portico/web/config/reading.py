"""From TOML's values to settings: a table is a dataclass, a key one of its fields.

::

    @dataclass(frozen=True, kw_only=True)
    class TLS:
        certificate: str | None = setting(file, None, "The chain, as PEM.")

``setting`` says how a value is read (a *kind*: a function of the value and its place), what stands for one
that is not given, and what it is about. A kind raises ``Wrong``; every mistake is noted with its place, and
reading goes on, so that all of them are told at once.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any

from portico.errors import AddressError, ConfigError
from portico.web.config.lines import Path
from portico.web.config.problems import suggestion

__all__ = ["BAD", "Key", "Kind", "Place", "Wrong", "keys_of", "read_table", "setting", "spelt"]

Kind = Callable[[Any, "Place"], Any]


class Wrong(Exception):
    """A value that cannot be used: what was expected."""


class _Bad:
    """Stands for a value that was refused."""


BAD = _Bad()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands. ``folder``: what relative paths start from."""

    folder: str
    path: Path
    note: Callable[[Path, str], object]

    def below(self, name: str | int) -> Place:
        return dataclasses.replace(self, path=(*self.path, name))

    def wrong(self, message: str) -> None:
        """Note a mistake here, and go on."""
        self.note(self.path, message)

    def file(self, path: str) -> str:
        """A path, as seen from the folder of the file."""
        return os.path.normpath(os.path.join(self.folder, os.path.expanduser(path)))

    def read(self, kind: Kind, value: Any, name: str | int) -> Any:
        """A value below this one; ``BAD`` where it was refused."""
        place = self.below(name)
        try:
            return kind(value, place)
        except (Wrong, ConfigError, AddressError) as error:
            place.wrong(str(error))
            return BAD


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of one key. ``required``: the table cannot be without it."""

    kind: Kind
    about: str
    default: Any
    required: bool


def setting(kind: Kind, default: Any = MISSING, about: str = "") -> Any:
    """A field of a table. ``default`` may be a function that makes one, where it is a list or a table."""
    metadata = {"kind": kind, "about": about}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def keys_of(table: type[Any]) -> dict[str, Key]:
    """The keys that a table has, in order."""
    found = {}
    for field in dataclasses.fields(table):
        if "kind" in field.metadata:
            factory = field.default_factory
            default = field.default if factory is MISSING else factory()
            required = default is MISSING
            found[field.name] = Key(field.metadata["kind"], field.metadata["about"], default, required)
    return found


def read_table(
    table: type[Any], value: Any, place: Place, unknown: Callable[[str], str] | None = None
) -> Any:
    """An instance of ``table``; ``BAD`` when a key is missing. ``unknown(name)``: what to say of a key that
    the table does not have."""
    if not isinstance(value, Mapping):
        raise Wrong(f"expected a table, not {spelt(value)}")
    keys = keys_of(table)
    for name in value:
        if name not in keys:
            place.below(name).wrong(unknown(name) if unknown else f"unknown key; {suggestion(name, keys)}")
    found = {}
    complete = True
    for name, each in keys.items():
        if name in value:
            read = place.read(each.kind, value[name], name)
            if read is not BAD:
                found[name] = read
            complete = complete and (read is not BAD or not each.required)
        elif each.required:
            place.wrong(f"{name} is missing: {each.about}")
            complete = False
    return table(**found) if complete else BAD


def spelt(value: Any) -> str:
    """A value, as a message shows it: short, and by its kind where it is large."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}…"
