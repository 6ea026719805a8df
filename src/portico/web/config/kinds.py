"""Kinds of values: how each is read, and what is said when it cannot be."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from portico.address import Address
from portico.admission import Admission
from portico.engines import make_engine
from portico.errors import ConfigError
from portico.limits import Limits
from portico.sockets.listen import named_inherited
from portico.web.config.problems import suggestion
from portico.web.config.reading import BAD, Kind, Place, Wrong, read_table, spelt

__all__ = [
    "address",
    "body",
    "choice",
    "engine",
    "existing",
    "file",
    "flag",
    "limits",
    "listed",
    "named",
    "network",
    "number",
    "one_or_more",
    "rate",
    "read_limit",
    "size",
    "table",
    "text",
    "whole",
]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def text(value: Any, place: Place) -> str:
    """Any text, in one line."""
    if not isinstance(value, str):
        raise Wrong(f"expected a text in quotes, not {spelt(value)}")
    if _CONTROL.search(value):
        raise Wrong("expected one line, without control characters")
    return value


def body(value: Any, place: Place) -> str:
    """Any text, of any number of lines."""
    if not isinstance(value, str):
        raise Wrong(f"expected a text in quotes, not {spelt(value)}")
    return value


def file(value: Any, place: Place) -> str:
    """A path; relative ones start from the folder of the configuration."""
    if not text(value, place):
        raise Wrong("expected a path")
    return place.file(value)


def existing(value: Any, place: Place) -> str:
    """A path of something that is there."""
    found = file(value, place)
    if not os.path.exists(found):
        raise Wrong(f"there is no {found}")
    return found


def flag(value: Any, place: Place) -> bool:
    """``true`` or ``false``."""
    if not isinstance(value, bool):
        raise Wrong(f"expected true or false, not {spelt(value)}")
    return value


def number(least: float, most: float = math.inf) -> Kind:
    """A number of seconds, mostly."""

    def read(value: Any, place: Place) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise Wrong(f"expected a number {_between(least, most)}, not {spelt(value)}")
        return float(value)

    return read


def whole(least: int, most: float = math.inf) -> Kind:
    """A whole number."""

    def read(value: Any, place: Place) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Wrong(f"expected a whole number {_between(least, most)}, not {spelt(value)}")
        return value

    return read


def _between(least: float, most: float) -> str:
    return f"from {least:g} up" if most == math.inf else f"from {least:g} to {most:g}"


def size(value: Any, place: Place) -> int:
    """Bytes: a number, or a text such as ``"300M"``."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    found = None
    if isinstance(value, str):
        found = re.fullmatch("([0-9]+)([KMG]?)", value.upper().removesuffix("B").removesuffix("I"))
    if found is None or not int(found[1]):
        raise Wrong(f'expected a size, as in 1000 or "300M", not {spelt(value)}')
    return int(found[1]) * _UNITS[found[2]]


def choice(*names: str) -> Kind:
    """One of some words."""

    def read(value: Any, place: Place) -> str:
        if not isinstance(value, str) or value not in names:
            hint = suggestion(value, names) if isinstance(value, str) else f"there are: {', '.join(names)}"
            raise Wrong(f"{spelt(value)} cannot stand here; {hint}")
        return value

    return read


def listed(kind: Kind) -> Kind:
    """A list."""

    def read(value: Any, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Wrong(f"expected a list in brackets, not {spelt(value)}")
        items = [place.read(kind, item, index) for index, item in enumerate(value)]
        return tuple(item for item in items if item is not BAD)

    return read


def one_or_more(kind: Kind) -> Kind:
    """A list, or the one value that would stand in it."""
    several = listed(kind)

    def read(value: Any, place: Place) -> tuple[Any, ...]:
        return several(value, place) if isinstance(value, list) else (kind(value, place),)

    return read


def named(kind: Kind) -> Kind:
    """A table with names of the user's own."""

    def read(value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Wrong(f"expected a table, as in {{ name = … }}, not {spelt(value)}")
        items = {name: place.read(kind, item, name) for name, item in value.items()}
        return {name: item for name, item in items.items() if item is not BAD}

    return read


def table(kind: type[Any]) -> Kind:
    """A table with keys of ours."""

    def read(value: Any, place: Place) -> Any:
        return read_table(kind, value, place)

    return read


# -- what the server knows


def address(value: Any, place: Place) -> str:
    """An address to listen on; kept as it was written."""
    written = text(value, place)
    for each in named_inherited(written, pretend=True) or [written]:
        for scheme in ("http", "tcp"):  # which of them is meant, programs may tell: both must be able to
            Address.parse(each, scheme=scheme)
    return written


def engine(value: Any, place: Place) -> str:
    """An engine's specification, as ``--engine`` takes it."""
    make_engine(text(value, place))
    return str(value)


def rate(value: Any, place: Place) -> str:
    """A rate of connections, as ``10/s`` or ``100/m:20``."""
    Admission(rate=text(value, place))
    return str(value)


def limits(value: Any, place: Place) -> dict[str, int | float | None]:
    """Limits that differ from the defaults, by name."""
    if not isinstance(value, Mapping):
        raise Wrong(f"expected a table, not {spelt(value)}")
    found = {name: place.read(read_limit(name), given, name) for name, given in value.items()}
    return {name: read for name, read in found.items() if read is not BAD}


_KINDS = {field.name: str(field.type) for field in fields(Limits)}


def read_limit(name: str) -> Kind:
    """How the limit ``name`` is read: a number; ``none`` where it may be off; whole ones as a size, too."""

    def read(value: Any, place: Place) -> int | float | None:
        if name not in _KINDS:
            raise Wrong(f"no limit is called {name!r}; {suggestion(name, _KINDS)}")
        kind = _KINDS[name]
        if value == "none" and "None" in kind:
            return None
        found = _number_of(value, int if kind.startswith("int") else float)
        if found is None or not 0 < found < math.inf:
            what = "a whole number" if kind.startswith("int") else "a number"
            also = ', or a size as in "10M"' if kind.startswith("int") and isinstance(value, str) else ""
            also += ', or "none"' if "None" in kind else ""
            raise Wrong(f"expected {what} above zero{also}, not {spelt(value)}")
        return found

    return read


def _number_of(value: Any, kind: Callable[[Any], int | float]) -> int | float | None:
    if isinstance(value, str) and kind is int and value[-1:].upper() in "KMG":
        try:
            return int(value[:-1]) * _UNITS[value[-1:].upper()]
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return kind(value) if kind is float or float(value).is_integer() else None


def network(value: Any, place: Place) -> str:
    """A network, as ``Admission`` takes it."""
    try:
        Admission(allow=[text(value, place)])
    except ConfigError as error:
        raise Wrong(str(error).removeprefix("allow ")) from error
    return str(value)
