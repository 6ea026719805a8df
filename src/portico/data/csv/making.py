"""Records out of rows, by code that is made for their columns: a loop with nothing in it that could have been
settled before it began.

A dict of constant keys takes half the time of ``dict(zip(names, row))``. Names of columns come from outside:
they are written into the code as ASCII literals, whatever is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any, get_type_hints

from portico.data.csv.types import FAULTS, Conversion, conversion, custom, described
from portico.errors import ConfigError

__all__ = ["Field", "Maker", "dicts_of", "fields_of", "instances_of", "typed_dicts_of"]

Row = Sequence[Any]
Fit = Callable[[list[Any]], list[Any] | None]
Fault = Callable[[Row, Exception], None]
Maker = Callable[[Iterable[list[Any]], Fit, Fault], Iterator[Any]]
"""From rows to records; what makes a row of another width fit, and what hears of one that cannot be one."""

_GENERATED = 200
"""Columns up to which code is made; beyond it, making it would be the longest part for most files."""
_LETTERS = 1 << 14
"""The same of all their names together: code is kept for the next file, and must not keep what is huge."""

_LOOP = """\
def make(rows, fit, fault):
    for row in rows:
        if len(row) != {width}:
            row = fit(row)
            if row is None:
                continue
        {unpacked}
        {yielded}
"""
_TRIED = """\
try:
            made = {made}
        except FAULTS as error:
            fault(row, error)
            continue
        yield made"""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a type: the ``column`` it is read from, and whether it must be there."""

    name: str
    column: str
    conversion: Conversion
    required: bool
    keyword: bool


def fields_of(kind: type, convert: Mapping[str, Callable[[str], Any]], decimal: str) -> list[Field]:
    """The fields of a dataclass, a ``msgspec.Struct`` or a named tuple. Raises ``ConfigError`` for other
    types, and for a field whose type no text is of."""
    if not any(hasattr(kind, mark) for mark in ("__dataclass_fields__", "__struct_fields__", "_fields")):
        raise ConfigError(f"type={described(kind)}: expected a dataclass, a msgspec.Struct or a NamedTuple")
    renamed = dict(
        zip(
            getattr(kind, "__struct_fields__", ()), getattr(kind, "__struct_encode_fields__", ()), strict=True
        )
    )
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for at, (name, parameter) in enumerate(signature(kind).parameters.items()):
        try:
            how = (
                custom(convert[name], str(at))
                if name in convert
                else conversion(hints.get(name, str), str(at), decimal)
            )
        except ConfigError as error:
            raise ConfigError(f"{described(kind)}.{name}: {error}") from None
        required = parameter.default is Parameter.empty
        keyword = parameter.kind is Parameter.KEYWORD_ONLY
        found.append(Field(name, renamed.get(name, name), how, required, keyword))
    return found


def dicts_of(names: Sequence[str]) -> Maker:
    """Dicts of text."""
    return _generated(tuple(names)) if _is_small(names) else _zipped(tuple(names), {})


def _is_small(names: Sequence[str]) -> bool:
    return len(names) <= _GENERATED and sum(map(len, names)) <= _LETTERS


@lru_cache(maxsize=64)
def _generated(names: tuple[str, ...]) -> Maker:
    made = ", ".join(f"{name!a}: v{at}" for at, name in enumerate(names))
    return _compiled(len(names), f"yield {{{made}}}", {})


def _zipped(names: tuple[str, ...], conversions: Mapping[int, Conversion]) -> Maker:
    """Without code that is made for it."""
    width = len(names)
    functions = [(at, names[at], how.function()) for at, how in conversions.items()]

    def make(rows: Iterable[list[Any]], fit: Fit, fault: Fault) -> Iterator[Any]:
        for row in rows:
            fitting = row if len(row) == width else fit(row)
            if fitting is None:
                continue
            made = dict(zip(names, fitting, strict=True))
            try:
                for at, name, function in functions:
                    made[name] = function(fitting[at])
            except FAULTS as error:
                fault(fitting, error)
                continue
            yield made

    return make


def typed_dicts_of(names: Sequence[str], conversions: dict[int, Conversion]) -> Maker:
    """Dicts of values: of text where there is no conversion for the number of a column."""
    if not _is_small(names):
        return _zipped(tuple(names), conversions)
    texts = (f"{name!a}: {_value(f'v{at}', conversions.get(at))}" for at, name in enumerate(names))
    made = f"{{{', '.join(texts)}}}"
    return _compiled(len(names), _TRIED.format(made=made), _names(conversions.values()))


def instances_of(kind: type, places: Sequence[tuple[Field, int | None]], width: int) -> Maker:
    """Instances; each field with the number of its column, or ``None`` for one that keeps its default."""
    texts, gap = [], False
    form = "v{}" if width <= _GENERATED else "row[{}]"
    for field, at in places:
        gap = gap or at is None or field.keyword
        if at is not None:
            value = _value(form.format(at), field.conversion)
            texts.append(f"{field.name}={value}" if gap else value)
    names = _names(field.conversion for field, at in places if at is not None)
    return _compiled(width, _TRIED.format(made=f"kind({', '.join(texts)})"), {**names, "kind": kind})


def _value(text: str, how: Conversion | None) -> str:
    return text if how is None else how.template.format(text)


def _names(conversions: Iterable[Conversion]) -> dict[str, Any]:
    return {name: value for each in conversions for name, value in each.names.items()}


def _compiled(width: int, yielded: str, names: dict[str, Any]) -> Maker:
    unpacked = "".join(f"v{at}, " for at in range(width)) + "= row" if width <= _GENERATED else "pass"
    code = _LOOP.format(width=width, unpacked=unpacked, yielded=yielded)
    space: dict[str, Any] = {**names, "FAULTS": FAULTS}
    exec(compile(code, "<records of CSV>", "exec"), space)
    made: Maker = space["make"]
    return made
