"""Records of any kind as fields with texts, for those who show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from typing import Any

from portico.data.columns import column_name

__all__ = ["fields_of", "shown"]


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a record: a mapping, a dataclass, a ``Struct`` of msgspec, a named tuple, a sequence
    (``column_1``, ``column_2``), or one value (``value``)."""
    if isinstance(record, Mapping):
        return {name if isinstance(name, str) else str(name): value for name, value in record.items()}
    names = getattr(record, "__struct_fields__", None) or getattr(record, "_fields", None)
    if is_dataclass(record) and not isinstance(record, type):
        names = [each.name for each in dataclass_fields(record)]
    if names is not None:
        return {name: getattr(record, name) for name in names}
    if isinstance(record, (list, tuple)):
        return {column_name(number): value for number, value in enumerate(record, 1)}
    return {"value": record}


def shown(value: Any) -> str:
    """A value as text: nothing for ``None``, JSON for what has parts and for truth, bytes as far as they are
    text."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (dict, list, tuple, bool)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
