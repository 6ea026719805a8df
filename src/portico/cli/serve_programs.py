"""From ``module:name`` to what can be served: a gateway, an application, a handler of requests or streams."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from portico.cli.programs import load, told
from portico.errors import ConfigError
from portico.web.gateways import is_served, speaks_http
from portico.web.handlers.app import App
from portico.web.kinds import as_gateway, is_asgi, kind_of

__all__ = ["is_http_class", "make_program"]


def make_program(kind: str, where: str, wire: str = "") -> Any:
    """What ``where`` stands for, as a ``kind`` (``wsgi app handler``), or as what it is found to be
    (``program``): a gateway, or a handler. ``wire``: the one that is spoken, where that is known already.
    Imports its module. Raises ``ConfigError``."""
    value = load(where)
    if kind == "program":
        try:
            return _found_out(where, value, wire)
        except ConfigError:
            raise
        except Exception as error:  # an object that does not let itself be looked at: a proxy of nothing
            raise ConfigError(f"cannot tell what {where} is: {told(error)}") from error
    if kind == "app":
        return value if is_served(value) else App(value, name=where)
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
    if is_asgi(value):
        as_gateway(value, where)  # raises, and says what to do


def _found_out(where: str, value: Any, wire: str) -> Any:
    if is_served(value):
        return value
    kind = kind_of(value)
    if kind == "handler" or (wire == "stream" and _may_handle_streams(kind, value)):
        return value
    if kind == "function" and not wire:
        raise ConfigError(
            f"cannot tell whether {where} is a function of a request or of a stream: "
            f"app:{where} or handler:{where} says what it is"
        )
    if kind:
        return as_gateway(value, where)
    if not callable(value):
        raise ConfigError(_not_callable(where, value))
    advice = f"wsgi:{where}, app:{where} or handler:{where} says what it is"
    if not where.endswith(")"):
        advice += f", {where}() serves what it makes"
    raise ConfigError(f"cannot tell what {where} is by its parameters: {advice}")


def _may_handle_streams(kind: str, value: Any) -> bool:
    """Whether the address may tell that it does: a function of one argument."""
    return not is_asgi(value) if kind == "asgi" else kind in ("app", "function") and not speaks_http(value)


def _not_callable(where: str, value: Any) -> str:
    kind = "None" if value is None else f"of type {type(value).__name__}"
    return f"{where} is {kind}, not callable: name a WSGI application, or a function of a request or a stream"


def is_http_class(value: Any) -> bool:
    """Whether it is a handler class of ``http.server``, which is not imported to find that out."""
    module = sys.modules.get("http.server")
    kind = value.func if isinstance(value, partial) else value
    return module is not None and isinstance(kind, type) and issubclass(kind, module.BaseHTTPRequestHandler)
