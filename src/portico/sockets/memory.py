"""Streams without descriptors: pairs in memory, and ``memory:name`` addresses within one process.

Made for tests: a client and a server meet without a port, and ``Faults`` let the line between them be
slow, broken or silent at an exact byte. What a fault does is decided by byte counts, never by chance, so
a failing test fails again. Everything is thread-safe; a lock is held for copying, never for waiting.
"""

from __future__ import annotations

import heapq
import os
import threading
from collections import deque
from collections.abc import Sequence
from itertools import count
from time import monotonic

from portico.address import Address
from portico.engines.contract import Listening
from portico.errors import (
    BindError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    LocalProtocolError,
    StreamClosed,
)
from portico.sockets.handover import HandoverListener
from portico.sockets.memory_line import NONE, FaultPlan, Faults, Line
from portico.sockets.transport import READ, WRITE, Bytes, Transport

__all__ = [
    "CAPACITY",
    "Faults",
    "MemoryListener",
    "MemoryTransport",
    "Outward",
    "dial",
    "listen",
    "listen_for_others",
    "pair",
]

CAPACITY = 65536
"""Bytes that one direction holds before its writer would block, as a pipe of Linux does."""


class _Link:
    """What the two ends of a pair share."""

    __slots__ = ("aborted", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.aborted = False


class MemoryTransport(Transport):
    """One end of a pair; see ``pair`` and ``dial``."""

    __slots__ = ("_inbox", "_link", "_other", "_outbox", "_shut")

    _other: MemoryTransport

    def __init__(
        self, link: _Link, inbox: Line, outbox: Line, peer: Address | None, local: Address | None
    ) -> None:
        super().__init__(peer, local)
        self._link = link
        self._inbox = inbox
        self._outbox = outbox
        self._shut = ""

    def ready(self, events: int) -> int:
        with self._link.lock:
            if self._shut == "closed" or self._broken():
                return events
            readable = READ if self._inbox.buffer or self._inbox.ended else 0
            writable = WRITE if self._shut or self._outbox.room or self._other._shut == "closed" else 0
            return events & (readable | writable)

    def recv(self, size: int) -> bytes | None:
        with self._link.lock:
            self._check_open()
            if not self._inbox.buffer:
                if self._inbox.ended:
                    return b""
                self._check_unbroken("reading")
                return None
            was_full = not self._inbox.room
            data = self._inbox.take(size)
        if was_full:
            self._other.wake()
        return data

    def send(self, data: Bytes) -> int:
        with self._link.lock:
            self._check_open()
            self._check_unbroken("writing")
            if self._shut:
                raise LocalProtocolError("this direction was ended by shutdown_write()")
            if self._other._shut == "closed":
                raise ConnectionLost(f"{self._whom()} closed the connection while writing")
            view = memoryview(data).cast("B")
            some = bytes(view[: min(self._outbox.room, self._outbox.faults.accept or len(view))])
            if not some:
                return 0
            due = self._outbox.put(some)
        self._announce(due)
        return len(some)

    def send_parts(self, parts: Sequence[Bytes]) -> int:
        # No more than fits: joining all of a long list at each call would make its sending quadratic.
        some, size = [], 0
        for part in parts:
            if size >= CAPACITY:
                break
            some.append(memoryview(part).cast("B")[: CAPACITY - size])
            size += len(some[-1])
        return self.send(b"".join(some))

    def peer_ended(self) -> bool:
        with self._link.lock:
            return self._inbox.ended or self._broken()

    def shutdown_write(self) -> bool:
        with self._link.lock:
            self._check_open()
            if self._shut:
                return True
            self._shut = "ended"
            due = self._outbox.put(b"")
        self._announce(due)
        return True

    def close(self) -> None:
        self.closed = True
        with self._link.lock:
            before, self._shut = self._shut, "closed"
            if before == "closed":
                return
            self._inbox.clear()
            due = None if before or self._link.aborted else self._outbox.put(b"")
        self.wake()
        self._announce(due)
        self._other.wake()  # to write is an error from now on, whenever the end may arrive

    def abort(self) -> None:
        with self._link.lock:
            if self._shut != "closed":
                self._link.aborted = True
                self._outbox.clear()
                self._outbox.ended = False
        self.close()

    def __repr__(self) -> str:
        with self._link.lock:
            state = self._shut or ("reset" if self._broken() else "open")
            held = len(self._inbox.buffer)
        return f"<MemoryTransport {self.local} ⇄ {self.peer}, {state}, {held} B to read>"

    def _announce(self, due: float | None) -> None:
        if due is not None:
            _CLOCK.at(due, self)
            return
        self._other.wake()
        if self._outbox.reset:
            self.wake()

    def arrived(self, now: float) -> None:
        """The clock: what this end sent earlier is due."""
        with self._link.lock:
            self._outbox.arrivals(now)
        self._announce(None)

    def _broken(self) -> bool:
        return self._link.aborted or self._inbox.reset or self._outbox.reset

    def _check_open(self) -> None:
        if self._shut == "closed":
            raise StreamClosed(f"the stream to {self._whom()} is closed")

    def _check_unbroken(self, doing: str) -> None:
        if self._broken():
            raise ConnectionLost(f"{self._whom()} reset the connection while {doing}")

    def _whom(self) -> str:
        return "the peer" if self.peer is None else str(self.peer)


def pair(
    *,
    capacity: int = CAPACITY,
    faults: FaultPlan = None,
    addresses: tuple[Address | None, Address | None] = (None, None),
) -> tuple[MemoryTransport, MemoryTransport]:
    """Two connected ends. ``capacity``: bytes that each direction holds before ``send`` takes no more.

    ``faults``: for both directions, or ``(from the first end, from the second)``.
    ``addresses``: of the first and the second end. Raises ``ConfigError``.
    """
    if capacity < 1:
        raise ConfigError(f"pair(capacity={capacity!r}): expected at least one byte")
    there, back = faults if isinstance(faults, tuple) else (faults, faults)
    link, out, home = _Link(), Line(capacity, there or NONE), Line(capacity, back or NONE)
    first = MemoryTransport(link, home, out, addresses[1], addresses[0])
    second = MemoryTransport(link, out, home, addresses[0], addresses[1])
    first._other, second._other = second, first
    return first, second


class MemoryListener(Listening):
    """Takes connections at a ``memory:`` address; made by ``listen``. Owns the name until ``close()``."""

    __slots__ = ("_lock", "_waiting", "backlog")

    def __init__(self, address: Address, backlog: int) -> None:
        super().__init__()
        self.address = address
        self.backlog = backlog
        self._lock = threading.Lock()
        self._waiting: deque[MemoryTransport] = deque()

    def ready(self, events: int) -> int:
        return events & READ if self._waiting else 0

    def accept(self) -> MemoryTransport | None:
        """The next connection, or ``None``: would block. Raises ``StreamClosed`` after ``close()``."""
        with self._lock:
            if self.closed and not self._waiting:
                raise StreamClosed(f"the listener at {self.address} is closed")
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Give the name back; connections that were not accepted are reset. Safe to call twice."""
        _unregister(self)
        with self._lock:
            self.closed = True
            refused = list(self._waiting)
            self._waiting.clear()
        for each in refused:
            each.abort()
        self.wake()

    def enqueue(self, end: MemoryTransport) -> None:
        """A dialler's connection. Raises ``ConnectError`` when it cannot be taken."""
        with self._lock:
            if self.closed:
                raise _unreachable(self.address, "nobody listens there")
            if len(self._waiting) >= self.backlog:
                raise _unreachable(self.address, f"its backlog of {self.backlog} connections is full")
            self._waiting.append(end)
        self.wake()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._waiting)} waiting"
        return f"<MemoryListener {self.address}, {state}>"


_NAMES: dict[str, MemoryListener | Outward] = {}
_NAMES_LOCK = threading.Lock()


def listen(address: Address | str, *, backlog: int = 128) -> MemoryListener:
    """Listen at ``memory:name``, for diallers of this process.

    ``backlog``: connections that may wait to be accepted. Raises ``BindError`` when the name is in use,
    ``AddressError`` for an address that cannot be read.
    """
    listener = MemoryListener(_memory_address(address), backlog)
    _register(listener)
    return listener


class Outward(HandoverListener):
    """Owns its name as a ``MemoryListener`` does, for other processes to accept; made by
    ``listen_for_others``."""

    __slots__ = ()

    def close(self) -> None:
        _unregister(self)
        super().close()


def listen_for_others(address: Address | str, *, backlog: int = 128) -> Outward:
    """As ``listen``, where processes of a server accept what this process dials.

    ``backlog`` is the kernel's business there: some two hundred.
    """
    listener = Outward(_memory_address(address))
    try:
        _register(listener)
    except BindError:
        listener.close()
        raise
    return listener


def _register(listener: MemoryListener | Outward) -> None:
    with _NAMES_LOCK:
        if _NAMES.setdefault(str(listener.address), listener) is not listener:
            raise BindError(f"{listener.address} is in use: somebody in this process listens there already")


def _unregister(listener: MemoryListener | Outward) -> None:
    with _NAMES_LOCK:
        if _NAMES.get(str(listener.address)) is listener:
            del _NAMES[str(listener.address)]


def dial(address: Address | str, faults: FaultPlan = None) -> Transport:
    """Connect to a ``memory:`` address. ``faults``: both ways, or ``(to the listener, from it)``.

    Raises ``ConnectError`` when nobody listens there or its backlog is full, ``ConfigError`` for faults
    where another process accepts.
    """
    peer = _memory_address(address)
    with _NAMES_LOCK:
        listener = _NAMES.get(str(peer))
    if listener is None:
        raise _unreachable(peer, "nobody listens there")
    if isinstance(listener, Outward):
        return _dial_outward(listener, faults)
    mine, theirs = pair(faults=faults, addresses=(peer, peer))
    try:
        listener.enqueue(theirs)
    except ConnectError:
        mine.close()
        theirs.close()
        raise
    return mine


def _dial_outward(listener: Outward, faults: FaultPlan) -> Transport:
    if faults is not None:
        raise ConfigError(f"{listener.address} is served by other processes: its lines can have no faults")
    try:
        transport = listener.dial()
    except OSError as error:
        raise _unreachable(listener.address, error.strerror or str(error)) from error
    if transport is None:
        raise _unreachable(listener.address, "as many connections wait there as may")
    return transport


def _memory_address(address: Address | str) -> Address:
    parsed = Address.parse(address) if isinstance(address, str) else address
    if parsed.scheme != "memory":
        raise ConfigError(f"{parsed}: expected an address of the form memory:name")
    return parsed


def _unreachable(address: Address, reason: str) -> ConnectError:
    return ConnectError(f"cannot connect to {address}: {reason}", [(str(address), reason)])


class _Clock:
    """One daemon thread for all delayed deliveries; it starts when needed and ends when idle."""

    IDLE = 1.0

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, MemoryTransport]] = []
        self._order = count()
        self._thread: threading.Thread | None = None

    def at(self, due: float, sender: MemoryTransport) -> None:
        with self._changed:
            heapq.heappush(self._due, (due, next(self._order), sender))
            # After a fork the thread object is there and its thread is not.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="portico memory clock", daemon=True)
                self._thread.start()
            elif self._due[0][2] is sender:
                self._changed.notify()

    def _run(self) -> None:
        while (sender := self._next()) is not None:
            sender.arrived(monotonic())

    def _next(self) -> MemoryTransport | None:
        """The next sender whose bytes are due; ``None`` when the thread has nothing more to do."""
        with self._changed:
            while True:
                if not self._due:
                    if not self._changed.wait(self.IDLE) and not self._due:
                        self._thread = None
                        return None
                    continue
                left = self._due[0][0] - monotonic()
                if left <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left)


_CLOCK = _Clock()


def _after_fork() -> None:
    """Who listened in our parent does not listen here, and a thread of its may have held the locks."""
    global _CLOCK, _NAMES_LOCK
    _CLOCK, _NAMES_LOCK = _Clock(), threading.Lock()
    _NAMES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
