"""From ``module:name`` to what can be served: a gateway, a WSGI application, a handler of streams."""

from __future__ import annotations

from typing import Any

from portico.cli.programs import load, told
from portico.errors import ConfigError
from portico.web.gateways import as_gateway, is_gateway, kind_of

__all__ = ["make_program"]


def make_program(kind: str, where: str) -> Any:
    """What ``where`` stands for, as a ``kind`` (``wsgi handler``), or as what it is found to be
    (``program``): a gateway, or a handler. Imports its module. Raises ``ConfigError``."""
    value = load(where)
    if kind == "program":
        try:
            return _found_out(where, value)
        except ConfigError:
            raise
        except Exception as error:  # an object that does not let itself be looked at: a proxy of nothing
            raise ConfigError(f"cannot tell what {where} is: {told(error)}") from error
    if not callable(value):
        raise ConfigError(_not_callable(where, value))
    if kind == "handler":
        _check_handler(where, value)
    elif kind_of(value) == "asgi":
        as_gateway(value, where)  # raises, and says what to do
    return value


def _check_handler(where: str, value: Any) -> None:
    if isinstance(value, type) and kind_of(value) != "handler":
        raise ConfigError(f"{where} is a class without a method handle(), which a handler needs")
    if kind_of(value) == "asgi":
        raise ConfigError(f"{where} is written with async def; a handler of streams is a plain function")


def _found_out(where: str, value: Any) -> Any:
    if is_gateway(value):
        return value
    kind = kind_of(value)
    if kind == "handler":
        return value
    if kind:
        return as_gateway(value, where)
    if not callable(value):
        raise ConfigError(_not_callable(where, value))
    advice = f"wsgi:{where} or handler:{where} says what it is"
    if not where.endswith(")"):
        advice += f", {where}() serves what it makes"
    raise ConfigError(f"cannot tell what {where} is by its parameters: {advice}")


def _not_callable(where: str, value: Any) -> str:
    kind = "None" if value is None else f"of type {type(value).__name__}"
    return f"{where} is {kind}, not callable: name a WSGI application or a function of a stream"
