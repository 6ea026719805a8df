"""Values as JSON in plain Python: where msgspec is not there, and for what it refuses, to name the place."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any
from uuid import UUID

from portico.data.json.path import Step, path_text
from portico.errors import DataError
from portico.limits import Limits

__all__ = ["DEPTH", "Path", "by_hand"]

Path = tuple[Step, ...]
Inner = Iterator[tuple[Any, Path]]
"""What is in an array or object, with its path, one after the other; what is around it is put meanwhile."""

DEPTH = Limits().json_depth


def by_hand(value: Any, path: Path, *, sort: bool, ascii: bool, indent: int | None) -> bytes:  # noqa: A002
    """The bytes of a value, which is at a path. Raises ``DataError`` with the path of what has no JSON."""
    writer = _Writer(sort, ascii, indent)
    try:
        writer.put(value, path)
        return "".join(writer.parts).encode()
    except UnicodeEncodeError:
        reason = "half a surrogate pair is no character; ascii=True can write it"
        raise DataError(reason, path=path_text(path)) from None


class _Writer:
    def __init__(self, sort: bool, ascii: bool, indent: int | None) -> None:  # noqa: A002
        self.parts: list[str] = []
        self._sort = sort
        self._quoted: Callable[[str], str] = json.JSONEncoder(ensure_ascii=ascii).encode
        self._indent = indent
        self._colon = ":" if indent is None else ": "

    def put(self, value: Any, path: Path) -> None:
        """Without recursion: how deep a value may be is for a limit to say, not for the caller's stack."""
        waiting = [self._begun(value, path, 0)]
        while waiting:
            inner = next(waiting[-1], None)
            if inner is None:
                waiting.pop()
            else:
                waiting.append(self._begun(*inner, len(waiting)))

    def _begun(self, value: Any, path: Path, level: int) -> Inner:
        """Put down what is no array or object; of one that is, what is in it is still to be put."""
        text = self._scalar(value, path)
        if text is not None:
            self.parts.append(text)
            return iter(())
        if isinstance(value, Enum):
            return self._begun(value.value, path, level)
        if level == DEPTH:
            raise DataError(f"it is more than {DEPTH} deep, or contains itself", path=path_text(path[:20]))
        parts = _parts(value)
        if isinstance(parts, Mapping):
            return self._object(parts, path, level + 1)
        if parts is not None:
            return self._array(parts, path, level + 1)
        raise DataError(f"{type(value).__name__} has no JSON", path=path_text(path))

    def _object(self, parts: Mapping[Any, Any], path: Path, level: int) -> Inner:
        pairs = [(self._key(key, path), value) for key, value in parts.items()]
        if self._sort:
            pairs.sort(key=lambda pair: pair[0])
        separator = "{"
        for key, value in pairs:
            self.parts.append(f"{separator}{self._line(level)}{self._quoted(key)}{self._colon}")
            yield value, (*path, key)
            separator = ","
        self.parts.append(f"{self._line(level - 1)}}}" if pairs else "{}")

    def _array(self, parts: Iterable[Any], path: Path, level: int) -> Inner:
        separator = "["
        for index, value in enumerate(parts):
            self.parts.append(f"{separator}{self._line(level)}")
            yield value, (*path, index)
            separator = ","
        self.parts.append("[]" if separator == "[" else f"{self._line(level - 1)}]")

    def _line(self, level: int) -> str:
        return "" if self._indent is None else "\n" + " " * (self._indent * level)

    def _key(self, key: Any, path: Path) -> str:
        if isinstance(key, Enum):
            key = key.value
        if isinstance(key, str):
            return key
        if isinstance(key, float) and not isfinite(key):
            raise DataError(f"a key of an object is {key}, which is no number of JSON", path=path_text(path))
        text = None if key is None or isinstance(key, bool) else self._scalar(key, path)
        if text is None:
            raise DataError(f"a key of an object is {key!r:.40}, which is no text", path=path_text(path))
        return str(json.loads(text)) if text[0] == '"' else text

    def _scalar(self, value: Any, path: Path) -> str | None:
        if isinstance(value, Enum):
            return None
        if isinstance(value, str):
            return self._quoted(value)
        if value is None or isinstance(value, bool):
            return _WORDS[value]
        if isinstance(value, (int, float, Decimal)):
            return _number(value, path)
        for kinds, text_of in _TEXTS:
            if isinstance(value, kinds):
                return self._quoted(text_of(value))
        return None


_WORDS = {None: "null", True: "true", False: "false"}


def _time(value: date | time) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _duration(value: timedelta) -> str:
    """ISO 8601, in days and seconds, as msgspec writes it."""
    sign, size = ("-", -value) if value < timedelta(0) else ("", value)
    fraction = f".{size.microseconds:06}".rstrip("0").rstrip(".")
    seconds = f"T{size.seconds}{fraction}S" if size.seconds or size.microseconds else ""
    days = f"{size.days}D" if size.days or not seconds else ""
    return f"{sign}P{days}{seconds}"


_TEXTS: tuple[tuple[tuple[type, ...], Callable[[Any], str]], ...] = (
    ((datetime, date, time), _time),
    ((timedelta,), _duration),
    ((bytes, bytearray, memoryview), lambda value: b64encode(value).decode("ascii")),
    ((UUID,), str),
)


def _number(value: float | Decimal, path: Path) -> str:
    if not (value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or isfinite(value)):
        raise DataError(f"{value} is no number of JSON", path=path_text(path))
    try:
        return int.__repr__(value) if isinstance(value, int) else _fraction(value)
    except ValueError as error:
        raise DataError(str(error), path=path_text(path)) from None


def _fraction(value: float | Decimal) -> str:
    return float.__repr__(value) if isinstance(value, float) else str(value)


def _parts(value: Any) -> Mapping[Any, Any] | Iterable[Any] | None:
    """What an array or object is made of; ``None``: it is neither."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if hasattr(value, "__struct_fields__"):
        return _of_struct(value)
    if hasattr(value, "__attrs_attrs__"):
        return {each.name: getattr(value, each.name) for each in value.__attrs_attrs__}
    return None


def _of_struct(value: Any) -> Mapping[str, Any] | list[Any]:
    config = value.__struct_config__
    values = [getattr(value, name) for name in value.__struct_fields__]
    if config.array_like:
        return values if config.tag is None else [config.tag, *values]
    tag = {} if config.tag is None else {config.tag_field: config.tag}
    return {**tag, **dict(zip(value.__struct_encode_fields__, values, strict=True))}
