"""``memory:`` addresses of a server whose handler runs in processes of its own.

Whoever dials, in the process that has the server, gets one end of a socket pair; the other end is handed
to the processes, over a pair of sockets that they share, and whoever is first accepts it.
"""

from __future__ import annotations

import errno
import socket

from portico.address import Address
from portico.engines.contract import Listening
from portico.sockets.transport import SocketTransport

__all__ = ["HandoverListener"]

_WORD = b"."


class HandoverListener(Listening):
    """Both ends of the way: diallers use ``dial`` in this process, others ``accept``."""

    __slots__ = ("_giving", "_taking")

    def __init__(self, address: Address) -> None:
        super().__init__()
        self.address = address
        # A byte for each connection: the kernel never joins two that carry descriptors (unix(7)). Datagrams
        # would be kept apart as well, but only ten of them may wait.
        self._giving, self._taking = socket.socketpair()
        for sock in (self._giving, self._taking):
            sock.setblocking(False)

    def fileno(self) -> int:
        return -1 if self.closed else self._taking.fileno()

    def dial(self) -> SocketTransport | None:
        """A connection; ``None``: as many wait to be accepted as may. Raises ``OSError``."""
        mine, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._giving, [_WORD], [theirs.fileno()])
            except OSError as error:
                mine.close()
                if error.errno in _FULL:
                    return None
                raise
        return SocketTransport(mine, self.address, self.address)

    def accept(self) -> SocketTransport | None:
        try:
            word, descriptors, _, _ = socket.recv_fds(self._taking, len(_WORD), 1)
        except (BlockingIOError, InterruptedError):
            return None
        if not word:
            return None  # nobody dials any more
        if not descriptors:
            raise OSError(errno.EMFILE, "no descriptor is free for it")
        return SocketTransport(socket.socket(fileno=descriptors[0]), self.address, self.address)

    def disown(self) -> Listening:
        self._giving.close()
        return self

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.wake()
        self._giving.close()
        self._taking.close()

    def __repr__(self) -> str:
        return f"<HandoverListener {self.address}{' closed' if self.closed else ''}>"


_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS)
