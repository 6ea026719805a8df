"""Serving: a handler, some addresses, an engine.

``serve(handler, "tcp://:9000")`` blocks until a signal; ``Server(handler, …)`` is the same as a context
manager, in any thread, for embedding and tests. What a handler is depends on the wire: for streams a
function of a ``Stream`` or a class with ``handle()``; other wires register themselves by ``register_wire``.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Self

from portico.address import Address
from portico.address.schemes import SCHEMES
from portico.admission import REASONS, Admission, Gate
from portico.deadline import expiry, timeout
from portico.engines import Engine, door, make_engine
from portico.engines.contract import Connection, Listening, Tally
from portico.engines.household import outside
from portico.errors import Cancelled, ConfigError, ConnectionLost, PorticoError
from portico.limits import Limits
from portico.refusals import Refusals
from portico.signals import Signals
from portico.sockets.datagram_listener import DatagramListener
from portico.sockets.datagram_port import Datagram
from portico.sockets.listen import bind_error, inherited, listen
from portico.sockets.proxy_protocol import ProxyProtocol
from portico.sockets.service_manager import ServiceManager
from portico.sockets.stream import Stream
from portico.sockets.tls import ServerTLS
from portico.sockets.transport import READ, Transport, Waitable, Waiter
from portico.wires import Connector, Wire, adapted, claimed_wire, register_wire, wires

__all__ = ["Fresh", "Handler", "Late", "Server", "Wire", "register_wire", "serve"]

log = logging.getLogger("portico.server")
drain_log = logging.getLogger("portico.drain")

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# Of a server's attributes:
_OF_A_PROCESS = (
    "_waiting",
    "_connectors",
    "_places",
    "listeners",
    "manager",
    "slots",
    "_bound",
    "refused_requests",
)
_LOG_PAUSE = 5.0  # seconds between two lines about the same trouble


class Handler:
    """A conversation, or the answer to a datagram, as a class (row R1): subclass, and write ``handle``.

    A new instance for each connection; ``stream`` (on datagram addresses ``datagram``), ``peer`` and
    ``server`` are set before ``setup()``. ``finish()`` is called whenever ``setup()`` succeeded.
    ``truncated = True``: datagrams beyond ``Limits.datagram`` come too, as their beginning.
    """

    stream: Stream
    datagram: Datagram
    truncated = False
    peer: Address | None
    server: Server

    def setup(self) -> None:
        """Before ``handle``."""

    def handle(self) -> None:
        """The conversation."""

    def finish(self) -> None:
        """After ``handle``, also when it raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What a server serves, and what can be exchanged beside it while it serves; see ``Server`` for each."""

    handler: Any
    limits: Limits
    tls: ServerTLS | None = None
    admission: Admission | None = None
    access: Callable[..., None] | None = None
    forwarded: Any = None
    request_ids: Any = None
    proxy_protocol: ProxyProtocol | None = None
    addresses: Sequence[Address] | None = None
    """Where to listen from now on; ``None``: as before. Only with ``Server.relistens``."""
    exchange: Callable[[], object] = bool
    """Called when nothing can fail any more, and all this is about to be in force."""


class Late:
    """A handler that is still to be loaded: ``Server(Late(load), …, wire="http")``.

    ``load()`` is called once in the process that runs the handler: with ``workers`` and ``forks`` in each
    worker, so that a reload finds new code. It gives a handler, or all that is ``Fresh``. What it raises
    ends ``start()``.
    """

    def __init__(self, load: Callable[[], Any | Fresh]) -> None:
        self.load = load

    def __repr__(self) -> str:
        return f"Late({self.load!r})"


class Server:
    """Serves ``handler`` on ``addresses`` until ``stop()``; also a context manager.

    ``engine``: ``inline``, ``threads[:N]``, ``events[:N]``, ``forks[:N]``, ``workers[:N][/ENGINE]`` or an
    ``Engine``. With the last two ``handler`` runs in other processes, where its module's variables are not
    ours; ``limits`` and ``admission`` hold for each of them. ``limits``: see ``Limits``. ``tls``: a
    ``ServerTLS`` for the addresses that are secure (``tls https``). ``grace``: seconds that ``stop()`` leaves
    to what is going on. ``wire``: what the bytes look like on plain stream addresses; found out from the
    handler when not given. ``admission``: who may connect. Raises ``ConfigError``,
    ``AddressError``; ``start()`` raises ``BindError``.
    """

    def __init__(
        self,
        handler: Any,
        *addresses: Any,
        engine: str | Engine = "threads",
        limits: Limits | None = None,
        tls: ServerTLS | None = None,
        grace: float = 10.0,
        wire: str | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.tls = tls
        self.grace = grace
        self.gate = None if admission is None else Gate(admission, self.limits)
        self.access: Callable[..., None] | None = None  # called after each answer by wires that have such
        self.forwarded: Any = None  # whose word is taken for who really asks, by wires that are told (HTTP)
        self.request_ids: Any = None  # what gives requests their names, on such wires
        self.metrics: Any = None  # what counts, in each process that runs the handler: begin(self), end()
        self.proxy_protocol: ProxyProtocol | None = None  # who says before all else who is really there
        self.refused_requests = Refusals()  # of this process
        self.renew: Callable[[], Fresh | None] | None = None
        """Called first by ``reload()``: what it gives is served from then on. What it raises (a
        ``PorticoError``) leaves all as it is."""
        self.manager = ServiceManager()
        self.listeners: list[Listening] = []
        self.slots: list[list[Listening]] = []
        self.addresses: list[Address] = []
        self._bound: dict[Address, list[Listening]] = {}  # by the address that was asked for
        self.cut: list[str] = []
        self._engine = make_engine(engine)
        self._asked = [Address.parse(address) for address in addresses] or inherited()
        self._given_wire = wire is not None
        self._wire = wire or claimed_wire(handler)
        self._foreign = adapted(handler) is not None
        self._accepted = 0
        self._failure = ""
        self._connectors: dict[str, Connector] = {}
        self._used = False
        self._started = False
        self._stopped = False
        self._waiting: set[Waiter] = set()
        self._places: dict[Connection, Callable[[], None]] = {}  # of the gate's, and how to give them back
        self._last_log = 0.0
        self._check()

    @property
    def conversations(self) -> bool:
        """Whether connections are conversations (raw streams), not requests."""
        return all(self._wire_of(address) == "stream" for address in self._asked)

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

    def start(self) -> Server:
        """Bind every address and begin to serve; returns at once. Raises ``BindError``."""
        if self._used:
            raise ConfigError("this server was started or stopped before; make a new one")
        self._used = True
        self._check_proxy_protocol()
        if not self._engine.processes:
            self.prepare()
        try:
            self._bind()
            self._engine.start(self)
        except BaseException:
            self._close_listeners()
            raise
        self._started = True
        return self

    def _bind(self) -> None:
        for address in self._asked:
            made = listen(address, self.limits.backlog, self.limits, processes=self._engine.processes)
            self._bound.setdefault(address, []).extend(made)  # port 0 may be asked for twice
            self.listeners += made
            self.addresses += [listener.address for listener in made]
        self.slots = [self.listeners, *([] for _ in range(self._engine.slots - 1))]
        for slot in self.slots[1:]:
            for listener in self.listeners:
                try:
                    slot.append(listener.again())
                except OSError as error:
                    raise bind_error(error, listener.address) from error

    def _close_listeners(self) -> None:
        for listener in (*self.listeners, *(each for slot in self.slots for each in slot)):
            listener.close()

    def stop(self, grace: float | None = None, quiet: float = 0.0) -> list[str]:
        """Stop: no new connections; what is going on gets ``grace`` seconds (default: the server's).

        Idle kept connections get ``quiet`` seconds for one more request. What had to be cut is returned
        and kept in ``cut``. From any thread, more than once: a later call with less grace shortens it. A
        deadline in force shortens it too. Called by a handler, or by a task of one, it returns at once, and
        goes on beside it. Tasks that handlers have left end as handlers do.
        """
        self.manager.stopping()
        if self._started and self._engine.inside:
            with outside():  # to wait here would be to wait for ourselves
                door.THREADS.spawn(self.stop, grace, quiet, name="stop")
            return self.cut
        if self._started:
            seconds = min(self.grace if grace is None else grace, expiry() - monotonic())
            with timeout(None, shield=True):  # the deadline in force has been reckoned with
                cut = door.run_blocking(self._engine.stop, max(seconds, 0.0), quiet)
            self.cut += [what for what in cut if what not in self.cut]
        if self.metrics is not None:
            self.metrics.end()
        self._used = self._stopped = True
        for waiter in tuple(self._waiting):
            waiter.wake()
        return self.cut

    def reload(self) -> str | None:
        """Read the certificates anew, for new handshakes; when that fails the old ones stay. With ``workers``
        and ``forks`` the workers are replaced one by one, without losing a connection: a handler that is
        loaded there (``Late``) is loaded anew, and when it fails to start the old workers go on.

        ``None``: done; else the reason why not, which is logged. Certificate files that changed are noticed
        without this, at a later handshake.
        """
        self.manager.reloading()
        why = self._renew()
        self.manager.ready("" if why is None else f"The reload failed: {why}")
        return why

    def _renew(self) -> str | None:
        if self.renew is not None:
            try:
                fresh = self.renew()
                if fresh is not None:
                    self._take(fresh)
            except PorticoError as error:
                log.error("the old configuration goes on: %s", error)
                return str(error)
            except Exception as error:  # whatever it meets, who serves goes on
                log.error("the old configuration goes on: %r", error, exc_info=error)
                return repr(error)
            if fresh is not None:
                log.info("reloaded: new requests are answered by the new configuration")
                return None
        return self._reload()

    def _take(self, fresh: Fresh) -> None:
        """Serve something else from now on, or raise and change nothing; connections that are open go on with
        what they have of limits."""
        gate = None if fresh.admission is None else Gate(fresh.admission, fresh.limits)
        come = self._bind_more(fresh.addresses)
        fresh.exchange()
        self.handler, self.limits, self.tls = fresh.handler, fresh.limits, fresh.tls
        self.access, self.forwarded = fresh.access, fresh.forwarded
        self.request_ids, self.proxy_protocol = fresh.request_ids, fresh.proxy_protocol
        if gate is not None and self.gate is not None:
            gate.succeed(self.gate)
        self.gate = gate
        self._connectors.clear()
        if fresh.addresses is not None:
            self._relisten(fresh.addresses, come)

    def _bind_more(self, addresses: Sequence[Address] | None) -> dict[Address, list[Listening]]:
        """Bind those where we do not listen yet: all of them, or none. Raises ``BindError``."""
        made: dict[Address, list[Listening]] = {}
        try:
            for address in addresses or ():
                if address not in self._bound:
                    made[address] = listen(address, self.limits.backlog, self.limits)
        except BaseException:
            for listener in (each for listeners in made.values() for each in listeners):
                listener.close()
            raise
        return made

    def _relisten(self, addresses: Sequence[Address], come: Mapping[Address, list[Listening]]) -> None:
        """Listen at these, where we already do or have just been bound; the others are let go."""
        bound = {**self._bound, **come}
        kept = {address: bound[address] for address in addresses}
        changed = [
            each for address in bound if (address in come) or address not in kept for each in bound[address]
        ]
        self._bound, self._asked = kept, list(addresses)
        self.listeners[:] = [each for listeners in kept.values() for each in listeners]
        self.addresses[:] = [listener.address for listener in self.listeners]
        if changed:
            self._engine.relisten(changed)
            log.info("listening at %s", ", ".join(map(str, self.addresses)))

    def _reload(self) -> str | None:
        if self._engine.processes:
            return self._engine.reload() if self._started else "the server is not serving"
        if self.tls is None:
            log.info("nothing to reload: there are no certificates")
            return None
        try:
            self.tls.reload()
        except ConfigError as error:
            log.error("the old certificates stay: %s", error)
            return str(error)
        log.info("certificates reloaded")
        return None

    def resize(self, by: int) -> None:
        """With ``workers``: so many more, or fewer. Returns at once. Raises ``ConfigError`` without them."""
        if not self._engine.processes:
            raise ConfigError("only a server with workers can have more or fewer of them")
        self._engine.resize(by)

    def wait(self) -> None:
        """Block until the server has been stopped."""
        self.wait_or(lambda: False)

    def wait_or(self, condition: Callable[[], bool], bell: Waitable | None = None) -> bool:
        """Block until stopped (``True``), or until ``condition`` is true; asked when ``bell`` is readable."""
        me = door.waiter()
        self._waiting.add(me)
        try:
            while not self._stopped and not condition():
                if bell is None:
                    door.park(me, "serving")
                else:
                    door.wait(bell, READ, "serving")
        finally:
            self._waiting.discard(me)
        return self._stopped

    def run(self, ready: Callable[[Server], None] | None = None) -> list[str]:
        """Start, and serve until SIGTERM or SIGINT, then drain; a second signal stops at once. Blocks.

        Told to end while workers start, it ends without them.
        ``ready(server)`` is called once it listens. What was cut after ``grace`` seconds is logged and
        returned. In another thread than the main one signals are not touched. Raises as ``start`` does.
        """
        with Signals(self._engine.processes) as signals:
            if signals.bell is not None:
                self.manager = ServiceManager.from_environ()
                self._engine.heed(signals.bell, signals.told_to_end)
            try:
                self.start()
            except Cancelled:
                if not signals.told_to_end():
                    raise
                return self.cut
            try:
                if ready is not None:
                    ready(self)
                with self.manager.told():
                    signals.wait(self)
            finally:
                if not self._stopped:
                    self.stop(0.0)
        for what in self.cut:
            drain_log.warning("cut %s", what)
        if self._failure:
            raise PorticoError(self._failure)
        return self.cut

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(0.0 if error is not None else None)

    def __getstate__(self) -> dict[str, Any]:
        """For another process that is to serve the same: without what belongs to this one."""
        own = {name: type(self.__dict__[name])() for name in _OF_A_PROCESS}
        return {**self.__dict__, **own}

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.addresses or self._asked))
        state = "stopped" if self._stopped else "serving" if self._started else "new"
        return f"<Server {where}: {state}, {self.connections} connections>"

    # -- what the engine calls

    def prepare(self, tally: Tally | None = None) -> None:
        """Load a late handler, and see that what there is can be served. Raises ``ConfigError``."""
        if self._engine.processes:
            self._used = self._started = True  # here, in a worker's copy
            if self.tls is not None:
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
        for address in self._asked:
            self._connector(address.scheme)  # a handler that cannot work is refused now
        if self.metrics is not None:
            self.metrics.begin(self)

    def ended(self, reason: str, cut: Sequence[str]) -> None:
        """The engine is at its end; ``reason``, when it should not be."""
        self._failure = reason
        self.cut += [what for what in cut if what not in self.cut]
        self._close_listeners()
        self._used = self._stopped = True
        for waiter in tuple(self._waiting):
            waiter.wake()

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

    def _check(self) -> None:
        if not self._asked:
            raise ConfigError("a server needs an address to listen on, such as tcp://127.0.0.1:8000")
        for address in self._asked:
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


def serve(
    handler: Any,
    *addresses: Any,
    engine: str | Engine = "threads",
    limits: Limits | None = None,
    tls: ServerTLS | None = None,
    grace: float = 10.0,
    wire: str | None = None,
    admission: Admission | None = None,
    ready: Callable[[Server], None] | None = None,
) -> list[str]:
    """Serve until SIGTERM or SIGINT: ``Server(…).run(ready)``. Blocks; returns what had to be cut."""
    server = Server(
        handler,
        *addresses,
        engine=engine,
        limits=limits,
        tls=tls,
        grace=grace,
        wire=wire,
        admission=admission,
    )
    return server.run(ready)


def _counted(access: Callable[..., None] | None, answered: Callable[[], None]) -> Callable[..., None]:
    """The hook ``access`` that is called after each answer, with a count beside it."""
    if access is None:
        return lambda exchange, seconds: answered()
    write: Callable[..., None] = access

    def both(exchange: object, seconds: float) -> None:
        answered()
        write(exchange, seconds)

    return both
