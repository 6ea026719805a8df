"""``--read``, ``--write`` and ``--limit`` of ``portico data``: ``NAME=VALUE`` each.

They are the options of ``portico.data.read`` and ``write``, and of ``Limits``, by the names they have there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from portico.data.options import check_options
from portico.errors import ConfigError
from portico.limits import Limits

__all__ = ["OF_SOURCES", "check_names", "in_options", "limits_of", "options_of"]

OF_SOURCES = ("content_type", "encoding", "member", "packing")
"""Of ``--read``, what goes to ``source``."""

_NAMES = frozenset(("allow", "fields", "header", "lists"))
"""Several texts, with commas between them."""
_NUMBERS = frozenset(("headers", "indent", "skip", "table", "width"))
_MAPPINGS = frozenset(("namespaces", "rename"))
"""``a=b`` each, with commas between them."""
_OF_PROGRAMS = frozenset(("convert", "limits", "name", "on_error", "progress", "type", "types"))
"""What is no text, or has an option of its own."""
_SWITCHES = frozenset(("allow_nan", "ascii", "escape_formulas", "sort", "strict"))
_TRUTH = {"true": True, "false": False}

_OWN = re.compile(r"\b(encoding|member|delimiter|table|select|format)=(?:(?=[\s:,]|$)|(?=['\"]))")
_LIMIT = re.compile(r"\blimits=Limits\((\w+)=…\)")
_READ = re.compile(
    r"\b(allow_nan|duplicates|namespaces|numbers|quote|strict)=(?:(True|False)|'([^']*)'|(?=\s|$))"
    r"|\ballow=\{['\"](\w+)['\"]\}"
)
_BY_RESOLVER = '; allow={"external"} and resolver= read it'
"""Advice that only programs can follow: a resolver is a function."""


def options_of(option: str, pairs: Collection[str]) -> dict[str, Any]:
    """What was given to ``--read`` or ``--write``, by name. Raises ``ConfigError``."""
    return {name: _value(name, text, option) for name, text in _taken_apart(option, pairs)}


def _taken_apart(option: str, pairs: Collection[str]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {pair}: write NAME=VALUE")
        yield name, text


def _value(name: str, text: str, option: str) -> Any:
    if name in _OF_PROGRAMS:
        raise ConfigError(f"{option} {name}: only programs can give it")
    if text in _TRUTH:
        return _TRUTH[text]
    if name in _SWITCHES:
        raise ConfigError(f"{option} {name}={text}: expected true or false")
    if name in _NUMBERS:
        return _number(f"{option} {name}={text}", text)
    if name in _NAMES:
        return text.split(",")
    if name in _MAPPINGS:
        return dict(_taken_apart(f"{option} {name}:", text.split(",")))
    return "\t" if text == "\\t" else text


def _number(what: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{what}: expected a whole number") from None


def limits_of(pairs: Collection[str]) -> Limits | None:
    """What was given to ``--limit``; ``none``: there is no such bound. Raises ``ConfigError``."""
    if not pairs:
        return None
    found = dict(_taken_apart("--limit", pairs))
    return Limits().but(
        **{n: None if text == "none" else _number(f"--limit {n}={text}", text) for n, text in found.items()}
    )


def check_names(given: Mapping[str, Any], function: Any, taken: int, option: str, format_name: str) -> None:
    """Raise ``ConfigError`` for an option that the reader or writer of a format does not have."""
    try:
        check_options(given, function, taken, f"{option}: {format_name}", ("packing",))
    except TypeError as error:
        raise ConfigError(str(error)) from None


def in_options(message: str, *, wrong_use: bool) -> str:
    """A message of the library in the words of the command line."""
    names = {"table": "select", "format": "to" if wrong_use else "from"}

    def own(found: re.Match[str]) -> str:
        space = " " if found.string[found.end() : found.end() + 1] in ("'", '"') else ""
        return f"--{names.get(found[1], found[1])}{space}"

    def read(found: re.Match[str]) -> str:
        if found[4]:
            return f"--read allow={found[4]}"
        return f"--read {found[1]}={found[2].lower() if found[2] else found[3] or ''}"

    message = message.replace(_BY_RESOLVER, "")
    return _READ.sub(read, _LIMIT.sub(r"--limit \1=N", _OWN.sub(own, message)))
