"""A class with a method for each HTTP method, and who answers which method in general."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from portico.errors import ConfigError

__all__ = ["METHODS", "allowed", "by_method", "check_plain", "has_methods", "instance"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Those that a class may answer by methods of these names in lower case."""

Function = Callable[..., Any]


def has_methods(thing: Any) -> bool:
    """Whether a class, or an object, answers HTTP methods by methods of its own. Not one that can be called:
    the applications of frameworks are, and have decorators of these names."""
    if not isinstance(thing, type) and callable(thing):
        return False
    kind = thing if isinstance(thing, type) else type(thing)
    return any(_takes_request(getattr(kind, name.lower(), None)) for name in METHODS)


def _takes_request(method: Any) -> bool:
    """Whether it is written in Python and takes an argument: ``get`` of a dictionary is something else."""
    return inspect.isfunction(method) and len(inspect.signature(method).parameters) >= 2


def instance(thing: Any) -> Any:
    """The object of a class, made once; an object stays what it is. Raises ``ConfigError``."""
    if not isinstance(thing, type):
        return thing
    try:
        return thing()
    except TypeError as error:
        raise ConfigError(
            f"the class {thing.__name__} cannot be made without arguments ({error}): pass an object of it"
        ) from error


def by_method(thing: Any) -> dict[str, Function]:
    """The methods of an object by HTTP method."""
    found = {name: getattr(thing, name.lower(), None) for name in METHODS}
    return {name: check_plain(method) for name, method in found.items() if callable(method)}


def check_plain(function: Function) -> Function:
    """What may be called with a request. Raises ``ConfigError`` for ``async def`` and what is no function."""
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        raise ConfigError(
            f"{_name(function)} is written with async def; a request handler is a plain function: it may "
            "block, and awaits nothing"
        )
    if not callable(function):
        raise ConfigError(f"{function!r} is no request handler: it cannot be called")
    return function


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__


def allowed(methods: Iterable[str]) -> list[str]:
    """What ``Allow`` says: HEAD where there is GET, and OPTIONS always."""
    known = {*methods, "OPTIONS"}
    if "GET" in known:
        known.add("HEAD")
    return [name for name in METHODS if name in known] + sorted(known.difference(METHODS))
