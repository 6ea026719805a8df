"""A connection run by blocking code: whoever calls ``drive`` waits wherever it would be parked."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic

from portico.deadline import check, timeout
from portico.engines import door
from portico.engines.contract import AGAIN, DONE, RUN, Connection
from portico.errors import Timeout

__all__ = ["drive"]


def drive(connection: Connection, draining: Callable[[], float | None] = lambda: None) -> None:
    """Serve one connection to its end.

    ``draining`` is asked before each wait: a time when the server is stopping (see ``drain``).
    """
    told = None
    while (step := connection.advance()) != DONE:
        if step == RUN:
            connection.run()
            continue
        until = draining()
        if until != told and until is not None:
            told = until
            connection.drain(until)
            continue  # what had come before is read before any deadline is looked at
        if step != AGAIN:
            _wait(connection, step)
        elif connection.deadline <= monotonic():
            connection.expire()


def _wait(connection: Connection, step: int) -> None:
    left = connection.deadline - monotonic()
    try:
        with timeout(None if left == inf else max(left, 0)):
            door.wait(connection.transport, step, f"serving {connection.describe()}")
    except Timeout:
        check("serving a connection")  # a deadline of our caller's, not the connection's
        connection.expire()
