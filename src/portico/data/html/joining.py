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
_SPECIAL = frozenset(("http", "https", "ftp", "ws", "wss"))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+):", re.ASCII)
_REST = r"[^\\.?#]*+(?:\.(?![./])[^\\.?#]*+)*+(?:[?#].*)?\Z"
_FROM_ROOT = re.compile(rf"/(?![/\\.]){_REST}", re.DOTALL)
"""A path from the root that has no step upwards in it."""
_FROM_HERE = re.compile(rf"(?![/\\.?#])[^/:?#]++(?![:]){_REST}", re.DOTALL)
"""The same, from where the page is."""


def joiner(base: str) -> Join:
    """What makes references absolute. ``base``: the URL they are relative to; with ``""`` they stay as they
    are, without the white space that the URL standard takes out (4.4)."""
    try:
        parts = urlsplit(base)
    except ValueError:
        parts = urlsplit("")
    hierarchical = parts.scheme in _SPECIAL
    root = f"{parts.scheme}://{parts.netloc}" if parts.netloc and hierarchical else ""
    folder = "" if "/." in parts.path or "//" in parts.path else f"{root}{parts.path.rpartition('/')[0]}/"

    def join(written: str) -> str:
        written = written.strip(_AROUND)
        if "\n" in written or "\t" in written or "\r" in written:
            written = written.translate(_REMOVED)
        if not base:
            return written
        if root and _FROM_ROOT.match(written):
            return root + written
        if root and folder and _FROM_HERE.match(written):
            return folder + written
        if hierarchical and "\\" in written and not _is_other(written):  # a slash, before the query
            path, mark, rest = _halves(written)
            written = path.replace("\\", "/") + mark + rest
        try:
            return urljoin(base, written)
        except ValueError:
            return ""

    return join


def _is_other(written: str) -> bool:
    """Whether it has a scheme in which a backslash is one (4.4)."""
    scheme = _SCHEME.match(written)
    return scheme is not None and scheme[1].lower() not in _SPECIAL


def _halves(written: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", written)
    return (
        (written, "", "") if found is None else (written[: found.start()], found[0], written[found.end() :])
    )
