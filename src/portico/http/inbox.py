"""Bytes that have come and are not yet consumed: appended at one end, taken from the other.

Linear at any fragmentation. In the common case, where one read brings one message, the bytes object
that came in is used as it is.
"""

from __future__ import annotations

from portico.errors import LocalProtocolError

__all__ = ["Inbox"]


class Inbox:
    """A queue of bytes. ``data[at:]`` is what waits; ``ended`` says that no more will come."""

    __slots__ = ("at", "data", "ended")

    def __init__(self) -> None:
        self.data: bytes | bytearray = b""
        self.at = 0
        self.ended = False

    def feed(self, data: bytes | bytearray) -> None:
        """Append; ``b""`` says that the peer ended its direction."""
        if not data:
            self.ended = True
        elif self.ended:
            raise LocalProtocolError("bytes were fed after the end of the peer's direction")
        elif self.at >= len(self.data):
            # A buffer that its owner will fill again must not be kept.
            self.data = data if type(data) is bytes else bytes(data)
            self.at = 0
        else:
            self._append(data)

    def _append(self, data: bytes | bytearray) -> None:
        waiting = self.data
        if isinstance(waiting, bytearray):
            # CPython moves a bytearray's start instead of its bytes: cheap.
            del waiting[: self.at]
        else:
            waiting = bytearray(memoryview(waiting)[self.at :])
        waiting += data
        self.data = waiting
        self.at = 0

    def __len__(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        """Remove and return the next ``count`` bytes, or fewer when there are fewer."""
        data, at = self.data, self.at
        end = at + count
        if end >= len(data):
            self.data, self.at = b"", 0
        else:
            self.at = end
        if isinstance(data, bytes):
            if at == 0 and end >= len(data):
                return data  # not a copy, whatever is large
            return data[at:end]
        with memoryview(data) as view:
            return bytes(view[at:end])

    def skip(self, count: int) -> None:
        """Remove the next ``count`` bytes, of those that wait."""
        self.at += count
        if self.at == len(self.data):
            self.data, self.at = b"", 0

    def peek(self) -> bytes:
        """What waits, without removing it."""
        return bytes(memoryview(self.data)[self.at :])

    def clear(self) -> None:
        """Forget what waits."""
        self.data, self.at = b"", 0
