"""The addresses that a server was asked for, and the listeners that are bound there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from portico.address import Address
from portico.engines.contract import Listening
from portico.limits import Limits
from portico.sockets.listen import bind_error, listen

__all__ = ["Binding"]


class Binding:
    """Where a server listens. Its lists stay the same objects, so that others may hold them.

    ``asked``: the addresses as they were asked for; ``addresses``: as they were bound (port 0 resolved);
    ``slots``: sets of listeners for several processes, of which the first is ``listeners``.
    """

    def __init__(self, asked: Sequence[Address]) -> None:
        self.asked = list(asked)
        self.addresses: list[Address] = []
        self.listeners: list[Listening] = []
        self.slots: list[list[Listening]] = []
        self._bound: dict[Address, list[Listening]] = {}  # by the address that was asked for

    def bind(self, limits: Limits, slots: int, *, processes: bool) -> None:
        """Bind every address, for ``slots`` sets of listeners. Raises ``BindError``: then ``close()``."""
        for address in self.asked:
            made = listen(address, limits.backlog, limits, processes=processes)
            self._bound.setdefault(address, []).extend(made)  # port 0 may be asked for twice
            self.listeners += made
            self.addresses += [listener.address for listener in made]
        self.slots[:] = [self.listeners, *([] for _ in range(slots - 1))]
        for slot in self.slots[1:]:
            for listener in self.listeners:
                try:
                    slot.append(listener.again())
                except OSError as error:
                    raise bind_error(error, listener.address) from error

    def bind_more(
        self, addresses: Sequence[Address] | None, limits: Limits
    ) -> dict[Address, list[Listening]]:
        """Bind those where we do not listen yet: all of them, or none. Raises ``BindError``."""
        made: dict[Address, list[Listening]] = {}
        try:
            for address in addresses or ():
                if address not in self._bound:
                    made[address] = listen(address, limits.backlog, limits)
        except BaseException:
            for listener in (each for listeners in made.values() for each in listeners):
                listener.close()
            raise
        return made

    def relisten(
        self, addresses: Sequence[Address], come: Mapping[Address, list[Listening]]
    ) -> list[Listening]:
        """Listen at these, where we already do or have just been bound; those that have come or are let go
        are returned, for the engine."""
        bound = {**self._bound, **come}
        kept = {address: bound[address] for address in addresses}
        changed = [
            each for address in bound if (address in come) or address not in kept for each in bound[address]
        ]
        self._bound, self.asked[:] = kept, addresses
        self.listeners[:] = [each for listeners in kept.values() for each in listeners]
        self.addresses[:] = [listener.address for listener in self.listeners]
        return changed

    def close(self) -> None:
        """Close every listener. Safe to call twice."""
        for listener in (*self.listeners, *(each for slot in self.slots for each in slot)):
            listener.close()

    def unbound(self) -> Binding:
        """The same addresses without the listeners, which belong to this process."""
        copy = Binding(self.asked)
        copy.addresses = list(self.addresses)
        return copy
