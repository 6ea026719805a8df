"""Files put into a content coding: small results in memory, others in a temporary file without a name.

A whole file is compressed before any of it is sent. So the answer has a length, one result serves many
clients, and none of them, however slow, holds a thread or more memory than that.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from portico.http.body import Spool
from portico.web.codings import compressor
from portico.web.representation import Descriptor, read_span

__all__ = ["Packed", "pack_file"]

_PIECE = 65536


class Packed(NamedTuple):
    """A file in a coding: ``data``, or ``size`` bytes behind a descriptor."""

    data: bytes | None
    keeper: Descriptor | None
    size: int


def pack_file(fd: int, size: int, coding: str, most: int) -> Packed | None:
    """Compress ``size`` bytes of a file; up to ``most`` bytes of the result stay in memory.

    ``None``: the file has become shorter, or there is no room for the result.
    """
    spool = Spool(most)
    try:
        if not _fill(spool, fd, size, coding):
            return None
        file = spool.file()
        if spool.size <= most:
            return Packed(file.read(), None, spool.size)
        return Packed(None, Descriptor(os.dup(file.fileno())), spool.size)
    except OSError:
        return None
    finally:
        spool.close()


def _fill(spool: Spool, fd: int, size: int, coding: str) -> bool:
    packer = compressor(coding)
    for offset in range(0, size, _PIECE):
        length = min(_PIECE, size - offset)
        piece = read_span(fd, offset, length)
        if len(piece) < length:
            return False
        spool.add(packer.compress(piece))
    spool.add(packer.finish())
    return True
