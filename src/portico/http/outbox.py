"""What waits to leave: bytes and pieces of files, in order, sent as the peer takes them."""

from __future__ import annotations

import os
from collections import deque
from typing import BinaryIO

from portico.errors import ConnectionLost
from portico.sockets.transport import Bytes, Transport

__all__ = ["Outbox"]

_GATHER = 64
"""Buffers handed over in one call."""
_COPY = 1 << 18
"""Bytes read at a time from a file where the transport has no zero copy."""


class _Piece:
    """A part of an open file that belongs to the outbox."""

    __slots__ = ("count", "file", "offset")

    def __init__(self, file: BinaryIO, offset: int, count: int) -> None:
        self.file = file
        self.offset = offset
        self.count = count


class Outbox:
    """An ordered queue of bytes and file pieces. ``memory`` counts the bytes held, files not."""

    __slots__ = ("_items", "memory")

    def __init__(self) -> None:
        self._items: deque[Bytes | _Piece] = deque()
        self.memory = 0

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
        """Send what the transport takes. Whether anything moved. Raises ``ConnectionLost``."""
        moved = False
        while self._items:
            first = self._items[0]
            sent = self._send_piece(transport, first) if isinstance(first, _Piece) else self._send_bytes(transport)
            if not sent:
                break
            moved = True
        return moved

    def close(self) -> None:
        """Drop everything, and close the files."""
        for item in self._items:
            if isinstance(item, _Piece):
                item.file.close()
        self._items.clear()
        self.memory = 0

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
        sent = transport.send_file(piece.file.fileno(), piece.offset, piece.count)
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
