"""Content codings: which one a client wants, and how bytes are put into it (RFC 9110, 8.4 and 12.5.3).

gzip comes with Python. ``br`` (RFC 7932) and ``zstd`` (RFC 8878) are there where their libraries are
installed: ``pip install 'portico[fast]'``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

from portico.errors import ConfigError

__all__ = ["CODINGS", "LEAST", "Compressor", "check_codings", "choose", "compressor", "installed", "pack"]

CODINGS: Final = ("zstd", "br", "gzip")
"""All that are known, best first: what costs the server least for what it saves."""

LEAST: Final = 512
"""Bytes that are worth compressing: less fits into one packet anyway."""

_SHORT: Final = 200
_LIBRARIES: Final = {"zstd": "zstandard", "br": "brotli"}
_WEIGHT: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


class Compressor(Protocol):
    """Turns the pieces of one body into another coding."""

    def compress(self, data: bytes) -> bytes:
        """Take a piece; what comes out may lag behind."""
        ...

    def flush(self) -> bytes:
        """What is held back, so that all that was taken can be read."""
        ...

    def finish(self) -> bytes:
        """What is held back, and the end."""
        ...


def choose(accepted: str | None, offered: tuple[str, ...]) -> str | None:
    """The coding for a client: one of ``offered`` (in order of preference), or ``""`` for none.

    ``accepted`` is its Accept-Encoding. The highest weight wins; among equals ours, and any of ours
    before none. ``None``: the client refuses a body without a coding, and there is no other (406).
    """
    if accepted is None:
        return ""
    # What no browser sends is not worth the memory.
    return (_choose if len(accepted) <= _SHORT else _choose.__wrapped__)(accepted, offered)


@lru_cache(maxsize=256)
def _choose(accepted: str, offered: tuple[str, ...]) -> str | None:
    weights = _weights(accepted)
    anything = weights.get("*", 0.0)
    best, chosen = 0.0, ""
    for coding in offered:
        weight = weights.get(coding, anything)
        if weight > best:
            best, chosen = weight, coding
    # Without being named, no coding is welcome unless * is refused, and less so than what is (12.5.3).
    plain = weights.get("identity", 0.0 if weights.get("*") == 0.0 else None)
    if plain is not None and plain > best:
        return ""
    return chosen or (None if plain == 0.0 else "")


def _weights(accepted: str) -> dict[str, float]:
    """Codings in lower case and their weights; what cannot be read is left out."""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        name, *parameters = (part.strip(" \t") for part in item.split(";"))
        weight = _weight(parameters)
        if name and weight is not None:
            weights[name.removeprefix("x-") if name == "x-gzip" else name] = weight
    return weights


def _weight(parameters: Sequence[str]) -> float | None:
    if not parameters:
        return 1.0
    name, _, value = parameters[0].partition("=")
    if len(parameters) > 1 or name.strip(" \t") != "q" or not _WEIGHT.fullmatch(value.strip(" \t")):
        return None
    return float(value)


@cache
def installed() -> tuple[str, ...]:
    """Those of ``CODINGS`` that this machine can make."""
    return tuple(c for c in CODINGS if c not in _LIBRARIES or find_spec(_LIBRARIES[c]) is not None)


def check_codings(wanted: Sequence[str]) -> tuple[str, ...]:
    """``wanted``, if all of it can be made. Raises ``ConfigError`` that says what to install."""
    for coding in wanted:
        if coding not in CODINGS:
            raise ConfigError(f"no content coding is called {coding!r}; there are: {', '.join(CODINGS)}")
        if coding not in installed():
            raise ConfigError(
                f"the content coding {coding} needs the module {_LIBRARIES[coding]}: "
                "pip install 'portico[fast]'"
            )
    return tuple(wanted)


def compressor(coding: str) -> Compressor:
    """A new compressor. Its output depends on its input alone, not on the time or the machine."""
    return _MAKERS[coding]()


def pack(data: bytes, coding: str) -> bytes:
    """Bytes in a content coding."""
    packer = compressor(coding)
    return packer.compress(data) + packer.finish()


class _Gzip:
    """Level 6: beyond it a tenth of the speed is paid for a hundredth of the size."""

    def __init__(self) -> None:
        # 16 asks for the gzip format; its head holds no time, so that equal bodies stay equal.
        self._inner = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self.compress = self._inner.compress

    def flush(self) -> bytes:
        return self._inner.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._inner.flush(zlib.Z_FINISH)


class _Brotli:
    """Quality 4: smaller than gzip 6 at its speed; the qualities above cost many times more."""

    def __init__(self) -> None:
        inner: Any = import_module("brotli").Compressor(quality=4)
        self.compress: Callable[[bytes], bytes] = inner.process
        self.flush: Callable[[], bytes] = inner.flush
        self.finish: Callable[[], bytes] = inner.finish


class _Zstd:
    """Level 3, whose window of 2 MiB every client takes (RFC 9659 allows 8 MiB)."""

    def __init__(self) -> None:
        library: Any = import_module("zstandard")
        self._inner = library.ZstdCompressor(level=3).compressobj()
        self._block = library.COMPRESSOBJ_FLUSH_BLOCK
        self.compress: Callable[[bytes], bytes] = self._inner.compress

    def flush(self) -> bytes:
        data: bytes = self._inner.flush(self._block)
        return data

    def finish(self) -> bytes:
        data: bytes = self._inner.flush()
        return data


_MAKERS: Final[dict[str, Callable[[], Compressor]]] = {"gzip": _Gzip, "br": _Brotli, "zstd": _Zstd}
