"""Standard input and output as streams, without touching what they share with others.

Being non-blocking belongs to the open file, not to the descriptor, and a shell's terminal or pipe is the
same open file for everybody who inherited it: setting it here would break the shell. So nothing is set:
each read or write first asks the kernel whether it would block. For a pipe that is written to, this would
mean small pieces (one ``PIPE_BUF`` is all that is sure to fit), so it is opened anew where that is possible.
"""

from __future__ import annotations

import errno
import os
import select
import stat

from portico.errors import ConnectionLost, PorticoError
from portico.sockets.stream import Stream
from portico.sockets.transport import READ, WRITE, Bytes, Transport

__all__ = ["StandardTransport", "input_stream", "output_stream"]

_PIECE = getattr(select, "PIPE_BUF", 512)
_OPEN_FILES = "/proc/self/fd"  # elsewhere, opening an entry of /dev/fd is dup(), flags and all


class StandardTransport(Transport):
    """One direction of an inherited descriptor, which stays as it is until ``close()``.

    ``close()`` puts ``/dev/null`` in its place: only then does a reader at the other end see the end.
    """

    __slots__ = ("_direction", "_fd", "_given", "_piece", "_poll", "name")

    def __init__(self, given: int, direction: int, name: str) -> None:
        super().__init__()
        self.name = name
        self._given = given
        self._direction = direction
        self._piece: int | None = None
        own = _opened_anew(given) if direction == WRITE else None
        if own is None:
            own = os.dup(given)
            if direction == WRITE and not _never_blocks(own):
                self._piece = _PIECE
        self._fd = own
        self._poll = select.poll()
        self._poll.register(own, direction)

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes | None:
        try:
            return os.read(self._fd, size) if self._poll.poll(0) else None
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            if error.errno == errno.EIO:  # the terminal is gone
                return b""
            raise PorticoError(f"cannot read {self.name}: {error.strerror}") from error

    def send(self, data: Bytes) -> int:
        try:
            if self._piece is None:
                return os.write(self._fd, data)
            return os.write(self._fd, memoryview(data)[: self._piece]) if self._poll.poll(0) else 0
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise ConnectionLost(f"{self.name} was closed by its reader") from error
            raise PorticoError(f"cannot write to {self.name}: {error.strerror}") from error

    def shutdown_write(self) -> bool:
        self.close()
        return True

    def close(self) -> None:
        if self._fd < 0:
            return
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(nothing, self._given)
        os.close(nothing)
        os.close(self._fd)
        self._fd = -1

    def ready(self, events: int) -> int:
        return events


def input_stream(descriptor: int = 0, name: str = "stdin") -> Stream:
    """What the program was given to read, as a stream. Closing it leaves an empty input in its place."""
    return Stream(StandardTransport(descriptor, READ, name))


def output_stream(descriptor: int = 1, name: str = "stdout") -> Stream:
    """Where the program was told to write, as a stream. Closing it leaves ``/dev/null`` in its place.

    Writing raises ``ConnectionLost`` when its reader has gone, ``PorticoError`` when the disk is full.
    """
    return Stream(StandardTransport(descriptor, WRITE, name))


def _opened_anew(descriptor: int) -> int | None:
    """An open file of our own for the same pipe, non-blocking; ``None`` where that cannot be had."""
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return None
        return os.open(f"{_OPEN_FILES}/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # another user's, no /proc, or nobody reads any more: the descriptor itself will tell


def _never_blocks(descriptor: int) -> bool:
    """Whether writes end by themselves: files and devices, but neither terminals, pipes nor sockets."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISREG(mode) or stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not os.isatty(descriptor))
