"""A raw stream handler as a connection: the handshake is parked, then a thread, a strand or a task talks."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

from portico.engines.awaited import Awaited
from portico.engines.contract import DONE, RUN, Connection, Load
from portico.errors import Cancelled, PorticoError
from portico.limits import Limits
from portico.sockets.stream import Stream
from portico.sockets.transport import Transport

__all__ = ["AwaitedConversation", "Conversation", "Report"]

Report = Callable[[str, object, BaseException], None]
"""Called with what was going on, the peer, and the error that ended it."""


class Conversation(Connection):
    """One peer and one call of ``handler(stream)``. The stream is closed when the handler returns.

    ``early``: what has been read from the transport already.
    """

    __slots__ = ("_handler", "_over", "_report", "_stream")

    def __init__(
        self,
        transport: Transport,
        handler: Callable[[Stream], object],
        limits: Limits,
        report: Report,
        early: bytes = b"",
    ) -> None:
        super().__init__(transport, Load(), conversation=True, strand=True)
        self._handler = handler
        self._report = report
        self._stream = Stream(transport)
        if early:
            self._stream.unread(early)
        self._over = False
        self.deadline = monotonic() + limits.handshake

    def advance(self) -> int:
        if not self._over and self.transport.handshaking:
            try:
                wanted = self.transport.handshake()
            except PorticoError as error:
                self._report("handshake", self.transport.peer, error)
                self._end()
                return DONE
            if wanted:
                return wanted
        self.deadline = inf
        return DONE if self._over else RUN

    def run(self) -> None:
        try:
            self._handler(self._stream)
        except BaseException as error:  # noqa: BLE001  (a thread of the engine's must outlive any handler)
            # A handler cut short by the end of the server is not a fault of the handler's.
            if not self._over:
                self._report("handler", self.transport.peer, error)
        finally:
            self._end()

    def expire(self) -> None:
        self._report("handshake", self.transport.peer, TimeoutError("the TLS handshake took too long"))
        self._stream.abort()
        self._over = True

    def refuse(self) -> None:
        self._stream.abort()
        self._over = True

    def drain(self, until: float) -> None:
        pass  # what has begun lasts as long as it lasts, within the grace

    def cut(self) -> None:
        self._over = True
        self._stream.abort()

    def describe(self) -> str:
        return f"the conversation with {self.transport.peer}"

    def _end(self) -> None:
        self._stream.close()
        self._over = True


class AwaitedConversation(Conversation, Awaited):
    """The same with an ``async def`` handler, which gets an ``aio.Stream``, on the engine's asyncio loop."""

    __slots__ = ()

    async def converse(self) -> None:
        from portico.sockets.aio_stream import Stream as AwaitedStream

        if not self.transport.closed:
            handler: Any = self._handler
            await handler(AwaitedStream(self._stream))

    def ended(self, error: BaseException | None) -> None:
        if error is not None and not self._over and not isinstance(error, Cancelled):
            self._report("handler", self.transport.peer, error)
        self._end()
