"""What records go through between a format's reader and another one's writer."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from portico.data.shown import fields_of
from portico.errors import ConfigError, DataError, PorticoError

__all__ = ["aligned", "chosen", "field_names", "flattened", "named", "up_to_a_fault", "with_fields"]

Record = Any
LeftOut = Callable[[PorticoError], None]

_NO_NAME = re.compile(r"(?!\A[@#])[^\w.-]|\A(?=[\d.-])")
"""What is not in the name of an element, and where it cannot begin; ``@a`` and ``#text`` have a meaning."""
_LOOKED_AT = 1000
"""Records whose fields, all together, are the columns of a format that names them once."""
_LOOKED_INTO = 1 << 20
"""Characters of them that are held; more would keep the first ones waiting, and take memory."""
_NOTHING = object()


def chosen(text: str, left_out: LeftOut | None, records: Iterable[Record]) -> Iterator[Record]:
    """Those of which an expression is true."""
    from portico.cli.data_where import Where

    wanted = Where(text)
    for number, record in enumerate(records, 1):
        try:
            if wanted(record):
                yield record
        except DataError as error:
            _refuse(error.reason, number, left_out)


def _refuse(reason: str, number: int, left_out: LeftOut | None) -> None:
    error = DataError(reason, f"record {number}")
    if left_out is None:
        raise error from None
    left_out(error)


def up_to_a_fault(left_out: LeftOut, records: Iterable[Record]) -> Iterator[Record]:
    """What was good before something after which nothing can be read."""
    try:
        yield from records
    except PorticoError as error:
        left_out(error)


def field_names(text: str) -> list[str]:
    """Names between commas, those with a comma in quotes. Raises ``ConfigError``."""
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    if not names or not all(names):
        raise ConfigError(f"--fields {text!r}: expected names with commas between them")
    return names


def with_fields(
    names: list[str], note: Callable[[str], object], records: Iterable[Record]
) -> Iterator[Record]:
    """Records with these fields, ``None`` where there is none; ``note`` is told of those that none had."""
    unseen, any_record = set(names), False
    for record in records:
        any_record = True
        found = {name: _field(record, name) for name in names}
        if unseen:
            unseen -= {name for name, value in found.items() if value is not _NOTHING}
        yield {name: None if value is _NOTHING else value for name, value in found.items()}
    for name in sorted(unseen) if any_record else ():
        note(f"no record has a field {name!r}")


def _field(record: Record, name: str) -> Any:
    """A field by its name, or by a path of names with dots."""
    if isinstance(record, Mapping) and name in record:
        return record[name]
    for part in name.split("."):
        record = record.get(part, _NOTHING) if isinstance(record, Mapping) else _NOTHING
    return record


def flattened(records: Iterable[Record]) -> Iterator[Record]:
    """Fields that hold records or lists become JSON, where a format has only text."""
    for each in records:
        record = each if isinstance(each, Mapping) else fields_of(each)
        yield {
            name: json.dumps(value, ensure_ascii=False, default=str)
            if isinstance(value, (dict, list))
            else value
            for name, value in record.items()
        }


def aligned(left_out: LeftOut | None, records: Iterable[Record]) -> Iterator[Record]:
    """Flat records that all have the fields of the first thousand. Raises ``DataError`` for one that has
    others: its column cannot be put before what has been written."""
    flow = iter(records)
    first: list[Record] = []
    names: dict[str, None] = {}
    size = 0
    for record in flow:
        first.append(record)
        names.update(dict.fromkeys(record))
        size += sum(len(value) for value in record.values() if isinstance(value, str))
        if len(first) >= _LOOKED_AT or size >= _LOOKED_INTO:
            break
    columns = names.keys()
    for number, record in enumerate(chain(first, flow), 1):
        if more := record.keys() - columns:
            told = f"a field {min(map(str, more))!r}, which the first {len(first)} records do not have"
            _refuse(f"{told}: say by --fields which columns are wanted", number, left_out)
        else:
            yield record if len(record) == len(names) else {name: record.get(name) for name in names}


def named(records: Iterable[Record]) -> Iterator[Record]:
    """Records with names that elements can have: ``unit_price`` for ``unit price``."""
    for record in records:
        yield _named(fields_of(record) if isinstance(record, list) else record)


def _named(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_element(name): _named(each) for name, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, list) else value


def _element(name: Any) -> str:
    text = str(name)
    return _short_element(text) if len(text) < 100 else _NO_NAME.sub("_", text)


@lru_cache(10_000)
def _short_element(name: str) -> str:
    return _NO_NAME.sub("_", name)
