"""The body of an answer as it comes in: a file that is read once, in pieces or as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import UnsupportedOperation
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

from portico.client.request import Request
from portico.client.url import URL
from portico.compiled import mypyc_attr
from portico.errors import LimitExceeded, LocalProtocolError, PorticoError
from portico.http.field_map import Headers
from portico.http.messages import Fields
from portico.limits import Limits

__all__ = ["Incoming", "Source"]


class Source(Protocol):
    """Where a body comes from: what was sent, before any content coding is undone."""

    trailers: Fields

    def piece(self) -> bytes:
        """The next piece; ``b""`` at the end. Raises what streams raise."""
        ...

    def close(self) -> None:
        """Nothing more is wanted."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class Incoming:
    """The half of a ``Response`` that is a file: its attributes are set there."""

    request: Request
    url: URL
    limits: Limits
    closed: bool = False
    """Whether the body was given up, or failed, before its end."""
    _pairs: list[tuple[str, str]]
    _source: Source | None
    _content: bytes | None  # of a body that has been gathered: all of it, decoded
    _headers: Headers | None = None
    _position = 0  # in _content, or else in _piece: what has been read of it
    _next: Callable[[], bytes] | None = None
    _piece = b""  # the latest of the body, decoded
    _started = False  # whether the body is being read in pieces
    _ended: float = 0.0

    @property
    def headers(self) -> Headers:
        """The fields of the head, as they came."""
        if self._headers is None:
            self._headers = Headers(self._pairs)
        return self._headers

    def reroute(self, through: Callable[[Source], Source]) -> bool:
        """Let the body come from ``through(source)``, before any of it is read. Whether there is a body."""
        source = self._source
        if self._content is not None:  # it came with the head
            from portico.client.wire import HeldBody

            source, self._content, self._ended = HeldBody(self._content), None, 0.0
        if source is None:
            return False
        self._source = through(source)
        return True

    @property
    def content(self) -> bytes:
        """All of the body, without its content codings.

        Raises ``LocalProtocolError`` when part of it was read already, ``LimitExceeded`` for more than
        ``Limits.answer``, ``EndOfStream`` (``partial`` holds what came) for a body that was cut.
        """
        if self._content is None:
            if self._started:
                raise LocalProtocolError("the body has been read in pieces; what was read is not kept")
            self._content = self._gathered()
        return self._content

    def iter_bytes(self, size: int | None = None) -> Iterator[bytes]:
        """The body in pieces as they come, or of ``size`` bytes each but for the last."""
        while piece := (self._take() if size is None else self.read(size)):
            yield piece

    def iter_raw(self) -> Iterator[bytes]:
        """The body in pieces, as it was sent, with its content codings; instead of other ways to read it."""
        if self._started or (self._content is not None and self._source is None):
            yield from self.iter_bytes()
            return
        source = self._source
        if source is None or self._content is not None:
            raise LocalProtocolError("the body has been read, and its codings undone")
        self._next = source.piece
        yield from self.iter_bytes()

    def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, fewer only at the end of the body; without a size all that is left."""
        if size is None or size < 0:
            if self._content is None and not self._started:
                self._content = self._gathered()
            return self._take() if self._content is not None else self._gathered()
        pieces: list[bytes] = []
        missing = size
        while missing > 0 and self._more(pieces):
            pieces.append(self._take(missing))
            missing -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """What has come, at most ``size`` bytes; waits for the first. ``b""`` at the end."""
        return self._take(size if size >= 0 else None)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; fewer bytes than it holds only at the end of the body."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1) -> bytes:
        r"""A line with its ``\n``; ``b""`` at the end of the body. Without a ``size``, one of more than
        ``Limits.line`` bytes raises ``LimitExceeded``."""
        most = self.limits.line if size is None or size < 0 else size
        pieces: list[bytes] = []
        length = 0
        while length < most and (data := self._more(pieces)):
            begin = self._position
            end = data.find(b"\n", begin, begin + most - length) + 1
            pieces.append(self._take(end - begin if end else most - length))
            length += len(pieces[-1])
            if end:
                return b"".join(pieces)
        if length >= most and (size is None or size < 0):
            raise LimitExceeded(f"{self.url}: a line of more than {most} bytes", "line")
        return b"".join(pieces)

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        """All lines that are left, or those that make up ``hint`` bytes, if that is above zero."""
        if hint is None or hint <= 0:
            return list(self)
        lines: list[bytes] = []
        while hint > 0 and (line := self.readline()):
            lines.append(line)
            hint -= len(line)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def readable(self) -> bool:
        """As files tell it: yes."""
        return True

    def writable(self) -> bool:
        """As files tell it: no."""
        return False

    def seekable(self) -> bool:
        """As files tell it: no."""
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """As files tell it: raises ``io.UnsupportedOperation``."""
        raise UnsupportedOperation("a response is read once; io.BytesIO(response.content) can seek")

    def tell(self) -> int:
        """As files tell it: raises ``io.UnsupportedOperation``."""
        raise UnsupportedOperation("a response has no positions")

    def fileno(self) -> int:
        """As files tell it: raises ``io.UnsupportedOperation``."""
        raise UnsupportedOperation("a response is no open file of the system")

    def isatty(self) -> bool:
        """As files tell it: no."""
        return False

    def flush(self) -> None:
        """As files have it: nothing to do."""

    def close(self) -> None:
        """Nothing more is wanted. A connection on which the rest has come already goes back to its pool."""
        if self._source is not None and self._content is None and not self._ended:
            self.closed = True
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside

    def _unread(self) -> bytes:
        """Bytes of the body, of which those before ``_position`` have been read; ``b""`` at its end."""
        if self._content is not None:
            return self._content if self._position < len(self._content) else b""
        self._started = True
        if self._position >= len(self._piece):
            self._piece = b""
            self._piece, self._position = self._decoded(), 0
        return self._piece

    def _take(self, most: int | None = None) -> bytes:
        """Some bytes of the body that have not been read, ``b""`` at its end."""
        data, begin = self._unread(), self._position
        if not data:
            return b""
        self._position = end = len(data) if most is None else min(begin + most, len(data))
        return data if end - begin == len(data) else data[begin:end]

    def _more(self, pieces: list[bytes]) -> bytes:
        """As ``_unread``; an error carries ``pieces``, which the caller has taken and not handed out."""
        try:
            return self._unread()
        except PorticoError as error:
            error.partial = b"".join([*pieces, error.partial])
            raise

    def _decoded(self) -> bytes:
        source = self._source
        if self.closed:
            raise LocalProtocolError(f"the body of {self!r} was given up before its end")
        if source is None or self._ended:
            return b""
        try:
            if self._next is None:
                self._next = self._reader(source)
            piece = self._next()
        except PorticoError as error:
            error.request = error.request or self.request
            error.reached = error.reached or "body"
            self.close()
            raise
        if not piece:
            self._ended = monotonic()
        return piece

    def _reader(self, source: Source) -> Callable[[], bytes]:
        """What gives the next piece of the body without its codings."""
        if all(name != "content-encoding" for name, _ in self._pairs):
            return source.piece
        from portico.client.decoding import decoded

        unpacking = decoded(self.headers["content-encoding"], source, self.limits)
        return source.piece if unpacking is None else unpacking.read

    def _gathered(self) -> bytes:
        pieces, size, most = [], 0, self.limits.answer
        try:
            while piece := self._take():
                size += len(piece)
                if size > most:
                    self.close()
                    raise LimitExceeded(
                        f"{self.url}: a body of more than {most} bytes; read it in pieces (stream=True), or "
                        "raise Limits.answer",
                        "answer",
                        413,
                    )
                pieces.append(piece)
        except PorticoError as error:
            error.partial = b"".join([*pieces, error.partial])
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
