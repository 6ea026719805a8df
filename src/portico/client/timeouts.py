"""How long a request may take: as a whole, and in each of its phases."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeAlias

from portico.errors import ConfigError

__all__ = ["PATIENT", "TimeoutLike", "Timeouts", "as_timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for ``total``, the whole operation from look-up to the last byte of the body, redirects and
    retries included; for one connection to be made (``connect``: look-up, TCP, proxy, TLS); for silence while
    reading (``read``) and while the server takes nothing (``write``); for a free connection (``pool``).

    ``None`` sets no bound. Without a ``total``, what sends a byte now and then is read for ever. Raises
    ``ConfigError``.
    """

    total: float | None = None
    connect: float | None = 30.0
    read: float | None = 60.0
    write: float | None = 60.0
    pool: float | None = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0
            ):
                raise ConfigError(f"timeout: {field.name}={value!r}: expected seconds above zero, or None")


PATIENT = Timeouts(None, None, None, None, None)
"""No bound at all."""

TimeoutLike: TypeAlias = Timeouts | float | tuple[float | None, float | None] | None
"""Seconds for everything together; ``(connect, read)``; ``None`` for no bound."""


def as_timeouts(value: TimeoutLike) -> Timeouts:
    """What a caller gives as ``timeout=``. Raises ``ConfigError``."""
    if isinstance(value, Timeouts):
        return value
    if value is None:
        return PATIENT
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ConfigError(f"timeout={value!r}: expected seconds, (connect, read) or Timeouts(…)")
        return Timeouts(connect=value[0], read=value[1])
    return Timeouts(total=value)
