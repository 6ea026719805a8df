"""A line between two processes of one server: small messages, as JSON, one in a line."""

from __future__ import annotations

import json
import socket
from typing import Any, Self

from portico.sockets.transport import adopt

__all__ = ["Channel", "Message"]

Message = dict[str, Any]

_SIZE = 65536


class Channel:
    """One end. Sending waits for room (a message is small, and the other end always reads); receiving
    does not. ``ended``: the other process has closed its end, or is no more."""

    def __init__(self, sock: socket.socket) -> None:
        self.ended = False
        self._sock = sock
        self._rest = b""

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        one, other = socket.socketpair()
        return cls(one), cls(other)

    @classmethod
    def inherited(cls, descriptor: int) -> Self:
        """Over a descriptor that this process was started with, which it is given instead of."""
        sock = adopt(descriptor)
        socket.close(descriptor)
        return cls(sock)

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, **message: Any) -> bool:
        """``False``: there is nobody any more."""
        try:
            self._sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            return False
        return True

    def receive(self, *, wait: bool = False) -> list[Message]:
        """What has come; with ``wait``, at least one message or the end."""
        found: list[Message] = []
        while not self.ended and not (found and wait):
            try:
                data = self._sock.recv(_SIZE, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                data = b""  # reset: it died with words of ours unread
            self.ended = not data
            *lines, self._rest = (self._rest + data).split(b"\n")
            found += map(json.loads, lines)
        return found

    def close(self) -> None:
        self._sock.close()
