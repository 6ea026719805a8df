"""A broker: what one peer says all others hear, and stdout; what stdin says they all hear.

``chat``: line by line, each with the name of who said it, and without what could harm a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Protocol

from portico.cli.talk_notes import Notes
from portico.deadline import timeout
from portico.errors import ConnectionLost, StreamClosed
from portico.limits import Limits
from portico.sockets.stream import Stream
from portico.sync import Guard, Queue, TaskGroup

__all__ = ["BACKLOG", "Broker"]

CHUNK = 65536
BACKLOG = 256
"""Pieces that wait for somebody who reads slowly. With one more a peer is let go: nobody waits for it."""


class End(Protocol):
    """What can be heard and told something: a stream, standard input and output."""

    def read(self) -> bytes: ...

    def write(self, data: bytes) -> None: ...


class _Member:
    """One who hears the others. ``abandon()`` is called when it is too slow to."""

    def __init__(self, name: str, abandon: Callable[[], object]) -> None:
        self.name = name
        self.too_slow = False
        self._abandon = abandon
        self._waiting: Queue[bytes] = Queue()

    def tell(self, data: bytes) -> None:
        """Never waits."""
        if len(self._waiting) >= BACKLOG:
            self.too_slow = True
            self._abandon()
            return
        with suppress(StreamClosed):  # it is just leaving
            self._waiting.put(data)

    def hear(self, end: End, seconds: float | None) -> None:
        """Write all that it is told, until it leaves. Raises as ``end.write`` does, and ``Timeout``."""
        with suppress(StreamClosed):
            while True:
                data = self._waiting.get()
                with timeout(seconds):
                    end.write(data)

    def leave(self) -> None:
        """What it has been told so far is still written."""
        self._waiting.close()


class Broker:
    """Those who hear each other. ``notes`` has who comes and goes."""

    def __init__(self, notes: Notes, *, chat: bool) -> None:
        self._notes = notes
        self._chat = chat
        self._guard = Guard()
        self._members: set[_Member] = set()
        self._numbers = count(1)

    def converse(self, stream: Stream) -> None:
        """Let a peer speak and hear, until it ends, or reads too slowly. Raises ``PorticoError``."""
        member = _Member(f"user{next(self._numbers)}", stream.abort)
        try:
            with TaskGroup() as group:
                group.start(member.hear, stream, Limits().write_stall)
                with self._among_us(member):
                    self._announce("joined", f"{member.name} has come: {stream.peer}")
                    self._say(member, stream)
        except StreamClosed:
            if member.too_slow:
                raise ConnectionLost(f"{stream.peer} reads too slowly, and was let go") from None
            raise
        finally:
            self._announce("left", f"{member.name} has gone")

    def sit_in(self, near: End) -> None:
        """Speak and hear here, until cancelled; what nobody takes from us in time is dropped."""
        member = _Member("user0", lambda: None)
        with TaskGroup() as group, self._among_us(member):
            hearing = group.start(member.hear, near, None)
            self._say(member, near)
            hearing.join()

    @contextmanager
    def _among_us(self, member: _Member) -> Iterator[None]:
        with self._guard:
            self._members.add(member)
        try:
            yield
        finally:
            with self._guard:
                self._members.discard(member)
            member.leave()

    def _say(self, member: _Member, end: End) -> None:
        for data in self._said(end):
            self._tell(member, b"<%s> %s\n" % (member.name.encode(), data) if self._chat else data)

    def _said(self, end: End) -> Iterator[bytes]:
        if not self._chat:
            yield from iter(end.read, b"")
            return
        rest = b""
        while data := end.read():
            *lines, rest = (rest + data).split(b"\n")
            yield from map(_harmless, lines)
            if len(rest) > CHUNK:
                yield _harmless(rest)
                rest = b""
        if rest:
            yield _harmless(rest)

    def _announce(self, event: str, what: str) -> None:
        self._notes.say(event, what)
        if self._chat:
            self._tell(None, f"* {what}\n".encode())

    def _tell(self, who: _Member | None, data: bytes) -> None:
        with self._guard:
            others = self._members - {who}
        for each in others:
            each.tell(data)


def _harmless(line: bytes) -> bytes:
    """Text without control characters, which could do anything to a terminal; they are shown as escapes."""
    text = line.removesuffix(b"\r").decode(errors="backslashreplace")
    return "".join(
        each if each.isprintable() or each == "\t" else ascii(each)[1:-1] for each in text
    ).encode()
