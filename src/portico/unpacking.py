"""Undoing compression while it arrives, within bounds: gzip, deflate, br, zstd, bzip2, xz, lzma.

::

    unpacked = Unpacking(["gzip"], stream_of_pieces, limits)
    while piece := unpacked.read():
        ...

Nothing is unpacked before it is asked for, and of what a few bytes may blow up to, only a step at a time is
ever in memory: 256 KiB, of zstd at the very most 8 MiB. Data that ends early, is damaged, or goes on after
its end is an error, never a complete body.
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from typing import Any, Final

from portico.deadline import check
from portico.errors import ConfigError, EndOfStream, LimitExceeded, ProtocolError
from portico.limits import Limits

__all__ = ["FORMATS", "Unpacking", "can_unpack"]

Source = Callable[[], bytes]
"""Gives the next piece of packed bytes; ``b""`` at the end."""

_STEP: Final = 1 << 18
"""Bytes that are unpacked at a time."""
_BITE: Final = 256
"""Bytes that are given at a time to a library that does not let its output be bounded: of zstd, 3 bytes may
stand for 128 KiB."""
_FRUITLESS: Final = 10_000
"""Steps in a row that give nothing: empty streams, padding, headers that come byte by byte."""
_WINDOW: Final = 1 << 23
"""The largest window that a zstd decoder has to have where the answers of HTTP are packed (RFC 9659)."""
_TOO_WIDE: Final = "too much memory"
"""What zstd says of a frame whose window is too large."""
_SKIPPABLE: Final = re.compile(rb"[\x50-\x5f](?:\x2a(?:\x4d(?:\x18)?)?)?\Z", re.DOTALL)
"""How a zstd frame begins, or as much of it as has come, that holds nothing to unpack (RFC 8878, 3.1.2)."""
_JUDGED: Final = 32 << 20
"""Bytes after which it is judged how much was made of how little: small texts of blanks are no bombs."""


class Unpacking:
    """The bytes that ``source`` gives, without their packings, of which the last one was put on last.

    ``window``: bytes of what was made before that zstd may refer to, and keeps in memory: that of RFC 9659.
    Raises ``ConfigError`` for a packing that is unknown, or whose library is not installed.
    """

    def __init__(
        self, packings: Sequence[str], source: Source, limits: Limits, *, window: int = _WINDOW
    ) -> None:
        self.packed = 0
        """Bytes that came."""
        self.unpacked = 0
        """Bytes that were made of them."""
        self._limits = limits
        self._source = source
        read: Source = self._count
        for name in reversed(packings):
            read = self._bounded(_stage(name)(name, read, window).read)
        self._read = read

    def read(self) -> bytes:
        """Some unpacked bytes; ``b""`` at the end.

        Raises ``ProtocolError`` for damaged data, ``EndOfStream`` for data that ends early, ``LimitExceeded``
        for more than ``Limits.unpacked`` or more than ``Limits.unpack_ratio`` times what came; and what the
        source does.
        """
        data = self._read()
        self.unpacked += len(data)
        return data

    def _count(self) -> bytes:
        data = self._source()
        self.packed += len(data)
        return data

    def _bounded(self, read: Source) -> Source:
        """``read``, within limits: also what is made between two packings costs time."""
        most, ratio = self._limits.unpacked, self._limits.unpack_ratio
        made = 0

        def bounded() -> bytes:
            nonlocal made
            data = read()
            made += len(data)
            if most is not None and made > most:
                raise LimitExceeded(f"more than {most} bytes unpacked", "unpacked", 413)
            if ratio is not None and made > max(_JUDGED, ratio * self.packed):
                what = f"{self.packed} bytes unpack to more than {ratio} times as many"
                raise LimitExceeded(what, "unpack_ratio", 413)
            return data

        return bounded


class _Stage(ABC):
    """One packing. Subclasses know one stream of it; several in a row are one after the other."""

    signature: bytes | None = None
    """How another stream begins, where several may follow each other."""

    def __init__(self, name: str, source: Source, window: int) -> None:
        self._name = name
        self._window = window
        self._source = source
        self._input = b""
        self._begun = False  # in the middle of a stream
        self._any = False
        self._padded = False
        self._ended = False

    def read(self) -> bytes:
        """Some bytes; ``b""`` at the end."""
        for turn in count():
            if self._ended:
                break
            if turn > _FRUITLESS:
                raise LimitExceeded(
                    f"{turn} pieces of {self._name} data with nothing in them", "unpacked", 413
                )
            if not turn % 64:
                check(f"unpacking {self._name} data")
            if not self._input and not self._holds_back():
                self._input = self._source()
                if not self._input:
                    self._end()
                    break
            try:
                data = self._step() if self._begun or self._begin() else b""
            except (EndOfStream, ProtocolError, LimitExceeded):
                raise
            except Exception as error:  # noqa: BLE001 - each library has errors of its own
                raise ProtocolError(f"damaged {self._name} data: {error}", 502) from None
            if data:
                return data
        return b""

    def _begin(self) -> bool:
        """Begin a stream with what has come. ``False``: it takes more to tell."""
        if self._any and not self._input.strip(b"\0"):
            self._input, self._padded = b"", True  # as tar writes it; nothing may follow, however it is cut
            return False
        if self._padded:
            raise ProtocolError(f"bytes after the end of the {self._name} data", 502)
        if self._any:
            self._check_another()
        self._open()
        self._begun = self._any = True
        return True

    def _check_another(self) -> None:
        wanted = self.signature
        if wanted is None or not self._input.startswith(wanted[: len(self._input)]):
            raise ProtocolError(f"bytes after the end of the {self._name} data", 502)

    def _end(self) -> None:
        self._ended = True
        if self._begun:
            raise EndOfStream(f"the {self._name} data ended early")

    @abstractmethod
    def _open(self) -> None:
        """Make ready for a stream that begins with ``_input``."""

    @abstractmethod
    def _step(self) -> bytes:
        """Some bytes, of ``_input`` or held back; at the end of the stream, ``_begun`` is unset."""

    def _holds_back(self) -> bool:
        """Whether there may be more without any input."""
        return False


class _Zlib(_Stage):
    _bits = zlib.MAX_WBITS

    def _open(self) -> None:
        self._machine = zlib.decompressobj(self._bits)
        self._full = False

    def _step(self) -> bytes:
        machine = self._machine
        data = machine.decompress(self._input, _STEP)
        self._full = len(data) == _STEP
        self._input = machine.unconsumed_tail
        if machine.eof:
            self._input, self._begun, self._full = machine.unused_data, False, False
        return data

    def _holds_back(self) -> bool:
        return self._begun and self._full


class _Gzip(_Zlib):
    """RFC 1952."""

    signature = b"\x1f\x8b"
    _bits = 16 + zlib.MAX_WBITS


class _Deflate(_Zlib):
    """The zlib format (RFC 1950), as RFC 9110, 8.4.1.2 wants it; or, as some servers send it, bare (RFC
    1951).

    The first two bytes tell the one from the other nearly always; where bare data looks like a zlib header,
    it fails as such before anything came out of it.
    """

    _kept: bytes | None = None  # what came until something came out

    def _begin(self) -> bool:
        if not self._any:
            if len(self._input) < 2:
                self._input += self._source()
            header = self._input[:2]
            wrapped = header[0] & 0x8F == 8 and len(header) == 2 and int.from_bytes(header) % 31 == 0
            self._bits = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
            self._kept = b"" if wrapped else None
        return super()._begin()

    def _step(self) -> bytes:
        if self._kept is None:
            return super()._step()
        self._kept += self._input
        try:
            data = super()._step()
        except zlib.error:
            self._input, self._kept = self._kept, None
            self._bits = -zlib.MAX_WBITS
            self._open()
            return super()._step()
        if data or not self._begun or len(self._kept) > _STEP:
            self._kept = None
        return data


class _Bounded(_Stage):
    """A library of Python's own with ``max_length``."""

    def _open(self) -> None:
        self._machine = self._make()

    @abstractmethod
    def _make(self) -> Any: ...

    def _step(self) -> bytes:
        machine = self._machine
        data: bytes = machine.decompress(self._input, _STEP)
        self._input = b""
        if machine.eof:
            self._input, self._begun = machine.unused_data, False
        return data

    def _holds_back(self) -> bool:
        return self._begun and not self._machine.needs_input


class _Bzip2(_Bounded):
    signature = b"BZh"

    def _make(self) -> Any:
        import bz2

        return bz2.BZ2Decompressor()


_LZMA_MEMORY: Final = 128 << 20
"""Bytes that its decoder may take: what `xz -9` does is 65 MiB."""


class _Xz(_Bounded):
    """The .xz format, 1.2.1."""

    signature = b"\xfd7zXZ\0"
    _zeros = 0

    def _begin(self) -> bool:
        """Between streams, and behind the last, there may be padding: zeros, four by four (2.2)."""
        if self._any:
            rest = self._input.lstrip(b"\0")
            self._zeros += len(self._input) - len(rest)
            self._input = rest
            if rest and self._zeros % 4:
                raise ProtocolError(f"{self._zeros} bytes of padding in the xz data: no multiple of 4", 502)
            if not rest:
                return False
            self._zeros = 0
        return super()._begin()

    def _make(self) -> Any:
        import lzma

        return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)


class _Lzma(_Bounded):
    """What was there before xz: a header of 13 bytes, and one stream."""

    def _make(self) -> Any:
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY)


class _Brotli(_Stage):
    """RFC 7932."""

    def _open(self) -> None:
        self._machine = _brotli().Decompressor()
        self._gave = False

    def _step(self) -> bytes:
        machine = self._machine
        data: bytes = machine.process(self._input, output_buffer_limit=_STEP)
        self._input = b""
        self._gave = bool(data)
        if machine.is_finished():
            self._begun = False
        return data

    def _holds_back(self) -> bool:
        # One that could take more may hold output back all the same, and would at the end of its input.
        return self._begun and (self._gave or not self._machine.can_accept_more_data())


class _Zstd(_Stage):
    """RFC 8878."""

    signature = b"\x28\xb5\x2f\xfd"

    def _check_another(self) -> None:
        if _SKIPPABLE.match(self._input[:4]) is None:
            super()._check_another()

    def _open(self) -> None:
        library = _zstandard()
        self._machine = library.ZstdDecompressor(max_window_size=self._window).decompressobj()
        self._at = 0

    def _step(self) -> bytes:
        end = self._at + _BITE
        try:
            data: bytes = self._machine.decompress(self._input[self._at : end])
        except Exception as error:
            if _TOO_WIDE not in str(error):
                raise
            said = f"zstd data with a window of more than {self._window} bytes"
            raise LimitExceeded(said, "zstd_window", 413) from None
        self._at = end
        if self._machine.eof:
            self._input, self._begun = self._machine.unused_data + self._input[end:], False
        elif end >= len(self._input):
            self._input, self._at = b"", 0
        return data


class _Identity(_Stage):
    """Nothing to undo."""

    def _open(self) -> None:
        pass

    def _step(self) -> bytes:
        data, self._input = self._input, b""
        self._begun = self._any = False
        return data


FORMATS: Final[dict[str, type[_Stage]]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
    "bzip2": _Bzip2,
    "xz": _Xz,
    "lzma": _Lzma,
    "identity": _Identity,
}


@cache
def can_unpack(name: str) -> bool:
    """Whether a packing is known, and its library installed."""
    needed = {"br": _brotli, "zstd": _zstandard}.get(name)
    return name in FORMATS and (needed is None or needed() is not None)


def _stage(name: str) -> type[_Stage]:
    if name not in FORMATS:
        raise ConfigError(f"nobody here can unpack {name[:40]!r} (known are {', '.join(FORMATS)})")
    if not can_unpack(name):
        raise ConfigError(f"{name} takes a library that is not installed: pip install 'portico[fast]'")
    return FORMATS[name]


@cache
def _brotli() -> Any:
    """The library, if it lets its output be bounded: those before 1.2 do not, and a bomb goes off."""
    for name in ("brotli", "brotlicffi"):
        try:
            library = __import__(name)
        except ImportError:
            continue
        if hasattr(library.Decompressor, "can_accept_more_data"):
            return library
    return None


@cache
def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard
