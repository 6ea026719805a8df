"""The engine ``events``: ten thousand conversations in one thread.

One thread, the hub's, polls and advances parked connections; a conversation (a raw stream handler) is
a strand of the hub: plain blocking code, that gives way to others wherever it waits. Requests
(WSGI, files, programs) hold no strand either: they run in a pool of threads, because what they call
(databases, disks) would hold up the hub, and thread-locals would be shared. Those of a gateway that only
waits at Portico's door (the reverse proxy) are strands for as long as they run.

A handler that holds the hub or the asyncio loop is named in the log, with its stack (``blame``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from portico.engines.awaited import Awaited
from portico.engines.blame import Blame, LoopBlame
from portico.engines.contract import RUN, Connection
from portico.engines.hub import Hub
from portico.engines.lot import REQUEST_THREADS, Lot
from portico.engines.pool import Pool
from portico.engines.strand import Strand
from portico.errors import ConfigError

if TYPE_CHECKING:
    from portico.engines.loop_thread import LoopThread

__all__ = ["Events"]

log = logging.getLogger("portico.events")


class Events(Lot):
    """A hub in a thread of its own, up to ``size`` threads inside request handlers, and an asyncio loop for
    handlers written with ``async def``."""

    awaits = True

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ConfigError(f"engine events:{size}: at least one thread for requests is needed")
        super().__init__()
        self._wanted = size
        self._hub: Hub | None = None
        self._loop: LoopThread | None = None
        self._talking: dict[Connection, Strand] = {}
        self._loop_blame: LoopBlame | None = None

    def _make_pool(self) -> Pool:
        return Pool(self._wanted or REQUEST_THREADS, self._serving.limits.queue, self._household.enter)

    def _launch(self) -> None:
        made = threading.Event()
        try:
            threading.Thread(
                target=Context().run, args=(self._main, made), name="portico events", daemon=True
            ).start()
        except RuntimeError:
            raise ConfigError("engine events: the system gives no more threads; raise the limit") from None
        made.wait()

    def _main(self, made: threading.Event) -> None:
        self._household.enter()
        hub = self._hub = Hub(self._poller)
        hub.stranger, hub.turn = self._found, self._turn
        blame = Blame(
            "hub", hub.thread, hub.native_id,
            lambda turn: _name(hub.current) if turn == hub.resumed else None,
            "Put the call into portico.sync.run_blocking(), or serve with the engine threads",
        )  # fmt: skip
        watchdog = blame.watchdog(lambda: hub.resumed, lambda: hub.current is not None)
        if watchdog.start():
            hub.watchdog = watchdog
        made.set()
        try:
            with hub.installed():
                hub.loop(lambda: self._finished)
        finally:
            watchdog.stop()
            self._retire()

    def _end_tasks(self, until: float) -> list[str]:
        cut = super()._end_tasks(until)
        if self._loop is not None:
            cut += self._loop.stop(max(until - monotonic(), 0.0))
        return cut

    def _finish(self) -> None:
        if self._loop is not None:
            self._loop.stop(0.0)
        if self._loop_blame is not None:
            self._loop_blame.stop()
        super()._finish()
        if not self._left_for_good.is_set():
            for listener in self._serving.listeners:  # a handler holds the hub, which cannot come to do it
                listener.close()

    # -- a turn of the hub

    def _rouse(self) -> None:
        hub = self._hub
        # Not only while the hub polls: it may have looked for word already, and be about to.
        if hub is not None and threading.get_ident() != hub.thread:
            self._poller.wake()

    def _turn(self) -> float:
        """Before each poll: who was woken, the end, the deadlines. How long the poll may last."""
        for _ in range(len(self._woken)):
            item = self._woken.popleft()
            if isinstance(item, Connection):
                self._deliver(item)
            else:
                self._reception.look_at(item)
        if self._drain_wanted:
            self._drain()
            return 0.0  # what had come before the end is read before any deadline is looked at
        idle = self._idle_for(monotonic())
        return 0.0 if self._woken or self._finished else idle

    def _found(self, descriptor: int, events: int) -> None:
        connection = self._find(descriptor, events)
        if connection is not None:
            self._deliver(connection)

    def _deliver(self, connection: Connection) -> None:
        if connection.running and self._leave_word(connection):
            return
        hub = self._hub
        assert hub is not None
        hub.resumed += 1
        hub.current = connection
        try:
            step = connection.advance()
            while step == RUN:
                if isinstance(connection, Awaited):
                    self._await(connection)
                    return
                if connection.strand:
                    self._talk(connection, hub)
                    return
                if self._hand(connection):
                    return
                connection.run()  # there are no threads at all
                step = connection.advance()
            self._settle(connection, step)
        except Exception as error:  # noqa: BLE001  (a hub must outlive any bug)
            self._crashed(connection, error)

    # -- conversations

    def _hand(self, connection: Connection) -> bool:
        connection.aside = self._pool.aside
        return super()._hand(connection)

    def _talk(self, connection: Connection, hub: Hub) -> None:
        connection.running, connection.thread = True, 0
        connection.aside = None  # it has no place in the pool that could be given up
        self._unwatch(connection)
        strand = self._talking[connection] = hub.make(self._converse, connection)
        hub.resume(strand)

    def _converse(self, connection: Connection) -> None:
        self._household.enter()  # a strand begins in an empty context
        try:
            if not connection.transport.closed:
                connection.run()
        except Exception as error:  # noqa: BLE001  (as above)
            self._crashed(connection, error)
        else:
            self._after_run(connection)
        finally:
            self._talking.pop(connection, None)

    def _park(self, connection: Connection, step: int) -> None:
        hub = self._hub
        if hub is not None and threading.get_ident() == hub.thread:
            hub.release(connection.transport)
        super()._park(connection, step)

    def _call_off(self, connection: Connection) -> None:
        strand = self._talking.get(connection)
        if strand is not None:
            strand.cancel()
        super()._call_off(connection)

    def _await(self, connection: Awaited) -> None:
        """Hand it over to the asyncio loop, which begins with the first."""
        connection.running, connection.thread = True, 0
        self._unwatch(connection)
        if self._loop is None:
            self._loop = _start_loop(self._household.enter)
            self._loop_blame = LoopBlame(self._loop)
        self._loop.submit(connection.converse, partial(self._awaited, connection), connection.describe())
        if self._loop_blame is not None:
            self._loop_blame.begun()

    def _awaited(self, connection: Awaited, error: BaseException | None) -> None:
        connection.ended(error)
        self._after_run(connection)


def _start_loop(enter: Callable[[], object]) -> LoopThread:
    from portico.engines.loop_thread import LoopThread  # asyncio is loaded where it is used

    loop = LoopThread("portico asyncio", enter)
    loop.start()
    return loop


def _name(held: object) -> object:
    what = held.name if isinstance(held, Strand) else held
    return what.describe() if isinstance(what, Connection) else what
