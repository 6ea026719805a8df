"""Serving: a handler, some addresses, an engine.

``serve(handler, "tcp://:9000")`` blocks until a signal; ``Server(handler, …)`` is the same as a context
manager, in any thread, for embedding and tests. What a handler is depends on the wire: for streams a
function of a ``Stream`` or a class with ``handle()``; other wires register themselves by ``register_wire``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self

from portico.address import Address
from portico.admission import Admission
from portico.deadline import expiry, timeout
from portico.engines import Engine, door
from portico.engines.contract import Tally
from portico.engines.household import outside
from portico.entrance import Entrance
from portico.errors import Cancelled, ConfigError, PorticoError
from portico.limits import Limits
from portico.served import Fresh, Late
from portico.signals import Signals
from portico.sockets.datagram_port import Datagram
from portico.sockets.service_manager import ServiceManager
from portico.sockets.stream import Stream
from portico.sockets.tls import ServerTLS
from portico.sockets.transport import READ, Waitable, Waiter
from portico.wires import Wire, register_wire

__all__ = ["Fresh", "Handler", "Late", "Server", "Wire", "register_wire", "serve"]

log = logging.getLogger("portico.server")
drain_log = logging.getLogger("portico.drain")

_OF_A_PROCESS = ("_waiting", "_connectors", "_places", "manager", "refused_requests")
"""Of a server's attributes, beside its binding."""


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


class Server(Entrance):
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
        super().__init__(handler, addresses, engine, limits, tls, wire, admission)
        self.grace = grace
        self.renew: Callable[[], Fresh | None] | None = None
        """Called first by ``reload()``: what it gives is served from then on. What it raises (a
        ``PorticoError``) leaves all as it is."""
        self.manager = ServiceManager()
        self.cut: list[str] = []
        self._failure = ""
        self._used = False
        self._started = False
        self._stopped = False
        self._waiting: set[Waiter] = set()

    def start(self) -> Server:
        """Bind every address and begin to serve; returns at once. Raises ``BindError``."""
        if self._used:
            raise ConfigError("this server was started or stopped before; make a new one")
        self._used = True
        self._check_proxy_protocol()
        if not self._engine.processes:
            self.prepare()
        try:
            self._binding.bind(self.limits, self._engine.slots, processes=self._engine.processes)
            self._engine.start(self)
        except BaseException:
            self._binding.close()
            raise
        self._started = True
        return self

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
        self.finish()
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
        binding = self._binding.unbound()
        lists = {"listeners": binding.listeners, "slots": binding.slots, "addresses": binding.addresses}
        return {**self.__dict__, **own, **lists, "_binding": binding}

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.addresses or self._binding.asked))
        state = "stopped" if self._stopped else "serving" if self._started else "new"
        return f"<Server {where}: {state}, {self.connections} connections>"

    # -- what the engine calls

    def prepare(self, tally: Tally | None = None) -> None:
        """As of an ``Entrance``; a worker's copy of a server, which nobody starts, serves from here on."""
        if self._engine.processes:
            self._used = self._started = True
        super().prepare(tally)

    def ended(self, reason: str, cut: Sequence[str]) -> None:
        """The engine is at its end; ``reason``, when it should not be."""
        self._failure = reason
        self.cut += [what for what in cut if what not in self.cut]
        self._binding.close()
        self._used = self._stopped = True
        for waiter in tuple(self._waiting):
            waiter.wake()


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
    """Serve until SIGTERM or SIGINT: ``Server(…).run(ready)``, whose arguments it takes. Blocks; returns what
    had to be cut."""
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
