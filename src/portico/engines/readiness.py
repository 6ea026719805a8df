"""What a wait finds: from what the kernel says of descriptors to what may be done with transports."""

from __future__ import annotations

import select
from collections.abc import Sequence

from portico.sockets.transport import READ, WRITE, Waitable

__all__ = ["descriptors", "ready_now", "ready_of"]

_READY = READ | WRITE
_BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL if hasattr(select, "poll") else 0


def ready_now(transport: Waitable, events: int) -> int:
    """What can be told without the kernel: all there is to know where it watches nothing."""
    return transport.ready(events) if transport.fileno() < 0 else 0


def descriptors(wanted: Sequence[tuple[Waitable, int]]) -> list[tuple[int, int]]:
    """What to watch, for what: each descriptor once."""
    merged: dict[int, int] = {}
    for transport, events in wanted:
        descriptor = transport.fileno()
        if descriptor >= 0:
            merged[descriptor] = merged.get(descriptor, 0) | transport.interest(events)
    return list(merged.items())


def ready_of(found: Sequence[tuple[int, int]], transport: Waitable, events: int) -> int:
    """Which of ``events`` are possible now, after descriptors were ``found`` ready."""
    if transport.closed:  # its number may have been given to another since
        return 0
    descriptor = transport.fileno()
    if descriptor < 0:
        return transport.ready(events)
    for number, got in found:
        if number == descriptor:
            if not got & (transport.interest(events) | _BROKEN):
                return 0
            # TLS may have to write in order to read: what it wanted is a reason to try again.
            return events if got & _BROKEN or not got & events else got & events & _READY
    return 0
