"""Pipes, and the end of a child process, as streams.

A pipe goes one way, so a transport has one descriptor: whoever talks with a program holds one stream for
each of its standard streams, and one that ends when the program does.
"""

from __future__ import annotations

import errno
import os

from portico.errors import ConfigError, ConnectionLost, LocalProtocolError
from portico.sockets.stream import Stream
from portico.sockets.transport import READ, WRITE, Bytes, Transport

__all__ = ["PipeTransport", "ProcessTransport", "exit_stream", "pipe_stream"]


class PipeTransport(Transport):
    """One end of a pipe, made non-blocking: the reading one or the writing one. Owns the descriptor.

    Raises ``ConfigError`` when both or neither are given. A reader that has gone shows as
    ``ConnectionLost`` at the next ``send``: Python ignores ``SIGPIPE``.
    """

    __slots__ = ("_direction", "_fd", "name")

    def __init__(self, read_fd: int | None, write_fd: int | None, name: str = "a pipe") -> None:
        super().__init__()
        if read_fd is not None and write_fd is None:
            self._fd, self._direction = read_fd, READ
        elif write_fd is not None and read_fd is None:
            self._fd, self._direction = write_fd, WRITE
        else:
            raise ConfigError(f"{name}: a pipe goes one way: give its reading or its writing end")
        self.name = name
        os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes | None:
        self._need(READ)
        try:
            return os.read(self._fd, size)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            if error.errno == errno.EIO:  # how a pseudo-terminal says that nobody holds its other end
                return b""
            raise self._lost(error, "reading from") from error

    def send(self, data: Bytes) -> int:
        self._need(WRITE)
        try:
            return os.write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise self._lost(error, "writing to") from error

    def shutdown_write(self) -> bool:
        # One direction is all there is, so ending it is closing; the number must not be used again.
        self._need(WRITE)
        self.close()
        return True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def ready(self, events: int) -> int:
        return events

    def _need(self, direction: int) -> None:
        if direction != self._direction:
            only = "read from" if self._direction == READ else "written to"
            raise LocalProtocolError(f"{self.name} can only be {only}")

    def _lost(self, error: OSError, doing: str) -> ConnectionLost:
        if error.errno == errno.EPIPE:
            return ConnectionLost(f"{self.name} was closed by its reader")
        return ConnectionLost(f"{doing} {self.name} failed: {error.strerror or error}")


def pipe_stream(read_fd: int | None, write_fd: int | None, name: str) -> Stream:
    """A ``Stream`` over one end of a pipe, which it owns. ``name`` is for error messages.

    Raises ``ConfigError`` unless exactly one descriptor is given.
    """
    return Stream(PipeTransport(read_fd, write_fd, name))


class ProcessTransport(Transport):
    """Ends when a child process ends, and never carries a byte. Owns a process descriptor.

    The child is not reaped by it: until its parent does, number and process group stay its own.
    """

    __slots__ = ("_fd",)

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._fd = os.pidfd_open(pid)

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes | None:
        try:
            over = os.waitid(os.P_PIDFD, self._fd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # reaped already
            return b""
        return None if over is None else b""

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def exit_stream(pid: int) -> Stream | None:
    """A stream that ends when this child does; ``None`` where the system cannot watch a process."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return Stream(ProcessTransport(pid))
    except OSError as error:
        if error.errno == errno.ENOSYS:  # Linux before 5.3
            return None
        raise
