"""A function of a request, or a class with methods, as a gateway."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from portico.errors import ConfigError
from portico.web.handlers.answer import answer
from portico.web.handlers.methods import allowed, by_method, check_plain, has_methods, instance
from portico.web.handlers.refusal import Refuse
from portico.web.handlers.request import Request
from portico.web.handlers.response import Response
from portico.web.handlers.sessions import Sessions

if TYPE_CHECKING:
    from portico.http.exchange import Exchange
    from portico.http.messages import RequestHead

__all__ = ["App", "Bounds", "other_method", "streaming"]

F = TypeVar("F", bound=Callable[..., Any])


def streaming(handler: F) -> F:
    """Decorator: call this handler before the body of its request has arrived; ``request.body`` is then read
    from the connection. The same as the attribute ``streams = True``, which classes may have, too."""
    handler.streams = True  # type: ignore[attr-defined]
    return handler


class Bounds:
    """How the body reaches a handler: ``stream`` as it arrives; ``most``: at most so many bytes."""

    __slots__ = ("most", "stream")

    def __init__(self, stream: bool = False, most: int | None = None) -> None:
        if most is not None and (isinstance(most, bool) or most < 0):
            raise ConfigError(f"body={most!r}: expected a number of bytes")
        self.stream = stream
        self.most = most

    @classmethod
    def of(cls, handler: Any, most: int | None = None) -> Bounds:
        """As the handler's attribute ``streams`` says."""
        return cls(getattr(handler, "streams", False) is True, most)

    def streams(self, head: RequestHead) -> bool:
        """Whether the handler is called before the body has come; also to refuse one that is too long."""
        if self.stream or self.most is None:
            return self.stream
        length = head.facts.body_length
        return length is None or length > self.most

    def check(self, exchange: Exchange) -> None:
        """Raises ``Refuse`` (413) for a body that says it is too long; what does not say is counted."""
        length, most = exchange.body_length, self.most
        if most is None:
            return
        if length is None:
            exchange.body = io.BufferedReader(_Bounded(exchange.body, most))
        elif length > most:
            raise _too_long(most)


class _Bounded(io.RawIOBase):
    """A body of which nobody has said how long it is."""

    def __init__(self, body: io.BufferedIOBase, most: int) -> None:
        self._body = body
        self._most = self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = self._body.readinto1(buffer)
        self._left -= size
        if self._left < 0:
            raise _too_long(self._most)
        return size

    def close(self) -> None:
        self._body.close()
        super().close()


def _too_long(most: int) -> Refuse:
    return Refuse(413, f"At most {most} bytes are taken here.")


class App:
    """Serves one handler for every path below its mount: ``app(request)``, or a class (made once, without
    arguments) or object with ``get(request)``, ``post(request)`` … of which ``get`` answers HEAD as well, and
    OPTIONS and 405 are made.

    ``sessions``: see ``Sessions``; ``body``: more bytes than so many are refused with 413. A gateway. Raises
    ``ConfigError`` for what cannot be a handler.
    """

    def __init__(
        self, handler: Any, *, name: str = "", sessions: Sessions | None = None, body: int | None = None
    ) -> None:
        self.handler = handler
        self.name = f"app:{name or getattr(handler, '__name__', type(handler).__name__)}"
        self._sessions = sessions
        self._bounds = Bounds.of(handler, body)
        if has_methods(handler):
            self._call: Callable[[Request], Any] = _ByMethod(instance(handler))
        else:
            self._call = check_plain(handler)

    def streams(self, request: RequestHead) -> bool:
        return self._bounds.streams(request)

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = Request(exchange, self._sessions)
        answer(request, lambda: self._handle(request))

    def _handle(self, request: Request) -> Any:
        self._bounds.check(request.exchange)
        return self._call(request)

    def __repr__(self) -> str:
        return f"<App {self.name.removeprefix('app:')}>"


class _ByMethod:
    """One function of a request made of an object's methods."""

    def __init__(self, thing: Any) -> None:
        self._methods = by_method(thing)

    def __call__(self, request: Request) -> Any:
        method = request.method
        function = self._methods.get(method) or (self._methods.get("GET") if method == "HEAD" else None)
        if function is not None:
            return function(request)
        return other_method(request, allowed(self._methods))


def other_method(request: Request, methods: Sequence[str]) -> Response | None:
    """Answer a method that nobody answers: with 405 (501), or OPTIONS with what there is."""
    if request.method == "OPTIONS":
        return Response.no_content([("Allow", ", ".join(methods))])
    request.exchange.refuse_method(methods, "This cannot be done here.")
    return None
