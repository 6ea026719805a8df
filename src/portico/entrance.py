"""A server as its engine has it: what is served, and how an accepted transport becomes a connection.

How a server is started, stopped and told to reload is in ``portico.server``.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from portico.address import Address
from portico.address.schemes import SCHEMES
from portico.admission import REASONS, Admission, Gate
from portico.binding import Binding
from portico.engines import Engine, make_engine
from portico.engines.contract import Connection, Listening, Tally
from portico.errors import ConfigError, ConnectionLost
from portico.limits import Limits
from portico.refusals import Refusals
from portico.served import Fresh, Late
from portico.sockets.datagram_listener import DatagramListener
from portico.sockets.listen import inherited
from portico.sockets.proxy_protocol import ProxyProtocol
from portico.sockets.tls import ServerTLS
from portico.sockets.transport import Transport
from portico.wires import Connector, adapted, claimed_wire, wires

__all__ = ["Entrance"]

log = logging.getLogger("portico.server")

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOG_PAUSE = 5.0  # seconds between two lines about the same trouble


class Entrance:
    """What a server has of handler, rules and limits, and the connections that it makes by them."""

    def __init__(
        self,
        handler: Any,
        addresses: tuple[Any, ...],
        engine: str | Engine,
        limits: Limits | None,
        tls: ServerTLS | None,
        wire: str | None,
        admission: Admission | None,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.tls = tls
        self.gate = None if admission is None else Gate(admission, self.limits)
        self.access: Callable[..., None] | None = None  # called after each answer by wires that have such
        self.forwarded: Any = None  # whose word is taken for who really asks, by wires that are told (HTTP)
        self.request_ids: Any = None  # what gives requests their names, on such wires
        self.metrics: Any = None  # what counts, in each process that runs the handler: begin(self), end()
        self.proxy_protocol: ProxyProtocol | None = None  # who says before all else who is really there
        self.refused_requests = Refusals()  # of this process
        self._engine = make_engine(engine)
        self._binding = Binding([Address.parse(address) for address in addresses] or inherited())
        self.listeners = self._binding.listeners
        self.slots = self._binding.slots
        self.addresses = self._binding.addresses
        self._given_wire = wire is not None
        self._wire = wire or claimed_wire(handler)
        self._foreign = adapted(handler) is not None
        self._accepted = 0
        self._connectors: dict[str, Connector] = {}
        self._places: dict[Connection, Callable[[], None]] = {}  # of the gate's, and how to give them back
        self._last_log = 0.0
        self._check()

    @property
    def conversations(self) -> bool:
        """Whether connections are conversations (raw streams), not requests."""
        return all(self._wire_of(address) == "stream" for address in self._binding.asked)

    @property
    def awaits(self) -> bool:
        """Whether handlers may be written with ``async def``."""
        return self._engine.awaits

    @property
    def side_by_side(self) -> tuple[bool, bool]:
        """Whether two requests may be answered at once: in one process, in several."""
        return self._engine.threaded, self._engine.processes

    @property
    def relistens(self) -> bool:
        """Whether other addresses can be listened at while it serves (``Fresh.addresses``)."""
        return self._engine.relistens

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._engine.connections

    @property
    def accepted_here(self) -> int:
        """How many connections have been accepted so far in this process."""
        return self._accepted

    @property
    def accepted(self) -> int:
        """How many connections have been accepted so far."""
        return self._accepted + self._engine.accepted

    @accepted.setter
    def accepted(self, number: int) -> None:
        self._accepted = number

    @property
    def refused(self) -> Counter[str]:
        """How many were refused by ``admission``, by reason (see ``Gate``), in all processes."""
        if self.gate is None:
            return Counter()
        elsewhere = zip(REASONS, self._engine.refused, strict=False)  # nothing, where there are none
        return Counter(self.gate.refused) + Counter(dict(elsewhere))

    @property
    def refusals(self) -> Counter[str]:
        """How many requests were refused, by reason (see ``portico.refusals``), in all processes."""
        return self.refused_requests.with_those(self._engine.refused)

    @property
    def dropped(self) -> int:
        """Datagrams not handled, in all processes: no room, no thread, too long, forged, the kernel full."""
        here = (each.dropped for each in self.listeners if isinstance(each, DatagramListener))
        return sum(here) + self._engine.dropped

    # -- what the engine calls

    def prepare(self, tally: Tally | None = None) -> None:
        """Load a late handler, and see that what there is can be served. Raises ``ConfigError``."""
        if self._engine.processes and self.tls is not None:
            self.tls.reload()
        if isinstance(self.handler, Late):
            made = self.handler.load()
            if isinstance(made, Fresh):
                self._take(made)
            else:
                self.handler = made
            self._foreign = adapted(self.handler) is not None
            self._check_handler()
        if tally is not None:
            self.access = _counted(self.access, tally.answered)
            self.refused_requests.tell = tally.refused
            if self.gate is not None:
                self.gate.tell = tally.refused
        for address in self._binding.asked:
            self._connector(address.scheme)  # a handler that cannot work is refused now
        if self.metrics is not None:
            self.metrics.begin(self)

    def finish(self) -> None:
        """Nothing is served in this process any more: what it has counted is told."""
        if self.metrics is not None:
            self.metrics.end()

    def connected(self, transport: Transport) -> Connection | None:
        """Make a connection of an accepted transport; ``None`` for one that is turned away."""
        try:
            proxy = self.proxy_protocol
            if proxy is not None and proxy.covers(transport.local):
                return self._connect_told(proxy, transport)
            return self._connect(transport) if self.gate is None else self._admit(self.gate, transport)
        except Exception as error:  # an engine must outlive what one connection meets
            transport.abort()
            log.error("the connection from %s could not be served", transport.peer, exc_info=error)
            return None

    def _admit(self, gate: Gate, transport: Transport) -> Connection | None:
        peer = transport.peer
        if gate.enter(peer) is not None:
            transport.abort()  # a reset: nothing is kept for a peer that will not be served
            return None
        try:
            connection = self._connect(transport)
        except BaseException:
            gate.leave(peer)
            raise
        self._places[connection] = partial(gate.leave, peer)
        connection.question = gate.question(peer)
        return connection

    def _connect_told(self, proxy: ProxyProtocol, transport: Transport) -> Connection | None:
        """A connection that is admitted, or not, once a proxy has said whose it is."""

        def told(transport: Transport) -> None:
            gate, peer = self.gate, transport.peer
            if gate is None:
                return
            if gate.enter(peer) is not None:
                raise ConnectionLost(f"{peer} is not admitted")
            self._places[connection] = partial(gate.leave, peer)

        expecting = proxy.expect(transport, partial(self.refused_requests.count, "proxy_header"), told)
        if expecting is None:
            transport.abort()
            return None
        connection = self._connect(expecting)
        return connection

    def _connect(self, transport: Transport) -> Connection:
        self._accepted += 1
        local = transport.local
        scheme = local.scheme if local is not None else "tcp"
        if scheme in ("tls", "https") and self.tls is not None:
            transport = self.tls.wrap(transport)
        return self._connector(scheme)(transport)

    def disconnected(self, connection: Connection) -> None:
        """A connection is over."""
        leave = self._places.pop(connection, None)
        if leave is not None:
            leave()

    def accept_failed(self, listener: Listening, error: OSError) -> None:
        """Accepting rests for a moment; said once in a while, not each time."""
        now = monotonic()
        if now - self._last_log >= _LOG_PAUSE:
            self._last_log = now
            advice = "; raise the limit (ulimit -n)" if error.errno in _OUT_OF_RESOURCES else ""
            log.warning("cannot accept on %s: %s%s", listener.address, error.strerror, advice)

    def stopped_accepting(self) -> None:
        """Nobody will be accepted any more."""

    def failed(self, connection: Connection, error: BaseException) -> None:
        """A bug in connection code, caught by the engine."""
        log.error("%s was cut by an internal error", connection.describe(), exc_info=error)

    # -- inside

    def _take(self, fresh: Fresh) -> None:
        """Serve something else from now on, or raise and change nothing; connections that are open go on with
        what they have of limits."""
        gate = None if fresh.admission is None else Gate(fresh.admission, fresh.limits)
        come = self._binding.bind_more(fresh.addresses, self.limits)
        fresh.exchange()
        self.handler, self.limits, self.tls = fresh.handler, fresh.limits, fresh.tls
        self.access, self.forwarded = fresh.access, fresh.forwarded
        self.request_ids, self.proxy_protocol = fresh.request_ids, fresh.proxy_protocol
        if gate is not None and self.gate is not None:
            gate.succeed(self.gate)
        self.gate = gate
        self._connectors.clear()
        if fresh.addresses is not None:
            changed = self._binding.relisten(fresh.addresses, come)
            if changed:
                self._engine.relisten(changed)
                log.info("listening at %s", ", ".join(map(str, self.addresses)))

    def _check(self) -> None:
        if not self._binding.asked:
            raise ConfigError("a server needs an address to listen on, such as tcp://127.0.0.1:8000")
        for address in self._binding.asked:
            name = self._wire_of(address)
            if name not in wires():
                raise ConfigError(f"{address}: no server speaks {name!r}; there are: {', '.join(wires())}")
            if address.secure and self.tls is None:
                raise ConfigError(f"{address} needs a certificate: pass tls=ServerTLS(certificate=…, key=…)")
        if isinstance(self.handler, Late):
            if not self._given_wire:
                raise ConfigError(
                    'a handler that is loaded later needs to be told by wire="http" or "stream"'
                )
        else:
            self._check_handler()

    def _check_proxy_protocol(self) -> None:
        if self.proxy_protocol is not None and self.gate is not None and self.gate.asks:
            raise ConfigError(
                "admit() is asked before a byte is read, and the PROXY protocol says later who is there: "
                "use the lists of Admission, or leave one of the two out"
            )

    def _check_handler(self) -> None:
        if self.conversations and not callable(self.handler):
            raise ConfigError(f"the handler {self.handler!r} is not callable")

    def _connector(self, scheme: str) -> Connector:
        connector = self._connectors.get(scheme)
        if connector is None:
            connector = self._connectors[scheme] = wires()[self._wire_name(scheme)](self.handler, self)
        return connector

    def _wire_of(self, address: Address) -> str:
        return self._wire_name(address.scheme)

    def _wire_name(self, scheme: str) -> str:
        wire = SCHEMES[scheme].wire
        if self._foreign and wire in ("stream", "http"):
            return "stream"  # where it speaks HTTP, it does so by itself
        return self._wire if wire == "stream" else wire


def _counted(access: Callable[..., None] | None, answered: Callable[[], None]) -> Callable[..., None]:
    """The hook ``access`` that is called after each answer, with a count beside it."""
    if access is None:
        return lambda exchange, seconds: answered()
    write: Callable[..., None] = access

    def both(exchange: object, seconds: float) -> None:
        answered()
        write(exchange, seconds)

    return both
