"""Where data comes from: one way to read a path, a URL, a file, bytes, a stream, a response, while it
arrives.

::

    with source("prices.csv.gz") as prices:
        for piece in prices.chunks():
            ...

Compression is found by its first bytes and undone in steps, within limits; which characters the bytes mean is
told by who knows, else by the data, else found by looking.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from portico.charsets.faults import lenient
from portico.charsets.text import (
    bytes_needed,
    charset_declared,
    charset_of,
    charset_of_beginning,
    charset_told,
    known,
)
from portico.data.opening import bare, opened, suffixes_of
from portico.data.packed import packing_of, unpacked
from portico.errors import ConfigError, DataError, EndOfStream, LimitExceeded, PorticoError, ProtocolError
from portico.limits import Limits

__all__ = ["Progress", "Source", "source"]

Progress = Callable[[int, int | None], object]
"""Called with the bytes that have come, before any compression is undone, and how many there are in all, if
that is known."""

_LOOKED_AT = 1 << 16
"""Bytes by which charset and format are told."""


class Source:
    """Data as it arrives: bytes whose compression has been undone. Made by ``source``.

    ``name``: what it is called in errors. ``content_type`` and ``suffix`` (``"csv"`` of ``x.csv.gz``): what
    is said of it, or ``""``. ``size``: bytes that will come, packed, if that is known. ``url``: where it came
    from, after redirects and without a user; ``""`` for what has none (a file, bytes, a ``data:`` URL). A
    context manager.
    """

    def __init__(
        self,
        pull: Callable[[], bytes],
        name: str,
        *,
        size: int | None = None,
        content_type: str = "",
        suffix: str = "",
        encoding: str | None = None,
        limits: Limits | None = None,
        packing: str | None = "identity",
        member: str | None = None,
        close: Callable[[], object] = lambda: None,
        url: str = "",
    ) -> None:
        self.name = name
        self.url = url
        self.size = size
        self.content_type = content_type
        self._suffix = suffix
        self.limits = limits or Limits()
        self._pull = pull
        self._close = close
        self._given = encoding
        self._charset: str | None = None
        self._ahead = b""
        self._ended = False
        self._closed = False
        self._packing = packing
        self._member = member
        self._settled = False
        self.before_waiting: Callable[[], object] = _nothing
        """Called before more is asked for, which may take its time."""

    @property
    def suffix(self) -> str:
        """That of its name, or of its name in the archive, in lower case, without that of its compression."""
        self._settle()
        return self._suffix

    # -- bytes

    def chunk(self) -> bytes:
        """The next bytes, as many as came at once; ``b""`` at the end. Raises ``DataError`` for what cannot
        be unpacked, ``LimitExceeded`` for what unpacks to too much, and what the place it comes from does."""
        self._settle()
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        return self._more()

    def chunks(self) -> Iterator[bytes]:
        """All bytes, in pieces as they come."""
        while data := self.chunk():
            yield data

    def read(self, size: int = -1) -> bytes:
        """As a file's: so many bytes, fewer only at the end; all, up to ``Limits.answer``, without a number.
        Raises ``LimitExceeded``."""
        if size < 0:
            return self._whole()
        self._look_ahead(size)
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    def peek(self, size: int = _LOOKED_AT) -> bytes:
        """The next bytes, which stay; fewer only at the end."""
        self._look_ahead(size)
        return self._ahead[:size]

    def readable(self) -> bool:
        """Yes: libraries ask a file for it."""
        return True

    def _whole(self) -> bytes:
        parts, size = [], 0
        for data in self.chunks():
            parts.append(data)
            size += len(data)
            if size > self.limits.answer:
                raise LimitExceeded(
                    f"{self.name}: more than {self.limits.answer} bytes at once; read it in parts, or pass "
                    "limits=Limits(answer=…)",
                    "answer",
                    413,
                )
        return b"".join(parts)

    def _look_ahead(self, size: int) -> None:
        self._settle()
        parts, held = [self._ahead], len(self._ahead)
        while held < size and (data := self._more()):
            parts.append(data)
            held += len(data)
        if len(parts) > 1:
            self._ahead = b"".join(parts)

    def _more(self) -> bytes:
        if self._closed:
            raise ValueError(f"{self.name}: read of a closed source")
        if self._ended:
            return b""
        self.before_waiting()
        try:
            data = self._pull()
        except (ProtocolError, EndOfStream) as error:
            if error.request is not None:  # nothing is wrong with the data: they did not come
                if self.name not in str(error):
                    error.args = (f"{self.name}: {error}", *error.args[1:])
                raise
            raise _named(error, self.name) from error
        except LimitExceeded as error:
            if str(error).startswith(self.name):
                raise
            raise LimitExceeded(f"{self.name}: {error}", error.limit, error.status) from error
        self._ended = not data
        return data

    def _settle(self) -> None:
        """Before the first byte is given: find what packs it, as soon as its first bytes tell."""
        if self._settled:
            return
        self._settled = True
        packing, beginning, ended = self._packing, b"", False
        while packing is None:
            data = self._pull()
            beginning, ended = beginning + data, not data
            packing = packing_of(beginning, self._suffix, ended=ended) if beginning else None
            if ended:
                packing = packing or "identity"
        if packing != "identity":
            below = Source(self._pull, self.name, limits=self.limits, close=self._close)
            below._ahead, below._ended, below._settled = beginning, ended, True
            self._pull, member, self._close = unpacked(below, packing, self._member)
            self._suffix = _suffix_within(self._suffix, member)
        elif self._member is not None:
            raise ConfigError(f"member={self._member!r}: {self.name} is no zip archive")
        else:
            # A server, or whoever opened it, may have unpacked what its name says to be packed.
            self._ahead, self._ended, self._suffix = beginning, ended, bare(self._suffix)

    # -- text

    @property
    def encoding(self) -> str | None:
        """What its characters are written in, as far as its user or its content type says it: a codec of
        Python. ``None``: nobody does, and the data has to tell (``charset()``)."""
        if self._given is None and "charset" in self.content_type.lower():
            return charset_declared(self.peek(2), self.content_type)
        return self._given

    def charset(self, kind: str = "") -> str:
        """What its characters are written in, as a codec of Python: what ``source`` was told; else what its
        content type says (or ``kind``, a media type, where it has none); else its byte order mark; else the
        document itself (XML, HTML, JSON); else UTF-8, if it looks so; else what a detector thinks. More than
        it takes is not waited for: only what says nothing is looked at for its first 64 KiB."""
        if self._charset is None:
            said = self.content_type or kind
            self._charset = (
                self._given or charset_told(self.peek(bytes_needed(said)), said) or self._charset_seen(said)
            )
        return self._charset

    def _charset_seen(self, said: str) -> str:
        beginning = self.peek()
        if len(beginning) < _LOOKED_AT and beginning[:-1].isascii():  # it is no character that was cut
            return charset_of(beginning, said)
        return charset_of_beginning(beginning, said)

    def text(self, kind: str = "", errors: str = "strict") -> Iterator[str]:
        """All of it as text, in pieces as they come, without a byte order mark. ``errors``: as in
        ``bytes.decode``; with ``replace``, bytes that are no text become what browsers make of them: U+FFFD,
        or in windows-1252 and its like control characters. Raises ``DataError`` for them else."""
        charset = self.charset(kind)
        decoder = codecs.getincrementaldecoder(charset)(lenient(charset) if errors == "replace" else errors)
        passed, begun = 0, False
        while True:
            data = self.chunk()
            try:
                text = decoder.decode(data, not data)
            except UnicodeDecodeError as error:
                raise self._undecodable(error, passed - len(error.object) + len(data), charset) from None
            passed += len(data)
            if text and not begun:
                begun, text = True, text.removeprefix("\ufeff")
            if text:
                yield text
            if not data:
                return

    def _undecodable(self, error: UnicodeDecodeError, passed: int, charset: str) -> DataError:
        at, byte = passed + error.start, error.object[error.start]
        return DataError(
            f"byte 0x{byte:02x} at offset {at} is no {charset}; pass encoding= what it is written in",
            self.name,
        )

    # -- the end

    def close(self) -> None:
        """Let go of what it reads from, if ``source`` opened that."""
        self._closed = self._settled = True
        self._ahead = b""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Source {self.name}>"


def source(
    what: Any,
    *,
    packing: str | None = None,
    member: str | None = None,
    encoding: str | None = None,
    content_type: str = "",
    limits: Limits | None = None,
    progress: Progress | None = None,
    name: str = "",
) -> Source:
    """A source of whatever gives bytes.

    ``what``: a path, a URL of a scheme that ``portico.open`` knows, ``"-"`` (standard input), bytes, a file,
    a ``Stream``, a response, an iterable of bytes, a ``Source``. ``packing``: its compression, by one of the
    names in ``portico.unpacking.FORMATS``, or ``zip``; without one it is found by its first bytes (gzip,
    bzip2, xz, lzma, zstd, zip), or by the name (``.br``); ``identity``: none. ``member``: the file in a zip
    archive of several. ``encoding``: of its text. ``limits``: ``unpacked``, ``unpack_ratio`` and ``answer``
    count. ``progress``: told of each piece that came. A ``Source`` has its options already, and takes no
    more.

    Nothing is read before it is asked for. Raises ``OSError`` for a path, what ``portico.open`` does for a
    URL, ``ConfigError`` for anything else.
    """
    if isinstance(what, Source):
        if packing or member or encoding or content_type or progress or name:
            raise ConfigError(f"{what!r} is there already: its options belong to the call that made it")
        return what
    if encoding is not None:
        encoding = _codec(encoding)
    limits = limits or Limits()
    raw = opened(what)
    return Source(
        raw.pull if progress is None else _told(raw.pull, raw.size, progress),
        name or raw.name,
        size=raw.size,
        content_type=content_type or raw.content_type,
        suffix=raw.suffix,
        encoding=encoding or raw.encoding,
        limits=limits,
        packing=packing,
        member=member,
        close=raw.close,
        url=raw.url,
    )


def _named(error: ProtocolError | EndOfStream, name: str) -> PorticoError:
    """An error of the data, which names where that comes from."""
    if isinstance(error, DataError) and error.source:
        return error
    return DataError(str(error), name)


def _nothing() -> None:
    pass


def _told(pull: Callable[[], bytes], size: int | None, progress: Progress) -> Callable[[], bytes]:
    done = 0

    def telling() -> bytes:
        nonlocal done
        data = pull()
        done += len(data)
        if data:
            progress(done, size)
        return data

    return telling


def _suffix_within(suffix: str, member: str) -> str:
    """That of the file in an archive, or what stands before that of its compression."""
    return suffixes_of(member) if member else suffix.rpartition(".")[0]


def _codec(encoding: str) -> str:
    with suppress(LookupError, ValueError):
        name = known(encoding) or codecs.lookup(encoding).name
        if codecs.lookup(name)._is_text_encoding and name not in _NO_TEXT:
            return name
    raise ConfigError(f"encoding={encoding[:40]!r}: no such character encoding")


_NO_TEXT = ("idna", "punycode", "undefined")
"""Codecs that Python counts among those of text: two are for names, one is there to fail."""
