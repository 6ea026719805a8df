"""Functions of a request and of the parameters of their route."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from portico.errors import ConfigError

__all__ = ["taken"]


def taken(function: Any, names: Collection[str], where: str) -> frozenset[str] | None:
    """Which of the route's parameters a function takes beside the request; ``None``: all, by ``**``.

    Raises ``ConfigError`` for a function that takes no request, or needs what the route does not have.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C: it gets the request alone
        return frozenset()
    first = parameters[0] if parameters else None
    if first is None or first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD):
        raise ConfigError(f"{where}: {_name(function)} takes no request")
    others = parameters[1:]
    if any(each.kind is each.VAR_KEYWORD for each in others):
        return None
    by_name = {
        each.name: each for each in others if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }
    needed = [
        each.name
        for each in others
        if each.default is each.empty and each.kind is not each.VAR_POSITIONAL and each.name not in names
    ]
    if needed:
        raise ConfigError(
            f"{where}: {_name(function)} needs {', '.join(needed)}, which the path does not have"
        )
    return frozenset(name for name in by_name if name in names)


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
