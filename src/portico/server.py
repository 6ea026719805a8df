"""Serving: a handler, some addresses, an engine.

``serve(handler, "tcp://:9000")`` blocks until a signal; ``Server(handler, …)`` is the same as a context
manager, in any thread, for embedding and tests. What a handler is depends on the wire: for streams a
function of a ``Stream`` or a class with ``handle()``; other wires register themselves by ``register_wire``.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, Self

from portico.address import Address
from portico.address.schemes import SCHEMES
from portico.deadline import expiry
from portico.engines import Engine, door, make_engine
from portico.engines.contract import Connection, Listening
from portico.engines.conversation import Conversation
from portico.errors import ConfigError, ConnectionLost, TLSError
from portico.limits import Limits
from portico.sockets.listen import inherited, listen
from portico.sockets.pipe import PipeTransport
from portico.sockets.stream import Stream
from portico.sockets.tls import ServerTLS
from portico.sockets.transport import READ, Transport, Waitable, Waiter

__all__ = ["Handler", "Server", "Wire", "register_wire", "serve"]

log = logging.getLogger("portico.server")
drain_log = logging.getLogger("portico.drain")

Connector = Callable[[Transport], Connection]
Wire = Callable[[Any, "Server"], Connector]
"""From a handler and its server to what makes a connection of an accepted transport."""

_WIRES: dict[str, Wire] = {}
_CLAIMS: list[tuple[Callable[[Any], bool], str]] = []
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_LOG_PAUSE = 5.0  # seconds between two lines about the same trouble


def register_wire(name: str, wire: Wire, claims: Callable[[Any], bool] = lambda handler: False) -> None:
    """Make a protocol available: ``name`` is an address's ``wire``; ``claims(handler)`` says whether a
    handler speaks it also on plain stream addresses (``tcp unix memory fd``)."""
    _WIRES[name] = wire
    _CLAIMS.append((claims, name))


class Handler:
    """A conversation as a class (row R1): subclass, and write ``handle``.

    A new instance for each connection; ``stream``, ``peer`` and ``server`` are set before ``setup()``.
    ``finish()`` is called whenever ``setup()`` succeeded.
    """

    stream: Stream
    peer: Address | None
    server: Server

    def setup(self) -> None:
        """Before ``handle``."""

    def handle(self) -> None:
        """The conversation."""

    def finish(self) -> None:
        """After ``handle``, also when it raised."""


class Server:
    """Serves ``handler`` on ``addresses`` until ``stop()``; also a context manager.

    ``engine``: ``inline``, ``threads``, ``threads:N`` or an ``Engine``. ``limits``: see ``Limits``.
    ``tls``: a ``ServerTLS`` for the addresses that are secure (``tls https``). ``grace``: seconds that
    ``stop()`` leaves to what is going on. ``wire``: what the bytes look like on plain stream addresses;
    found out from the handler when not given. Raises ``ConfigError``, ``AddressError``; ``start()``
    raises ``BindError``.
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
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.tls = tls
        self.grace = grace
        self.accepted = 0
        self.access: Callable[..., None] | None = None  # called after each answer by wires that have such
        self.listeners: list[Listening] = []
        self.addresses: list[Address] = []
        self.cut: list[str] = []
        self._engine = make_engine(engine)
        self._asked = [Address.parse(address) for address in addresses] or inherited()
        self._wire = wire or _claimed_wire(handler)
        self._connectors: dict[str, Connector] = {}
        self._used = False
        self._started = False
        self._stopped = False
        self._waiting: set[Waiter] = set()
        self._last_log = 0.0
        self._check()

    @property
    def conversations(self) -> bool:
        """Whether connections are conversations (raw streams), not requests."""
        return all(self._wire_of(address) == "stream" for address in self._asked)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._engine.connections

    def start(self) -> Server:
        """Bind every address and begin to serve; returns at once. Raises ``BindError``."""
        if self._used:
            raise ConfigError("this server was started or stopped before; make a new one")
        self._used = True
        for address in self._asked:
            self._connector(address.scheme)  # a handler that cannot work is refused now
        try:
            for address in self._asked:
                for listener in listen(address, self.limits.backlog):
                    self.listeners.append(listener)
                    self.addresses.append(listener.address)
            self._engine.start(self)
        except BaseException:
            for listener in self.listeners:
                listener.close()
            raise
        self._started = True
        return self

    def stop(self, grace: float | None = None, quiet: float = 0.0) -> list[str]:
        """Stop: no new connections; what is going on gets ``grace`` seconds (default: the server's).

        Idle kept connections get ``quiet`` seconds for one more request. What had to be cut is returned
        and kept in ``cut``. From any thread, more than once: a later call with less grace shortens it. A
        deadline in force shortens it too. Called by a handler it returns at once, and goes on beside it.
        """
        if self._started and self._engine.inside:
            door.spawn(self.stop, grace, quiet, name="stop")  # to wait here would be to wait for ourselves
            return self.cut
        if self._started:
            seconds = min(self.grace if grace is None else grace, expiry() - monotonic())
            cut = self._engine.stop(max(seconds, 0.0), quiet)
            self.cut += [what for what in cut if what not in self.cut]
        self._used = self._stopped = True
        for waiter in tuple(self._waiting):
            waiter.wake()
        return self.cut

    def reload(self) -> None:
        """Read the certificates anew, for new handshakes; when that fails the old ones stay. Logged.

        Files that changed are noticed without this, at a later handshake.
        """
        if self.tls is None:
            log.info("nothing to reload: there are no certificates")
            return
        try:
            self.tls.reload()
        except ConfigError as error:
            log.error("the old certificates stay: %s", error)
        else:
            log.info("certificates reloaded")

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

        ``ready(server)`` is called once it listens. What was cut after ``grace`` seconds is logged and
        returned. In another thread than the main one signals are not touched. Raises as ``start`` does.
        """
        with _Signals() as signals:
            self.start()
            try:
                if ready is not None:
                    ready(self)
                signals.wait(self)
            finally:
                if not self._stopped:
                    self.stop(0.0)
        for what in self.cut:
            drain_log.warning("cut %s", what)
        return self.cut

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(0.0 if error is not None else None)

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.addresses or self._asked))
        state = "stopped" if self._stopped else "serving" if self._started else "new"
        return f"<Server {where}: {state}, {self.connections} connections>"

    # -- what the engine calls

    def connected(self, transport: Transport) -> Connection | None:
        """Make a connection of an accepted transport."""
        self.accepted += 1
        local = transport.local
        scheme = local.scheme if local is not None else "tcp"
        try:
            if scheme in ("tls", "https") and self.tls is not None:
                transport = self.tls.wrap(transport)
            return self._connector(scheme)(transport)
        except Exception as error:  # an engine must outlive what one connection meets
            transport.abort()
            log.error("the connection from %s could not be served", transport.peer, exc_info=error)
            return None

    def disconnected(self, connection: Connection) -> None:
        """A connection is over."""

    def accept_failed(self, listener: Listening, error: OSError) -> None:
        """Accepting rests for a moment; said once in a while, not each time."""
        now = monotonic()
        if now - self._last_log >= _LOG_PAUSE:
            self._last_log = now
            advice = "; raise the limit (ulimit -n)" if error.errno in _OUT_OF_RESOURCES else ""
            log.warning("cannot accept on %s: %s%s", listener.address, error.strerror, advice)

    def failed(self, connection: Connection, error: BaseException) -> None:
        """A bug in connection code, caught by the engine."""
        log.error("%s was cut by an internal error", connection.describe(), exc_info=error)

    # -- inside

    def _check(self) -> None:
        if not self._asked:
            raise ConfigError("a server needs an address to listen on, such as tcp://127.0.0.1:8000")
        for address in self._asked:
            name = self._wire_of(address)
            if name not in _WIRES:
                raise ConfigError(f"{address}: no server speaks {name!r}; there are: {', '.join(_WIRES)}")
            if address.secure and self.tls is None:
                raise ConfigError(f"{address} needs a certificate: pass tls=ServerTLS(certificate=…, key=…)")
        if self.conversations and not callable(self.handler):
            raise ConfigError(f"the handler {self.handler!r} is not callable")

    def _connector(self, scheme: str) -> Connector:
        connector = self._connectors.get(scheme)
        if connector is None:
            connector = self._connectors[scheme] = _WIRES[self._wire_name(scheme)](self.handler, self)
        return connector

    def _wire_of(self, address: Address) -> str:
        return self._wire_name(address.scheme)

    def _wire_name(self, scheme: str) -> str:
        wire = SCHEMES[scheme].wire
        return self._wire if wire == "stream" else wire


def serve(
    handler: Any,
    *addresses: Any,
    engine: str | Engine = "threads",
    limits: Limits | None = None,
    tls: ServerTLS | None = None,
    grace: float = 10.0,
    wire: str | None = None,
    ready: Callable[[Server], None] | None = None,
) -> list[str]:
    """Serve until SIGTERM or SIGINT: ``Server(…).run(ready)``. Blocks; returns what had to be cut."""
    server = Server(handler, *addresses, engine=engine, limits=limits, tls=tls, grace=grace, wire=wire)
    return server.run(ready)


class _Signals:
    """SIGTERM and SIGINT while serving: the first drains, the second stops now. SIGHUP reads certificates
    anew; where it is ignored (``nohup``) it stays so.

    A handler only counts: it may run in the middle of anything. What ends the main thread's wait is the
    interpreter's own note in a pipe: a signal that the kernel gives to another thread, or just before the
    main thread begins to wait, would leave it waiting, and its handler unrun.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._count = 0
        self._reload = False
        self._bell: PipeTransport | None = None
        self._noter = self._noter_before = -1
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        numbers = [*self.SIGNALS, *_hangups()]
        for number in numbers:
            try:
                self._before.append((number, signal.signal(number, self._received)))
            except ValueError:
                return self  # not the main thread: signals are somebody else's
        reading, self._noter = os.pipe()
        self._bell = PipeTransport(reading, None, "the signals")
        os.set_blocking(self._noter, False)
        self._noter_before = signal.set_wakeup_fd(self._noter, warn_on_full_buffer=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bell is not None:
            signal.set_wakeup_fd(self._noter_before)
            os.close(self._noter)
            self._bell.close()
        for number, handler in self._before:
            # None: somebody's who is not Python, and whom we cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if number in self.SIGNALS:
            self._count += 1
        else:
            self._reload = True

    def _more_than(self, count: int, server: Server) -> bool:
        if self._bell is not None:
            self._bell.recv(64)
        if self._reload:
            self._reload = False
            server.reload()
        return self._count > count

    def wait(self, server: Server) -> None:
        """Until stopped from elsewhere, or drained after a signal, or told twice."""
        if server.wait_or(lambda: self._more_than(0, server), self._bell):
            return
        if server.connections:
            drain_log.info(
                "stopping: waiting up to %g s for %d connection%s; a second signal stops now",
                server.grace, server.connections, "" if server.connections == 1 else "s",
            )  # fmt: skip
        draining = door.spawn(server.stop, server.grace, server.limits.drain_quiet, name="drain")
        if not server.wait_or(lambda: self._more_than(1, server), self._bell):
            server.stop(0.0)
            return  # the drain may wait for code that does not come back
        draining.join()


def _hangups() -> list[signal.Signals]:
    hangup = getattr(signal, "SIGHUP", None)
    return [] if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN else [hangup]


def _claimed_wire(handler: Any) -> str:
    """The wire that a handler speaks on plain stream addresses; raw streams when nobody claims it."""
    for claims, name in _CLAIMS:
        if claims(handler):
            return name
    return "stream"


def _stream_wire(handler: Any, server: Server) -> Connector:
    converse = _converse_by_class(handler, server) if isinstance(handler, type) else handler

    def report(doing: str, peer: object, error: BaseException) -> None:
        if doing == "handshake" or isinstance(error, (TLSError, ConnectionLost)):
            log.info("%s with %s: %s", doing, peer, error)
        else:
            log.error("the handler of the connection from %s failed: %r", peer, error, exc_info=error)

    return lambda transport: Conversation(transport, converse, server.limits, report)


def _converse_by_class(kind: type, server: Server) -> Callable[[Stream], None]:
    if not callable(getattr(kind, "handle", None)):
        raise ConfigError(f"the handler class {kind.__name__} has no method handle()")

    def converse(stream: Stream) -> None:
        handler = kind()
        handler.stream, handler.peer, handler.server = stream, stream.peer, server
        getattr(handler, "setup", _nothing)()
        try:
            handler.handle()
        finally:
            getattr(handler, "finish", _nothing)()

    return converse


def _nothing() -> None:
    pass


register_wire("stream", _stream_wire)
