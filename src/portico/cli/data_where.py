"""``--where``: an expression of a record's fields, which can do nothing but say yes or no.

::

    price > 10 and name.startswith("a")
    r["unit price"] <= 3 or not has("price")

What is text in a record (as all of CSV is) is compared with a number as a number, where it is one.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from importlib import import_module
from typing import Any

from portico.errors import ConfigError, DataError

__all__ = ["Where"]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_NOTHING = (None, "")
_METHODS = frozenset(
    [
        *("casefold", "count", "endswith", "find", "isalpha", "isdigit", "lower"),
        *("removeprefix", "removesuffix", "split", "startswith", "strip", "upper"),
    ]
)
"""Of text: what can neither change anything nor make much of little."""
_LONGEST = 2000
"""Characters of an expression: what people write by hand is shorter; deeply nested ones exhaust the stack."""


class Where:
    """Whether records are wanted. Raises ``ConfigError`` for what is no expression."""

    def __init__(self, text: str) -> None:
        try:
            simpleeval: Any = import_module("simpleeval")
        except ImportError:
            raise ConfigError("--where takes simpleeval: pip install 'portico[data]'") from None
        self._text = text
        self._library = simpleeval
        self._record: Mapping[str, Any] = {}
        operators = {**simpleeval.DEFAULT_OPERATORS}
        operators |= {kind: _by_number(compare) for kind, compare in _COMPARISONS.items()}
        operators[ast.In] = _contains
        operators[ast.NotIn] = lambda one, many: not _contains(one, many)
        operators |= {ast.Mult: _of_numbers(operator.mul), ast.Mod: _of_numbers(operator.mod)}
        for kind in (ast.Pow, ast.LShift, ast.RShift):
            del operators[kind]
        self._machine: Any = simpleeval.EvalWithCompoundTypes(
            operators=operators,
            names=self._name,
            functions={"has": self._has, "len": len, "number": _number, "text": str, "abs": abs},
            allowed_attrs={str: _METHODS},
        )
        for node in (ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp, ast.JoinedStr):
            self._machine.nodes.pop(node, None)
        self._parsed = self._read(text.strip())

    def _read(self, text: str) -> Any:
        if len(text) > _LONGEST:
            raise ConfigError(f"--where: an expression of more than {_LONGEST} characters")
        try:
            return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            said = getattr(error, "msg", None) or str(error)
            raise ConfigError(f"--where {text!r}: no expression: {said}") from None

    def __call__(self, record: Any) -> bool:
        """Whether this one is wanted. Raises ``DataError`` where that cannot be said of it."""
        if not isinstance(record, Mapping):
            record = {"value": record}
        self._record = record
        try:
            return bool(self._machine.eval(self._text, previously_parsed=self._parsed))
        except self._library.AttributeDoesNotExist as error:
            raise ConfigError(f"--where {self._text!r}: text has no {error.attr}() here") from None
        except (self._library.OperatorNotDefined, RecursionError) as error:
            raise ConfigError(
                f"--where {self._text!r}: it may compare, add, multiply, and, or, not"
            ) from error
        except self._library.FeatureNotAvailable as error:
            hint = '; a field within a field is r["a"]["b"]' if "attribute access" in str(error) else ""
            raise ConfigError(f"--where {self._text!r}: {error}{hint}") from None
        except self._library.InvalidExpression as error:
            raise ConfigError(f"--where {self._text!r}: {error}") from None
        except DataError:
            raise
        except (KeyError, IndexError) as error:
            raise DataError(f"--where {self._text!r}: there is no {error.args[0]!r} in it") from None
        except TypeError as error:
            hint = "number(field) makes nothing of what is no number"
            raise DataError(f"--where {self._text!r}: {error}; {hint}") from None
        except Exception as error:  # noqa: BLE001  (whatever its values do to each other)
            raise DataError(f"--where {self._text!r}: {error}") from None

    def _name(self, node: ast.Name) -> Any:
        if node.id in self._record:
            return self._record[node.id]
        if node.id == "r":
            return self._record
        known = ", ".join(map(str, list(self._record)[:8]))
        raise DataError(f"a record has no field {node.id!r} (it has {known})")

    def _has(self, name: str) -> bool:
        return self._record.get(name) not in _NOTHING


def _by_number(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A comparison in which text is a number where the other side is one."""

    def compared(left: Any, right: Any) -> Any:
        if isinstance(left, str) and _is_number(right):
            left = _number(left, left)
        elif isinstance(right, str) and _is_number(left):
            right = _number(right, right)
        if compare not in (operator.eq, operator.ne) and (left in _NOTHING or right in _NOTHING):
            return False  # it is neither more nor less
        return compare(left, right)

    return compared


def _of_numbers(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operation on numbers alone: of a short text or list it would make a very long one."""

    def computed(left: Any, right: Any) -> Any:
        if not isinstance(left, (int, float, Decimal)) or not isinstance(right, (int, float, Decimal)):
            raise TypeError("only numbers can be multiplied and divided")
        return compute(left, right)

    return computed


def _contains(one: Any, many: Any) -> bool:
    if isinstance(many, (list, tuple, set, frozenset)):
        equal = _by_number(operator.eq)
        return any(equal(one, each) for each in many)
    return bool(one in many)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(text: Any, otherwise: Any = None) -> Any:
    """``number(x)``: what a text says, or ``None``."""
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return otherwise
