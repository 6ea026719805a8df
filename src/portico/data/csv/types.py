"""From the text of a field to a value of a type: what each type takes, as source code and as a function.

Source code, because a call for each field of each row is what typed reading costs: ``int({0})`` is one call,
a function around it two.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

from portico.errors import ConfigError

__all__ = ["FAULTS", "Conversion", "conversion", "custom", "described"]

FAULTS = (ValueError, KeyError, TypeError, ArithmeticError)
"""What a conversion raises for a text that is no such value."""

_TRUTH = {
    word: value
    for value, words in ((True, "true t yes y on 1"), (False, "false f no n off 0"))
    for each in words.split()
    for word in (each, each.upper(), each.capitalize())
}


class Conversion:
    """``template``: an expression with ``{0}`` for the text; ``names``: what it uses. ``column``: the same
    for all texts of a column, as a list. ``what``: it makes of one, for errors. ``pure``: whether it may be
    done twice."""

    __slots__ = ("column", "names", "pure", "template", "what")

    def __init__(
        self, template: str, what: str, names: dict[str, Any], *, column: str = "", pure: bool = True
    ) -> None:
        self.template = template
        self.what = what
        self.names = names
        self.column = column or f"[{template.format('text')} for text in {{0}}]"
        self.pure = pure

    def function(self) -> Callable[[str], Any]:
        """It as a function."""
        made: Callable[[str], Any] = eval(f"lambda text: {self.template.format('text')}", dict(self.names))
        return made


def conversion(kind: Any, tag: str, decimal: str = ".") -> Conversion:
    """How a text becomes a ``kind``. ``tag`` tells its names from those of others. Raises ``ConfigError`` for
    a type that no text is of."""
    if isinstance(kind, NewType):
        return conversion(kind.__supertype__, tag, decimal)
    origin = get_origin(kind)
    if origin is Annotated:
        return _constrained(kind, tag, decimal)
    if origin in (Union, types.UnionType):
        return _optional(kind, tag, decimal)
    if origin is Literal:
        return _looked_up(
            {"" if value is None else str(value): value for value in get_args(kind)}, tag, described(kind)
        )
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        words = {each.name: each for each in kind} | {str(each.value): each for each in kind}
        return _looked_up(words, tag, described(kind))
    if kind in (str, Any):
        return Conversion("{0}", "str", {}, column="{0}")
    if kind in (float, Decimal) and decimal != ".":
        return _with_comma(kind, tag, decimal)
    if kind in _PLAIN:
        template, column, function = _PLAIN[kind]
        names = {f"f{tag}": function, f"n{tag}": _numbers}
        tagged = [each.replace("F", f"f{tag}").replace("N", f"n{tag}") for each in (template, column)]
        return Conversion(tagged[0], kind.__name__, names, column=tagged[1])
    raise ConfigError(f"no text of CSV is read as {described(kind)}; pass convert={{…}} with a function")


def described(kind: Any) -> str:
    """A type as it is written."""
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def custom(function: Callable[[str], Any], tag: str) -> Conversion:
    """A conversion by a function of the caller."""
    name = getattr(function, "__name__", "value")
    return Conversion(f"f{tag}({{0}})", name, {f"f{tag}": function}, pure=False)


def _numbers(column: tuple[str, ...]) -> tuple[str, ...]:
    if "_" in "".join(column):
        raise ValueError("an underscore in one of them")
    return column


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no decimal number") from None


# Python takes underscores in numbers, which no other program writes into one.
_NUMBER = 'F({0}) if "_" not in {0} else F("_")', "[*map(F, N({0}))]"
_OTHER = "F({0})", "[*map(F, {0})]"
_PLAIN: dict[Any, tuple[str, str, Any]] = {
    int: (*_NUMBER, int),
    float: (*_NUMBER, float),
    Decimal: (*_NUMBER, _decimal),
    bool: ("F[{0}]", "[*map(F.__getitem__, {0})]", _TRUTH),
    date: (*_OTHER, date.fromisoformat),
    datetime: (*_OTHER, datetime.fromisoformat),
    time: (*_OTHER, time.fromisoformat),
    UUID: (*_OTHER, UUID),
    bytes: (*_OTHER, str.encode),
}


def _with_comma(kind: Any, tag: str, decimal: str) -> Conversion:
    function = _PLAIN[kind][2]

    def convert(text: str) -> Any:
        if "." in text or "_" in text:
            raise ValueError(f"{text!r}: its decimal sign is {decimal!r}")
        return function(text.replace(decimal, "."))

    return Conversion(f"f{tag}({{0}})", kind.__name__, {f"f{tag}": convert})


def _looked_up(words: dict[str, Any], tag: str, what: str) -> Conversion:
    return Conversion(f"f{tag}[{{0}}]", what, {f"f{tag}": words})


def _optional(kind: Any, tag: str, decimal: str) -> Conversion:
    inner = [each for each in get_args(kind) if each is not type(None)]
    if len(inner) != 1:
        raise ConfigError(f"{described(kind)}: of several types, none is told by a text; pass convert={{…}}")
    below = conversion(inner[0], tag, decimal)
    return Conversion(f"(({below.template}) if {{0}} else None)", f"{below.what} or empty", below.names)


def _constrained(kind: Any, tag: str, decimal: str) -> Conversion:
    """With the bounds that ``msgspec.Meta`` sets, which msgspec checks."""
    plain, *notes = get_args(kind)
    below = conversion(plain, tag, decimal)
    if not any(type(note).__module__.partition(".")[0] == "msgspec" for note in notes):
        return below
    from msgspec import convert

    return Conversion(
        f"g{tag}({below.template}, t{tag})",
        below.what,
        {**below.names, f"g{tag}": convert, f"t{tag}": kind},
    )
