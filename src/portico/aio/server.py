"""``async def`` handlers, served on the loop that runs."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Self

from portico.address import Address
from portico.admission import Admission, Gate, Question
from portico.deadline import timeout
from portico.engines.bridge import run
from portico.engines.pool import Pool
from portico.errors import ConfigError, ConnectionLost, StreamClosed, TLSError
from portico.limits import Limits
from portico.sockets import stream
from portico.sockets.aio_stream import Stream
from portico.sockets.listener import Listener, listen
from portico.sockets.stream import TLSSettings

__all__ = ["Server"]

log = logging.getLogger("portico.server")

QUESTIONS = 64
"""Calls of ``admit`` at once; more wait in line."""
PAUSE = 0.1
"""Seconds before accepting again when the system gives no more descriptors."""


class Server:
    """Serves ``async def handler(stream)`` on the running loop: a task for each connection.

    ::

        async with aio.Server(echo, "tcp://127.0.0.1:9000"):
            await asyncio.sleep(3600)

    ``tls``: a ``ServerTLS`` for the addresses that are secure. ``limits``: see ``Limits`` (``connections``,
    ``backlog``, ``handshake``). ``grace``: seconds that ``stop()`` leaves to what is going on. ``admission``:
    who may connect, as for ``portico.Server``; its ``admit`` is a plain function, asked in a thread. The
    stream is closed when the handler ends; what it raises is logged. Signals are not touched. Raises
    ``ConfigError``, ``AddressError``; ``start()`` raises ``BindError``.
    """

    def __init__(
        self,
        handler: Callable[[Stream], Awaitable[object]],
        *addresses: Any,
        limits: Limits | None = None,
        tls: TLSSettings | None = None,
        grace: float = 10.0,
        admission: Admission | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.grace = grace
        self.gate = None if admission is None else Gate(admission, self.limits)
        self._asking = Pool(QUESTIONS, self.limits.queue)
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

    @property
    def refused(self) -> Counter[str]:
        """How many were refused by ``admission``, by reason."""
        return Counter() if self.gate is None else Counter(self.gate.refused)

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
        self._asking.close()
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
            self._begin(accepted, secure)

    def _begin(self, accepted: stream.Stream, secure: bool) -> None:
        if self.gate is not None and self.gate.enter(accepted.peer) is not None:
            accepted.abort()
            self._room.release()
            return
        task = asyncio.create_task(self._talk(accepted, secure))
        self._talking[task] = accepted
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        accepted = self._talking.pop(task)
        accepted.close()
        self._room.release()
        if self.gate is not None:
            self.gate.leave(accepted.peer)

    async def _admitted(self, peer: Address | None) -> bool:
        """Whether ``admit`` lets the peer in. It may block, and so is asked in a thread."""
        question = None if self.gate is None else self.gate.question(peer)
        if question is None:
            return True
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        if not self._asking.submit(partial(_ask, loop, answer), question):
            question.give_up("too many questions are open")
            return False
        try:
            async with asyncio.timeout(question.until - monotonic()):
                return await answer
        except TimeoutError:
            question.give_up("it did not answer in time")
            return False

    async def _talk(self, accepted: stream.Stream, secure: bool) -> None:
        if not await self._admitted(accepted.peer):
            accepted.abort()
            return
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


def _ask(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[bool], question: Question) -> bool:
    """In a thread of the pool: whether it is to be counted, which it is."""
    admitted = question()
    try:
        loop.call_soon_threadsafe(_settle, answer, admitted)
    except RuntimeError:
        pass  # the loop is closed, and nobody waits there any more
    return True


def _settle(answer: asyncio.Future[bool], admitted: bool) -> None:
    if not answer.done():
        answer.set_result(admitted)
