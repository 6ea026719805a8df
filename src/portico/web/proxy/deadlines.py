"""How long an upstream may take for what, and what became of one that cannot answer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import ClassVar

from portico.errors import ConfigError

__all__ = ["Deadlines", "UpstreamError"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds that an upstream gets; ``None`` waits for ever. Raises ``ConfigError``.

    Waiting for the client does not count: the server's own limits hold for that.
    """

    connect: float | None = 5.0
    """For the name, the connection, and TLS."""
    first_byte: float | None = 60.0
    """From the end of the request (or its last piece that was taken) to the head of the answer."""
    between: float | None = 60.0
    """Between two pieces of the answer, or until more of the request is taken."""
    whole: float | None = None
    """For all of it, from the first attempt to connect."""
    tunnel: float | None = 3600.0
    """Without a byte in either direction, after a switch of protocols (WebSocket)."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not value > 0
                or not isfinite(value)
            ):
                raise ConfigError(f"deadline {field.name}={value!r}: expected seconds above zero, or None")


class UpstreamError(Exception):
    """An upstream did not answer as it should. ``reason``, for counting, is one of ``STATUSES``.

    ``untouched``: it has seen nothing of the request, so that another may be asked. ``stale``: a connection
    that had rested turned out to be closed.
    """

    STATUSES: ClassVar[dict[str, int]] = {
        "connect": 502,  # refused, unreachable, without a name, TLS failed
        "reset": 502,  # it closed the connection before the head of its answer
        "bad_answer": 502,  # what it said is not HTTP, or breaks its rules
        "cut": 502,  # the answer ended before its end
        "connect_timeout": 504,
        "timeout": 504,
        "unavailable": 503,  # all are out, or have as many connections as they may
        "loop": 508,  # the request has been here too often
    }
    """Each reason, and the status that the client gets for it."""

    def __init__(self, reason: str, detail: str, *, untouched: bool = False, stale: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.untouched = untouched
        self.stale = stale

    @property
    def status(self) -> int:
        """What the client is answered, where it can be."""
        return self.STATUSES[self.reason]
