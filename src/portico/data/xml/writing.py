"""Records written as XML, one by one: the mapping of ``xml.dicts``, the other way round."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from portico.data.sinks import Sink
from portico.data.xml.names import FIRST, FURTHER
from portico.errors import ConfigError, DataError

__all__ = ["write_xml"]

_NAME = f"(?:([{FIRST}][{FURTHER}]*):)?[{FIRST}][{FURTHER}]*"
"""A name with or without a prefix (Namespaces in XML, 4). Compiled at first use, which takes a while."""
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no document can have, escaped or not (XML 1.0, 2.2)."""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_IN_ATTRIBUTE = _ESCAPES | str.maketrans({'"': "&quot;", "\t": "&#9;", "\n": "&#10;"})
_SPECIAL = re.compile(f"[&<>\r]|{_NO_CHARACTER.pattern}")
"""What a text may have that cannot be written as it is: most have nothing of it."""
_DEPTH = 200
"""Levels of a record: more would not be read again."""


def write_xml(
    records: Iterable[Any],
    sink: Sink,
    root: str = "records",
    record: str = "record",
    *,
    namespaces: Mapping[str | None, str] | None = None,
    attribute: str = "@",
    text: str = "#text",
) -> None:
    """Write each record, a mapping (or dataclass, or ``Struct``), as an element ``record`` in a ``root``.

    Values are texts, numbers, truth values, dates and times, ``None`` (an empty element), mappings, and
    lists, which repeat the element. ``namespaces``: URIs by prefix, for names such as ``p:item``.

    Raises ``DataError`` with the path of a name that is none in XML, of a control character, and of a value
    of another type.
    """
    writer = _Writer(sink, dict(namespaces or {}), attribute, text)
    writer.begin(root, record)
    for number, each in enumerate(records):
        writer.record(record, _plain(each), f"$[{number}]")
    sink.write(f"</{root}>\n")


class _Writer:
    def __init__(self, out: Sink, namespaces: dict[str | None, str], attribute: str, text: str) -> None:
        self._out = out
        self._name = out.name
        self._namespaces = namespaces
        self._attribute = attribute
        self._text = text
        self._known: set[str] = set()
        self._parts: list[str] = []  # of one record
        # Whether what is known to be the name of an element says of a key that it is no attribute or text.
        self._apart = not any(re.match(f"[{FURTHER}]", word) for word in (attribute, text))

    def begin(self, root: str, record: str) -> None:
        """What stands before the records. Raises ``ConfigError`` for names that are none."""
        try:
            for name in (root, record, *(f"{p}:x" for p in self._namespaces if p)):
                self._check_name(name, "")
        except DataError as error:
            raise ConfigError(error.reason) from None
        declared = "".join(
            f' {f"xmlns:{prefix}" if prefix else "xmlns"}="{self._escaped(uri, "", _IN_ATTRIBUTE)}"'
            for prefix, uri in self._namespaces.items()
        )
        self._out.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{declared}>\n')

    def record(self, name: str, value: Any, path: str) -> None:
        """A record, in a line of its own."""
        self._element(name, value, path, 1)
        self._parts.append("\n")
        self._out.write("".join(self._parts))
        self._parts.clear()

    def _element(self, name: str, value: Any, path: str, depth: int) -> None:
        """An element; of a list, one for each."""
        if depth > _DEPTH:
            raise DataError(f"more than {_DEPTH} levels", self._name, path=path[:100])
        if isinstance(value, (list, tuple)):
            for number, each in enumerate(value):
                if isinstance(each, (list, tuple)):
                    raise DataError("a list within a list has no name of its own", self._name, path=path)
                self._element(name, _plain(each), f"{path}[{number}]", depth)
        elif isinstance(value, Mapping):
            self._mapping(name, value, path, depth)
        else:
            content = "" if value is None else self._escaped(self._scalar(value, path), path, _ESCAPES)
            self._parts.append(f"<{name}>{content}</{name}>" if content else f"<{name}/>")

    def _mapping(self, name: str, value: Mapping[Any, Any], path: str, depth: int) -> None:
        attributes, children, content = [], [], ""
        for key, each in value.items():
            if self._apart and key in self._known:
                children.append((key, each))
            elif key == self._text:
                at = f"{path}.{key}"
                content = self._escaped(self._scalar(each, at), at, _ESCAPES) if each is not None else ""
            elif isinstance(key, str) and self._attribute and key.startswith(self._attribute):
                if each is not None:
                    attributes.append(self._one_attribute(key[len(self._attribute) :], each, f"{path}.{key}"))
            else:
                self._check_name(key, f"{path}.{key}")
                children.append((key, each))
        put = self._parts.append
        put(f"<{name}{''.join(attributes)}>{content}")
        for key, each in children:
            if type(each) is str and depth < _DEPTH and _SPECIAL.search(each) is None:
                put(f"<{key}>{each}</{key}>" if each else f"<{key}/>")
            else:
                self._element(key, _plain(each), f"{path}.{key}", depth + 1)
        put(f"</{name}>")

    def _one_attribute(self, name: str, value: Any, path: str) -> str:
        self._check_name(name, path)
        return f' {name}="{self._escaped(self._scalar(value, path), path, _IN_ATTRIBUTE)}"'

    def _check_name(self, name: Any, path: str) -> None:
        if name in self._known:
            return
        found = re.fullmatch(_NAME, name) if isinstance(name, str) else None
        if found is None or name == "xmlns" or found[1] == "xmlns":
            raise DataError(f"{name!r:.60} is no name of XML", self._name, path=path[:100])
        if found[1] is not None and found[1] != "xml" and found[1] not in self._namespaces:
            reason = f"prefix {found[1][:40]!r} has no namespace; pass namespaces="
            raise DataError(reason, self._name, path=path[:100])
        if len(self._known) < 10_000:
            self._known.add(name)

    def _scalar(self, value: Any, path: str) -> str:
        if isinstance(value, str):
            return value
        for kinds, written in _SCALARS:
            if isinstance(value, kinds):
                return written(value)
        raise DataError(
            f"a value of type {type(value).__name__} cannot be written", self._name, path=path[:100]
        )

    def _escaped(self, text: str, path: str, escapes: dict[int, str]) -> str:
        wrong = _NO_CHARACTER.search(text)
        if wrong is not None:
            raise DataError(
                f"character U+{ord(wrong[0]):04X} cannot stand in XML", self._name, path=path[:100]
            )
        return text.translate(escapes)


_SCALARS: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (bool, lambda value: "true" if value else "false"),
    ((int, Decimal, UUID), str),
    (float, repr),
    ((datetime, date, time), lambda value: value.isoformat()),
    (Enum, lambda value: str(value.value)),
)


def _plain(value: Any) -> Any:
    """A dataclass, or a ``Struct`` of msgspec, as a mapping."""
    if isinstance(value, type):
        return value
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    names = getattr(type(value), "__struct_fields__", None)
    if names is not None:
        encoded = type(value).__struct_encode_fields__
        return {key: getattr(value, name) for key, name in zip(encoded, names, strict=True)}
    return value
