"""An answer, of whatever scheme: head at once, body as a file, in pieces, by lines, or as a whole.

A body is read once. ``content``, ``text``, ``json()``, ``html()`` and ``xml()`` gather what has not been
read yet and keep it; ``read()`` without a size, from the beginning, keeps it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from io import UnsupportedOperation
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeVar, overload

from portico.client.request import Request
from portico.client.url import URL
from portico.compiled import mypyc_attr
from portico.errors import HTTPError, LimitExceeded, LocalProtocolError, PorticoError
from portico.http.field_map import Headers
from portico.http.messages import Fields
from portico.http.pages import REASONS
from portico.limits import Limits

if TYPE_CHECKING:
    from portico.client.forms import HTMLForm
    from portico.client.links import Links
    from portico.data.html.page import Page

__all__ = ["Elapsed", "Response", "Source"]

T = TypeVar("T")

_PAGE = 1 << 18
_LIMITS = Limits()


class Source(Protocol):
    """Where a body comes from: what was sent, before any content coding is undone."""

    trailers: Fields

    def piece(self) -> bytes:
        """The next piece; ``b""`` at the end. Raises what streams raise."""
        ...

    def close(self) -> None:
        """Nothing more is wanted."""
        ...


class Elapsed(NamedTuple):
    """Seconds of one exchange: of each step of connecting (0 on a connection that was there), from sending
    the request to the first byte of its answer, and of everything up to now or to the end of the body."""

    lookup: float
    connect: float
    tls: float
    first_byte: float
    total: float

    def total_seconds(self) -> float:
        """``total``, under the name that a ``timedelta`` has for it."""
        return self.total


@mypyc_attr(allow_interpreted_subclasses=True)
class Response:
    """The answer to ``request``; a context manager that closes it.

    ``status``, ``reason``, ``version`` (``"HTTP/1.1"``), ``url`` (after redirects), ``headers`` (names in
    any case, several values each: ``headers.all(name)``), ``trailers`` (when the body has been read),
    ``history`` (the answers that led here, the first one first), ``peer`` and ``tls`` (address of the
    server, and the facts of the secure channel), ``cache_status`` (``None`` without a cache), ``limits``
    (those of its session).
    """

    # Of most responses these never change.
    history: tuple[Response, ...] = ()
    peer: Any = None
    tls: Any = None
    cache_status: str | None = None
    closed: bool = False
    """Whether the body was given up, or failed, before its end."""
    _headers: Headers | None = None
    _position = 0  # in _content, or else in _piece: what has been read of it
    _next: Callable[[], bytes] | None = None
    _piece = b""  # the latest of the body, decoded
    _started = False  # whether the body is being read in pieces
    _charset: str | None = None
    _steps: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _began: float = 0.0
    _first_byte: float = 0.0
    _ended: float = 0.0

    def __init__(
        self,
        request: Request,
        status: int,
        reason: str,
        pairs: list[tuple[str, str]],
        source: Source | None,
        content: bytes | None = None,
        version: str = "HTTP/1.1",
        limits: Limits | None = None,
    ) -> None:
        self.request = request
        self.url: URL = request.url
        self.status = status
        self.reason = reason
        self.version = version
        self._pairs = pairs
        self._source = source
        self._content = content  # of a body that has been gathered: all of it, decoded
        self.limits = limits or _LIMITS

    # -- the head

    @property
    def headers(self) -> Headers:
        """The fields of the head, as they came."""
        if self._headers is None:
            self._headers = Headers(self._pairs)
        return self._headers

    @property
    def trailers(self) -> Headers:
        """The fields after a chunked body, once that has been read."""
        return Headers(self._source.trailers if self._source is not None else ())

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def elapsed(self) -> Elapsed:
        """How long it took: see ``Elapsed``."""
        end = self._ended or monotonic()
        return Elapsed(
            *self._steps, max(0.0, self._first_byte - self._began), end - self._began + sum(self._steps)
        )

    @property
    def links(self) -> Links:
        """The ``Link`` fields by relation: ``answer.links["next"]["url"]`` (see ``portico.client.links``)."""
        from portico.client.links import links_of

        return links_of(self.headers.all("link"), self.url)

    def raise_for_status(self) -> Self:
        """Raise ``HTTPError`` if the server says no (400 and above); else the response itself."""
        if self.status >= 400:
            raise HTTPError(f"{self.request.method} {self.url}: {self.status} {self.phrase}".rstrip(), self)
        return self

    @property
    def phrase(self) -> str:
        """The reason phrase, or the usual one of the status where the server sent none."""
        return self.reason or REASONS.get(self.status, "")

    @property
    def from_cache(self) -> bool:
        """Whether the body is one that a cache had kept."""
        return self.cache_status not in (None, "miss")

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

    # -- the body as a whole

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

    @property
    def charset(self) -> str:
        """The character encoding of ``text``: by the header, a byte order mark, the document, or by looking
        at it. May be set."""
        if self._charset is None:
            from portico.charsets.text import charset_of

            self._charset = charset_of(self.content, self.headers.get("content-type", ""))
        return self._charset

    @charset.setter
    def charset(self, name: str) -> None:
        self._charset = name

    @property
    def text(self) -> str:
        """The body as text; what cannot be decoded becomes U+FFFD."""
        from portico.charsets.text import decoded

        return decoded(self.content, self.charset)

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    def json(self, type: Any = None) -> Any:  # noqa: A002 - as request.json of the server has it
        """The JSON document of the body, checked against ``type`` if one is given (a ``msgspec.Struct``, a
        dataclass, ``list[int]`` …). Raises ``ProtocolError`` for a body that is not one."""
        from portico.client.documents import json_of

        return json_of(self.content, type, str(self.url))

    def html(self) -> Page:
        """The page as a tree, to be asked in CSS or XPath: as ``portico.data.html.load`` gives it, read in
        ``charset``. Raises ``LimitExceeded`` for a page whose tree would be far larger than itself,
        ``ConfigError`` without selectolax."""
        from portico.client.documents import page_of

        return page_of(self)

    def xml(self) -> Any:
        """The document as an element of ``lxml.etree``, read without entities or anything external. Raises
        ``ProtocolError``."""
        from portico.data.trees import parse_xml

        return parse_xml(self.content, str(self.url))

    def forms(self) -> list[HTMLForm]:
        """The forms of the page, to be filled in and submitted (``session.submit``)."""
        from portico.client.forms import forms_of

        return forms_of(self)

    def form(self, which: str | int = 0) -> HTMLForm:
        """One of them: by its number, its id or its name. Raises ``ConfigError``, telling which there are."""
        from portico.client.forms import form_of

        return form_of(self, which)

    def keep_some(self) -> None:
        """Keep the first 256 KiB of a body that nobody will stream: an error's page."""
        if self._content is None and not self._started:
            with suppress(PorticoError):
                data = self.read(_PAGE)
                self.close()
                self._content, self._piece, self._position = data, b"", 0

    # -- the body in pieces

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

    def iter_lines(self) -> Iterator[str]:
        r"""The body by lines of text, without their ends (``\n`` or ``\r\n``). Raises ``LimitExceeded`` for
        one of more than ``Limits.line`` bytes."""
        from portico.charsets.text import text_lines

        content_type = self.headers.get("content-type", "")
        return text_lines(self.iter_bytes(), content_type, self.limits.line, self._charset)

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

    def __reduce__(self) -> tuple[Any, ...]:
        """May be copied and pickled, but for the connection: see ``portico.client.pickled``."""
        from portico.client.pickled import reduced

        return reduced(self)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.phrase} of {self.request.method} {self.url}>"

    # -- inside

    def _time(self, began: float, steps: tuple[float, float, float]) -> None:
        """When the request was sent (now its head has come), and how long connecting took."""
        self._began, self._first_byte, self._steps = began, monotonic(), steps
        if self._content is not None:
            self._ended = self._first_byte

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
