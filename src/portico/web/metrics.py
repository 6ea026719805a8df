"""Prometheus metrics over all processes of a server.

::

    server.metrics = Metrics()                                  # before start()
    with server, server.metrics.serve("http://127.0.0.1:9100"):
        ...

What is counted for each request costs a microsecond; what the engine, logs and upstreams tell of themselves
is gathered once a second. Without metrics nothing of this is done.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from portico.address import Address
from portico.deadline import timeout
from portico.errors import Cancelled, ConfigError, PorticoError, Timeout
from portico.figures import MAX, SOURCES, TOTAL, Figure
from portico.http.exchange import Exchange
from portico.http.messages import RequestHead
from portico.limits import Limits
from portico.server import Server
from portico.sync import Event, Guard, Task, spawn_thread
from portico.web.metrics_text import CONTENT_TYPE, exposition, series
from portico.web.shared_numbers import SharedNumbers

__all__ = ["BUCKETS", "Metrics"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds."""
_PAUSE = 1.0
_LIMITS = Limits(head=5.0, idle=15.0, connections=64)


class _Places(NamedTuple):
    """Where the numbers of one mount and class of status stand."""

    requests: int
    sum: int
    received: int
    sent: int
    buckets: tuple[int, ...]


class Metrics:
    """Counts what a server does, in all its processes: set it as ``server.metrics`` before the start.

    ``buckets``: upper bounds of the latency histogram, in seconds, growing. Raises ``ConfigError``.
    """

    def __init__(self, buckets: Sequence[float] = BUCKETS) -> None:
        self._buckets = tuple(float(each) for each in buckets)
        if not self._buckets or any(
            a >= b for a, b in zip((0.0, *self._buckets), self._buckets, strict=False)
        ):
            raise ConfigError(f"metrics: buckets={list(buckets)!r}: expected seconds above zero that grow")
        self._numbers = SharedNumbers()
        self._of_process()

    def _of_process(self) -> None:
        self._known: dict[tuple[str, int], _Places] = {}
        self._guard = Guard()
        self._over = Event()
        self._task: Task[None] | None = None
        self._server: Server | None = None
        self._told: set[tuple[str, str]] = set()  # what is so only as long as it is told

    # -- what the server calls

    def begin(self, server: Server) -> None:
        """In a process that runs the handler, before anything is accepted."""
        self._of_process()
        self._server = server
        row = self._numbers.row
        row[self._numbers.place(TOTAL, "portico_process_starts_total")] += 1
        self._task = spawn_thread(self._gather_always, name="metrics")

    def end(self) -> None:
        """The server has stopped: what it did stays to be read."""
        task, self._task = self._task, None
        if task is not None:
            self._over.set()
            task.join()

    def __call__(self, exchange: Exchange, seconds: float) -> None:
        """A request has been answered: a server's ``access`` hook."""
        if not exchange.method:  # it is nobody's, and counted among the refused
            return
        key = exchange.mount, exchange.status // 100
        places = self._known.get(key) or self._learn(key)
        row, received, sent = self._numbers.row, exchange.received, exchange.sent
        with self._guard:
            row[places.requests] += 1
            row[places.sum] += seconds
            row[places.buckets[bisect_left(self._buckets, seconds)]] += 1
            if received:
                row[places.received] += received
            if sent:
                row[places.sent] += sent

    # -- who asks

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        self._gather()
        return exposition(self._read())

    def serve(self, address: str | Address = "http://127.0.0.1:9100") -> Server:
        """A server of its own for ``/metrics``, to be entered or started, after the one that is counted: from
        a process without threads that can still fork. Raises ``ConfigError``."""
        return _PageServer(_Page(self), address, engine="threads:2", limits=_LIMITS, grace=1.0)

    def close(self) -> None:
        """Give the memory back."""
        self.end()
        self._numbers.close()

    def __getstate__(self) -> dict[str, Any]:
        """For another process of the same server."""
        return {"_buckets": self._buckets, "_numbers": self._numbers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._of_process()

    def __repr__(self) -> str:
        return f"<Metrics of {self._server!r}>"

    # -- inside

    def _learn(self, key: tuple[str, int]) -> _Places:
        mount, status = [("mount", key[0] or "/")], ("status", f"{key[1]}xx")
        place = self._numbers.place
        bounds = [*(f"{bound:g}" for bound in self._buckets), "+Inf"]
        places = self._known[key] = _Places(
            place(TOTAL, series("portico_requests_total", [*mount, status])),
            place(TOTAL, series("portico_request_seconds_sum", mount)),
            place(TOTAL, series("portico_request_bytes_total", mount)),
            place(TOTAL, series("portico_response_bytes_total", mount)),
            tuple(
                place(TOTAL, series("portico_request_seconds_bucket", [*mount, ("le", bound)]))
                for bound in bounds
            ),
        )
        return places

    def _read(self) -> Mapping[str, float]:
        """As the format has it: the buckets of a histogram each hold what the smaller ones do."""
        found: dict[str, float] = {}
        total = 0.0
        for name, value in self._numbers.read().items():
            if name.startswith("portico_request_seconds_bucket{"):
                labels, _, bound = name.rpartition(',le="')
                total = value + (total if bound != f'{self._buckets[0]:g}"}}' else 0.0)
                found[name] = total
                if bound == '+Inf"}':
                    found[labels.replace("_bucket{", "_count{") + "}"] = total
            else:
                found[name] = value
        found["portico_processes"] = self._numbers.processes
        return found

    def _gather_always(self) -> None:
        with timeout(None, shield=True):
            while not self._over.is_set():
                self._gather()
                try:
                    with timeout(_PAUSE):
                        self._over.wait()
                except Timeout:
                    continue
                except (Cancelled, PorticoError):
                    return
            self._gather()

    def _gather(self) -> None:
        """What the parts of this process tell, into its row."""
        server = self._server
        if server is None:
            return
        sums: dict[tuple[str, str], float] = {}
        for figure in [
            *_of_server(server),
            *(each for source in SOURCES for each in source.figures()),
        ]:
            key = figure.kind, series(figure.name, figure.labels)
            before = sums.get(key, 0.0)
            sums[key] = max(before, figure.value) if figure.kind == MAX else before + figure.value
        with self._guard:
            row = self._numbers.row
            for kind, name in self._told - sums.keys():
                row[self._numbers.place(kind, name)] = 0.0  # it is told no more: there is none of it
            for (kind, name), value in sums.items():
                row[self._numbers.place(kind, name)] = value
            self._told = {key for key in sums if key[0] != TOTAL}


def _of_server(server: Server) -> list[Figure]:
    """What a server has counted in this process."""
    found = [Figure("portico_connections_total", server.accepted_here)]
    refused = {} if server.gate is None else server.gate.refused
    found += [
        Figure("portico_refused_connections_total", count, labels=(("reason", reason),))
        for reason, count in refused.items()
    ]
    found += [
        Figure("portico_refused_requests_total", count, labels=(("reason", reason),))
        for reason, count in server.refused_requests.counts.copy().items()
    ]
    if server.forwarded is not None:
        found += [
            Figure("portico_forwarded_ignored_total", count, labels=(("reason", reason),))
            for reason, count in server.forwarded.ignored.copy().items()
        ]
    return found


class _PageServer(Server):
    """It does not count itself."""

    def start(self) -> Server:
        super().start()
        SOURCES.discard(self._engine)
        return self


class _Page:
    """Answers with the metrics."""

    name = "metrics"

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def streams(self, request: RequestHead) -> bool:
        return False

    def __call__(self, exchange: Exchange) -> None:
        if exchange.path not in ("/metrics", "/"):
            exchange.respond_error(404, "The metrics are at /metrics.")
        elif exchange.method not in ("GET", "HEAD"):
            exchange.respond_error(405, "", [("Allow", "GET, HEAD")])
        else:
            exchange.respond(200, [("Content-Type", CONTENT_TYPE)], self._metrics.text())
