"""The client, awaited: the same code as ``portico.Session`` and ``portico.open``, in a greenlet of its own.

::

    async with aio.Session(timeout=10) as session:
        answer = await session.get("https://example.org/data.json")
        print(answer.json())
        async with await session.get(url, stream=True) as answer:
            async for piece in answer.iter_bytes():
                ...

Bodies to be sent may be asynchronous iterables, too, and ``auth=`` and ``hooks=`` coroutine functions, which
get a ``Response`` of this module.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from portico.aio.iterating import iterate
from portico.client import opener
from portico.client import response as client_response
from portico.client import session as client_session
from portico.client.cookies import CookieJar
from portico.client.forms import HTMLForm
from portico.client.links import Links
from portico.client.request import Request
from portico.client.response import Elapsed
from portico.client.sse import ServerSentEvent
from portico.client.url import URL
from portico.client.verbs import Verbs
from portico.engines.bridge import result, run
from portico.http.field_map import Headers, OutgoingHeaders
from portico.sockets.aio_stream import documented_as

if TYPE_CHECKING:
    from portico.data.html.page import Page

__all__ = ["Response", "Session", "open"]

T = TypeVar("T")
_Blocking = client_response.Response


class Response:
    """An answer, as ``portico.open`` gives it. What has to be waited for is awaited; all else is there.

    ``content``, ``text``, ``json()``, ``html()`` and ``xml()`` take a body that has been read: by a request
    without ``stream=True``, or by ``await response.load()``. ``blocking`` is the response underneath.
    """

    __slots__ = ("blocking",)

    def __init__(self, blocking: _Blocking) -> None:
        self.blocking = blocking

    # -- the head

    @property
    def request(self) -> Request:
        """What was asked."""
        return self.blocking.request

    @property
    def url(self) -> URL:
        """Where the answer comes from, after redirects."""
        return self.blocking.url

    @property
    def status(self) -> int:
        """The status code."""
        return self.blocking.status

    @property
    def reason(self) -> str:
        """The reason phrase."""
        return self.blocking.reason

    @property
    def version(self) -> str:
        """``HTTP/1.1`` or ``HTTP/1.0``."""
        return self.blocking.version

    @property
    @documented_as(_Blocking.headers)
    def headers(self) -> Headers:
        return self.blocking.headers

    @property
    @documented_as(_Blocking.trailers)
    def trailers(self) -> Headers:
        return self.blocking.trailers

    @property
    def history(self) -> tuple[Response, ...]:
        """The answers that led here, the first one first."""
        return tuple(Response(each) for each in self.blocking.history)

    @property
    def peer(self) -> Any:
        """The server's address."""
        return self.blocking.peer

    @property
    def tls(self) -> Any:
        """The facts of the secure channel, or ``None``."""
        return self.blocking.tls

    @property
    def cache_status(self) -> str | None:
        """What a cache had to do with it; ``None`` without one."""
        return self.blocking.cache_status

    @property
    @documented_as(_Blocking.ok)
    def ok(self) -> bool:
        return self.blocking.ok

    @property
    @documented_as(_Blocking.links)
    def links(self) -> Links:
        return self.blocking.links

    @property
    @documented_as(_Blocking.elapsed)
    def elapsed(self) -> Elapsed:
        return self.blocking.elapsed

    @documented_as(_Blocking.raise_for_status)
    def raise_for_status(self) -> Self:
        self.blocking.raise_for_status()
        return self

    # -- the body

    @property
    @documented_as(_Blocking.content)
    def content(self) -> bytes:
        return self.blocking.content

    @property
    @documented_as(_Blocking.charset)
    def charset(self) -> str:
        return self.blocking.charset

    @charset.setter
    def charset(self, name: str) -> None:
        self.blocking.charset = name

    @property
    @documented_as(_Blocking.text)
    def text(self) -> str:
        return self.blocking.text

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    @documented_as(_Blocking.json)
    def json(self, type: Any = None) -> Any:  # noqa: A002
        return self.blocking.json(type)

    @documented_as(_Blocking.html)
    def html(self) -> Page:
        return self.blocking.html()

    @documented_as(_Blocking.xml)
    def xml(self) -> Any:
        return self.blocking.xml()

    @documented_as(_Blocking.forms)
    def forms(self) -> list[HTMLForm]:
        return self.blocking.forms()

    @documented_as(_Blocking.form)
    def form(self, which: str | int = 0) -> HTMLForm:
        return self.blocking.form(which)

    async def load(self) -> Self:
        """Read the whole body, for ``content``, ``text`` and the others. Raises what ``content`` does."""
        await run(getattr, self.blocking, "content")
        return self

    @documented_as(_Blocking.read)
    async def read(self, size: int | None = -1) -> bytes:
        return await run(self.blocking.read, size)

    @documented_as(_Blocking.readline)
    async def readline(self, size: int | None = -1) -> bytes:
        return await run(self.blocking.readline, size)

    @documented_as(_Blocking.iter_bytes)
    def iter_bytes(self, size: int | None = None) -> AsyncIterator[bytes]:
        return iterate(self.blocking.iter_bytes, size)

    @documented_as(_Blocking.iter_raw)
    def iter_raw(self) -> AsyncIterator[bytes]:
        return iterate(self.blocking.iter_raw)

    @documented_as(_Blocking.iter_lines)
    def iter_lines(self) -> AsyncIterator[str]:
        return iterate(self.blocking.iter_lines)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return iterate(iter, self.blocking)

    @documented_as(_Blocking.close)
    def close(self) -> None:
        self.blocking.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self.blocking)


class Session(Verbs[Awaitable[Response]]):
    """Sends requests, awaited; an asynchronous context manager. Arguments and errors of ``portico.Session``.

    ``blocking`` is the session underneath. Requests of any number of tasks may be under way at once.
    """

    def __init__(self, **options: Any) -> None:
        self.blocking = client_session.Session(**_waiting(options))

    @property
    def cookies(self) -> CookieJar:
        """The cookies of the session."""
        return self.blocking.cookies

    @property
    def headers(self) -> OutgoingHeaders:
        """The header fields of every request."""
        return self.blocking.headers

    @documented_as(client_session.Session.request)
    async def request(self, method: str, url: str | URL, **options: Any) -> Response:
        return Response(await run(self.blocking.request, method, url, **_waiting(options)))

    @documented_as(client_session.Session.prepare)
    def prepare(self, method: str, url: str | URL, **options: Any) -> Request:
        return self.blocking.prepare(method, url, **_waiting(options))

    @documented_as(client_session.Session.send)
    async def send(self, request: Request, **options: Any) -> Response:
        return Response(await run(self.blocking.send, request, **_waiting(options)))

    @documented_as(client_session.Session.submit)
    async def submit(self, form: HTMLForm, button: str | bool | None = None, **options: Any) -> Response:
        return Response(await run(self.blocking.submit, form, button, **_waiting(options)))

    @documented_as(client_session.Session.events)
    def events(
        self, url: str | URL, *, last_id: str = "", **options: Any
    ) -> AsyncGenerator[ServerSentEvent, None]:
        return iterate(self.blocking.events, url, last_id=last_id, **_waiting(options))

    @documented_as(client_session.Session.close)
    async def close(self) -> None:
        await run(self.blocking.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self.blocking)


async def open(url: str | URL, data: Any = None, **options: Any) -> Response:  # noqa: A001 - as the blocking one
    """Open a URL, awaited: see ``portico.open``."""
    return Response(await run(opener.open, url, **_waiting({"data": data, **options})))


def _waiting(options: dict[str, Any]) -> dict[str, Any]:
    """Options of which whatever has to be awaited is waited for, in the greenlet."""
    given = dict(options)
    data: Any = given.get("data")
    if hasattr(data, "__aiter__"):
        given["data"] = _waited_for(data.__aiter__())
    if given.get("auth") is not None:
        given["auth"] = _blocking(given["auth"])
    if given.get("hooks"):
        given["hooks"] = {name: _blocking_hooks(hooks) for name, hooks in given["hooks"].items()}
    return given


def _blocking_hooks(given: Any) -> Any:
    return _blocking(given) if callable(given) else [_blocking(each) for each in given]


def _blocking(function: Any) -> Any:
    """A coroutine function, of a request or a response, as a function that waits; all else as it is."""
    if not (iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))):  # noqa: B004
        return function
    called: Callable[[Any], Awaitable[Any]] = function

    def waits(given: Any) -> Any:
        found = result(called(Response(given) if isinstance(given, _Blocking) else given))
        return found.blocking if isinstance(found, Response) else found

    return waits


def _waited_for(pieces: Any) -> Iterator[bytes]:
    while True:
        try:
            yield result(pieces.__anext__())
        except StopAsyncIteration:
            return
