"""The standard library's scanner of JSON, with hooks for the rules that the caller chose."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import partial
from json import JSONDecodeError
from math import isinf
from typing import Any, Literal

from portico.data.json import places
from portico.errors import ConfigError, LimitExceeded
from portico.limits import Limits

__all__ = [
    "FLOATS",
    "Duplicates",
    "Numbers",
    "Refused",
    "Rules",
    "Scan",
    "Surrogates",
    "scanned",
    "scanner",
    "skimmer",
    "too_deep",
]

Scan = Callable[[str, int], tuple[Any, int]]
"""From a text and where a value begins in it to the value and where it ends."""

Numbers = Literal["python", "decimal", "exact"]
Duplicates = Literal["last", "first", "error"]
Surrogates = Literal["error", "replace", "keep"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How values are made: see ``portico.data.json``. Raises ``ConfigError`` for a choice that is none."""

    type: Any = None
    numbers: Numbers = "python"
    duplicates: Duplicates = "last"
    surrogates: Surrogates = "error"
    allow_nan: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name, choices in (("numbers", Numbers), ("duplicates", Duplicates), ("surrogates", Surrogates)):
            given, known = getattr(self, name), choices.__args__  # type: ignore[attr-defined]
            if given not in known:
                raise ConfigError(f"{name}={given!r}: choose one of {', '.join(known)}")


class Refused(Exception):
    """What a text is not. ``at``: the character where; ``path``: into the value (``.items[3]``)."""

    def __init__(self, reason: str, at: int, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at
        self.path = path


class _Unfit(ValueError):
    """A part of a document that the rules refuse; ``find(text, at)`` tells where it is."""

    def __init__(self, reason: str, find: Callable[[str, int], int]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.find = find


def scanned(scan: Scan, text: str, at: int, limits: Limits) -> tuple[Any, int]:
    """A value, and where it ends. Raises ``Refused``, and ``LimitExceeded`` for one that is too deep, or for
    a number that is too long."""
    try:
        return scan(text, at)
    except StopIteration as stop:
        raise Refused("no value begins here", stop.value) from None
    except JSONDecodeError as error:
        raise Refused(f"{error.msg[:1].lower()}{error.msg[1:]}", error.pos) from None
    except _Unfit as error:
        raise Refused(error.reason, error.find(text, at)) from None
    except ValueError:  # of int(), which refuses as many digits as this itself
        line, column = places.line_and_column(text, places.long_number(text, at, limits.json_digits))
        raise LimitExceeded(
            f"a number of more than {limits.json_digits} digits in line {line}, column {column}; "
            "pass limits=Limits(json_digits=…)",
            "json_digits",
            413,
        ) from None
    except RecursionError:
        raise too_deep(limits) from None


def too_deep(limits: Limits) -> LimitExceeded:
    """What is raised for it."""
    return LimitExceeded(
        f"arrays and objects in each other, more than {limits.json_depth} deep (or than the interpreter "
        "allows from here)",
        "json_depth",
        413,
    )


def scanner(rules: Rules) -> Scan:
    """It makes values."""
    parse_int = int if sys.get_int_max_str_digits() == rules.limits.json_digits else _integers(rules.limits)
    parse_float = FLOATS[rules.numbers] or (float if rules.allow_nan else _finite)
    made: Any = json.JSONDecoder(
        parse_int=parse_int,
        parse_float=parse_float,
        parse_constant=_not_a_number if rules.allow_nan else _no_number,
        object_pairs_hook=_OBJECTS[rules.duplicates],
    )
    scan: Scan = made.scan_once
    return scan


def skimmer(allow_nan: bool) -> Scan:
    """It tells where values end; what it makes of numbers is nothing to use."""
    # float() takes any digits in linear time, and nobody looks at what comes out.
    constant = _not_a_number if allow_nan else _no_number
    made: Any = json.JSONDecoder(parse_int=float, parse_float=float, parse_constant=constant)
    scan: Scan = made.scan_once
    return scan


def _no_number(name: str) -> Any:
    raise _Unfit(f"{name} is no number of JSON; allow_nan=True takes it", partial(places.token, name))


_not_a_number = float


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        reason = f"{text[:40]} is more than a float holds; numbers='decimal' takes it as it is"
        raise _Unfit(reason, partial(places.token, text))
    return value


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise _Unfit(f"{text[:40]} is more than a Decimal holds", partial(places.token, text)) from None


def _exact(text: str) -> float | Decimal:
    """A float where that is written as the same number, else a Decimal."""
    value, exact = float(text), _decimal(text)
    return value if not isinf(value) and Decimal(repr(value)) == exact else exact


FLOATS: dict[str, Callable[[str], Any] | None] = {"python": None, "decimal": _decimal, "exact": _exact}


def _integers(limits: Limits) -> Callable[[str], int]:
    """Whole numbers, of which Python's own limit is another."""

    def integer(text: str) -> int:
        if len(text) > limits.json_digits and len(text.removeprefix("-")) > limits.json_digits:
            raise ValueError("too many digits")
        own = sys.get_int_max_str_digits()
        return int(text) if len(text) <= own or not own else int(Decimal(text))

    return integer


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs)) if len(dict(pairs)) < len(pairs) else dict(pairs)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Unfit("a key that was there before in the same object", places.repeated_key)
    return made


_OBJECTS: dict[str, Callable[[list[tuple[str, Any]]], Any] | None] = {
    "last": None,
    "first": _first,
    "error": _once,
}
