"""Server-sent events: the ``text/event-stream`` format (HTML Living Standard, 9.2.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from portico.errors import LocalProtocolError

__all__ = ["Event", "event_stream"]

_LINE_END = re.compile("\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: ``data`` may have many lines. ``name``: its type, where it is not ``message``; ``id``: what
    the browser says in ``Last-Event-ID`` when it comes back; ``retry``: after so many seconds.

    ``comment`` alone (``Event(comment="still here")``) keeps a silent connection alive. Raises
    ``LocalProtocolError`` for a line end where there can be none.
    """

    data: str | None = None
    name: str | None = None
    id: str | None = None
    retry: float | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        for value in (self.name, self.id):
            if value is not None and ("\0" in value or _LINE_END.search(value)):
                raise LocalProtocolError(f"name and id of an event are one line each: {value[:80]!r}")

    def encode(self) -> bytes:
        """As it is sent."""
        lines = [f": {line}" for line in _lines(self.comment)]
        lines += [f"event: {self.name}"] if self.name is not None else []
        lines += [f"id: {self.id}"] if self.id is not None else []
        lines += [f"retry: {int(self.retry * 1000)}"] if self.retry is not None else []
        lines += [f"data: {line}" for line in _lines(self.data)]
        return "".join(f"{line}\n" for line in [*lines, ""]).encode("utf-8", "replace")


def _lines(text: str | None) -> list[str]:
    return [] if text is None else _LINE_END.split(text)


def event_stream(events: Iterable[Event | str]) -> Iterator[bytes]:
    """Events as they are sent, one piece each; before them an empty one, so that the head of the answer
    leaves and the client knows that it is heard. A text is an event that has only data."""
    yield b""
    for event in events:
        yield (Event(event) if isinstance(event, str) else event).encode()
