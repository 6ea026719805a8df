"""Records of a CSV source: its header, what each row becomes, and what is said of one that cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal

from portico.data.columns import column_name, distinct
from portico.data.csv.guessing import SAMPLED, guessed
from portico.data.csv.header import Duplicates, Ragged, check_choice, column_names, fitted
from portico.data.csv.making import Field, Maker, Row, dicts_of, fields_of, instances_of, typed_dicts_of
from portico.data.csv.reading import Reading
from portico.data.csv.types import FAULTS, Conversion, conversion, custom
from portico.errors import ConfigError

__all__ = ["Plan", "Types", "read_records"]

Types = Literal["auto"] | Mapping[str, Any]
_SHOWN = 60
"""Characters of a value that an error shows."""
_TOLD = 20
"""Columns that an error names."""


@dataclass(slots=True)
class Plan:
    """How rows become records. Raises ``ConfigError`` for what cannot work, before anything is opened."""

    header: bool | Sequence[str] = True
    type: type[Any] | None = None
    types: Types | None = None
    ragged: Ragged = "error"
    duplicates: Duplicates = "number"
    rename: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    decimal: str = "."
    fields: list[Field] = field(init=False, default_factory=list)

    @property
    def typed(self) -> bool:
        """Whether fields become anything but text."""
        return self.type is not None or self.types is not None or bool(self.convert)

    def __post_init__(self) -> None:
        check_choice("ragged", self.ragged, ("error", "fill", "keep"))
        check_choice("duplicates", self.duplicates, ("number", "error"))
        check_choice("decimal", self.decimal, (".", ","))
        if isinstance(self.header, str) or (not isinstance(self.header, bool) and not list(self.header)):
            raise ConfigError(f"header={self.header!r}: expected True, False or names")
        if not isinstance(self.header, bool) and len(set(self.header)) < len(self.header):
            raise ConfigError(f"header={self.header!r}: names must differ")
        if self.type is not None and self.types is not None:
            raise ConfigError("type= tells the types of all fields: leave out types=")
        if isinstance(self.types, str) and self.types != "auto":
            raise ConfigError(f"types={self.types!r}: expected 'auto' or types by the names of columns")
        for kind in self.types.values() if isinstance(self.types, Mapping) else ():
            conversion(kind, "")
        if self.type is not None:
            self.fields = fields_of(self.type, self.convert, self.decimal)


def read_records(reading: Reading, plan: Plan) -> Iterator[Any]:
    """The records; what was opened is closed at the end, or when the iterator is."""
    try:
        batches = reading.batches()
        names = _names(reading, chain.from_iterable(batches), plan)
        if names is not None:
            yield from _made(reading, batches, names, plan)
    finally:
        reading.close()


def _names(reading: Reading, rows: Iterator[list[str]], plan: Plan) -> list[str] | None:
    """What the columns are called; ``None`` where there is nothing at all."""
    if not isinstance(plan.header, bool):
        return list(plan.header)
    if not plan.header:
        return [each.column for each in plan.fields]
    first = next((row for row in rows if row), None)
    if first is None:
        return None
    reading.check_width(first)
    try:
        names = column_names(first, plan.duplicates)
    except ValueError as error:
        raise reading.error(str(error)) from None
    names = [plan.rename.get(name, name) for name in names]
    if len(set(names)) < len(names):
        raise reading.error(f"rename= gives columns the same name: {', '.join(map(repr, names[:_TOLD]))}")
    return names


def _made(
    reading: Reading, batches: Iterator[list[list[str]]], names: list[str], plan: Plan
) -> Iterator[Any]:
    if not names:
        first = next((row for row in chain.from_iterable(batches) if row), None)
        if first is None:
            return iter(())
        reading.check_width(first)
        names = [column_name(number) for number in range(1, len(first) + 1)]
        batches = _again([(reading.begins, first)], batches, reading)
    conversions: dict[int, Conversion] = {}
    if plan.type is not None:
        maker, conversions = _of_type(reading, names, plan)
    elif plan.typed:
        given = _given(reading, names, plan)
        if plan.types == "auto":
            batches, conversions = _guessed(reading, batches, names, plan)
        conversions |= given
        maker = typed_dicts_of(names, conversions)
    else:
        maker = dicts_of(names)
    reading.goes_on = reading.at_once = True
    if plan.ragged == "keep" and not plan.typed:
        return _kept(reading, batches, names)
    fit = fitted(reading, len(names), plan.ragged, "" if plan.typed else None)
    return maker(batches, fit, _telling(reading, names, conversions))


def _again(
    taken: list[tuple[int, list[str]]], batches: Iterator[list[list[str]]], reading: Reading
) -> Iterator[list[list[str]]]:
    """Rows that were taken already, with the lines they begin in, and the rest."""
    for reading.replayed, row in taken:
        yield [row]
    reading.replayed = 0
    yield from batches


def _kept(
    reading: Reading, batches: Iterator[list[list[str]]], names: list[str]
) -> Iterator[dict[str, str | None]]:
    """What is missing is ``None``, what is too much has names as columns without one have."""
    width = len(names)
    for reading.at, row in chain.from_iterable(map(enumerate, batches)):
        if not row:
            continue
        reading.check_width(row)
        if any(row[width:]):
            if len(row) > len(names):
                more = (column_name(number) for number in range(len(names) + 1, len(row) + 1))
                names += distinct([*names, *more], "number")[len(names) :]
            yield dict(zip(names, row, strict=False))
        else:
            yield dict(zip(names[:width], [*row, *[None] * (width - len(row))], strict=False))


def _of_type(reading: Reading, names: list[str], plan: Plan) -> tuple[Maker, dict[int, Conversion]]:
    assert plan.type is not None
    places: list[tuple[Field, int | None]] = []
    for each in plan.fields:
        if names.count(each.column) > 1:
            raise reading.error(f"two columns are called {each.column!r}")
        at = names.index(each.column) if each.column in names else None
        if at is None and each.required:
            raise reading.error(_missing(each.column, names))
        places.append((each, at))
    conversions = {at: each.conversion for each, at in places if at is not None}
    return instances_of(plan.type, places, len(names)), conversions


def _missing(column: str, names: list[str]) -> str:
    told = ", ".join(map(repr, names[:_TOLD])) + (", …" if len(names) > _TOLD else "")
    return f"no column is called {column!r} (there are {told})"


def _given(reading: Reading, names: list[str], plan: Plan) -> dict[int, Conversion]:
    """Conversions that the caller asks for by the names of columns."""
    types = plan.types if isinstance(plan.types, Mapping) else {}
    found = {}
    for name in {**types, **plan.convert}:
        if name not in names:
            raise reading.error(_missing(name, names))
        at = names.index(name)
        how = plan.convert.get(name)
        found[at] = custom(how, str(at)) if how else conversion(types[name], str(at), plan.decimal)
    return found


def _guessed(
    reading: Reading, batches: Iterator[list[list[str]]], names: list[str], plan: Plan
) -> tuple[Iterator[list[list[str]]], dict[int, Conversion]]:
    """All rows again, and the conversions that the first of them suggest; what is empty is ``None``."""
    reading.goes_on = True
    taken = [(reading.begins, row) for row in islice(chain.from_iterable(batches), SAMPLED)]
    kinds = guessed([row for _, row in taken], len(names), plan.decimal)
    conversions = {at: conversion(kind | None, str(at), plan.decimal) for at, kind in kinds.items()}
    return _again(taken, batches, reading), conversions


def _telling(
    reading: Reading, names: list[str], conversions: dict[int, Conversion]
) -> Callable[[int, Row, Exception], None]:
    """What finds the field of a row that is no value of its type, and reports it."""
    functions = {at: how.function() for at, how in conversions.items()}

    def tell(number: int, row: Row, error: Exception) -> None:
        reading.at = number
        for at, function in functions.items():
            try:
                function(row[at])
            except FAULTS as why:
                reading.fault(_reason(names[at], row[at], conversions[at].what, why), at + 1)
                return
        reading.fault(str(error))

    return tell


def _reason(name: str, value: str, what: str, why: Exception) -> str:
    shown = repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
    reason = f"{name}: {shown} is no {what}" if value else f"{name}: an empty field is no {what}"
    return f"{reason} ({why})" if type(why).__module__.startswith("msgspec") else reason
