"""A bound on how many requests of a mount run at once, whatever the engine."""

from __future__ import annotations

from portico.errors import ConfigError
from portico.http.exchange import Exchange, Gateway
from portico.http.messages import RequestHead
from portico.sync import Guard, Queue

__all__ = ["Bounded"]


class Bounded:
    """Runs at most ``threads`` requests of ``gateway`` at once; ``queue`` more (by default as many) wait in
    order, each in a thread of the engine; beyond them 503. So a mount that hangs holds ``threads + queue``
    threads and leaves the rest to others. Raises ``ConfigError``."""

    blocks = True
    """Who stands in line must not hold up the one who serves all."""

    def __init__(self, gateway: Gateway, threads: int, queue: int | None = None) -> None:
        if threads < 1 or (queue is not None and queue < 0):
            raise ConfigError("a mount needs one thread at least, and a queue of none or more")
        self.name = gateway.name
        self.gateway = gateway
        self._most = threads + (threads if queue is None else queue)
        self._inside = 0
        self._guard = Guard()
        self._places: Queue[None] = Queue()
        for _ in range(threads):
            self._places.put(None)

    def streams(self, request: RequestHead) -> bool:
        """As the gateway says."""
        return self.gateway.streams(request)

    def __call__(self, exchange: Exchange) -> None:
        """Run a request, now or in its turn."""
        with self._guard:
            crowded = self._inside >= self._most
            self._inside += not crowded
        if crowded:
            exchange.respond_error(503, "Too many requests are running here.", [("Retry-After", "1")])
            return
        try:
            self._places.get()
            try:
                self.gateway(exchange)
            finally:
                self._places.put(None)
        finally:
            with self._guard:
                self._inside -= 1

    def __repr__(self) -> str:
        return f"<Bounded {self._inside} of {self._most}, {self.gateway!r}>"
