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
from itertools import chain
from typing import Any, get_type_hints

from portico.data.csv.types import FAULTS, Conversion, conversion, custom, described
from portico.errors import ConfigError

__all__ = ["Field", "Maker", "dicts_of", "fields_of", "instances_of", "typed_dicts_of"]

Row = Sequence[Any]
Fit = Callable[[int, list[Any]], list[Any] | None]
Fault = Callable[[int, Row, Exception], None]
Maker = Callable[[Iterable[list[list[Any]]], Fit, Fault], Iterator[Any]]
"""From batches of rows to records; what makes a row of another width fit, and what hears of one that cannot
be one, with its number in the batch."""

_GENERATED = 200
"""Columns up to which code is made; beyond it, making it would be the longest part for most files."""
_LETTERS = 1 << 14
"""The same of all their names together: code is kept for the next file, and must not keep what is huge."""

_LOOP = """\
def make(batches, fit, fault):
    for batch in batches:{columns}
        for at, row in enumerate(batch):
            if len(row) != {width}:
                row = fit(at, row)
                if row is None:
                    continue
            {unpacked}
            {yielded}
"""
_TRIED = """\
try:
                made = {made}
            except FAULTS as error:
                fault(at, row, error)
                continue
            yield made"""
_COLUMNS = """
        if len(batch) > {few}:
            try:
                {unpacked}= zip(*batch, strict=True)
                {converted}
            except FAULTS:
                pass  # in one of them: they are taken one by one, and it is told of
            else:
                for at, ({unpacked}) in enumerate(zip({unpacked}strict=True)):
                    try:
                        made = {made}
                    except FAULTS as error:
                        fault(at, batch[at], error)
                        continue
                    yield made
                continue"""
"""A column at a time, which takes half as long as a field at a time."""
_FEW = 8


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

    def make(batches: Iterable[list[list[Any]]], fit: Fit, fault: Fault) -> Iterator[Any]:
        for at, row in chain.from_iterable(map(enumerate, batches)):
            fitting = row if len(row) == width else fit(at, row)
            if fitting is None:
                continue
            made = dict(zip(names, fitting, strict=True))
            try:
                for number, name, function in functions:
                    made[name] = function(fitting[number])
            except FAULTS as error:
                fault(at, fitting, error)
                continue
            yield made

    return make


def typed_dicts_of(names: Sequence[str], conversions: dict[int, Conversion]) -> Maker:
    """Dicts of values: of text where there is no conversion for the number of a column."""
    if not _is_small(names):
        return _zipped(tuple(names), conversions)

    def made(values: Sequence[str]) -> str:
        texts = (f"{name!a}: {value}" for name, value in zip(names, values, strict=True))
        return f"{{{', '.join(texts)}}}"

    return _typed(len(names), conversions, made, {})


def instances_of(kind: type, places: Sequence[tuple[Field, int | None]], width: int) -> Maker:
    """Instances; each field with the number of its column, or ``None`` for one that keeps its default."""

    def made(values: Sequence[str]) -> str:
        texts, gap = [], False
        for field, at in places:
            gap = gap or at is None or field.keyword
            if at is not None:
                texts.append(f"{field.name}={values[at]}" if gap else values[at])
        return f"kind({', '.join(texts)})"

    return _typed(
        width, {at: field.conversion for field, at in places if at is not None}, made, {"kind": kind}
    )


def _typed(
    width: int,
    conversions: Mapping[int, Conversion],
    made: Callable[[Sequence[str]], str],
    names: dict[str, Any],
) -> Maker:
    """``made``: the source of a record, from those of its values."""
    form = "v{}" if width <= _GENERATED else "row[{}]"
    plain = [form.format(at) for at in range(width)]
    values = [
        conversions[at].template.format(text) if at in conversions else text for at, text in enumerate(plain)
    ]
    columns = ""
    if width <= _GENERATED and all(each.pure for each in conversions.values()):
        lines = [f"v{at} = {how.column.format(f'v{at}')}" for at, how in conversions.items()]
        columns = _COLUMNS.format(
            few=_FEW, unpacked="".join(f"{text}, " for text in plain), made=made(plain),
            converted="\n                ".join(lines) or "pass",
        )  # fmt: skip
    names |= {name: value for each in conversions.values() for name, value in each.names.items()}
    return _compiled(width, _TRIED.format(made=made(values)), names, columns)


def _compiled(width: int, yielded: str, names: dict[str, Any], columns: str = "") -> Maker:
    unpacked = "".join(f"v{at}, " for at in range(width)) + "= row" if width <= _GENERATED else "pass"
    code = _LOOP.format(width=width, unpacked=unpacked, yielded=yielded, columns=columns)
    space: dict[str, Any] = {**names, "FAULTS": FAULTS}
    exec(compile(code, "<records of CSV>", "exec"), space)
    made_by_code: Maker = space["make"]
    return made_by_code
