"""A datagram handler as a connection: it has come whole, so there is one call to make, and that is all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portico.engines.awaited import Awaited
from portico.engines.contract import DONE, RUN, Connection, Load
from portico.errors import Cancelled, ConfigError
from portico.sockets.datagram_listener import Arrival
from portico.sockets.datagram_port import Datagram
from portico.sockets.transport import Transport

__all__ = ["Deliveries", "Delivery"]

Handler = Callable[[Datagram], object]
Report = Callable[[Transport, BaseException], None]


class Delivery(Connection):
    """One datagram and one call of ``handler(datagram)``."""

    __slots__ = ("_arrival", "_deliveries", "_over")

    def __init__(self, arrival: Arrival, deliveries: Deliveries) -> None:
        super().__init__(arrival, deliveries.load, strand=True)
        self._arrival = arrival
        self._deliveries = deliveries
        self._over = False

    def advance(self) -> int:
        return DONE if self._over else RUN

    def run(self) -> None:
        try:
            self._deliveries.handler(self._arrival.datagram)
        except BaseException as error:  # noqa: BLE001  (a thread of the engine's must outlive any handler)
            # A handler cut short by the end of the server is not a fault of the handler's.
            if not self._over:
                self._deliveries.report(self.transport, error)
        finally:
            self.cut()

    def drop(self, reason: str) -> None:
        """It will not be handled: counted, and logged once in a while."""
        self._over = True
        self._arrival.drop(reason)

    def expire(self) -> None:
        pass  # it waits for nothing

    def refuse(self) -> None:
        self.drop("no thread")

    def drain(self, until: float) -> None:
        pass  # what has come is handled

    def cut(self) -> None:
        self._over = True
        self.transport.close()

    def describe(self) -> str:
        return f"the datagram from {self.transport.peer}"


class AwaitedDelivery(Delivery, Awaited):
    """The same with an ``async def`` handler, which gets an ``aio.Datagram``."""

    __slots__ = ()

    async def converse(self) -> None:
        from portico.sockets.aio_datagram import Datagram as AwaitedDatagram

        if not self._over:
            handler: Any = self._deliveries.handler
            await handler(AwaitedDatagram(self._arrival.datagram))

    def ended(self, error: BaseException | None) -> None:
        if error is not None and not self._over and not isinstance(error, Cancelled):
            self._deliveries.report(self.transport, error)
        self.cut()


class Deliveries:
    """Makes connections of the datagrams of one server, which share one guess about their handler.

    ``truncated``: hand over also what is longer than ``limits.datagram``, as its beginning. ``awaited``: the
    handler is an ``async def``.
    """

    def __init__(
        self, handler: Handler, report: Report, *, truncated: bool = False, awaited: bool = False
    ) -> None:
        if not callable(handler):
            raise ConfigError(f"the handler {handler!r} is not callable")
        self.handler = handler
        self.report = report
        self.load = Load()
        self._truncated = truncated
        self._kind = AwaitedDelivery if awaited else Delivery

    def __call__(self, transport: Transport) -> Delivery:
        if not isinstance(transport, Arrival):
            raise ConfigError(f"datagrams do not come over {transport!r}")
        delivery = self._kind(transport, self)
        if transport.datagram.truncated and not self._truncated:
            delivery.drop("too long")
        return delivery
