"""Who may say what, and when: the legal moves of HTTP/1.1 as one table.

A connection has two sides, the client's and the server's, and a codec follows both, whichever it
plays. Each entry of ``MOVES`` is ``(side, state, move) -> state``; what is not in it is illegal.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from portico.errors import LocalProtocolError

__all__ = ["MOVES", "Move", "Role", "State", "after"]


# IntEnum, because its members hash in C: the table is consulted several times for each message.
class Role(IntEnum):
    """A side of a connection; for a codec, the side it plays."""

    CLIENT = 0
    SERVER = 1


class State(IntEnum):
    """Where a side is in its current message."""

    IDLE = 0
    """Nothing yet in this cycle."""
    ANSWER = 1
    """A server that owes an answer."""
    BODY = 2
    DONE = 3
    SWITCHED = 4
    """The bytes belong to another protocol, or to a tunnel."""
    CLOSED = 5
    ERROR = 6
    """Broke the protocol; for good."""


class Move(IntEnum):
    """What a side does, or what is done to it."""

    REQUEST = 0
    """A request's head."""
    BARE_REQUEST = 1
    """A request that is complete with its head."""
    ASKED = 2
    """The client's head has come: the server owes an answer."""
    INFORM = 3
    """An informational response (1xx)."""
    RESPONSE = 4
    """A final response's head."""
    WHOLE_RESPONSE = 5
    """Head, body and end in one piece."""
    DATA = 6
    END = 7
    SWITCH = 8
    CLOSE = 9
    CYCLE = 10


_C, _S = Role.CLIENT, Role.SERVER

MOVES: Final[dict[tuple[Role, State, Move], State]] = {
    (_C, State.IDLE, Move.REQUEST): State.BODY,
    (_C, State.IDLE, Move.BARE_REQUEST): State.DONE,
    (_C, State.IDLE, Move.CLOSE): State.CLOSED,
    (_C, State.BODY, Move.DATA): State.BODY,
    (_C, State.BODY, Move.END): State.DONE,
    (_C, State.DONE, Move.SWITCH): State.SWITCHED,
    (_C, State.DONE, Move.CLOSE): State.CLOSED,
    (_C, State.DONE, Move.CYCLE): State.IDLE,
    #
    (_S, State.IDLE, Move.ASKED): State.ANSWER,
    # Answers to what could not be read as a request (400, 408, 431), or was never asked (503).
    (_S, State.IDLE, Move.RESPONSE): State.BODY,
    (_S, State.IDLE, Move.WHOLE_RESPONSE): State.DONE,
    (_S, State.IDLE, Move.CLOSE): State.CLOSED,
    (_S, State.ANSWER, Move.INFORM): State.ANSWER,
    (_S, State.ANSWER, Move.RESPONSE): State.BODY,
    (_S, State.ANSWER, Move.WHOLE_RESPONSE): State.DONE,
    (_S, State.ANSWER, Move.SWITCH): State.SWITCHED,
    (_S, State.BODY, Move.DATA): State.BODY,
    (_S, State.BODY, Move.END): State.DONE,
    (_S, State.DONE, Move.CLOSE): State.CLOSED,
    (_S, State.DONE, Move.CYCLE): State.IDLE,
}

_WORDS: Final = {
    Move.REQUEST: "send a request",
    Move.BARE_REQUEST: "send a request",
    Move.ASKED: "be asked",
    Move.INFORM: "send an informational response",
    Move.RESPONSE: "send a response",
    Move.WHOLE_RESPONSE: "send a response",
    Move.DATA: "send body data",
    Move.END: "end a message",
    Move.SWITCH: "switch protocols",
    Move.CLOSE: "close",
    Move.CYCLE: "start another cycle",
}


def after(side: Role, state: State, move: Move) -> State:
    """The state that ``move`` leads to. Raises ``LocalProtocolError`` when it is illegal there."""
    following = MOVES.get((side, state, move))
    if following is None:
        raise LocalProtocolError(f"a {side.name.lower()} in state {state.name} cannot {_WORDS[move]}")
    return following
