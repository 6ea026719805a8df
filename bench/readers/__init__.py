"""Readers to be measured: ours, and what others are used for by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Kind", "Reader"]

Reader = Callable[[str], object]
"""Reads the file at a path, and gives what all readers of a kind have to find in it."""


@dataclass(frozen=True)
class Kind:
    """Readers that do the same. Speeds are told in that of the first.

    ``write``: makes a document of so many million bytes, but with one record at least. ``most``: no document
    is larger than that. ``flat``: the reader whose memory is not to grow with the document.
    """

    write: Callable[[Path, float], None]
    readers: dict[str, Reader]
    most: float = float("inf")
    flat: str = ""
