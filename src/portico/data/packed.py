"""Compressed sources: which compression it is, and zip archives, of which one member is read."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from portico.errors import ConfigError, DataError, LimitExceeded, PorticoError
from portico.sync import run_blocking
from portico.unpacking import Unpacking

if TYPE_CHECKING:
    from portico.data.sources import Source

__all__ = ["packing_of", "unpacked"]

_MAGICS = (
    (b"\x1f\x8b\x08", "gzip"),
    *((b"BZh%d1AY&SY" % level, "bzip2") for level in range(1, 10)),
    *((b"BZh%d\x17\x72\x45\x38\x50\x90" % level, "bzip2") for level in range(1, 10)),  # of nothing
    (b"\xfd7zXZ\0", "xz"),
    (b"\x5d\0\0", "lzma"),  # as every packer begins it, and no text
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((b"%c\x2a\x4d\x18" % first, "zstd") for first in range(0x50, 0x60)),  # RFC 8878, 3.1.2
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # of nothing
)
_IN_MEMORY = 1 << 20
"""Bytes of an archive that are held in memory; a larger one goes to an unnamed file."""
_STEP = 1 << 18
_JUDGED = 32 << 20
"""As in ``portico.unpacking``: bytes after which it is judged how much was made of how little."""
_ENCRYPTED = 1
_READABLE = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
_METHODS = {9: "Deflate64", 20: "zstd", 93: "zstd", 95: "xz", 97: "WavPack", 98: "PPMd", 99: "AES"}
"""Of zip archives (APPNOTE 4.4.5), those that Python has no decompressor for."""
_TOLD = 5
"""Members of an archive that an error names."""


def packing_of(beginning: bytes, suffix: str, *, ended: bool = False) -> str | None:
    """The compression of what begins so; ``identity`` for none; ``None``: it takes more to tell, unless that
    is all. Brotli has no mark: the name tells."""
    for mark, name in _MAGICS:
        if beginning.startswith(mark):
            return name
        if not ended and mark.startswith(beginning):
            return None
    return "br" if suffix.rpartition(".")[2] == "br" else "identity"


def unpacked(
    packed: Source, packing: str, member: str | None
) -> tuple[Callable[[], bytes], str, Callable[[], object]]:
    """What gives the bytes that ``packed`` holds, the name they have in there, and how to let go of all."""
    if packing == "zip":
        return _unzipped(packed, member)
    if member is not None:
        raise ConfigError(f"member={member!r}: {packed.name} is no zip archive, but {packing}")
    limits = packed.limits
    return (
        Unpacking([packing], packed.chunk, limits, window=limits.zstd_window).read,
        "",
        packed.close,
    )


def _unzipped(packed: Source, member: str | None) -> tuple[Callable[[], bytes], str, Callable[[], object]]:
    spool: Any = tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="portico-zip-")  # noqa: SIM115
    try:
        _copy(packed, spool)
        found, file = _opened(spool, member, packed.name)
    except BaseException:
        spool.close()
        raise

    def close() -> None:
        spool.close()
        packed.close()

    return _bounded(file, found, packed), found.filename, close


def _opened(spool: Any, member: str | None, name: str) -> tuple[zipfile.ZipInfo, Any]:
    try:
        archive = zipfile.ZipFile(spool)
        found = _member(archive, member, name)
        _check_readable(found, name)
        return found, archive.open(found)
    except PorticoError:
        raise
    except Exception as error:  # noqa: BLE001 - of damaged ones it raises ValueError and IndexError, too
        raise DataError(f"a zip archive that cannot be read: {error}", name) from None


def _copy(packed: Source, spool: BinaryIO) -> None:
    """An archive is read from its end."""
    size, most = 0, packed.limits.unpacked
    for data in packed.chunks():
        size += len(data)
        if most is not None and size > most:
            raise LimitExceeded(f"{packed.name}: an archive of more than {most} bytes", "unpacked", 413)
        run_blocking(spool.write, data)


def _member(archive: zipfile.ZipFile, member: str | None, name: str) -> zipfile.ZipInfo:
    files = [
        each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")
    ]
    named = [each for each in files if member is None or each.filename == member]
    if len(named) == 1:
        return named[0]
    told = ", ".join(repr(each.filename) for each in files[:_TOLD]) + (", …" if len(files) > _TOLD else "")
    if member is not None and not named:
        raise DataError(f"no member {member!r} in the archive, which has {told or 'none'}", name)
    if not files:
        raise DataError("an archive with no file in it", name)
    raise DataError(f"an archive of {len(files)} files: choose one with member= ({told})", name)


def _check_readable(member: zipfile.ZipInfo, name: str) -> None:
    if member.flag_bits & _ENCRYPTED or member.compress_type == 99:
        raise DataError(f"{member.filename} in it is encrypted; unpack it before", name)
    if member.compress_type not in _READABLE:
        method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
        raise DataError(f"{member.filename} in it is packed by {method}; unpack it before", name)


def _bounded(file: Any, info: zipfile.ZipInfo, packed: Source) -> Callable[[], bytes]:
    limits, made = packed.limits, 0

    def pull() -> bytes:
        nonlocal made
        try:
            data: bytes = run_blocking(file.read, _STEP)
        except PorticoError:
            raise
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            raise DataError(f"{info.filename} in it is damaged: {error}", packed.name) from None
        made += len(data)
        if limits.unpacked is not None and made > limits.unpacked:
            raise LimitExceeded(f"more than {limits.unpacked} bytes unpacked", "unpacked", 413)
        ratio = limits.unpack_ratio
        if ratio is not None and made > max(_JUDGED, ratio * info.compress_size):
            what = f"{info.compress_size} bytes unpack to more than {ratio} times as many"
            raise LimitExceeded(what, "unpack_ratio", 413)
        return data

    return pull
