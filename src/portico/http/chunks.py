"""The chunked transfer coding, both ways (RFC 9112, 7.1).

::

    body     = *chunk last-chunk trailers CRLF
    chunk    = size [ ext ] CRLF  size bytes  CRLF       size: hexadecimal digits
    last     = "0" [ ext ] CRLF                          ext:  *( ";" name [ "=" value ] )
    trailers = *( field-line CRLF )
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from portico.errors import EndOfStream, LimitExceeded, LocalProtocolError, ProtocolError
from portico.http.fields import TOKEN, parse_fields
from portico.http.heads import HeadFinder
from portico.http.inbox import Inbox
from portico.http.messages import END, NEED_DATA, BytesLike, End, Signal
from portico.http.outgoing import encode_fields
from portico.limits import Limits

__all__ = ["FORBIDDEN_TRAILERS", "ChunkReader", "ChunkWriter"]

_DIGITS: Final = 16
_ZEROS: Final = 32
_BLANKS: Final = r"[ \t]*+"
_QUOTED: Final = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION: Final = rf"{_BLANKS};{_BLANKS}{TOKEN}++(?:{_BLANKS}={_BLANKS}(?:{TOKEN}++|{_QUOTED}))?"
_SIZE_LINE: Final = re.compile(
    rf"(0{{0,{_ZEROS}}}[0-9A-Fa-f]{{1,{_DIGITS}}})((?:{_EXTENSION})*+)\r\n".encode("latin-1")
)

# What a size line that has not come whole can never hold.
_HOPELESS: Final = re.compile(rb"[\x00-\x08\x0a-\x0c\x0e-\x1f\x7f]|\r[^\n]")

FORBIDDEN_TRAILERS: Final = frozenset(
    (
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that frame or route a message: too late in a trailer, there only to confuse (RFC 9110, 6.5.1)."""


class ChunkReader:
    """Undoes chunked coding.

    ``limit`` bounds the body (413); extensions are bounded together, and ignored; trailers are
    bounded as heads are (431), and kept apart from the headers.
    """

    __slots__ = ("_extensions", "_finder", "_left", "_limits", "_searched", "_step", "_total", "limit")

    def __init__(self, limits: Limits, limit: int | None) -> None:
        self.limit = limit
        self._limits = limits
        self._left = 0
        self._total = 0
        self._extensions = 0
        self._searched = 0
        self._finder = HeadFinder(limits, trailers=True)
        self._step = self._read_size

    def read(self, inbox: Inbox) -> bytes | End | Signal:
        """The next piece of the body, the end, or ``NEED_DATA``."""
        event = self._step(inbox)
        if event is NEED_DATA and inbox.ended:
            raise EndOfStream("the connection ended within a chunked body")  # of the data, nothing waits here
        return event

    def _read_size(self, inbox: Inbox) -> bytes | End | Signal:
        data, at = inbox.data, inbox.at
        begin = at + max(0, self._searched - 1)
        if data.find(b"\r\n", begin) < 0:
            return self._await_size(inbox, begin)
        found = _SIZE_LINE.match(data, at)
        if found is None:
            raise ProtocolError("a chunk does not begin with a valid size line")
        inbox.skip(found.end() - at)
        self._searched = 0
        self._count_extension(len(found[2]))
        return self._begin_chunk(inbox, int(found[1], 16))

    def _await_size(self, inbox: Inbox, begin: int) -> Signal:
        """The size line is not whole yet: may it still become valid?"""
        if _HOPELESS.search(inbox.data, begin):
            raise ProtocolError("a bare CR, a bare LF or a control character in a chunk's size line")
        self._searched = len(inbox)
        # The digits, and a CR that may end the line, are no extension.
        self._count_extension(max(0, self._searched - _ZEROS - _DIGITS - 1), final=False)
        return NEED_DATA

    def _begin_chunk(self, inbox: Inbox, size: int) -> bytes | End | Signal:
        if not size:
            self._step = self._read_trailers
            return self._read_trailers(inbox)
        self._left = size
        self._total += size
        if self.limit is not None and self._total > self.limit:
            raise LimitExceeded(f"a body of more than {self.limit} bytes", "body", 413)
        self._step = self._read_data
        return self._read_data(inbox)

    def _count_extension(self, length: int, final: bool = True) -> None:
        total = self._extensions + length
        limit = self._limits.chunk_extension_bytes
        if total > limit:
            raise LimitExceeded(f"chunk extensions of more than {limit} bytes", "chunk_extension_bytes")
        if final:
            self._extensions = total

    def _read_data(self, inbox: Inbox) -> bytes | End | Signal:
        waiting = len(inbox)
        if not waiting:
            return NEED_DATA
        piece = inbox.take(self._left)
        self._left -= len(piece)
        if not self._left:
            # Taking the CRLF along, when it is here, saves a step.
            if inbox.data.startswith(b"\r\n", inbox.at):
                inbox.skip(2)
                self._step = self._read_size
            else:
                self._step = self._read_data_end
        return piece

    def _read_data_end(self, inbox: Inbox) -> bytes | End | Signal:
        if inbox.data.startswith(b"\r\n", inbox.at):
            inbox.skip(2)
            self._step = self._read_size
            return self._read_size(inbox)
        if len(inbox) > 1 or (len(inbox) and not inbox.data.startswith(b"\r", inbox.at)):
            raise ProtocolError("a chunk is not followed by CRLF")
        return NEED_DATA

    def _read_trailers(self, inbox: Inbox) -> bytes | End | Signal:
        if inbox.data.startswith(b"\r\n", inbox.at):
            inbox.skip(2)
            return END
        length = self._finder.find(inbox)
        if not length:
            return NEED_DATA
        trailers = parse_fields(inbox.take(length), self._limits.headers)
        for name, _ in trailers:
            if name in FORBIDDEN_TRAILERS:
                raise ProtocolError(f"the field {name} in a trailer")
        return End(tuple(trailers))


class ChunkWriter:
    """Applies chunked coding."""

    __slots__ = ()

    def data(self, data: BytesLike) -> list[BytesLike]:
        """``data`` as one chunk; nothing for nothing, because an empty chunk would end the body."""
        return [b"%x\r\n" % len(data), data, b"\r\n"] if data else []

    def around(self, size: int) -> tuple[bytes, bytes] | None:
        """The chunk's size line and its end."""
        return (b"%x\r\n" % size, b"\r\n") if size else None

    def end(self, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
        """The last chunk and the trailers. Raises ``LocalProtocolError`` for a field that no trailer has."""
        fields = list(trailers)
        for name, _ in fields:
            if name.lower() in FORBIDDEN_TRAILERS:
                raise LocalProtocolError(f"the field {name} cannot be in a trailer")
        return encode_fields("0\r\n", fields)
