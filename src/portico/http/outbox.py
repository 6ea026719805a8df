"""What waits to leave: bytes and pieces of files, in order, sent as the peer takes them."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from typing import BinaryIO

from portico.errors import ConnectionLost
from portico.http.room import Room
from portico.sockets.transport import Bytes, Transport

__all__ = ["Outbox"]

_GATHER = 64
"""Buffers handed over in one call."""
_COPY = 1 << 16
"""Bytes read at a time from a file where the transport has no zero copy: what TLS takes at once."""
_SLICE = 1 << 20
"""Bytes of a file sent in one call: a reader as fast as we are would keep us in there for all of it."""
_CALLS = 16
"""Calls of one ``send``, for the same reason."""


_LARGEST = 4 << 20
"""An answer in one piece above this is its program's own affair: a hundred readers may share a single one."""


class _Piece:
    """A part of an open file that belongs to the outbox."""

    __slots__ = ("count", "file", "offset")

    def __init__(self, file: BinaryIO, offset: int, count: int) -> None:
        self.file = file
        self.offset = offset
        self.count = count


class Outbox:
    """An ordered queue of bytes and file pieces.

    ``memory`` counts the bytes held, files not; ``blocked`` says whether the last ``send`` ended because
    the transport took no more.
    """

    __slots__ = ("_held", "_items", "_room", "blocked", "memory")

    def __init__(self) -> None:
        self._items: deque[Bytes | _Piece] = deque()
        self._room: Room | None = None  # what knows how much is held
        self._held = 0  # and how much that is
        self.memory = 0
        self.blocked = False

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, data: Bytes) -> None:
        """Append bytes; they must not change afterwards."""
        if len(data):
            self._items.append(data)
            self.memory += len(data)

    def add_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Append a piece of an open regular file, which is closed when it has been sent."""
        if count:
            self._items.append(_Piece(file, offset, count))
        else:
            file.close()

    def send(self, transport: Transport) -> bool:
        """Send what the transport takes, within bounds. Whether anything moved. Raises ``ConnectionLost``."""
        self.blocked = False
        for call in range(_CALLS):
            if not self._items:
                break
            first = self._items[0]
            if isinstance(first, _Piece):
                sent = self._send_piece(transport, first)
            else:
                sent = self._send_bytes(transport)
            if not sent:
                self.blocked = True
                return call > 0
        return True

    def hold(self, room: Room) -> None:
        """The reader is slow: let it be known how much memory that takes, until it is sent or dropped."""
        self._room = room
        self._held = room.account(self._held, self.spillable)

    @property
    def spillable(self) -> int:
        """The bytes that may be moved to a file: none of an answer so large that moving it costs too much."""
        return self.memory if self.memory <= _LARGEST else 0

    def spill(self) -> None:
        """Let bytes that wait, and nothing but bytes, wait in a temporary file. Raises ``OSError``: the disk
        takes no more, and all is as it was."""
        if any(isinstance(item, _Piece) for item in self._items):
            return
        file = tempfile.TemporaryFile(prefix="portico-answer-")  # noqa: SIM115  (closed when it is sent)
        try:
            for item in self._items:
                file.write(item)  # type: ignore[arg-type]
            file.flush()
        except BaseException:
            file.close()
            raise
        count = self.memory
        self.close()
        self.add_file(file, 0, count)

    def take(self) -> list[Bytes]:
        """Everything, for somebody else to send; there are no files in it."""
        parts = [item for item in self._items if not isinstance(item, _Piece)]
        self.close()
        return parts

    def close(self) -> None:
        """Drop everything, and close the files."""
        for item in self._items:
            if isinstance(item, _Piece):
                item.file.close()
        self._items.clear()
        self.memory = 0
        if self._room is not None:
            self.hold(self._room)

    def _send_bytes(self, transport: Transport) -> int:
        parts: list[Bytes] = []
        for item in self._items:
            if isinstance(item, _Piece) or len(parts) == _GATHER:
                break
            parts.append(item)
        sent = transport.send(parts[0]) if len(parts) == 1 else transport.send_parts(parts)
        self.memory -= sent
        self._drop(sent)
        return sent

    def _drop(self, sent: int) -> None:
        while sent:
            first = self._items.popleft()
            assert not isinstance(first, _Piece)
            if sent < len(first):
                self._items.appendleft(memoryview(first)[sent:])
                return
            sent -= len(first)

    def _send_piece(self, transport: Transport, piece: _Piece) -> int:
        sent = transport.send_file(piece.file.fileno(), piece.offset, min(piece.count, _SLICE))
        if sent is None:
            data = os.pread(piece.file.fileno(), min(_COPY, piece.count), piece.offset)
            sent = transport.send(data) if data else -1
        if sent < 0:
            # Its length has been promised: only cutting the connection can tell the peer.
            raise ConnectionLost(f"a file became {piece.count} bytes shorter while it was being sent")
        piece.offset += sent
        piece.count -= sent
        if not piece.count:
            self._items.popleft()
            piece.file.close()
        return sent
