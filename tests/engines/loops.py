"""Asyncio's own loop and uvloop's, and how tests run on them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from portico import Stream
from portico.sockets.transport import Waitable

__all__ = ["LOOPS", "SECONDS", "Run", "run_on", "started", "streams"]

Run = Callable[[Coroutine[Any, Any, Any]], Any]
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
SECONDS = 20.0

uvloop.new_event_loop().close()  # the descriptors that libuv opens once, and keeps, are no leak


def run_on(kind: str, main: Coroutine[Any, Any, Any]) -> Any:
    """As asyncio.run() does; on asyncio's own loop with everything that debug mode checks."""

    async def within() -> Any:
        async with asyncio.timeout(SECONDS):
            return await main

    with asyncio.Runner(loop_factory=LOOPS[kind], debug=kind == "asyncio") as runner:
        runner.get_loop().slow_callback_duration = 5  # the machine is shared
        return runner.run(within())


def streams() -> tuple[Stream, Stream]:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    return near, far


async def started(target: Waitable) -> None:
    """Until somebody waits for it."""
    while not target.waiters:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
