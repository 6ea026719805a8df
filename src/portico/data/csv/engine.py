"""The csv module's reader, with a bound on fields that is ours: that of the csv module is one for the whole
process, and belongs to whoever sets it."""

from __future__ import annotations

import csv as standard_csv
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec, module_from_spec
from typing import Any

from portico.data.csv.dialect import Dialect
from portico.errors import ConfigError
from portico.limits import Limits

__all__ = ["FIELD", "reader"]

FIELD = Limits().csv_field


@lru_cache(maxsize=64)
def _engine(limit: int) -> Any:
    """A module ``_csv`` of its own, whose fields have ``limit`` characters at most. Raises ``ConfigError``
    where the interpreter has but one for all."""
    spec = find_spec("_csv")
    if spec is None or spec.loader is None:
        raise ConfigError("this Python has no module _csv")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.Error is standard_csv.Error:
        raise ConfigError("this Python has one module _csv for all: fields cannot be bounded")
    module.field_size_limit(limit)
    return module


def reader(
    lines: Iterable[str], dialect: Dialect, *, strict: bool, limit: int = FIELD
) -> tuple[Any, type[Exception]]:
    """A reader of lines with their ends, and the error that it raises."""
    engine = _engine(limit)
    made = engine.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        quoting=standard_csv.QUOTE_MINIMAL if dialect.quote else standard_csv.QUOTE_NONE,
        escapechar=dialect.escape,
        doublequote=dialect.double_quote,
        skipinitialspace=dialect.skip_initial_space,
        strict=strict,
    )
    return made, engine.Error
