"""A request that is sent until an answer stands, or an error does."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from portico.client.incoming import Source
from portico.client.response import Response
from portico.client.wire import HeldBody
from portico.deadline import expiry
from portico.errors import PorticoError
from portico.http.messages import Fields
from portico.sync import sleep

if TYPE_CHECKING:
    from portico.client.connection import Trace
    from portico.client.request import Request
    from portico.client.retries import Retry

__all__ = ["Forward", "retrying"]

log = logging.getLogger("portico.client")

Forward: TypeAlias = "Callable[[Request], Response]"

_HELD = 4 << 20
"""Bytes of a body that are read before its answer is believed to be whole; a longer one is a download, which
is resumed rather than begun anew."""
_NOTES = 5  # of a hundred tries, the last few say enough


def retrying(
    retry: Retry, request: Request, forward: Forward, trace: Trace | None = None, whole: bool = False
) -> Response:
    """The answer to ``request`` from ``forward``, which is called as often as ``retry`` allows.

    ``whole``: an answer whose body breaks off is a failure too. Answers that are not given to the caller are
    closed. No wait outlasts the deadline in force: the last outcome comes at once instead. ``trace`` hears of
    each ``"retry"``. Raises the last error, with the earlier outcomes as notes.
    """
    outcomes: list[str] = []
    while True:
        response, error = _tried(retry, request, forward, whole)
        try:
            if response is not None and error is None and response.status not in retry.statuses:
                return response
            delay = retry.delay(request, len(outcomes) + 1, response, error)
            late = _too_late(delay)
            if delay is None or late:
                return _standing(response, error, [*outcomes[-_NOTES:], late])
            outcomes.append(f"try {len(outcomes) + 1}: {_told(response, error)}")
            log.info("%s %s: %s; again in %.1f s", request.method, request.url, outcomes[-1], delay)
            try:
                if trace is not None:
                    trace("retry", {"seconds": delay, "error": error, "response": response})
            finally:
                if response is not None:
                    _discard(response)
        finally:
            del response, error  # the error's traceback leads to this frame: no circle
        sleep(delay)


def _tried(
    retry: Retry, request: Request, forward: Forward, whole: bool
) -> tuple[Response | None, PorticoError | None]:
    """An answer, or an error; both where the body breaks off: its reader gets what came, then the error."""
    try:
        response = forward(request)
    except PorticoError as error:
        return None, error
    ahead: _Ahead | None = None

    def read_ahead(source: Source) -> Source:
        nonlocal ahead
        if type(source) is HeldBody:
            return source
        ahead = _Ahead(source)
        return ahead

    if whole and response.status not in retry.statuses:
        response.reroute(read_ahead)
    return response, None if ahead is None else ahead.error


class _Ahead:
    """A body of which the beginning is there, and the error that ended it, if one has."""

    def __init__(self, source: Source) -> None:
        self.trailers: Fields = ()
        self.error: PorticoError | None = None
        self._source = source
        self._pieces: deque[bytes] = deque()
        self._ended = False
        size = 0
        while not self._ended and size < _HELD:
            try:
                piece = source.piece()
            except PorticoError as error:
                error.reached = error.reached or "body"
                self.error = error
                break
            self._pieces.append(piece)
            self._ended = not piece
            size += len(piece)
        self.trailers = source.trailers

    def piece(self) -> bytes:
        if self._pieces:
            return self._pieces.popleft()
        if self.error is not None:
            raise self.error
        piece = b"" if self._ended else self._source.piece()
        self.trailers = self._source.trailers
        return piece

    def close(self) -> None:
        self._pieces.clear()
        self._source.close()


def _too_late(delay: float | None) -> str:
    """Why a wait is not begun; empty where it may be."""
    if delay is None or monotonic() + delay < expiry():
        return ""
    return f"not tried again: a wait of {delay:.1f} s would outlast the deadline"


def _standing(response: Response | None, error: PorticoError | None, notes: list[str]) -> Response:
    """The outcome that is the caller's: an answer, whole or not, or an error, which is raised."""
    try:
        if error is not None:
            for note in filter(None, notes):
                error.add_note(note)
        elif notes[-1]:
            log.info("%r: %s", response, notes[-1])
        if response is None:
            assert error is not None
            raise error
        return response
    finally:
        del response, error  # as above


def _told(response: Response | None, error: BaseException | None) -> str:
    if error is not None:
        return f"{type(error).__name__}: {error}"
    assert response is not None
    return f"{response.status} {response.reason}".rstrip()


def _discard(response: Response) -> None:
    """Let an answer go. What goes wrong at that is of no interest."""
    try:
        response.close()
    except PorticoError as error:
        log.debug("closing an answer that is not used: %s", error)
