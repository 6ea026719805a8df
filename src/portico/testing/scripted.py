"""A stream whose peer is a list of bytes: a test reads as a dialogue, without port, thread or sleep."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from portico.errors import PorticoError, StreamClosed
from portico.sockets.stream import Stream
from portico.sockets.transport import Bytes, Transport

__all__ = ["BLOCK", "ScriptedTransport", "scripted"]

BLOCK = None
"""In a script: the next read finds nothing, once."""


class ScriptedTransport(Transport):
    """Receives what the script says, piece by piece, and keeps what is sent.

    ``script``: bytes as they arrive, ``BLOCK``, or an error to be raised; then the stream ends.
    ``accept``: how many bytes each send takes (0: would block, once), then all.
    ``sent`` is what has gone out, ``receives`` and ``sends`` count the calls.
    """

    __slots__ = ("_accept", "_script", "aborted", "receives", "sends", "sent", "shut")

    def __init__(
        self, script: Iterable[bytes | PorticoError | None] = (), accept: Iterable[int] = ()
    ) -> None:
        super().__init__()
        self._script = deque(script)
        self._accept = deque(accept)
        self.sent = bytearray()
        self.receives = self.sends = 0
        self.shut = self.aborted = False

    def ready(self, events: int) -> int:
        return events

    def recv(self, size: int) -> bytes | None:
        self._check_open()
        self.receives += 1
        if not self._script:
            return b""
        piece = self._script.popleft()
        if isinstance(piece, PorticoError):
            raise piece
        if piece is not None and len(piece) > size:
            self._script.appendleft(piece[size:])
            return piece[:size]
        return piece

    def send(self, data: Bytes) -> int:
        self._check_open()
        self.sends += 1
        view = memoryview(data).cast("B")
        taken = min(self._accept.popleft(), len(view)) if self._accept else len(view)
        self.sent += view[:taken]
        return taken

    def shutdown_write(self) -> bool:
        self._check_open()
        self.shut = True
        return True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def _check_open(self) -> None:
        if self.closed:
            raise StreamClosed("this scripted stream is closed")


def scripted(
    *script: bytes | PorticoError | None, accept: Iterable[int] = ()
) -> tuple[Stream, ScriptedTransport]:
    """A stream that receives ``script`` and then ends, and the transport that keeps what it sent."""
    transport = ScriptedTransport(script, accept)
    return Stream(transport), transport
