"""An answer, of whatever scheme: head at once, body as a file (``Incoming``), by lines, or as a whole.

A body is read once. ``content``, ``text``, ``json()``, ``html()`` and ``xml()`` gather what has not been
read yet and keep it; ``read()`` without a size, from the beginning, keeps it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, overload

from portico.client.incoming import Incoming, Source
from portico.client.request import Request
from portico.compiled import mypyc_attr
from portico.errors import HTTPError, PorticoError
from portico.http.field_map import Headers
from portico.http.pages import REASONS
from portico.limits import Limits

if TYPE_CHECKING:
    from portico.client.forms import HTMLForm
    from portico.client.links import Links
    from portico.data.html.page import Page

__all__ = ["Elapsed", "Response"]

T = TypeVar("T")

_PAGE = 1 << 18
_LIMITS = Limits()


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
class Response(Incoming):
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
    _charset: str | None = None
    _steps: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _began: float = 0.0
    _first_byte: float = 0.0

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
        self.url = request.url
        self.status = status
        self.reason = reason
        self.version = version
        self._pairs = pairs
        self._source = source
        self._content = content  # of a body that has been gathered: all of it, decoded
        self.limits = limits or _LIMITS

    # -- the head

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

    # -- the body as a whole

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

    def iter_lines(self) -> Iterator[str]:
        r"""The body by lines of text, without their ends (``\n`` or ``\r\n``). Raises ``LimitExceeded`` for
        one of more than ``Limits.line`` bytes."""
        from portico.charsets.text import text_lines

        content_type = self.headers.get("content-type", "")
        return text_lines(self.iter_bytes(), content_type, self.limits.line, self._charset)

    def keep_some(self) -> None:
        """Keep the first 256 KiB of a body that nobody will stream: an error's page."""
        if self._content is None and not self._started:
            with suppress(PorticoError):
                data = self.read(_PAGE)
                self.close()
                self._content, self._piece, self._position = data, b"", 0

    def __reduce__(self) -> tuple[Any, ...]:
        """May be copied and pickled, but for the connection: see ``portico.client.pickled``."""
        from portico.client.pickled import reduced

        return reduced(self)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.phrase} of {self.request.method} {self.url}>"

    def _time(self, began: float, steps: tuple[float, float, float]) -> None:
        """When the request was sent (now its head has come), and how long connecting took."""
        self._began, self._first_byte, self._steps = began, monotonic(), steps
        if self._content is not None:
            self._ended = self._first_byte
