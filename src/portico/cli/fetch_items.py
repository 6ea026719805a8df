r"""Items of a request, one argument each, in HTTPie's grammar.

======  ==========================================  =======  ==============================
``=``   text of a field, of JSON or a form          ``=@``   the same, read from a file
``:=``  JSON as it stands                           ``:=@``  the same, read from a file
``:``   header field; without a value: not sent     ``:@``   its value, read from a file
``;``   header field that is empty
``==``  parameter of the query                      ``==@``  its value, read from a file
``@``   file of a form; without a name: the body
======  ==========================================  =======  ==============================

The separator that comes first counts, of several the longest. A backslash before one of their characters
takes that away from it: ``a\=b=c`` is the field ``a=b``.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from portico.errors import ConfigError

__all__ = ["Item", "is_item", "parse_item"]

_SPECIAL = re.compile(r"\\([:;=@])|\\\\|(:=@|==@|:=|==|=@|:@|[=:;@])")
"""Two backslashes are two: the second takes nothing away from what follows."""

_ESCAPED = re.compile(r"\\([:;=@])|\\\\")


class Item(NamedTuple):
    """An argument taken apart: ``name``, one of the separators, ``value``; and ``text``, as it was given."""

    name: str
    separator: str
    value: str
    text: str

    @property
    def kind(self) -> str:
        """The separator without its ``@`` for a file, but for that of files."""
        return self.separator if self.separator == "@" else self.separator.removesuffix("@")

    def read(self) -> str:
        """The value, or what is in the file that it names. Raises ``ConfigError``."""
        if self.separator == "@" or not self.separator.endswith("@"):
            return self._plain()
        try:
            text = Path(self.value).expanduser().read_text(encoding="utf-8")
        except UnicodeError:
            raise ConfigError(
                f"item {self.text!r}: {self.value!r} is no text in UTF-8; NAME@FILE sends any file"
            ) from None
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"item {self.text!r}: cannot read {self.value!r}: {why}") from None
        return text.rstrip("\n") if self.kind in (":", "==") else text

    def _plain(self) -> str:
        """The value as it was given: of a field, text, which bytes of a command line may not be."""
        if self.kind in ("=", ":=", "==") and not self.value.isascii():
            try:
                self.value.encode()
            except UnicodeError:
                raise ConfigError(f"item {self.text!r}: it is no text in UTF-8") from None
        return self.value

    def read_json(self) -> Any:
        """The JSON that ``read`` gives. Raises ``ConfigError``."""
        try:
            return json.loads(self.read(), parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"item {self.text!r}: no JSON: {error}") from None


def parse_item(text: str) -> Item:
    """Take an argument apart. Raises ``ConfigError`` for what is no item."""
    name: list[str] = []
    at = 0
    for found in _SPECIAL.finditer(text):
        name.append(text[at : found.start()])
        at = found.end()
        if found[2] is None:
            name.append(found[1] or found[0])
            continue
        value = _ESCAPED.sub(lambda escaped: escaped[1] or escaped[0], text[at:])
        return _checked(Item("".join(name), found[2], value, text))
    raise ConfigError(
        f"item {text!r}: expected NAME=TEXT, NAME:=JSON, HEADER:VALUE, PARAMETER==VALUE or NAME@FILE"
    )


def is_item(text: str) -> bool:
    """Whether an argument can be an item."""
    try:
        parse_item(text)
    except ConfigError:
        return False
    return True


def _checked(item: Item) -> Item:
    if item.separator == ";" and item.value:
        raise ConfigError(f"item {item.text!r}: an empty header is HEADER; and one with a value HEADER:VALUE")
    if not item.name and item.kind in (":", ";"):
        raise ConfigError(f"item {item.text!r}: the name of the header is missing")
    return item


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.40} is too large")
    return number
