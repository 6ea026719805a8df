"""References made absolute: what stands in most pages at once, the rest by the standard library."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

__all__ = ["Join", "joiner"]

Join = Callable[[str], str]
"""From what a page has written to an absolute URL; ``""`` for what is none."""

_REMOVED = str.maketrans("", "", "\t\n\r")
_AROUND = "".join(map(chr, range(0x21)))
_PLAIN = re.compile(r"/(?![/\\.])[^\\.?#]*+(?:\.(?!/|\.)[^\\.?#]*+)*+(?:[?#].*)?\Z", re.DOTALL)
"""A path from the root that has no step upwards in it."""


def joiner(base: str) -> Join:
    """What makes references absolute. ``base``: the URL they are relative to; with ``""`` they stay as they
    are, without the white space that the URL standard takes out (4.4)."""
    try:
        parts = urlsplit(base)
    except ValueError:
        parts = urlsplit("")
    hierarchical = parts.scheme in ("http", "https", "ftp", "ws", "wss")
    root = f"{parts.scheme}://{parts.netloc}" if parts.netloc and hierarchical else ""

    def join(written: str) -> str:
        written = written.strip(_AROUND)
        if "\n" in written or "\t" in written or "\r" in written:
            written = written.translate(_REMOVED)
        if not base:
            return written
        if root and _PLAIN.match(written):
            return root + written
        if hierarchical and "\\" in written:  # a slash, before the query
            path, mark, rest = _halves(written)
            written = path.replace("\\", "/") + mark + rest
        try:
            return urljoin(base, written)
        except ValueError:
            return ""

    return join


def _halves(written: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", written)
    return (
        (written, "", "") if found is None else (written[: found.start()], found[0], written[found.end() :])
    )
