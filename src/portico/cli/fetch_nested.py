r"""JSON out of fields whose names are paths, as HTTPie writes them.

``a[b][]`` is the key ``b`` of the object ``a``, and a new end of the list there; ``a[0]`` is the first of a
list; ``[]`` at the beginning makes the whole document a list. A backslash takes away what a bracket, a
backslash or a number means: ``a\[b\]`` is one key, and ``a[\1]`` the key ``1`` of an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

from portico.errors import ConfigError
from portico.limits import Limits

__all__ = ["nested"]

_TOKEN = re.compile(r"(\[)|(\])|((?:\\.|[^\[\]\\]|\\\Z)+)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\[\]\\])")
_NUMBER = re.compile(r"-?[0-9]+")
_MOST = 10_000
"""The last place in a list: all before it have to be made."""
_DEPTH = Limits().json_depth

Step: TypeAlias = str | int | None
"""A key, a place in a list, or (``None``) its end."""


def nested(fields: Iterable[tuple[str, Any]]) -> Any:
    """The document that ``fields``, paths and values, make; ``None`` without any. Raises ``ConfigError``."""
    holder: list[Any] = [None]  # the document has a place of its own, as everything in it
    for name, value in fields:
        container: Any = holder
        place: Any = 0
        for step in _steps(name):
            container, place = _into(name, container, place, step), step
            if isinstance(container, list):
                place = _room(name, container, step)
        container[place] = value
    return holder[0]


def _into(name: str, container: Any, place: Any, step: Step) -> Any:
    """What stands at ``place``, made there if nothing does, into which ``step`` leads."""
    wanted: type[Any] = dict if isinstance(step, str) else list
    found = container.get(place) if isinstance(container, dict) else container[place]
    if found is None:
        found = container[place] = wanted()
    if not isinstance(found, wanted):
        what = "an object" if wanted is dict else "a list"
        raise ConfigError(f"item {name!r}: {what} is needed where {found!r:.60} stands already")
    return found


def _room(name: str, container: list[Any], step: Step) -> int:
    place = len(container) if step is None else step
    if not isinstance(place, int) or not 0 <= place <= _MOST:
        raise ConfigError(f"item {name!r}: a place in a list is between 0 and {_MOST}")
    container += [None] * (place + 1 - len(container))
    return place


def _steps(name: str) -> list[Step]:
    """The path that a name is. Raises ``ConfigError``."""
    tokens = [found[0] for found in _TOKEN.finditer(name)]
    steps: list[Step] = []
    if not tokens or tokens[0] != "[":
        steps.append(_key(tokens.pop(0), root=True) if tokens and tokens[0] != "]" else "")
    while tokens:
        if tokens[0] != "[" or len(tokens) < 2:
            raise _unclear(name)
        inside = tokens[1]
        if inside == "]":
            steps.append(None)
            del tokens[:2]
        elif inside != "[" and tokens[2:3] == ["]"]:
            steps.append(_key(inside))
            del tokens[:3]
        else:
            raise _unclear(name)
    if name[:1] == "[" and isinstance(steps[0], str):
        raise _unclear(name)
    if len(steps) > _DEPTH:
        raise ConfigError(f"item {name[:40]!r}…: a path has {_DEPTH} steps at the most")
    return steps


def _key(text: str, *, root: bool = False) -> str | int:
    if _NUMBER.fullmatch(text):
        return text if root else int(text[:20])
    if text[0] == "\\" and _NUMBER.fullmatch(text[1:]):
        return text[1:]
    return _ESCAPE.sub(r"\1", text)


def _unclear(name: str) -> ConfigError:
    return ConfigError(
        rf"item {name!r}: brackets are a path, as in a[b][]; write \[ and \] for those of a name"
    )
