"""Portico in asyncio programs: the same blocking code, awaited.

``await run(function, …)`` calls any blocking function that waits through Portico, in a greenlet of its own:
the loop goes on while it waits; ``async for item in iterate(…)`` does so for the items that a function gives.
``connect`` and ``listen`` give streams whose methods are coroutines, and ``Server`` serves an ``async def``
handler on the running loop. ``Session`` and ``open`` are the client.
``portico.timeout`` works in coroutines as it does elsewhere, and so do asyncio's own timeouts, task groups
and cancellation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from portico.address import Address
from portico.aio.iterating import iterate
from portico.aio.server import Server
from portico.engines.bridge import result, run
from portico.limits import Limits
from portico.sockets import dial, listener
from portico.sockets.aio_datagram import Datagram
from portico.sockets.aio_stream import Listener, Stream
from portico.sockets.names import Resolver
from portico.sockets.stream import TLSSettings

__all__ = [
    "Datagram",
    "Listener",
    "Response",
    "Server",
    "Session",
    "Stream",
    "connect",
    "iterate",
    "listen",
    "open",
    "result",
    "run",
]

_CLIENT = ("Response", "Session", "open")  # not every program needs it

if TYPE_CHECKING:
    from portico.aio.client import Response, Session, open  # noqa: A004
else:

    def __getattr__(name: str) -> object:
        if name not in _CLIENT:
            raise AttributeError(f"module 'portico.aio' has no attribute {name!r}")
        from portico.aio import client

        globals().update((each, getattr(client, each)) for each in _CLIENT)
        return globals()[name]

    def __dir__() -> list[str]:
        return list({*globals(), *__all__})


async def connect(
    address: Address | str | tuple[str, int] | os.PathLike[str],
    *,
    tls: TLSSettings | bool | None = None,
    server_name: str | None = None,
    local: tuple[str, int] | None = None,
    options: Mapping[Any, Any] | None = None,
    resolve: Resolver | None = None,
) -> Stream:
    """Connect and return the stream; ``async with`` closes it. All else is as in ``portico.connect``."""
    return Stream(
        await run(
            dial.connect,
            address,
            tls=tls,
            server_name=server_name,
            local=local,
            options=options,
            resolve=resolve,
        )
    )


async def listen(
    address: Address | str | tuple[str, int] | os.PathLike[str],
    *,
    tls: TLSSettings | None = None,
    backlog: int = Limits().backlog,
) -> Listener:
    """Listen at an address; ``async with`` closes it. Arguments and errors of ``portico.listen``."""
    return Listener(await run(listener.listen, address, tls=tls, backlog=backlog))
