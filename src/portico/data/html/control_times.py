"""Dates and times in the fields of forms (HTML standard, 2.3.5): what is one, and how browsers write it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time

__all__ = ["KINDS", "written"]

_YEAR = "[0-9]{4,6}"
_DAY = f"{_YEAR}-[0-9]{{2}}-[0-9]{{2}}"
_HOUR = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?"
_FORMS: dict[str, tuple[str, Callable[[str], object]]] = {
    "date": (_DAY, date.fromisoformat),
    "month": (f"{_YEAR}-[0-9]{{2}}", lambda text: date.fromisoformat(f"{text}-01")),
    "week": (f"{_YEAR}-W[0-9]{{2}}", lambda text: date.fromisoformat(f"{text}-1")),
    "time": (_HOUR, time.fromisoformat),
    "datetime-local": (f"{_DAY}[T ]{_HOUR}", datetime.fromisoformat),
}
KINDS = frozenset(_FORMS)
"""The types of ``input`` that hold one."""


def written(kind: str, value: str) -> str:
    """A date or time of a kind as it is sent; ``""`` for what is none."""
    form, read = _FORMS[kind]
    if not re.fullmatch(form, value, re.ASCII):
        return ""
    try:
        read(value if kind == "time" else _in_our_years(value))
    except ValueError:
        return ""
    if kind != "datetime-local":
        return value
    day, clock = re.split("[T ]", value)
    return f"{day}T{_shortest(clock)}"


def _in_our_years(value: str) -> str:
    """The same day in a year that Python has: the calendar comes again every 400 years."""
    year, _, rest = value.partition("-")
    if not int(year):
        raise ValueError(value)
    return f"{2000 + int(year) % 400}-{rest}"


def _shortest(clock: str) -> str:
    """Without seconds and parts of them that are zero."""
    if "." in clock:
        clock = clock.rstrip("0").removesuffix(".")
    return clock[:5] if clock[5:] == ":00" else clock
