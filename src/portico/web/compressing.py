"""An exchange whose answer is put into a content coding on its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from portico.errors import EndOfStream, LocalProtocolError
from portico.http.framing import list_tokens
from portico.sockets.transport import Bytes
from portico.web.codings import Compressor, compressor, pack
from portico.web.representation import Headers
from portico.web.types import compressible

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["Compressing"]

_BODILESS = frozenset({204, 205, 206, 304})
"""Answers without content, or with a part of it."""
_BOUND = "content-encoding content-range content-digest repr-digest digest content-md5".split()
"""Fields that belong to the bytes as they are."""
_PIECE = 65536


class Compressing:
    """Stands before an exchange for a gateway: what it answers is compressed, all else is the exchange's.

    ``coding`` is the one to use, ``""`` for none: then the answer only says that there is another form.
    """

    __slots__ = ("_coding", "_least", "_left", "_outer", "_packer")

    def __init__(self, outer: Exchange, coding: str, least: int) -> None:
        self._outer = outer
        self._coding = coding
        self._least = least
        self._packer: Compressor | None = None
        self._left: int | None = None  # what is still to come of the length that the gateway promised

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What a gateway notes about a request is noted where the server looks for it."""
        if name in Compressing.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self._outer, name, value)

    def respond(
        self, status: int, headers: Headers, body: bytes = b"", reason: str = "", *, hold: bool = False
    ) -> None:
        """As ``Exchange.respond``."""
        outer = self._outer
        empty_head = outer.method == "HEAD" and not body
        fields = _Fields(status, headers)
        if not fields.worth(_length(headers) if empty_head else len(body), self._least):
            outer.respond(status, fields.unchanged(outer), body, reason, hold=hold)
        elif not self._coding:
            outer.respond(status, fields.varying(), body, reason, hold=hold)
        elif empty_head:  # what the length of the content would be, nobody knows
            outer.start(status, fields.packed(self._coding), reason)
            outer.finish()
        else:
            promised = _length(headers)
            if promised is not None and promised != len(body):
                raise LocalProtocolError(f"Content-Length is {promised}, but the body has {len(body)} bytes")
            outer.respond(status, fields.packed(self._coding), pack(body, self._coding), reason, hold=hold)

    def respond_file(
        self, status: int, headers: Headers, file: BinaryIO, offset: int, count: int, reason: str = ""
    ) -> None:
        """As ``Exchange.respond_file``."""
        fields = _Fields(status, headers)
        if fields.worth(count, self._least) and self._coding:
            with file:
                self.start(status, headers, reason)
                self.send_file(file, offset, count)
                self.finish()
            return
        plain = fields.varying() if fields.worth(count, self._least) else fields.unchanged(self._outer)
        self._outer.respond_file(status, plain, file, offset, count, reason)

    def start(self, status: int, headers: Headers, reason: str = "") -> None:
        """As ``Exchange.start``. What the gateway says of the length stays its promise."""
        outer = self._outer
        length = _length(headers)
        fields = _Fields(status, headers)
        if not fields.worth(length, self._least):
            outer.start(status, fields.unchanged(outer), reason)
        elif not self._coding:
            outer.start(status, fields.varying(), reason)
        else:
            outer.start(status, fields.packed(self._coding), reason)
            if outer.method != "HEAD":
                self._packer, self._left = compressor(self._coding), length

    def write(self, data: Bytes) -> None:
        """As ``Exchange.write``; all of it can be read by the client at once."""
        packer = self._packer
        if packer is None or not len(data):
            self._outer.write(data)
        else:
            self._count(len(data))
            self._outer.write(packer.compress(bytes(data)) + packer.flush())

    def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """As ``Exchange.send_file``."""
        packer = self._packer
        if packer is None:
            self._outer.send_file(file, offset, count)
            return
        with file:
            self._count(count)
            for piece in _pieces(file, offset, count):
                if packed := packer.compress(piece):
                    self._outer.write(packed)

    def finish(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """As ``Exchange.finish``."""
        self.complete()
        self._outer.finish(trailers)

    def complete(self) -> None:
        """Send the end of the content, where the gateway has not ended it; the server ends the answer."""
        if self._packer is None:
            return
        packer, self._packer = self._packer, None
        if self._left:
            raise LocalProtocolError(f"the body is shorter than its Content-Length, by {self._left}")
        self._outer.write(packer.finish())

    def _count(self, size: int) -> None:
        if self._left is None:
            return
        if size > self._left:
            surplus = size - self._left
            raise LocalProtocolError(f"the body is longer than its Content-Length, by {surplus}")
        self._left -= size


class _Fields:
    """The header of an answer: whether its content can be compressed, and what it says then."""

    def __init__(self, status: int, headers: Headers) -> None:
        self._status = status
        self._headers = headers
        self._known = {name.lower(): value for name, value in headers}

    def worth(self, length: int | None, least: int) -> bool:
        """Whether content of so many bytes (``None``: not known) may be compressed, and gets smaller."""
        known = self._known
        if self._status in _BODILESS or (length is not None and length < least):
            return False
        if not compressible(known.get("content-type", "")) or any(name in known for name in _BOUND):
            return False
        return "no-transform" not in list_tokens(self._values("cache-control"))

    def packed(self, coding: str) -> Headers:
        """For content in ``coding``: its length is another, and its bytes may differ the next time."""
        kept = [
            (name, _weak(value) if name.lower() == "etag" else value)
            for name, value in self.varying()
            if name.lower() not in ("content-length", "accept-ranges")
        ]
        return [*kept, ("Content-Encoding", coding)]

    def varying(self) -> Headers:
        """With a word that clients that accept another coding get another answer."""
        listed = list_tokens(self._values("vary"))
        return self._headers if {"*", "accept-encoding"} & set(listed) else [*self._headers, _VARY]

    def unchanged(self, outer: Exchange) -> Headers:
        """For content as it is; a 304 speaks of the form that its client has."""
        if self._status != 304:
            return self._headers
        tag = self._known.get("etag", "")
        has_weak = tag.startswith('"') and f"W/{tag}" in (outer.header("if-none-match") or "")
        return [
            (name, _weak(value) if has_weak and name.lower() == "etag" else value)
            for name, value in self.varying()
        ]

    def _values(self, wanted: str) -> list[str]:
        return [value for name, value in self._headers if name.lower() == wanted]


_VARY = ("Vary", "Accept-Encoding")


def _weak(tag: str) -> str:
    return tag if tag.startswith("W/") else f"W/{tag}"


def _length(headers: Headers) -> int | None:
    """What a gateway says of the length; what is no number, the server will refuse."""
    for name, value in headers:
        if name.lower() == "content-length" and value.isascii() and value.isdigit():
            return int(value)
    return None


def _pieces(file: BinaryIO, offset: int, count: int) -> Iterator[bytes]:
    file.seek(offset)
    while count:
        piece = file.read(min(count, _PIECE))
        if not piece:
            raise EndOfStream(f"the file ended {count} bytes early while it was sent")
        count -= len(piece)
        yield piece
