"""What a handler returned, as the answer to its request."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from portico.errors import LocalProtocolError, PorticoError
from portico.http.exchange import CutAnswer
from portico.web.handlers.files import FileBody
from portico.web.handlers.refusal import Refuse
from portico.web.handlers.request import Request
from portico.web.handlers.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from portico.http.exchange import Exchange

__all__ = ["answer", "as_response"]

log = logging.getLogger("portico.handlers")
log.addHandler(logging.NullHandler())

_PIECE = 65536
_BODILESS = (204, 304)


def answer(request: Request, handle: Callable[[], Any]) -> None:
    """Call a handler, and send what it returns or the refusal that it raises; unless it has answered by
    ``request.exchange`` itself.

    Other errors are raised, for the server to log and to answer with 500.
    """
    exchange = request.exchange
    response: Response | None = None
    try:
        value = handle()
        if exchange.started:
            return  # by the handler itself, or refused
        response = as_response(value)
        _save_session(request, response)
        _send(exchange, response)
    except Refuse as refusal:
        if exchange.started:
            log.error(
                "request %s: %s %s, too late: the answer had begun", request.id, refusal.status, refusal
            )
            raise CutAnswer(str(refusal)) from refusal
        exchange.respond_error(refusal.status, refusal.detail, refusal.headers)
    except Exception as error:
        error.add_note(f"while answering request {request.id}")  # which now has a name for the log
        raise
    finally:
        request.close()
        if response is not None:
            _close(response.body)


def as_response(value: Any) -> Response:
    """A ``Response`` of whatever a handler may return. Raises ``LocalProtocolError`` for anything else."""
    if isinstance(value, Response):
        return value
    if value is None:
        return Response.no_content()
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return Response(value) if isinstance(value, str) else Response(value, type="application/octet-stream")
    if isinstance(value, (dict, list)):
        return Response.json(value)
    if isinstance(value, tuple):
        return _with_status(value)
    if isinstance(value, Iterator):
        return Response.stream(value)
    raise LocalProtocolError(
        f"a handler returned {type(value).__name__}; expected a Response, str, bytes, dict, list, "
        "(status, value), an iterator of bytes, or None"
    )


def _with_status(value: tuple[Any, ...]) -> Response:
    if len(value) != 2 or isinstance(value[0], bool) or not isinstance(value[0], int):
        raise LocalProtocolError("a handler returned a tuple that is not (status, value)")
    status, inner = value
    response = Response(b"") if inner is None else as_response(inner)
    response.status = Response(b"", status).status  # checked there
    return response


def _save_session(request: Request, response: Response) -> None:
    sessions, session = request._sessions, request._session
    if sessions is None or session is None:
        return
    response.headers.add("Vary", "Cookie")
    cookie = sessions.save(session)
    if cookie is not None:
        response.cookies.append(cookie)
        # What is meant for one client must not be kept for others.
        response.headers.setdefault("Cache-Control", "private")


def _send(exchange: Exchange, response: Response) -> None:
    https = exchange.scheme == "https"
    cookies = [("Set-Cookie", cookie.line(https=https)) for cookie in response.cookies]
    headers = [*response.headers.spelt(), *cookies]
    body = response.body
    if isinstance(body, bytes):
        if response.status in _BODILESS:
            exchange.start(response.status, headers)
            exchange.finish()
        else:
            exchange.respond(response.status, headers, body, hold=True)
    elif isinstance(body, FileBody):
        body.send(exchange, headers)
    else:
        silent = exchange.method == "HEAD" or response.status in _BODILESS
        _send_pieces(exchange, response.status, headers, iter(()) if silent else _pieces(body))


def _send_pieces(
    exchange: Exchange, status: int, headers: list[tuple[str, str]], pieces: Iterator[bytes]
) -> None:
    # What fails before its first piece can still be answered properly; the first sends the head, be it empty.
    first = next(pieces, None)
    exchange.start(status, headers)
    if first is not None:
        exchange.write(first)
    for piece in pieces:
        if piece:
            exchange.write(piece)
    exchange.finish()


def _pieces(body: Any) -> Iterator[bytes]:
    read = getattr(body, "read", None)
    pieces: Iterable[Any] = body if read is None else iter(lambda: read(_PIECE), b"")
    for piece in pieces:
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise LocalProtocolError(f"the body of an answer is bytes, not {type(piece).__name__}")
        yield bytes(piece)


def _close(body: Any) -> None:
    """Whatever became of it: a generator's ``finally`` runs now, and a file is closed."""
    close = getattr(body, "close", None)
    if close is None:
        return
    try:
        close()
    except (PorticoError, OSError) as error:
        log.warning("closing the body of an answer: %s", error)
