"""The stream and the listener as coroutines, for asyncio code.

Each is a thin face of the blocking one, which does the work in a greenlet (see ``portico.engines.bridge``):
same names, same arguments, same errors. What waits is awaited; what never waits is called plainly, so that
``close()`` works everywhere, also in the middle of a cancellation. ``portico.aio`` is the public name.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from portico.address import Address
from portico.engines.bridge import run
from portico.errors import StreamClosed
from portico.limits import Limits
from portico.sockets import listener, stream
from portico.sockets.options import Credentials, Options
from portico.sockets.sides import CHUNK
from portico.sockets.stream import TLSSettings
from portico.sockets.transport import Bytes, Transport

__all__ = ["Listener", "Stream", "documented_as"]

Function = TypeVar("Function", bound=Callable[..., Any])

_LINE = Limits().line
_ALL = Limits().read_all


def documented_as(blocking: object) -> Callable[[Function], Function]:
    """Documented as the blocking function is."""

    def document(function: Function) -> Function:
        function.__doc__ = blocking.__doc__
        return function

    return document


class Stream:
    """A connected byte stream, awaited; also an asynchronous context manager that closes it.

    The methods are those of ``portico.Stream``. One reader and one writer may use it at once, in any task
    of the loop. ``blocking`` is the stream underneath, for functions called by ``portico.aio.run``.
    """

    __slots__ = ("blocking",)

    def __init__(self, blocking: stream.Stream) -> None:
        self.blocking = blocking

    @classmethod
    @documented_as(stream.Stream.from_socket)
    def from_socket(cls, sock: socket.socket) -> Stream:
        return cls(stream.Stream.from_socket(sock))

    # -- facts

    @property
    @documented_as(stream.Stream.peer)
    def peer(self) -> Address | None:
        return self.blocking.peer

    @property
    @documented_as(stream.Stream.local)
    def local(self) -> Address | None:
        return self.blocking.local

    @property
    @documented_as(stream.Stream.tls)
    def tls(self) -> Any:
        return self.blocking.tls

    @property
    @documented_as(stream.Stream.transport)
    def transport(self) -> Transport:
        return self.blocking.transport

    @property
    @documented_as(stream.Stream.closed)
    def closed(self) -> bool:
        return self.blocking.closed

    @property
    @documented_as(stream.Stream.buffered)
    def buffered(self) -> int:
        return self.blocking.buffered

    @property
    @documented_as(stream.Stream.options)
    def options(self) -> Options:
        return self.blocking.options

    @property
    @documented_as(stream.Stream.peer_credentials)
    def peer_credentials(self) -> Credentials:
        return self.blocking.peer_credentials

    @property
    @documented_as(stream.Stream.readable)
    def readable(self) -> bool:
        return self.blocking.readable

    @documented_as(stream.Stream.fileno)
    def fileno(self) -> int:
        return self.blocking.fileno()

    def __repr__(self) -> str:
        return repr(self.blocking).replace("<Stream", "<aio.Stream", 1)

    # -- reading

    @documented_as(stream.Stream.read)
    async def read(self, size: int = CHUNK) -> bytes:
        return await run(self.blocking.read, size)

    @documented_as(stream.Stream.read_exactly)
    async def read_exactly(self, size: int) -> bytes:
        return await run(self.blocking.read_exactly, size)

    @documented_as(stream.Stream.read_until)
    async def read_until(self, separator: bytes, limit: int = _LINE) -> bytes:
        return await run(self.blocking.read_until, separator, limit)

    @documented_as(stream.Stream.read_line)
    async def read_line(self, limit: int = _LINE, *, keep_end: bool = False) -> bytes:
        return await run(self.blocking.read_line, limit, keep_end=keep_end)

    @documented_as(stream.Stream.__iter__)
    async def __aiter__(self) -> AsyncIterator[bytes]:
        lines = iter(self.blocking)
        while (line := await run(next, lines, None)) is not None:
            yield line

    @documented_as(stream.Stream.read_into)
    async def read_into(self, buffer: bytearray | memoryview) -> int:
        return await run(self.blocking.read_into, buffer)

    @documented_as(stream.Stream.read_all)
    async def read_all(self, limit: int = _ALL) -> bytes:
        return await run(self.blocking.read_all, limit)

    @documented_as(stream.Stream.peek)
    async def peek(self, size: int = 1) -> bytes:
        return await run(self.blocking.peek, size)

    @documented_as(stream.Stream.try_read)
    def try_read(self, size: int = CHUNK) -> bytes | None:
        return self.blocking.try_read(size)

    @documented_as(stream.Stream.unread)
    def unread(self, data: Bytes) -> None:
        self.blocking.unread(data)

    # -- writing

    @documented_as(stream.Stream.write)
    async def write(self, data: Bytes) -> None:
        await run(self.blocking.write, data)

    @documented_as(stream.Stream.write_many)
    async def write_many(self, parts: Sequence[Bytes]) -> None:
        await run(self.blocking.write_many, parts)

    @documented_as(stream.Stream.try_write)
    def try_write(self, data: Bytes) -> int:
        return self.blocking.try_write(data)

    @documented_as(stream.Stream.send_file)
    async def send_file(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:
        return await run(self.blocking.send_file, file, offset, count)

    @documented_as(stream.Stream.shutdown_write)
    async def shutdown_write(self) -> None:
        await run(self.blocking.shutdown_write)

    # -- the stream as a whole

    @documented_as(stream.Stream.start_tls)
    async def start_tls(self, tls: TLSSettings, server_name: str | None = None) -> None:
        await run(self.blocking.start_tls, tls, server_name)

    @documented_as(stream.Stream.handshake)
    async def handshake(self) -> None:
        await run(self.blocking.handshake)

    def as_file(self, mode: str = "r+b", **options: Any) -> Any:
        """A blocking ``io`` object over the stream, for functions called by ``portico.aio.run``."""
        return self.blocking.as_file(mode, **options)

    @documented_as(stream.Stream.detach)
    def detach(self) -> socket.socket:
        return self.blocking.detach()

    @documented_as(stream.Stream.close)
    def close(self) -> None:
        self.blocking.close()

    @documented_as(stream.Stream.forget)
    def forget(self) -> None:
        self.blocking.forget()

    @documented_as(stream.Stream.abort)
    def abort(self) -> None:
        self.blocking.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.blocking.close()


class Listener:
    """Something that listens at an address, awaited; made by ``portico.aio.listen``.

    An asynchronous context manager that closes it; iterating gives streams until it is closed. One task may
    accept at a time. ``blocking`` is the listener underneath.
    """

    __slots__ = ("blocking",)

    def __init__(self, blocking: listener.Listener) -> None:
        self.blocking = blocking

    @property
    @documented_as(listener.Listener.addresses)
    def addresses(self) -> list[Address]:
        return self.blocking.addresses

    @documented_as(listener.Listener.accept)
    async def accept(self) -> Stream:
        return Stream(await run(self.blocking.accept))

    async def __aiter__(self) -> AsyncIterator[Stream]:
        while True:
            try:
                accepted = await self.accept()
            except StreamClosed:
                return
            yield accepted

    @documented_as(listener.Listener.close)
    def close(self) -> None:
        self.blocking.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.blocking.close()

    def __repr__(self) -> str:
        return repr(self.blocking).replace("<Listener", "<aio.Listener", 1)
