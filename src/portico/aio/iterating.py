"""What a blocking function gives, item by item, awaited."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import AsyncGenerator, Callable, Iterable
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from portico.engines.bridge import run

__all__ = ["iterate"]

P = ParamSpec("P")
T = TypeVar("T")

_TURN = 0.005
"""Seconds of work after which the loop has a turn, if nothing was waited for."""


async def iterate(
    function: Callable[P, Iterable[T]], *args: P.args, **kwargs: P.kwargs
) -> AsyncGenerator[T, None]:
    """What ``function(*args, **kwargs)`` gives, item by item: the loop goes on while it waits, and now and
    then while it does not.

    ::

        async for record in aio.iterate(portico.data.read, url):
            ...

    Raises what the function and its iterable raise. Who stops before the end closes the iterable, as with any
    asynchronous generator: at once with ``contextlib.aclosing``, else when the loop comes round to it.
    """
    missing: Any = object()
    found = await run(lambda: iter(function(*args, **kwargs)))
    turn = monotonic() + _TURN
    try:
        while (item := await run(next, found, missing)) is not missing:
            yield item
            if monotonic() >= turn:
                await sleep(0)
                turn = monotonic() + _TURN
    finally:
        close = getattr(found, "close", None)
        if close is not None:
            close()
