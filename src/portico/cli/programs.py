"""``module:name`` to the object behind it, with errors that name the line to look at.

After the colon stands a name, dotted or not (``shop.wsgi:site.app``), or a call of one with literal
arguments (``shop:make_app("debug", size=2)``), for applications that a function makes.
"""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import sys
import traceback
from difflib import get_close_matches
from types import ModuleType
from typing import Any, NamedTuple

from portico.errors import ConfigError

__all__ = ["is_program", "load", "told"]

_MANY = 8


class _Wanted(NamedTuple):
    """What an expression asks for: a dotted name, and the arguments when it is a call."""

    names: list[str]
    call: tuple[list[Any], dict[str, Any]] | None


def is_program(text: str) -> bool:
    """Whether ``text`` is written as ``module:name``; nothing is imported."""
    module, colon, rest = text.partition(":")
    return bool(colon and rest) and _is_module(module)


def load(program: str) -> Any:
    """The object ``module:name`` stands for. The current folder is importable, as for ``python -m``.

    Raises ``ConfigError`` in one line: what is missing, what resembles it, where the code failed.
    """
    module_name, _, expression = program.partition(":")
    if not expression:
        raise ConfigError(f"{program!r} lacks a name; write module:name, as in {module_name}:app")
    if not _is_module(module_name):
        raise ConfigError(f"{program!r}: {module_name!r} is no module's name; {_module_advice(module_name)}")
    wanted = _read(program, expression)
    value: Any = _imported(module_name)
    for name in wanted.names:
        value = _attribute(value, name, module_name)
    return value if wanted.call is None else _called(value, wanted.call, program)


def _is_module(text: str) -> bool:
    """Whether it is written as a module is; ``shop.py``, which nobody means so, is a file."""
    return not text.endswith(".py") and all(part.isidentifier() for part in text.split("."))


def _module_advice(name: str) -> str:
    if name.endswith(".py"):
        dotted = name.removesuffix(".py").replace("/", ".")
        return f"leave out .py, as in {dotted}:app"
    return "write it as in an import statement, with dots"


# -- the expression


def _read(program: str, expression: str) -> _Wanted:
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        if isinstance(tree, ast.Call):
            return _Wanted(_dotted(tree.func), _arguments(tree))
        return _Wanted(_dotted(tree), None)
    except (SyntaxError, ValueError):
        raise ConfigError(
            f"{program!r}: expected a name after the colon, or a call with plain values, as in "
            'app, site.app or make_app("debug")'
        ) from None


def _dotted(tree: ast.expr) -> list[str]:
    if isinstance(tree, ast.Attribute):
        return [*_dotted(tree.value), tree.attr]
    if isinstance(tree, ast.Name):
        return [tree.id]
    raise ValueError("not a name")


def _arguments(call: ast.Call) -> tuple[list[Any], dict[str, Any]]:
    named = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise ValueError("** is not a plain value")
        named[keyword.arg] = ast.literal_eval(keyword.value)
    return [ast.literal_eval(argument) for argument in call.args], named


# -- the module


def _imported(name: str) -> ModuleType:
    here = os.getcwd()
    if sys.path[:1] not in ([""], [here]):
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(_no_module(error.name, str(error), here)) from error
        raise ConfigError(f"cannot import {name}: {told(error)}") from error


def _no_module(name: str, reason: str, here: str) -> str:
    if "not a package" in reason:
        return f"{reason[:1].lower()}{reason[1:]}"
    parent, _, last = name.rpartition(".")
    folder = os.path.join(here, *parent.split(".")) if parent else here
    known = [found.name for found in pkgutil.iter_modules([folder])]
    return f"there is no module {name!r} in {here} or among the installed ones{_resembling(last, known)}"


def _attribute(owner: Any, name: str, module: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        if isinstance(owner, ModuleType):
            where, known = f"the module {module}", _own_callables(owner)
        else:
            where, known = f"the {type(owner).__name__} in {module}", []
        names = [each for each in dir(owner) if not each.startswith("_")]
        hint = _resembling(name, names) or (f"; there are: {', '.join(known[:_MANY])}" if known else "")
        raise ConfigError(f"{where} has no {name!r}{hint}") from error


def _own_callables(module: ModuleType) -> list[str]:
    """What a module makes itself and could be served, not what it imports."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and _made_in(value, module.__name__)
    ]


def _made_in(value: Any, module: str) -> bool:
    try:
        if isinstance(value, type) or hasattr(value, "__qualname__"):
            return getattr(value, "__module__", None) == module
    except RuntimeError:
        return False  # a proxy, such as flask.request, whose object is not there now
    return True  # an object: somebody bound it to this name


def _resembling(name: str, known: list[str]) -> str:
    spelled = {each.lower(): each for each in known}
    near = [spelled[each] for each in get_close_matches(name.lower(), spelled, n=3)]
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def _called(function: Any, call: tuple[list[Any], dict[str, Any]], program: str) -> Any:
    if not callable(function):
        raise ConfigError(f"{program}: a {type(function).__name__} cannot be called; leave out the brackets")
    try:
        return function(*call[0], **call[1])
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{program} failed: {told(error)}") from error


# -- what went wrong in somebody else's code


def told(error: BaseException) -> str:
    """An exception in one line: its kind, its words, and the line that raised it."""
    words = error.msg if isinstance(error, SyntaxError) else str(error)
    place = _place(error)
    return type(error).__name__ + (f": {words}" if words else "") + (f" ({place})" if place else "")


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_short(error.filename)}, line {error.lineno}"
    ours = {__file__, importlib.__file__}
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen ")
    ]
    return f"{_short(frames[-1].filename)}, line {frames[-1].lineno}" if frames else ""


def _short(file: str) -> str:
    """As seen from the current folder, where it is below it."""
    here = os.path.join(os.getcwd(), "")
    return file.removeprefix(here)
