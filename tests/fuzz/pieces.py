"""Bytes in pieces: how they are cut must not matter."""

from __future__ import annotations

__all__ = ["cut"]


def cut(raw: bytes, step: int) -> list[bytes]:
    """Pieces of 1 to 61 bytes, as a byte says."""
    step = step % 61 + 1
    return [raw[at : at + step] for at in range(0, len(raw), step)]
