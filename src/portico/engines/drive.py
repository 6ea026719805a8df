"""A connection run by blocking code: whoever calls ``drive`` waits wherever it would be parked."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic

from portico.deadline import check, timeout
from portico.engines import door
from portico.engines.contract import AGAIN, DONE, RUN, Connection
from portico.errors import Timeout

__all__ = ["admitted", "drive"]


def drive(connection: Connection, draining: Callable[[], float | None] = lambda: None) -> None:
    """Serve one connection to its end.

    ``draining`` is asked before each wait: a time when the server is stopping (see ``drain``).
    """
    if not admitted(connection):
        return
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


def admitted(connection: Connection) -> bool:
    """Ask a connection's question, where it has one that is still open. After a no it is over."""
    question, connection.question = connection.question, None
    if question is None:
        return True
    began = monotonic()
    answer = question()
    connection.deadline += monotonic() - began
    if not answer:
        connection.transport.abort()
        connection.cut()
        connection.advance()
    return answer


def _wait(connection: Connection, step: int) -> None:
    left = connection.deadline - monotonic()
    try:
        with timeout(None if left == inf else max(left, 0)):
            door.wait(connection.transport, step, f"serving {connection.describe()}")
    except Timeout:
        check("serving a connection")  # a deadline of our caller's, not the connection's
        connection.expire()
