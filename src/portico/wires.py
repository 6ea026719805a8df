"""What the bytes look like: from a handler to what makes a connection of an accepted transport.

Raw streams and datagrams are here; other wires (HTTP) register themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any, Protocol

from portico import late
from portico.engines.contract import Connection
from portico.engines.conversation import AwaitedConversation, Conversation
from portico.engines.datagrams import Deliveries
from portico.errors import ConfigError, ConnectError, ConnectionLost, TLSError
from portico.limits import Limits
from portico.sockets.transport import Transport

__all__ = [
    "Connector",
    "Served",
    "Wire",
    "adapted",
    "claimed_wire",
    "register_adapter",
    "register_wire",
    "report",
    "wires",
]

log = logging.getLogger("portico.server")


class Served(Protocol):
    """What a wire needs of its server."""

    limits: Limits

    @property
    def awaits(self) -> bool: ...


Connector = Callable[[Transport], Connection]
Wire = Callable[[Any, Any], Connector]
"""From a handler and its server to what makes a connection of an accepted transport."""

_WIRES: dict[str, Wire] = {}
_CLAIMS: list[tuple[Callable[[Any], bool], str]] = []
_ADAPTERS: list[Callable[[Any], Any]] = []


def register_wire(name: str, wire: Wire, claims: Callable[[Any], bool] = lambda handler: False) -> None:
    """Make a protocol available: ``name`` is an address's ``wire``; ``claims(handler)`` says whether a
    handler speaks it also on plain stream addresses (``tcp unix memory fd``)."""
    _WIRES[name] = wire
    _CLAIMS.append((claims, name))


def wires() -> dict[str, Wire]:
    """All of them by name, those included that other modules register when they are imported."""
    for module in late.WIRES:
        import_module(module)
    return _WIRES


def claimed_wire(handler: Any) -> str:
    """The wire that a handler speaks on plain stream addresses; raw streams when nobody claims it."""
    wires()
    for claims, name in _CLAIMS:
        if claims(handler):
            return name
    return "stream"


def register_adapter(adapt: Callable[[Any], Any]) -> None:
    """``adapt(handler)`` gives a handler of ours for one of another make, and ``None`` for every other."""
    _ADAPTERS.append(adapt)


def adapted(handler: Any) -> Any:
    """A handler of another make as one of ours, of streams and datagrams; ``None`` for every other.

    It offers ``served_by(server)``, which gives what is called with each of them.
    """
    if not isinstance(handler, type) and hasattr(handler, "served_by"):
        return handler
    wires()
    return next((made for adapt in _ADAPTERS if (made := adapt(handler)) is not None), None)


def _ours(handler: Any, server: Served) -> Any:
    foreign = adapted(handler)
    return handler if foreign is None else foreign.served_by(server)


def _stream_wire(handler: Any, server: Served) -> Connector:
    handler = _ours(handler, server)
    converse = _by_class(handler, server, "stream") if isinstance(handler, type) else handler
    conversation = AwaitedConversation if _awaited(converse, handler, server) else Conversation
    return lambda transport: conversation(transport, converse, server.limits, report)


def report(doing: str, peer: object, error: BaseException) -> None:
    """Log what ended a conversation with ``peer`` before its time."""
    if doing == "handshake" or isinstance(error, (TLSError, ConnectionLost)):
        log.info("%s with %s: %s", doing, peer, error)
    else:
        log.error("the handler of the connection from %s failed: %r", peer, error, exc_info=error)


def _datagram_wire(handler: Any, server: Served) -> Connector:
    handler = _ours(handler, server)
    handle = _by_class(handler, server, "datagram") if isinstance(handler, type) else handler
    awaited = _awaited(handle, handler, server)

    def report(transport: Transport, error: BaseException) -> None:
        if isinstance(error, (ConnectError, ConnectionLost)):
            log.info("the datagram from %s: %s", transport.peer, error)  # who asked has gone
        else:
            log.error("the handler of the datagram from %s failed: %r", transport.peer, error, exc_info=error)

    return Deliveries(handle, report, truncated=getattr(handler, "truncated", False), awaited=awaited)


def _awaited(call: Any, handler: Any, server: Served) -> bool:
    """Whether it is a coroutine's function, which takes an engine with a loop for such."""
    awaited = iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)
    if awaited and not server.awaits:
        name = getattr(handler, "__qualname__", repr(handler))
        raise ConfigError(f'{name} is an async function: serve it with engine="events"')
    return awaited


def _by_class(kind: Any, server: Served, what: str) -> Callable[[Any], Any]:
    """A function of a stream or a datagram that makes an instance for it, and lets that handle it."""
    if not callable(getattr(kind, "handle", None)):
        raise ConfigError(f"the handler class {kind.__name__} has no method handle()")

    def made_for(subject: Any) -> Any:
        handler: Any = kind()
        setattr(handler, what, subject)
        handler.peer, handler.server = subject.peer, server
        getattr(handler, "setup", _nothing)()
        return handler

    def converse(subject: Any) -> None:
        handler = made_for(subject)
        try:
            handler.handle()
        finally:
            getattr(handler, "finish", _nothing)()

    async def converse_awaited(subject: Any) -> None:
        handler = made_for(subject)
        try:
            await handler.handle()
        finally:
            getattr(handler, "finish", _nothing)()

    return converse_awaited if iscoroutinefunction(kind.handle) else converse


def _nothing() -> None:
    pass


register_wire("stream", _stream_wire)
register_wire("datagram", _datagram_wire)
