"""Request bodies: gathered before the gateway runs, or read from the connection while it does."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from portico.http.answering import Answering
    from portico.http.room import Room

__all__ = ["Spool", "StreamedBody"]


class _InMemory(io.BytesIO):
    """Bytes that a ``Room`` may know of, until they are closed."""

    room: Room | None = None
    held = 0

    def hold(self, room: Room, size: int) -> None:
        self.room = room
        self.held = room.account(self.held, size)

    def close(self) -> None:
        if self.room is not None:
            self.hold(self.room, 0)
        super().close()


class Spool:
    """Gathers a body: in memory up to ``most`` bytes, beyond that in an unnamed temporary file.

    ``size``: its bytes so far.
    """

    __slots__ = ("_file", "_most", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        # No list of pieces: a byte that comes in a chunk of its own would cost forty.
        self._file: IO[bytes] = _InMemory()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Append a piece. Raises ``OSError`` when the disk takes no more."""
        before = self.size
        self.size += len(data)
        if before <= self._most < self.size:
            self._spill()
        self._file.write(data)

    def settle(self, room: Room) -> None:
        """It may be long until more comes, or until somebody reads it: count what memory it holds, and use
        none where others have taken all. Raises ``OSError`` as ``add``."""
        if isinstance(self._file, _InMemory):
            self._file.hold(room, self.size)
            if room.crowded_by(self.size):
                self._spill()

    def _spill(self) -> None:
        import tempfile  # a third of what a CGI program imports to read a form, and seldom needed

        file = tempfile.TemporaryFile(prefix="portico-body-")  # noqa: SIM115  (closed by the taker)
        kept, self._file = self._file, file
        self._most = -1
        kept.seek(0)
        file.write(kept.read())
        kept.close()

    def file(self) -> IO[bytes]:
        """The whole body, from its beginning; the caller closes it."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Drop what was gathered."""
        self._file.close()


class StreamedBody(io.RawIOBase):
    """A body that is read from the connection as the gateway asks for it. Ends where the body ends."""

    def __init__(self, connection: Answering) -> None:
        self._connection = connection
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(self._connection.next_piece())
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
