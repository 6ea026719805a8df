"""Values as the text of a CSV field."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from portico.data.json.depth import deeper
from portico.limits import Limits

__all__ = ["PLAIN", "text_of", "without_formula"]

PLAIN = frozenset((str, int, float, type(None)))
"""What the csv module writes as it should be: floats with all their digits, ``None`` as nothing."""

_DEPTH = Limits().json_depth
_NUMBER = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?[0-9]+)?")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""How a field begins that spreadsheets may run (OWASP, CSV Injection), also in the wide form of Asia."""


def text_of(value: Any) -> Any:
    """A value that is not ``PLAIN`` as one that is. Dates are in ISO 8601, truth is ``true`` or ``false``, an
    ``Enum`` is its value, what has parts is JSON, bytes are text in UTF-8. Raises ``ValueError``."""
    if isinstance(value, enum.Enum):
        return value.value if type(value.value) in PLAIN else text_of(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8")
    if isinstance(value, (dict, list, tuple)):
        return _json(value)
    return str(value)


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    except RecursionError:
        text = None
    if text is None or deeper(text, _DEPTH):  # interpreters differ in what they bear
        raise ValueError(f"lists and dicts in each other, too deep for JSON: more than {_DEPTH}")
    return text


def without_formula(value: Any) -> Any:
    """What a spreadsheet takes for a formula, with an apostrophe before it; a number is none."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


Cells = Callable[[list[Any]], list[Any]]


def cells(escape_formulas: bool) -> Cells:
    """What makes ``PLAIN`` values of all in a row."""
    if escape_formulas:
        return lambda row: [without_formula(v if v.__class__ in PLAIN else text_of(v)) for v in row]
    return lambda row: [v if v.__class__ in PLAIN else text_of(v) for v in row]
