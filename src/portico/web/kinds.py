"""What a user has, an application, a function, a class, and the gateway for it."""

from __future__ import annotations

import inspect
from functools import partial
from os import PathLike
from typing import Any

from portico.errors import ConfigError
from portico.http.exchange import Gateway
from portico.web.handlers.app import App
from portico.web.handlers.methods import check_plain, has_methods
from portico.web.wsgi import WSGI

__all__ = ["as_gateway", "is_asgi", "is_gateway", "kind_of", "speaks_http"]


def is_gateway(handler: Any) -> bool:
    """Whether ``handler`` is a gateway already."""
    return callable(handler) and not isinstance(handler, type) and callable(getattr(handler, "streams", None))


def as_gateway(handler: Any, name: str = "") -> Gateway:
    """A gateway for a gateway, a WSGI application, or a request handler: a function of a request, a class
    with ``get``, ``post`` ….

    Raises ``ConfigError`` for anything else.
    """
    if is_gateway(handler):
        gateway: Gateway = handler
        return gateway
    kind = kind_of(handler)
    if kind == "wsgi":
        return WSGI(handler, name=name)
    if kind in ("app", "function"):
        return App(handler, name=name)
    if kind == "asgi" and not is_asgi(handler):
        check_plain(handler)  # raises, and says why
    if kind == "asgi":
        raise ConfigError(
            f"{name or handler!r} is an ASGI application, which this version cannot serve; wrap it for WSGI "
            "(for example with a2wsgi)"
        )
    if kind == "handler":
        raise ConfigError(
            f"{name or handler!r} is a handler of streams: serve it on tcp://, tls:// or unix: addresses; "
            "a request handler is called with a request"
        )
    if isinstance(handler, (str, PathLike)):
        text = repr(str(handler))
        raise ConfigError(
            f"{text} is no web application; a folder or file is served by portico.web.static.Static({text})"
        )
    raise ConfigError(
        f"{name or handler!r} is no web application: expected app(environ, start_response), app(request), "
        "a class with get(request), post(request) …, or a gateway"
    )


def is_asgi(handler: Any) -> bool:
    """Whether ``handler`` is an ASGI application. A coroutine's function of one argument is none."""
    if is_gateway(handler) or kind_of(handler) != "asgi":
        return False
    return not inspect.isroutine(handler) or len(_required(handler) or ()) != 1


def kind_of(handler: Any) -> str:
    """What something is, as far as it tells by itself.

    ``wsgi``; ``asgi``; ``app``: a request handler; ``handler``: of streams or datagrams (a class with
    ``handle``, a parameter called ``stream``); ``function``: of one argument, which the address has to tell;
    or ``""``. An annotation (``Request``, ``Stream``) tells more than a parameter's name.
    """
    if isinstance(handler, type):
        return _kind_of_class(handler)
    if isinstance(handler, partial) and isinstance(handler.func, type) and hasattr(handler.func, "handle"):
        return "handler"  # as SimpleHTTPRequestHandler is told its folder
    if not callable(handler):
        return "app" if has_methods(handler) else ""
    plain = inspect.isroutine(handler) or isinstance(handler, partial)
    call = handler if plain else getattr(handler, "__call__", handler)  # noqa: B004
    required = _required(call)
    if inspect.iscoroutinefunction(call):
        streams = required is not None and [_kind_of_parameter(each) for each in required] == ["handler"]
        return "handler" if streams else "asgi"
    if required is None:
        return "wsgi"  # written in C, or hidden behind *args: the commonest kind
    if len(required) == 1:
        return _kind_of_parameter(required[0])
    return {2: "wsgi", 3: "asgi"}.get(len(required), "")


def _kind_of_class(kind: type) -> str:
    if callable(getattr(kind, "handle", None)):
        return "handler"
    if hasattr(kind, "__iter__"):
        # PEP 3333's own example of a class: its instances are the answers.
        required = _required(kind)
        return "wsgi" if required is not None and len(required) == 2 else ""
    return "app" if has_methods(kind) else ""


def _kind_of_parameter(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    told = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    last = told.strip("\"'").rpartition(".")[2]
    if parameter.annotation is not parameter.empty:
        if last == "Request":
            return "app"
        if last in ("Stream", "Datagram"):
            return "handler"
    if parameter.name in _OF_REQUESTS:
        return "app"
    return "handler" if parameter.name in _OF_STREAMS else "function"


_OF_REQUESTS = ("request", "req")
_OF_STREAMS = ("stream", "datagram", "conn", "connection", "sock", "socket", "client", "peer")


def speaks_http(handler: Any) -> bool:
    """Whether a handler speaks HTTP also where the address does not say so: a gateway, a WSGI application of
    two arguments (no handler of streams has them), a class with ``get``, ``post`` …, a function whose
    argument is annotated ``Request``. A mere name does not do it."""
    if is_gateway(handler):
        return True
    kind = kind_of(handler)
    required = _required(handler) or []
    if kind == "wsgi":
        return len(required) == 2 and required[0].name not in _OF_STREAMS
    if kind != "app":
        return False
    if isinstance(handler, type) or not callable(handler):
        return True
    return [_kind_of_parameter(each.replace(name="other")) for each in required] == ["app"]


def _required(call: Any) -> list[inspect.Parameter] | None:
    """The positional arguments that a callable wants; ``None`` where it cannot be told."""
    try:
        # What a wrapper takes, not what it wraps: werkzeug's applications wrap a function of a request.
        parameters = inspect.signature(call, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return None
    return [
        each
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
    ]
