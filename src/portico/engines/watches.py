"""Descriptors that an asyncio loop watches for calls, each for as long as one wait lasts.

A loop keeps one callback for each direction of a descriptor, while several calls may wait for the same: the
first begins to watch, the last ends it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial

from portico.engines.call import Call
from portico.sockets.transport import READ, WRITE, Transport, Waitable

__all__ = ["Watches"]

Watched = tuple[int, int, bool]
"""The number that the loop watches, for which events, and whether it is a duplicate to be closed."""


class Watches:
    """What one loop watches."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._add = ((READ, loop.add_reader), (WRITE, loop.add_writer))
        self._remove = ((READ, loop.remove_reader), (WRITE, loop.remove_writer))
        self._waiting: dict[tuple[int, int], list[Call]] = {}  # by descriptor and direction

    def begin(self, call: Call, wanted: Sequence[tuple[Waitable, int]]) -> list[Watched]:
        """Watch; what is seen goes into ``call.found`` and wakes it. Give the list to ``end``."""
        watched: list[Watched] = []
        try:
            for transport, events in wanted:
                if transport.fileno() >= 0:
                    self._watch(transport, transport.interest(events), call, watched)
        except BaseException:
            self.end(call, watched)
            raise
        if any(lent for _, _, lent in watched):
            # What wakes the call may be about to close it, and its port is to be free then.
            call.let_go = partial(self.end, call, watched)
        return watched

    def _watch(self, transport: Waitable, events: int, call: Call, watched: list[Watched]) -> None:
        # A stream gives its descriptor back when nobody is inside; a listener at once, and from any thread:
        # a number of our own cannot be reused before the loop has let go of it.
        descriptor, lent = transport.fileno(), not isinstance(transport, Transport)
        number = os.dup(descriptor) if lent else descriptor
        watched.append((number, events, lent))
        for direction, add in self._add:
            if not events & direction:
                continue
            waiting = self._waiting.setdefault((number, direction), [])
            waiting.append(call)
            if len(waiting) == 1:
                try:
                    add(number, _saw, descriptor, direction, waiting)
                except PermissionError:  # epoll watches no regular files, because they are always ready
                    del self._waiting[number, direction]
                    call.found[descriptor] = events

    def end(self, call: Call, watched: list[Watched]) -> None:
        """Let the loop forget what it watches; a second time does nothing."""
        call.let_go = None
        while watched:
            number, events, lent = watched.pop()
            for direction, remove in self._remove:
                waiting = self._waiting.get((number, direction), [])
                if not events & direction or call not in waiting:
                    continue
                waiting.remove(call)
                if not waiting:
                    del self._waiting[number, direction]
                    remove(number)
            if lent:
                os.close(number)


def _saw(descriptor: int, direction: int, waiting: list[Call]) -> None:
    for call in tuple(waiting):
        call.found[descriptor] = call.found.get(descriptor, 0) | direction
        call.wake()
