"""Who does what on a telnet connection: the Q method of RFC 1143, one state for each option and side.

The rule that keeps two ends from answering each other for ever: what is in force already is not answered,
and an answer is never asked for twice. The moves are a table; a request of our own that comes while an
answer is still out is remembered (``…_OPPOSITE``), not sent.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto

__all__ = ["BINARY", "ECHO", "NAWS", "SUPPRESS_GO_AHEAD", "TERMINAL_TYPE", "Side", "State"]

BINARY = 0
"""RFC 856"""
ECHO = 1
"""RFC 857"""
SUPPRESS_GO_AHEAD = 3
"""RFC 858"""
TERMINAL_TYPE = 24
"""RFC 1091"""
NAWS = 31
"""Window size, RFC 1073"""


class State(Enum):
    """Of one option on one side (RFC 1143, 7)."""

    NO = auto()
    YES = auto()
    WANT_NO = auto()
    WANT_NO_OPPOSITE = auto()
    WANT_YES = auto()
    WANT_YES_OPPOSITE = auto()


_RECEIVED: dict[tuple[State, bool], tuple[State, bool | None]] = {
    (State.NO, False): (State.NO, None),
    (State.YES, True): (State.YES, None),
    (State.YES, False): (State.NO, False),
    # A refusal that is answered with consent is the other side's fault; it is taken for consent to refuse.
    (State.WANT_NO, True): (State.NO, None),
    (State.WANT_NO, False): (State.NO, None),
    (State.WANT_NO_OPPOSITE, True): (State.YES, None),
    (State.WANT_NO_OPPOSITE, False): (State.WANT_YES, True),
    (State.WANT_YES, True): (State.YES, None),
    (State.WANT_YES, False): (State.NO, None),
    (State.WANT_YES_OPPOSITE, True): (State.WANT_NO, False),
    (State.WANT_YES_OPPOSITE, False): (State.NO, None),
}
"""State and what came (on or off): the next state, and what to answer. ``(NO, True)`` is a question."""

_ASKED: dict[tuple[State, bool], tuple[State, bool | None]] = {
    (State.NO, True): (State.WANT_YES, True),
    (State.YES, False): (State.WANT_NO, False),
    (State.WANT_NO, True): (State.WANT_NO_OPPOSITE, None),
    (State.WANT_NO_OPPOSITE, False): (State.WANT_NO, None),
    (State.WANT_YES, False): (State.WANT_YES_OPPOSITE, None),
    (State.WANT_YES_OPPOSITE, True): (State.WANT_YES, None),
}
"""State and what we want: the next state, and what to send. What is not here is so already."""


class Side:
    """The options of one side, ours or the peer's; ``agreeable`` are those we accept when asked."""

    def __init__(self, agreeable: Collection[int]) -> None:
        self.agreeable = frozenset(agreeable)
        self._states: dict[int, State] = {}

    def state(self, option: int) -> State:
        """Where the negotiation of an option stands."""
        return self._states.get(option, State.NO)

    def on(self, option: int) -> bool:
        """Whether the option is in force."""
        return self.state(option) is State.YES

    def received(self, option: int, on: bool) -> bool | None:
        """The peer said on or off. What to answer; ``None``: nothing."""
        state = self.state(option)
        if state is State.NO and on:
            yes = option in self.agreeable
            return self._become(option, State.YES if yes else State.NO, yes)
        return self._become(option, *_RECEIVED[state, on])

    def ask(self, option: int, on: bool) -> bool | None:
        """We want it on or off. What to send; ``None``: nothing now."""
        state = self.state(option)
        return self._become(option, *_ASKED.get((state, on), (state, None)))

    def _become(self, option: int, state: State, say: bool | None) -> bool | None:
        self._states[option] = state
        return say
