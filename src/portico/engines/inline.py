"""The engine ``inline``: one connection after the other, in one thread. For tests and tools."""

from __future__ import annotations

from time import monotonic

from portico.deadline import timeout
from portico.engines import door
from portico.engines.contract import Connection, Engine, Listening, Serving
from portico.engines.drive import drive
from portico.errors import Cancelled, Timeout
from portico.sockets.transport import READ

__all__ = ["Inline"]

_ACCEPT_PAUSE = 0.1  # seconds without accepting after the system ran out of descriptors


class Inline(Engine):
    """Serves its connections strictly in turn; the others wait in the kernel's queue."""

    def __init__(self) -> None:
        self._serving: Serving | None = None
        self._task: door.Task[None] | None = None
        self._current: Connection | None = None
        self._stopping = False
        self._quiet_until = 0.0
        self._cut_at = 0.0

    @property
    def connections(self) -> int:
        return 0 if self._current is None else 1

    def start(self, serving: Serving) -> None:
        self._serving = serving
        self._task = door.THREADS.spawn(self._loop, serving, name="inline")

    def stop(self, grace: float, quiet: float) -> list[str]:
        cut: list[str] = []
        self._quiet_until = monotonic() + quiet
        self._stopping = True
        if self._serving is None or self._task is None:
            return cut
        for listener in self._serving.listeners:
            listener.wake()
        current = self._current
        if current is not None:
            current.transport.wake()
        if not _joined(self._task, grace):
            current = self._current
            if current is not None:
                cut.append(current.describe())
                current.cut()
            self._task.cancel()
            if not _joined(self._task, 1.0):
                cut.append("a handler that does not come back")
        return cut

    def _loop(self, serving: Serving) -> None:
        while not self._stopping:
            for listener in serving.listeners:
                self._accept(serving, listener)
            if not self._stopping:
                door.wait_any([(listener, READ) for listener in serving.listeners], "accepting")
        for listener in serving.listeners:
            self._accept(serving, listener)  # who came before the end is still served
            listener.close()

    def _accept(self, serving: Serving, listener: Listening) -> None:
        try:
            transport = listener.accept()
        except OSError as error:
            serving.accept_failed(listener, error)
            door.sleep(_ACCEPT_PAUSE)
            return
        connection = None if transport is None else serving.connected(transport)
        if connection is not None:
            self._serve(serving, connection)

    def _serve(self, serving: Serving, connection: Connection) -> None:
        self._current = connection
        try:
            drive(connection, lambda: self._quiet_until if self._stopping else None)
        except BaseException as error:
            connection.cut()
            serving.failed(connection, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._current = None
            serving.disconnected(connection)


def _joined(task: door.Task[None], seconds: float) -> bool:
    try:
        with timeout(seconds, shield=True):
            task.join()
    except (Timeout, Cancelled):
        return task.done
    return True
