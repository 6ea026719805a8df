"""Watching many descriptors at once: ``epoll``, edge-triggered, where there is one; else ``selectors``.

A connection is registered once and stays so while it is parked or running. Edge-triggered, an event
says *something new*, so whoever handles it goes on until the kernel says *would block*; in exchange a
request costs no ``epoll_ctl``. The fallback is level-triggered: there a running connection is taken out,
or its unread bytes would make every poll return at once.
"""

from __future__ import annotations

import os
import select
import selectors
import threading
from typing import Protocol

from portico.sockets.transport import READ, WRITE

__all__ = ["BROKEN", "HANGUP", "EpollPoller", "Poller", "SelectPoller", "make_poller"]

BROKEN = 0x10 | 0x8
"""EPOLLHUP, EPOLLERR: neither reading nor writing would wait."""
HANGUP = 0x2000 | 0x2 | BROKEN
"""EPOLLRDHUP, EPOLLPRI and the above: a short read may not be the last."""
_PEER_ENDED = 0x2000


class Poller(Protocol):
    """``poll`` gives (descriptor, events) pairs, within so many seconds (below 0: no bound).

    ``wake()`` from any thread ends it early, and does nothing after ``close()``.
    """

    edge: bool

    def watch(self, descriptor: int, events: int, known: int, *, level: bool = False) -> None:
        """Watch for ``events`` (0: stop watching); ``known`` is what was watched for before."""
        ...

    def poll(self, seconds: float) -> list[tuple[int, int]]: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class EpollPoller:
    """Linux."""

    edge = True

    def __init__(self) -> None:
        self._guard = threading.Lock()  # a late waker must not write into a number that is in use again
        self._epoll = select.epoll()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._waker, select.EPOLLIN | select.EPOLLET)

    def watch(self, descriptor: int, events: int, known: int, *, level: bool = False) -> None:
        if not events:
            try:
                self._epoll.unregister(descriptor)
            except OSError:
                pass  # closed, and so taken out already
            return
        mask = events if level else events | select.EPOLLRDHUP | select.EPOLLPRI | select.EPOLLET
        if known:
            self._epoll.modify(descriptor, mask)
            return
        try:
            self._epoll.register(descriptor, mask)
        except FileExistsError:  # a socket that changed hands while it was open
            self._epoll.modify(descriptor, mask)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        found = self._epoll.poll(seconds, 256)
        if found and found[0][0] == self._waker:
            del found[0]
        return found

    def wake(self) -> None:
        with self._guard:
            if self._waker >= 0:
                os.eventfd_write(self._waker, 1)

    def close(self) -> None:
        with self._guard:
            self._epoll.close()
            os.close(self._waker)
            self._waker = -1


class SelectPoller:
    """Everywhere else: kqueue, poll or select, level-triggered."""

    edge = False

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._polling = 0  # which thread does
        self._selector = selectors.DefaultSelector()
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)
        self._selector.register(self._reading, selectors.EVENT_READ)

    def watch(self, descriptor: int, events: int, known: int, *, level: bool = False) -> None:
        # Not by ``known``: a closed descriptor may have been left in, and its number be another's by now.
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
        if events:
            mask = selectors.EVENT_READ if events & READ else 0
            mask |= selectors.EVENT_WRITE if events & WRITE else 0
            self._selector.register(descriptor, mask)
        if threading.get_ident() != self._polling:
            self.wake()  # select() and poll() do not see what is changed under them

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        found = []
        self._polling = threading.get_ident()
        for key, mask in self._selector.select(None if seconds < 0 else seconds):
            if key.fd == self._reading:
                os.read(self._reading, 4096)
                continue
            events = READ if mask & selectors.EVENT_READ else 0
            events |= WRITE if mask & selectors.EVENT_WRITE else 0
            found.append((key.fd, events | _PEER_ENDED))
        return found

    def wake(self) -> None:
        with self._guard:
            if self._writing >= 0:
                try:
                    os.write(self._writing, b"\0")
                except BlockingIOError:
                    pass  # full of wakes already

    def close(self) -> None:
        with self._guard:
            self._selector.close()
            os.close(self._reading)
            os.close(self._writing)
            self._writing = -1


def make_poller() -> Poller:
    """The best poller of this platform."""
    if hasattr(select, "epoll") and hasattr(os, "eventfd"):
        return EpollPoller()
    return SelectPoller()
