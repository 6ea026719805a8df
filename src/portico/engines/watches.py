"""Descriptors that an asyncio loop watches for calls.

A loop keeps one callback for each direction of a descriptor, while several calls may wait for the same: the
first begins to watch. When the last has gone, the loop goes on watching a stream for what is to be read: most
streams are waited for again, and to begin and end costs two system calls and more. It forgets a stream when
something comes that nobody waits for, and when the stream is closed, before its number is free for another.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from threading import get_ident

from portico.engines.call import Call
from portico.sockets.transport import READ, WRITE, Transport, Waitable

__all__ = ["Watch", "Watches"]

Watched = tuple[int, int, bool]
"""The number that the loop watches, for which events, and whether it is a duplicate to be closed."""


class Watches:
    """What one loop watches; made in its thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = get_ident()
        self._add = ((READ, loop.add_reader), (WRITE, loop.add_writer))
        self._remove = {READ: loop.remove_reader, WRITE: loop.remove_writer}
        self._watches: dict[tuple[int, int], Watch] = {}  # by descriptor and direction

    def known(self, transport: Waitable, events: int) -> Watch | None:
        """What the loop watches already for such a wait: the call has only to be put among its ``calls``, and
        to be taken out again."""
        watch = self._watches.get((transport.fileno(), READ)) if events == READ else None
        if watch is None or watch.transport is not transport or not watch.stays:
            return None
        return watch if transport.interest(READ) == READ else None

    def begin(self, call: Call, wanted: Sequence[tuple[Waitable, int]]) -> list[Watched]:
        """Watch; what is seen goes into ``call.found`` and wakes it. Give the list to ``end``."""
        watched: list[Watched] = []
        try:
            for transport, events in wanted:
                if transport.fileno() >= 0:
                    self._begin_one(transport, transport.interest(events), call, watched)
        except BaseException:
            self.end(call, watched)
            raise
        if any(lent for _, _, lent in watched):
            # What wakes the call may be about to close it, and its port is to be free then.
            call.let_go = partial(self.end, call, watched)
        return watched

    def _begin_one(self, transport: Waitable, events: int, call: Call, watched: list[Watched]) -> None:
        # A stream gives its descriptor back when nobody is inside; a listener at once, and from any thread:
        # a number of our own cannot be reused before the loop has let go of it.
        descriptor, lent = transport.fileno(), not isinstance(transport, Transport)
        number = os.dup(descriptor) if lent else descriptor
        watched.append((number, events, lent))
        for direction, add in self._add:
            if not events & direction:
                continue
            watch = self._watches.get((number, direction))
            if watch is not None and watch.transport is not transport:  # of a stream that has been closed
                self.forget(watch)
                watch = None
            if watch is not None:
                watch.calls.append(call)
                continue
            watch = self._watches[number, direction] = Watch(self, transport, number, descriptor, direction)
            watch.calls.append(call)
            try:
                add(number, watch.saw)
            except PermissionError:  # epoll watches no regular files, because they are always ready
                del self._watches[number, direction]
                call.found[descriptor] = events

    def end(self, call: Call, watched: list[Watched]) -> None:
        """The call waits no more for what it watches; a second time does nothing."""
        call.let_go = None
        while watched:
            number, events, lent = watched.pop()
            for direction in (READ, WRITE):
                watch = self._watches.get((number, direction)) if events & direction else None
                if watch is None or call not in watch.calls:
                    continue
                watch.calls.remove(call)
                if not watch.calls:
                    watch.rest(lent)
            if lent:
                os.close(number)

    def forget(self, watch: Watch) -> None:
        """Let the loop watch it no longer; a second time does nothing."""
        if self._watches.get((watch.number, watch.direction)) is watch:
            del self._watches[watch.number, watch.direction]
            self._remove[watch.direction](watch.number)
        if watch.transport.watchers:
            watch.transport.watchers.discard(watch)


class Watch:
    """One direction of a descriptor, and the calls that wait for it.

    While none does, it stands among the watchers of its transport, which wakes it before it is closed; once
    there, it ``stays``.
    """

    __slots__ = (
        "__weakref__",
        "_descriptor",
        "_watches",
        "calls",
        "direction",
        "number",
        "stays",
        "transport",
    )

    def __init__(
        self, watches: Watches, transport: Waitable, number: int, descriptor: int, direction: int
    ) -> None:
        self.calls: list[Call] = []
        self.stays = False
        self.number = number
        self.direction = direction
        self.transport = transport
        self._descriptor = descriptor
        self._watches = watches

    def saw(self) -> None:
        """The loop has seen it ready."""
        if not self.calls:
            self._watches.forget(self)  # nobody reads it, so the loop would see it again and again
        for call in tuple(self.calls):
            call.found[self._descriptor] = call.found.get(self._descriptor, 0) | self.direction
            call.wake()

    def rest(self, lent: bool) -> None:
        """Nobody waits for it any more. What can be written nearly always is: that would be seen at once."""
        if not lent and self.direction == READ:
            if self.transport.watchers is None:
                self.transport.watchers = set()
            self.stays = True
            self.transport.watchers.add(self)  # first: it may be closed meanwhile, by another thread
            if not self.transport.closed:
                return
        self._watches.forget(self)

    def wake(self) -> None:
        """The transport is being closed. From any thread."""
        if get_ident() == self._watches.thread:
            self._watches.forget(self)
            return
        try:
            self._watches.loop.call_soon_threadsafe(self._watches.forget, self)
        except RuntimeError:
            pass  # the loop is closed, and watches nothing

    def cancel(self) -> None:
        """As a waiter has it; there is nothing to call off."""
