"""``async def`` handlers, served on the loop that runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from portico.address import Address
from portico.deadline import timeout
from portico.engines.bridge import run
from portico.errors import ConfigError, ConnectionLost, StreamClosed, TLSError
from portico.limits import Limits
from portico.sockets import stream
from portico.sockets.aio_stream import Stream
from portico.sockets.listener import Listener, listen
from portico.sockets.stream import TLSSettings

__all__ = ["Server"]

log = logging.getLogger("portico.server")

PAUSE = 0.1
"""Seconds before accepting again when the system gives no more descriptors."""


class Server:
    """Serves ``async def handler(stream)`` on the running loop: a task for each connection.

    ::

        async with aio.Server(echo, "tcp://127.0.0.1:9000"):
            await asyncio.sleep(3600)

    ``tls``: a ``ServerTLS`` for the addresses that are secure. ``limits``: see ``Limits`` (``connections``,
    ``backlog``, ``handshake``). ``grace``: seconds that ``stop()`` leaves to what is going on. The stream is
    closed when the handler ends; what it raises is logged. Signals are not touched. Raises ``ConfigError``,
    ``AddressError``; ``start()`` raises ``BindError``.
    """

    def __init__(
        self,
        handler: Callable[[Stream], Awaitable[object]],
        *addresses: Any,
        limits: Limits | None = None,
        tls: TLSSettings | None = None,
        grace: float = 10.0,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.grace = grace
        self._tls = tls
        self._asked = [Address.parse(address) for address in addresses]
        self._listeners: list[Listener] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._talking: dict[asyncio.Task[None], stream.Stream] = {}
        self._room = asyncio.Semaphore(self.limits.connections)
        self._check()

    def _check(self) -> None:
        if not self._asked:
            raise ConfigError("a server needs an address to listen on, such as tcp://127.0.0.1:9000")
        for address in self._asked:
            if address.secure and self._tls is None:
                raise ConfigError(f"{address} needs a certificate: pass tls=ServerTLS(certificate=…, key=…)")

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the real ports."""
        return [address for listener in self._listeners for address in listener.addresses]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._talking)

    async def start(self) -> Self:
        """Bind every address and begin to serve. Raises ``BindError``."""
        if self._accepting:
            raise ConfigError("this server was started before; make a new one")
        try:
            for address in self._asked:
                self._listeners.append(await run(listen, address, backlog=self.limits.backlog))
        except BaseException:
            self._close()
            raise
        tasks = zip(self._asked, self._listeners, strict=True)
        self._accepting = [
            asyncio.create_task(self._accept(listener, address.secure), name=f"accepting on {address}")
            for address, listener in tasks
        ]
        return self

    async def stop(self, grace: float | None = None) -> list[str]:
        """No new connections; what is going on gets ``grace`` seconds, then it is cancelled, and named."""
        self._close()
        for task in self._accepting:
            task.cancel()  # it may wait for room, which nobody makes before the grace is over
        await asyncio.gather(*self._accepting, return_exceptions=True)
        if self._talking:
            await asyncio.wait(list(self._talking), timeout=self.grace if grace is None else grace)
        cut = [repr(stream) for stream in self._talking.values()]
        for task in self._talking:
            task.cancel()
        while self._talking:
            await asyncio.wait(list(self._talking))
        return cut

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(0.0 if error is not None else None)

    async def _accept(self, listener: Listener, secure: bool) -> None:
        while True:
            await self._room.acquire()
            try:
                accepted = await run(listener.accept)
            except StreamClosed:
                return
            except OSError as error:
                self._room.release()
                log.warning("cannot accept on %s: %s", listener, error.strerror or error)
                await asyncio.sleep(PAUSE)
                continue
            task = asyncio.create_task(self._talk(accepted, secure))
            self._talking[task] = accepted
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._talking.pop(task).close()
        self._room.release()

    async def _talk(self, accepted: stream.Stream, secure: bool) -> None:
        try:
            if secure and self._tls is not None:
                with timeout(self.limits.handshake):
                    await run(accepted.start_tls, self._tls)
            await self.handler(Stream(accepted))
        except (ConnectionLost, TLSError) as error:
            log.info("the connection from %s: %s", accepted.peer, error)
        except Exception as error:  # a server outlives its handlers
            log.error(
                "the handler of the connection from %s failed: %r", accepted.peer, error, exc_info=error
            )
