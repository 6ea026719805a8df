"""Server-sent events (HTML standard, 9.2), as an iterator that connects again when it is cut.

::

    for event in session.events("https://example.org/stream"):
        print(event.event, event.data)
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from portico.client.response import Response
from portico.client.retries import seconds_asked
from portico.errors import (
    ConnectError,
    ConnectionLost,
    HTTPError,
    LimitExceeded,
    ProtocolError,
    ResolveError,
    Timeout,
)
from portico.limits import Limits
from portico.sync import sleep

__all__ = ["EventParser", "ServerSentEvent", "events"]

_RETRY = 3.0
"""Seconds before connecting again, until the server says otherwise."""
_SHORTEST = 0.1
_LONGEST = 60.0
"""Seconds that a pause grows from and to, where connecting fails again and again."""
_PATIENCE = 3600.0
"""Seconds that a server may ask for by ``Retry-After``."""
_OURS = frozenset(("accept", "cache-control", "last-event-id"))
"""Header fields that this sets."""
_LINE_END = re.compile(rb"[\r\n]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What an id may have, and no header field: a server that gives such is not told where it was."""
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event: its kind (``"message"`` where none is given), its text, and the id of the last event up to
    it."""

    event: str
    data: str
    id: str = ""

    def json(self) -> Any:
        """The JSON of ``data``. Raises ``ProtocolError``."""
        from portico.client.documents import json_of

        return json_of(self.data.encode(), None, "an event")


class EventParser:
    """Bytes in, events out. ``last_id`` and ``retry`` (seconds, ``None``: not told) are those of the stream
    so far.

    ``limit``: bytes of a line, and of one event's text. Raises ``LimitExceeded``.
    """

    def __init__(self, last_id: str = "", limit: int = 1 << 20) -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self._limit = limit
        self._buffer = bytearray()
        self._looked = 0  # so far there is no end of a line
        self._begun = False
        self._after_cr = False  # a CR has ended a line: an LF that comes first now belongs to it
        self._id = last_id
        self._kind = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[ServerSentEvent]:
        """The events that are complete with ``data``."""
        self._buffer += data
        if not self._begun:
            if len(self._buffer) < 3 and b"\xef\xbb\xbf".startswith(self._buffer):
                return
            self._begun = True
            if self._buffer.startswith(b"\xef\xbb\xbf"):
                del self._buffer[:3]
        while (line := self._line()) is not None:
            event = self._take(line)
            if event is not None:
                yield event

    def _line(self) -> bytes | None:
        buffer = self._buffer
        if self._after_cr and buffer:
            self._after_cr = False
            if buffer[0] == 0x0A:
                del buffer[:1]
        found = _LINE_END.search(buffer, self._looked)
        end = self._looked = len(buffer) if found is None else found.start()
        if end > self._limit:
            raise LimitExceeded(f"a line of an event stream of over {self._limit} bytes", "event", 413)
        if found is None:
            return None
        line, self._looked = bytes(buffer[:end]), 0
        self._after_cr = buffer[end] == 0x0D
        del buffer[: end + 1]
        return line

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            return self._dispatched()
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._size += len(raw) + 1
            if self._size > self._limit:
                raise LimitExceeded(f"an event of more than {self._limit} bytes", "event", 413)
            self._data.append(value)
        elif name == b"event":
            self._kind = value
        elif name == b"id" and "\0" not in value:
            self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self.retry = int(value[:9]) / 1000
        return None

    def _dispatched(self) -> ServerSentEvent | None:
        data, kind = self._data, self._kind
        self._data, self._kind, self._size = [], "", 0
        self.last_id = self._id
        return ServerSentEvent(kind or "message", "\n".join(data), self._id) if data else None


def events(
    ask: Callable[..., Response], url: Any, *, last_id: str = "", limits: Limits | None = None, **options: Any
) -> Iterator[ServerSentEvent]:
    """The events of ``url``, for as long as somebody wants them; ``ask`` is ``session.get``.

    When the stream ends or is cut, it is asked for again, with ``Last-Event-ID``, after as long as the server
    has said (three seconds otherwise), and longer where that fails again and again, up to a minute, or as
    ``Retry-After`` asks, up to an hour. A 204 ends it. Raises ``HTTPError`` for an answer that does not pass,
    ``ProtocolError`` for one that is no event stream, and what else does not pass. The deadline in force
    around each step holds; a ``timeout`` among ``options`` is for one connection.
    """
    pause, failures = _RETRY, 0
    limit = (limits or Limits()).event
    given = dict(options.pop("headers", None) or {})
    headers = {name: value for name, value in given.items() if name.lower() not in _OURS}
    options["check"] = True  # an answer that says no is no stream, and may pass
    while True:
        parser = EventParser(last_id, limit)
        asked = {**headers, "Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id and not _CONTROL.search(last_id):
            asked["Last-Event-ID"] = last_id.encode().decode("latin-1")  # its UTF-8, as browsers send it
        least = 0.0
        try:
            with ask(url, headers=asked, **options, stream=True) as response:
                if response.status == 204:
                    return
                _check(response)
                for piece in response.iter_bytes():
                    for event in parser.feed(piece):
                        failures = 0
                        yield event
        except HTTPError as error:
            refusal: Any = error.response
            least = seconds_asked(refusal) or 0.0
            if refusal.status not in _PASSING or least > _PATIENCE:
                raise
        except ResolveError as error:
            if not error.temporary:
                raise
        except (ConnectionLost, ConnectError, Timeout):
            pass
        last_id = parser.last_id
        pause = pause if parser.retry is None else parser.retry
        sleep(max(least, _longer(pause, failures) * random.uniform(0.5, 1) if failures else pause))
        failures += 1


def _longer(pause: float, failures: int) -> float:
    """The pause after so many failures in a row; a server that said zero does not get us in a tight loop."""
    return min(_LONGEST, max(pause, _SHORTEST) * float(1 << min(failures, 10)))


def _check(response: Response) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status != 200 or kind != "text/event-stream":
        raise ProtocolError(
            f"{response.url}: no event stream, but {response.status} {kind or 'of no type'}", 502
        )
