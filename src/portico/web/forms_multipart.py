"""``multipart/form-data`` cut into its parts (RFC 7578, RFC 2046, 5.1.1): bytes in, events out.

It waits for nothing, keeps no more than a part's header or a boundary's length, and comes to the same
verdict however the bytes are dealt out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from portico.errors import FormError, FormTooLarge
from portico.web.forms_header import PartHead, parse_part_head

__all__ = ["Event", "Multipart"]

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


Event: TypeAlias = PartHead | bytes | None
"""A part begins, a piece of its content, and ``None``: it is complete."""
_State: TypeAlias = Callable[[], Iterator[Event]]


class Multipart:
    """The parser of one body: ``feed`` it, and ``close`` it at the end.

    Each part is a ``PartHead``, pieces of its content, and ``None``. What stands before the first and after
    the last boundary is skipped. ``header_bytes`` bounds the header of a part, and what stands before the
    first. Raises ``FormError`` for a boundary that cannot be one.
    """

    def __init__(self, boundary: str, header_bytes: int) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise FormError(f"not the boundary of a form: {boundary[:80]!r}")
        self._delimiter = b"\r\n--" + boundary.encode()
        self._header_bytes = header_bytes
        self._buffer = bytearray(b"\r\n")  # so that the first boundary looks like all others
        self._searched = 0
        self._before = bytearray()
        self._left: int | None = None
        self._state: _State | None = self._preamble

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that ``data`` completes. Raises ``FormError``, ``FormTooLarge``."""
        if self._state is None:
            return
        self._buffer += data
        state: _State | None = None
        while state != self._state:
            state = self._state
            if state is not None:
                yield from state()

    def close(self) -> None:
        """No more will come. Raises ``FormError`` when the last boundary has not been seen."""
        if self._state is not None:
            raise FormError("the form is cut short: its closing boundary is missing")

    # Each state goes as far as the buffer allows, and sets the next when it is through.

    def _preamble(self) -> Iterator[Event]:
        for piece in self._until_delimiter(self._boundary):
            self._before += piece
        if len(self._before) > self._header_bytes:
            raise FormError(f"no boundary within the first {self._header_bytes} bytes of the form")
        if self._state != self._preamble and self._delimiter[2:] in self._before:
            raise FormError("the first boundary of the form does not begin its line")
        yield from ()

    def _boundary(self) -> Iterator[Event]:
        tail = self._buffer[:2]
        if len(tail) < 2:
            return
        if tail == b"--":
            self._state = None
            self._buffer.clear()
        else:
            self._state = self._padding
        yield from ()

    def _padding(self) -> Iterator[Event]:
        """Blanks after a boundary, which a transport may add and receivers have to take (RFC 2046, 5.1.1)."""
        if self._buffer.startswith((b" ", b"\t")):
            self._buffer = self._buffer.lstrip(b" \t")
        if len(self._buffer) < 2:
            return
        if not self._buffer.startswith(b"\r\n"):
            raise FormError("a boundary of the form is followed by something else than a line end")
        # Its line end stays: so a header without a line ends as any other does, with an empty line.
        self._searched = 0
        self._state = self._header
        yield from ()

    def _header(self) -> Iterator[Event]:
        end = self._buffer.find(b"\r\n\r\n", self._searched)
        if (len(self._buffer) if end < 0 else end) > self._header_bytes + 2:
            raise FormTooLarge(
                f"the header of a part of the form is longer than {self._header_bytes} bytes",
                "form_header_bytes",
                431,
            )
        if end < 0:
            self._searched = max(0, len(self._buffer) - 3)
            return
        head = parse_part_head(bytes(self._buffer[2:end]))
        # The line end stays in front of the content: it is empty when a boundary follows at once.
        del self._buffer[: end + 2]
        self._left = head.length
        self._state = self._first
        yield head

    def _first(self) -> Iterator[Event]:
        if len(self._buffer) < len(self._delimiter):
            return
        if not self._buffer.startswith(self._delimiter):
            del self._buffer[:2]
        self._state = self._content
        yield from ()

    def _content(self) -> Iterator[Event]:
        for piece in self._until_delimiter(self._ended):
            if self._left is not None:
                self._left -= len(piece)
            yield piece

    def _ended(self) -> Iterator[Event]:
        if self._left:
            raise FormError("a part of the form is not as long as its Content-Length")
        self._state = self._boundary
        yield None

    def _until_delimiter(self, then: _State) -> Iterator[bytes]:
        """What stands before the next delimiter, as far as it has come; state ``then`` after that."""
        buffer, delimiter = self._buffer, self._delimiter
        at = buffer.find(delimiter)
        if at >= 0:
            self._state = then
            size, gone = at, at + len(delimiter)
        else:  # its end may be the beginning of a delimiter
            size = gone = max(0, len(buffer) - len(delimiter) + 1)
        with memoryview(buffer) as view:
            piece = bytes(view[:size])
        del buffer[:gone]
        if piece:
            yield piece
