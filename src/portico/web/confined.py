"""Opening what lies below a folder, and nothing else, without a gap between check and use.

Each component is opened relative to the descriptor of the one before it, with ``O_NOFOLLOW``: whatever
is renamed or exchanged meanwhile, the kernel is never given a ``..`` or a link to follow, so it cannot be
led out. Only when a link stands in the way is the path resolved by name; if the result lies inside, it is
walked in the same strict manner, so that even a wrong resolution (somebody exchanged the link) opens
nothing outside.

Only regular files and folders are opened, since opening can be an act: a FIFO's writer is let go, a tape
rewinds. So each is looked at first, and again when it is open.

Names are bytes: what a file is called need not be text.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

__all__ = ["open_confined", "open_plainly", "split_path"]

# O_NONBLOCK: a FIFO without a writer must not hold us; O_NOCTTY: nor a terminal become ours.
_ROOT = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LEAF = _ROOT | os.O_NOFOLLOW
# O_PATH, where there is one: a folder that may be passed through need not be readable.
_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK_MET = {errno.ELOOP, errno.ENOTDIR, errno.EMLINK}  # EMLINK is what FreeBSD says for ELOOP
_HEX = frozenset("0123456789abcdefABCDEF")


def open_confined(root: bytes, parts: Sequence[bytes], *, links: bool = True) -> int:
    """A read-only descriptor of ``root/parts...``, file or folder; the caller closes it.

    ``root`` may be a link, and links below it may lead anywhere inside it; without ``links``, none is
    followed. ``parts`` must hold no empty name, no ``.`` or ``..`` and no ``/`` (``split_path`` sees to
    it). Raises ``OSError``: ``FileNotFoundError`` for a link that leads out, and for what is neither a
    file nor a folder.
    """
    try:
        return _walk(root, parts)
    except OSError as error:
        if not links or error.errno not in _LINK_MET:
            raise
    return _walk(root, _through_links(root, parts))


def open_plainly(path: bytes) -> int:
    """A read-only descriptor of a file that is known, not through a link at the end. Raises ``OSError``."""
    return os.open(path, _LEAF)


def split_path(raw: str, *, hidden: bool = False) -> tuple[list[bytes], bool] | None:
    """The names in an undecoded URL path, and whether it ends in a slash; ``None`` when refused.

    Refused are dot segments in any spelling, encoded slashes, NUL, broken percent-encoding and, unless
    ``hidden``, names that begin with a dot, except ``.well-known`` (RFC 8615). Repeated slashes count
    as one.
    """
    pieces = raw.encode("latin-1").split(b"/")
    parts = []
    for piece in pieces:
        name = _decode(piece) if b"%" in piece else piece
        if name is None or not _is_name(name, hidden):
            return None
        if name:
            parts.append(name)
    return parts, not pieces[-1] and len(pieces) > 1


def _is_name(name: bytes, hidden: bool) -> bool:
    if b"/" in name or b"\0" in name:
        return False
    if not name.startswith(b".") or name == b".well-known":
        return True
    return hidden and name not in (b".", b"..")


def _decode(piece: bytes) -> bytes | None:
    """Percent-decoded once; ``None`` where a ``%`` is not followed by two hexadecimal digits."""
    first, *rest = piece.split(b"%")
    decoded = [first]
    for chunk in rest:
        digits = chunk[:2].decode("latin-1")
        if len(digits) != 2 or not _HEX.issuperset(digits):
            return None
        decoded.append(bytes((int(digits, 16),)) + chunk[2:])
    return b"".join(decoded)


def _walk(root: bytes, parts: Sequence[bytes]) -> int:
    """Open component by component; follows no link below ``root``."""
    if not parts:
        _check_kind(os.stat(root))
        return os.open(root, _ROOT)
    last = len(parts) - 1
    # The first name may ride on the path of the root, whose links are trusted: O_NOFOLLOW guards the last.
    first = root.rstrip(b"/") + b"/" + parts[0]
    if not last:
        return _leaf(first, None)
    here = os.open(first, _STEP)
    for at in range(1, last + 1):
        try:
            deeper = _leaf(parts[at], here) if at == last else os.open(parts[at], _STEP, dir_fd=here)
        finally:
            os.close(here)
        here = deeper
    return here


def _leaf(name: bytes, folder: int | None) -> int:
    _check_kind(os.stat(name, dir_fd=folder, follow_symlinks=False))
    return os.open(name, _LEAF, dir_fd=folder)


def _check_kind(facts: os.stat_result) -> None:
    """Raises ``OSError`` for what must not be opened."""
    if stat.S_ISLNK(facts.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise FileNotFoundError(errno.ENOENT, "neither a file nor a folder")


def _through_links(root: bytes, parts: Sequence[bytes]) -> list[bytes]:
    """Where ``root/parts...`` leads when links are followed, as names below the root."""
    top = os.path.realpath(root)
    real = os.path.realpath(os.path.join(root, *parts))
    if real == top:
        return []
    inside = top.rstrip(b"/") + b"/"
    if not real.startswith(inside):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return real[len(inside) :].split(b"/")
