"""A datagram for ``async def`` handlers: a thin face of the blocking one."""

from __future__ import annotations

from portico.address import Address
from portico.engines.bridge import run
from portico.sockets import datagram_port
from portico.sockets.options import Credentials
from portico.sockets.transport import Bytes

__all__ = ["Datagram"]


class Datagram:
    """A ``portico.Datagram`` whose ``reply`` is awaited; ``blocking`` is the one underneath."""

    __slots__ = ("blocking",)

    def __init__(self, blocking: datagram_port.Datagram) -> None:
        self.blocking = blocking

    @property
    def data(self) -> bytes:
        return self.blocking.data

    @property
    def peer(self) -> Address:
        """Who sent it."""
        return self.blocking.peer

    @property
    def local(self) -> Address:
        """Where it was sent to."""
        return self.blocking.local

    @property
    def size(self) -> int:
        """Its whole length, where the system tells it."""
        return self.blocking.size

    @property
    def truncated(self) -> bool:
        """Whether ``data`` is only its beginning."""
        return self.blocking.truncated

    @property
    def credentials(self) -> Credentials | None:
        """Process, user and group of the sender, of a Unix socket on Linux."""
        return self.blocking.credentials

    async def reply(self, data: Bytes) -> None:
        """Send a datagram back. Raises as ``portico.Datagram.reply`` does."""
        await run(self.blocking.reply, data)

    def __repr__(self) -> str:
        return repr(self.blocking)
