"""Which elements are wanted: patterns as XSLT has them (XSLT 1.0, 5.2), of names only.

``item``: of that name, wherever it is. ``shop/item``: in a ``shop``. ``/list/item``: in the root, which is a
``list``. ``list//item``: anywhere below one. ``*``: any name. ``{uri}item`` or ``p:item`` with a prefix that
is given: in that namespace; ``{*}item``: in any or none. A name alone is in no namespace, unless the prefix
``""`` or ``None`` is given one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from portico.data.xml.names import FIRST, FURTHER
from portico.errors import ConfigError

__all__ = ["Pattern"]

_STEP = re.compile(r"(//?)?((?:\{[^{}]*\})?[^/{}]+)")
_PLAIN = re.compile(r"\*|[A-Za-z_][A-Za-z0-9_.-]*")
_NAME = f"[{FIRST}][{FURTHER}]*"
"""Any other name of an element. Compiled at first use, which takes a while."""


class Pattern:
    """A pattern, ready to be tried. ``tags``: for lxml's own filter of the last step; ``None``: any element.

    Raises ``ConfigError`` for one that cannot be read.
    """

    def __init__(self, text: str, namespaces: Mapping[str | None, str] | None = None) -> None:
        self.text = text
        self._steps = list(_steps(text, namespaces or {}))
        last = self._steps[-1][1]
        self.tags: str | None = None if last == "*" else last
        self._tests = [(axis, _test(name)) for axis, name in self._steps]
        self.fits: Callable[[Any], bool] = self._anywhere if self._is_name() else self._placed
        """Whether an element has the last name, and stands where the pattern wants it."""

    def _is_name(self) -> bool:
        axis, name = self._steps[0]
        return len(self._steps) == 1 and axis == "//" and "*" not in name

    def _anywhere(self, element: Any) -> bool:
        return bool(element.tag == self.tags)

    def _placed(self, element: Any) -> bool:
        return self._fits(element, len(self._tests) - 1)

    def _fits(self, element: Any, at: int) -> bool:
        if not self._tests[at][1](element.tag):
            return False
        axis = self._tests[at][0]
        if at == 0 and axis == "//":
            return True
        parent = element.getparent()
        if at == 0:
            return parent is None
        if axis == "/":
            return parent is not None and self._fits(parent, at - 1)
        while parent is not None:
            if self._fits(parent, at - 1):
                return True
            parent = parent.getparent()
        return False


def _steps(text: str, namespaces: Mapping[str | None, str]) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (found[1] is None and steps):
            raise ConfigError(f"{text[:100]!r} at {at + 1}: expected names with / or // between them")
        steps.append((found[1] or "//", _name(found[2].strip(), text, namespaces)))
        at = found.end()
    if not steps:
        raise ConfigError("an empty pattern: expected the name of an element")
    return steps


def _name(name: str, text: str, namespaces: Mapping[str | None, str]) -> str:
    prefix, colon, local = name.rpartition("}" if name.startswith("{") else ":")
    if not (_PLAIN.fullmatch(local) or re.fullmatch(_NAME, local)):
        raise ConfigError(f"{text[:100]!r}: {local[:40]!r} is no name of an element, and no pattern")
    if name.startswith("{}"):
        return local
    if name.startswith("{") or name == "*":
        return name
    if not colon:
        uri = namespaces.get(None) or namespaces.get("")
        return f"{{{uri}}}{name}" if uri else name
    if prefix == "*":
        return f"{{*}}{local}"
    if prefix not in namespaces:
        raise ConfigError(f"{text[:100]!r}: pass namespaces= with the URI of prefix {prefix[:40]!r}")
    return f"{{{namespaces[prefix]}}}{local}"


def _test(name: str) -> Callable[[str], bool]:
    if name in ("*", "{*}*"):
        return lambda tag: True
    if name.startswith("{*}"):
        local = name[3:]
        return lambda tag: tag.rpartition("}")[2] == local
    if name.endswith("}*"):
        return lambda tag: tag.startswith(name[:-1])
    return lambda tag: tag == name
