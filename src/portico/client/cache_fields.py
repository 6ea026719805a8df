"""What the header fields of a cache say: ``Cache-Control``, ``Pragma``, ``Age``, ``Vary`` (RFC 9111, 5).

Read leniently where the meaning is plain, and always towards caution: a time that cannot be read is no time
at all, and what forbids is found even in a field that is otherwise noise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

from portico.http.field_map import Headers

__all__ = [
    "FOREVER",
    "Directives",
    "age_field",
    "asked_directives",
    "directives",
    "listed_fields",
    "seconds",
    "varies_by",
]

FOREVER = 1 << 31
"""Seconds: what RFC 9111, 1.2.2 makes of any larger number."""

Directives: TypeAlias = dict[str, tuple[str | None, ...]]
"""Directive, in lower case, to its arguments in order; ``None`` where there was none."""

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARTS = re.compile(rf'(?:{_QUOTED}|[^",])+')
_ESCAPED = re.compile(r"\\(.)")
_DIGITS = re.compile("[0-9]+")


def directives(headers: Headers) -> Directives:
    """The ``Cache-Control`` of an answer, or of a request."""
    value = headers.get("cache-control")
    return _read(value) if value else {}


def asked_directives(headers: Headers) -> Directives:
    """The ``Cache-Control`` of a request; without one, ``Pragma: no-cache`` counts (RFC 9111, 5.4)."""
    value = headers.get("cache-control")
    if value is not None:
        return _read(value)
    pragma = headers.get("pragma")
    return {"no-cache": (None,)} if pragma and "no-cache" in _read(pragma) else {}


@lru_cache(512)
def _read(value: str) -> Directives:
    # Shared by all who ask: nobody changes it.
    found: Directives = {}
    for part in _elements(value):
        name, equals, argument = part.partition("=")
        if equals and (name != name.rstrip() or argument != argument.lstrip()):
            argument = " "  # no blank belongs there: whatever it is, it is no number
        key = name.strip().lower()
        found[key] = (*found.get(key, ()), _unquoted(argument) if equals else None)
    return found


def _elements(value: str) -> Iterator[str]:
    """The members of a list. A quote that nobody closes is like other characters, lest it hide the rest."""
    whole = _PARTS.findall(value)
    if value.count('"') and sum(map(len, whole)) + value.count(",") < len(value):
        whole = value.split(",")
    yield from filter(None, map(str.strip, whole))


def _unquoted(argument: str) -> str:
    if len(argument) > 1 and argument[0] == argument[-1] == '"':
        return _ESCAPED.sub(r"\1", argument[1:-1])
    return argument


def seconds(found: Directives, name: str) -> int | None:
    """The time that a directive gives; ``None`` without one.

    0 where it cannot be read, or is given twice and differently (RFC 9111, 4.2.1).
    """
    given = found.get(name)
    if given is None:
        return None
    if len(set(given)) > 1 or given[0] is None or not _DIGITS.fullmatch(given[0]):
        return 0
    return _bounded(given[0])


def listed_fields(found: Directives, name: str) -> frozenset[str] | None:
    """The field names to which ``no-cache="…"`` restricts itself; ``None``: it speaks of the whole answer."""
    given = found.get(name, ())
    fields: set[str] = set()
    for argument in given:
        listed = {field.strip().lower() for field in (argument or "").split(",")} - {""}
        if not listed:
            return None
        fields |= listed
    return frozenset(fields)


def age_field(headers: Headers) -> int:
    """Seconds that ``Age`` gives: the first one of several, 0 for what cannot be read (RFC 9111, 5.1)."""
    first = headers.get("age", "").partition(",")[0].strip()
    if not _DIGITS.fullmatch(first):
        return 0
    return _bounded(first)


def varies_by(headers: Headers) -> tuple[str, ...]:
    """The request fields that an answer depends on, sorted; ``("*",)``: on more than a request shows."""
    value = headers.get("vary")
    if value is None:
        return ()
    names = {name.strip().lower() for name in value.split(",")} - {""}
    return ("*",) if "*" in names else tuple(sorted(names))


def _bounded(digits: str) -> int:
    digits = digits.lstrip("0")
    return FOREVER if len(digits) > 10 else min(int(digits or "0"), FOREVER)
