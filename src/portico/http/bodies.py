"""Bodies that are not chunked: counted, until the close, and those that are never sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from portico.errors import EndOfStream, LocalProtocolError
from portico.http.inbox import Inbox
from portico.http.messages import END, NEED_DATA, BytesLike, End, Signal

__all__ = [
    "BodyReader",
    "BodyWriter",
    "CloseReader",
    "CloseWriter",
    "LengthReader",
    "LengthWriter",
    "MutedWriter",
]


class BodyReader(Protocol):
    """Takes one body from an inbox."""

    def read(self, inbox: Inbox) -> bytes | End | Signal:
        """The next piece, the end, or ``NEED_DATA``."""
        ...


class BodyWriter(Protocol):
    """Frames one body."""

    def data(self, data: BytesLike) -> list[BytesLike]:
        """What to send for a piece of the body."""
        ...

    def around(self, size: int) -> tuple[bytes, bytes] | None:
        """What to send before and after a piece of ``size`` bytes that goes another way (``sendfile``);
        ``None``: the piece must not be sent."""
        ...

    def end(self, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
        """What to send for its end."""
        ...


class LengthReader:
    """A body of so many bytes, of which ``left`` have not been read."""

    __slots__ = ("left",)

    def __init__(self, length: int) -> None:
        self.left = length

    def read(self, inbox: Inbox) -> bytes | End | Signal:
        """The next piece, the end, or ``NEED_DATA``; ``EndOfStream`` when it ends short."""
        if not self.left:
            return END
        piece = inbox.take(self.left)
        if piece:
            self.left -= len(piece)
            return piece
        if inbox.ended:
            raise EndOfStream(f"the connection ended {self.left} bytes before the body's end")
        return NEED_DATA


class CloseReader:
    """A response body that ends with its connection."""

    __slots__ = ()

    def read(self, inbox: Inbox) -> bytes | End | Signal:
        """The next piece, the end, or ``NEED_DATA``."""
        return inbox.take(len(inbox)) or (END if inbox.ended else NEED_DATA)


def _refuse_trailers(trailers: Iterable[tuple[str, str]]) -> None:
    if any(True for _ in trailers):
        raise LocalProtocolError("only a chunked body can have trailers")


class LengthWriter:
    """Holds the caller to the ``Content-Length`` that went out."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def data(self, data: BytesLike) -> list[BytesLike]:
        """``data`` as it is. Raises ``LocalProtocolError`` when it is more than was announced."""
        return [data] if self.around(len(data)) else []

    def around(self, size: int) -> tuple[bytes, bytes] | None:
        """Nothing around it. Raises ``LocalProtocolError`` when it is more than was announced."""
        if size > self._left:
            surplus = size - self._left
            raise LocalProtocolError(f"the body is longer than its Content-Length, by {surplus}")
        self._left -= size
        return (b"", b"") if size else None

    def end(self, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Nothing. Raises ``LocalProtocolError`` when fewer bytes were sent than announced."""
        _refuse_trailers(trailers)
        if self._left:
            raise LocalProtocolError(f"the body is shorter than its Content-Length, by {self._left}")
        return b""


class CloseWriter:
    """Leaves the end of the body to the end of the connection."""

    __slots__ = ()

    def data(self, data: BytesLike) -> list[BytesLike]:
        """``data`` as it is."""
        return [data] if data else []

    def around(self, size: int) -> tuple[bytes, bytes] | None:
        """Nothing around it."""
        return (b"", b"") if size else None

    def end(self, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Nothing."""
        _refuse_trailers(trailers)
        return b""


class MutedWriter:
    """Drops the body of an answer to HEAD, so that it can be written as for GET."""

    __slots__ = ()

    def data(self, data: BytesLike) -> list[BytesLike]:
        """Nothing."""
        return []

    def around(self, size: int) -> tuple[bytes, bytes] | None:
        """It is not sent."""
        return None

    def end(self, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
        """Nothing."""
        return b""
