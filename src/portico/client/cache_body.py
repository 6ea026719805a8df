"""A body that is kept while somebody reads it: whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from portico.client.cache_store import Writer
from portico.client.incoming import Source
from portico.client.response import Response
from portico.deadline import timeout
from portico.http.messages import Fields

__all__ = ["kept"]

_AHEAD = 1 << 14
"""Bytes of a redirect that are read at once: its body is mostly given up unread, and would not be kept."""
_TIDYING = 5.0
"""Seconds to forget half a body, whatever has become of the deadline under which it was read."""


def kept(response: Response, writer: Writer, outdated: Callable[[], bool]) -> None:
    """Let what is read of ``response`` go to ``writer`` too, which keeps all of it, or nothing.

    It is what came over the wire: decoded in the same way when it is read again. ``outdated`` tells at
    its end whether it has been overtaken.
    """
    length = response.headers.get("content-length", "")
    expected = int(length) if length.isascii() and length.isdigit() else None
    ahead = _AHEAD if "location" in response.headers else 0
    if not response.reroute(lambda source: _Keeping(source, writer, outdated, expected, ahead)):
        writer.commit()


class _Keeping:
    __slots__ = ("_early", "_expected", "_outdated", "_size", "_source", "_writer", "trailers")

    def __init__(
        self,
        source: Source,
        writer: Writer,
        outdated: Callable[[], bool],
        expected: int | None,
        ahead: int,
    ) -> None:
        self.trailers: Fields = ()
        self._source = source
        self._writer: Writer | None = writer
        self._outdated = outdated
        self._expected = expected
        self._size = 0
        self._early: list[bytes] = []
        while self._size < ahead and self._writer is not None:
            self._early.append(self._next())

    def piece(self) -> bytes:
        return self._early.pop(0) if self._early else self._next()

    def _next(self) -> bytes:
        try:
            data = self._source.piece()
            if self._writer is not None:
                self._take(self._writer, data)
        except BaseException:
            self._abort()
            raise
        return data

    def _take(self, writer: Writer, data: bytes) -> None:
        if data:
            self._size += len(data)
            writer.write(data)
        else:
            self._end(writer)
            self.trailers = self._source.trailers

    def _end(self, writer: Writer) -> None:
        if not self._outdated():
            self._writer = None
            writer.commit()
        self._abort()

    def close(self) -> None:
        """Given up by its reader, perhaps with nothing left to read."""
        writer = self._writer
        if writer is not None and self._size == self._expected:
            self._end(writer)
        self._abort()
        self._source.close()

    def _abort(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with timeout(_TIDYING, shield=True):
                writer.abort()
