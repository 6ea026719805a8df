"""Requests that a server refuses by itself, counted by reason: for whoever runs it to see what goes on.

``Server.refusals`` gives the sums over all processes. A reason that is the name of a limit says which one;
``REFUSALS`` has the status of the answer for each. What a program behind the server answers is its own
business and not counted, but for a 405. (Who is not let in at all is counted by ``admission``.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from portico.admission import REASONS as AT_THE_DOOR
from portico.errors import EndOfStream, LimitExceeded, ProtocolError
from portico.sync import Guard

__all__ = ["REASONS", "REFUSALS", "Refusals", "reason_of"]

REFUSALS: Final[dict[str, int]] = {
    "malformed": 400,
    "chunk_extension_bytes": 400,
    "not_allowed": 405,
    "head": 408,
    "body_rate": 408,
    "body": 413,
    "request_line": 414,
    "expectation": 417,
    "headers": 431,
    "header_bytes": 431,
    "coding": 501,
    "method": 501,
    "busy": 503,
    "request": 503,
    "room": 503,
    "version": 505,
    "handshake": 0,
    "proxy_header": 0,
    "write_stall": 0,
}
"""From the reason to the status of the answer; 0: nobody would have heard one."""
REASONS: Final = tuple(REFUSALS)

_BY_STATUS: Final = {408: "body_rate", 417: "expectation", 501: "coding", 505: "version"}
_FIRST: Final = len(AT_THE_DOOR)  # of our reasons among all that processes tell of
_NUMBERS: Final = {reason: number for number, reason in enumerate(REASONS, _FIRST)}


def reason_of(error: ProtocolError | LimitExceeded | EndOfStream) -> str:
    """The reason why what raised this is refused."""
    if isinstance(error, LimitExceeded):
        return error.limit
    if isinstance(error, EndOfStream):
        return "malformed"
    return _BY_STATUS.get(error.status, "malformed")


class Refusals:
    """One process's counts. Any thread may count."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.tell: Callable[[int, int], object] | None = None
        """Called with a reason's number (see ``Tally.refused``) and how often there has been that reason."""
        self._guard = Guard()

    def count(self, reason: str) -> None:
        """Once more. Raises ``KeyError`` for what is no reason."""
        number = _NUMBERS[reason]
        with self._guard:
            self.counts[reason] += 1
            if self.tell is not None:
                self.tell(number, self.counts[reason])

    def with_those(self, elsewhere: Sequence[int]) -> Counter[str]:
        """Ours, and those that other processes told of, by number."""
        told = zip(REASONS, elsewhere[_FIRST:], strict=False)  # there are none, or spare places at the end
        return Counter(self.counts) + Counter(dict(told))
