"""A connection run by blocking code: whoever calls ``drive`` waits wherever it would be parked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from time import monotonic

from portico.deadline import check, timeout
from portico.engines import door
from portico.engines.contract import AGAIN, DONE, RUN, Connection, Listening
from portico.errors import Timeout
from portico.sockets.transport import READ

__all__ = ["admitted", "drive"]

TURN = 1.0
"""Seconds for which a connection that has been served is waited for while others wait: its next request may
be on its way, and would be lost."""


def drive(
    connection: Connection,
    draining: Callable[[], float | None] = lambda: None,
    others: Sequence[Listening] = (),
) -> None:
    """Serve one connection to its end.

    ``draining`` is asked before each wait: a time when the server is stopping (see ``drain``). ``others``:
    where they wait for their turn. Once somebody does, and this one has been served, it drains as well.
    """
    if not admitted(connection):
        return
    told = turn_ends = None
    served = False
    while (step := connection.advance()) != DONE:
        if step == RUN:
            connection.run()
            served = True
            continue
        until = draining() or turn_ends
        if until != told and until is not None:
            told = until
            connection.drain(until)
            continue  # what had come before is read before any deadline is looked at
        watched = others if served and told is None else ()
        if _wait(connection, step, watched):
            turn_ends = monotonic() + TURN


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


def _wait(connection: Connection, step: int, others: Sequence[Listening]) -> bool:
    """Wait for what the connection waits for, if it does, or for one of the others. Whether one is there."""
    left = connection.deadline - monotonic()
    if step == AGAIN:
        if left <= 0:
            connection.expire()
        return _is_there(others)
    doing = f"serving {connection.describe()}"
    try:
        with timeout(None if left == inf else max(left, 0)):
            if others:
                wanted = [(connection.transport, step), *((each, READ) for each in others)]
                return any(door.wait_any(wanted, doing)[1:])
            door.wait(connection.transport, step, doing)
    except Timeout:
        check("serving a connection")  # a deadline of our caller's, not the connection's
        connection.expire()
    return False


def _is_there(others: Sequence[Listening]) -> bool:
    try:
        with timeout(0.0):
            return bool(others) and any(door.wait_any([(each, READ) for each in others], "looking"))
    except Timeout:
        check("looking for others")
        return False
