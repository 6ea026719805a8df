"""A clock that is set, and a server that answers from a script: for tests of the cache and of retries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from portico.client.cache import Cache
from portico.client.request import Request
from portico.client.response import Response
from portico.http.dates import format_date

START = 1_700_000_000.0
URL = "http://example.org/a"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Body:
    """A body that comes in pieces, and may fail."""

    trailers = ()

    def __init__(self, pieces: Iterable[bytes | Exception]) -> None:
        self.left = list(pieces)
        self.closed = False

    def piece(self) -> bytes:
        piece = self.left.pop(0) if self.left else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


def dated(value: str) -> str:
    """``{+60}`` becomes the date a minute after the start, ``{-60}`` the one before."""
    return re.sub(r"\{([+-]\d+)\}", lambda found: format_date(int(START) + int(found[1])), value)


def reply(
    status: int = 200,
    headers: dict[str, str] | Iterable[tuple[str, str]] = (),
    *pieces: bytes | Exception,
    content: bytes | None = None,
) -> Callable[[Request], Response]:
    """What a server answers; ``content``: the body that came with the head, and no pieces then."""
    pairs = headers.items() if isinstance(headers, dict) else headers
    fields = [(name.lower(), dated(value)) for name, value in pairs]

    def answer(request: Request) -> Response:
        source = Body(pieces) if content is None else None
        return Response(request, status, "Said", list(fields), source, content)

    return answer


class Server:
    """Answers each request with the next of ``script``: an answer, or an error to be raised."""

    def __init__(self, *script: Callable[[Request], Response] | Exception) -> None:
        self.script = list(script)
        self.asked: list[Request] = []
        self.sent: list[Response] = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        self.sent.append(step(request))
        return self.sent[-1]


def get(headers: dict[str, str] | None = None, url: str = URL, method: str = "GET") -> Request:
    fields = {name: dated(value) for name, value in (headers or {}).items()}
    return Request(method, url, fields)


def fetch(cache: Cache, server: Server, request: Request) -> tuple[str | None, bytes]:
    """What the cache says of an answer, and its body, read to the end."""
    response = cache(request, server)
    return response.cache_status, response.content
