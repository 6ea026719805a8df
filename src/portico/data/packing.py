"""Compressing what is written, a piece at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from portico.errors import ConfigError

__all__ = ["PACKERS", "Packer", "packer"]


class Packer(Protocol):
    """Takes bytes, and gives those that are ready; ``flush`` gives the last ones."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def _bzip2() -> Packer:
    import bz2

    return bz2.BZ2Compressor()


def _xz() -> Packer:
    import lzma

    return lzma.LZMACompressor()


def _lzma() -> Packer:
    import lzma

    return lzma.LZMACompressor(lzma.FORMAT_ALONE)


def _zstd() -> Packer:
    import zstandard

    return zstandard.ZstdCompressor().compressobj()


class _Brotli:
    def __init__(self) -> None:
        machine: Any = import_module("brotli").Compressor(quality=5)
        self.compress: Callable[[bytes], bytes] = machine.process
        self.flush: Callable[[], bytes] = machine.finish


PACKERS: dict[str, tuple[str, Callable[[], Packer]]] = {
    "gzip": ("gz", lambda: zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)),
    "bzip2": ("bz2", _bzip2),
    "xz": ("xz", _xz),
    "lzma": ("lzma", _lzma),
    "zstd": ("zst", _zstd),
    "br": ("br", _Brotli),
}
"""By name: the suffix of files, and what makes a packer."""


def packer(name: str) -> Packer:
    """A new packer. Raises ``ConfigError`` for one that is unknown, or whose library is not installed."""
    if name not in PACKERS:
        raise ConfigError(f"nobody here can pack {name[:40]!r} (known are {', '.join(PACKERS)})")
    try:
        return PACKERS[name][1]()
    except ImportError:
        raise ConfigError(
            f"{name} takes a library that is not installed: pip install 'portico[fast]'"
        ) from None
