"""Names of columns, one for each, whatever a header says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from portico.errors import ConfigError, DataError

__all__ = ["Duplicates", "column_name", "distinct"]

Duplicates = Literal["number", "error"]
_DUPLICATES = get_args(Duplicates)


def column_name(number: int) -> str:
    """The name of a column that has none, by its number from 1: ``column_3``."""
    return f"column_{number}"


def distinct(header: Iterable[str], duplicates: Duplicates) -> list[str]:
    """Names by those of a header: a blank one is ``column_3``, the second ``a`` is ``a_2``. Raises
    ``DataError`` for duplicates that are to be an error, ``ConfigError`` for another word."""
    if duplicates not in _DUPLICATES:
        raise ConfigError(f"duplicates={duplicates!r}: expected {' or '.join(map(repr, _DUPLICATES))}")
    named = [name if name.strip() else column_name(number) for number, name in enumerate(header, 1)]
    counts = Counter(named)
    if len(counts) == len(named):
        return named
    if duplicates == "error":
        twice = ", ".join(repr(name) for name, count in counts.items() if count > 1)
        raise DataError(f"columns of the same name: {twice}; duplicates='number' tells them apart")
    return _numbered(named)


def _numbered(named: Sequence[str]) -> list[str]:
    taken, seen, made = set(named), Counter[str](), []
    for name in named:
        seen[name] += 1
        told = name
        while seen[name] > 1 and told in taken:
            told = f"{name}_{seen[name]}"
            seen[name] += told in taken
        taken.add(told)
        made.append(told)
    return made
