"""References made absolute: what stands in most pages at once, the rest by the standard library."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, urljoin, urlsplit

from portico.data.html.serializing import SPECIAL, serialized

__all__ = ["Join", "joiner"]

Join = Callable[[str], str]
"""From what a page has written to an absolute URL; ``""`` for what is none."""

_REMOVED = str.maketrans("", "", "\t\n\r")
_AROUND = "".join(map(chr, range(0x21)))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*+):", re.ASCII)
_REFERENCE = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*+):)?(//[^/?#]*+)?([^?#]*+)(\?[^#]*+)?(#.*)?", re.DOTALL)
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}")
_KEPT = r"A-Za-z0-9!$&()*+,;=@_~|\-"
"""What no part of a URL has to encode, and is no part of a step."""
_REST = rf"[/:{_KEPT}]*+(?:(?:\.(?![./?#]|\Z)|%(?!2[eE]))[/:{_KEPT}]*+)*+(?:[?#][/:.?#%{_KEPT}]*+)?\Z"
_FROM_ROOT = re.compile(rf"/(?![/.]){_REST}")
"""A path from the root that has no step upwards in it."""
_FROM_HERE = re.compile(rf"(?![.])[.{_KEPT}]++(?!:){_REST}")
"""The same, from where the page is."""


def joiner(base: str) -> Join:
    """What makes references absolute, and writes them as browsers' ``href`` has them, their characters as
    UTF-8. ``base``: the URL they are relative to; with ``""``, those that are relative stay as they are,
    without the white space that the URL standard takes out (4.4)."""
    try:
        base = serialized(base)
        parts = urlsplit(base)
    except ValueError:
        parts = urlsplit("")
    hierarchical = parts.scheme in SPECIAL
    root = f"{parts.scheme}://{parts.netloc}" if parts.netloc and hierarchical else ""
    folder = "" if "/." in parts.path or "//" in parts.path else f"{root}{parts.path.rpartition('/')[0]}/"

    def join(written: str) -> str:
        written = written.strip(_AROUND)
        if "\n" in written or "\t" in written or "\r" in written:
            written = written.translate(_REMOVED)
        if root and _FROM_ROOT.match(written):
            return root + written
        if root and folder and _FROM_HERE.match(written):
            return folder + written
        if hierarchical and "\\" in written and not _is_other(written):  # a slash, before the query
            path, mark, rest = _halves(written)
            written = path.replace("\\", "/") + mark + rest
        try:
            if not base:
                return serialized(written)
            return serialized(_resolved(parts, written) if root else urljoin(base, written))
        except ValueError:
            return ""

    return join


def _resolved(base: SplitResult, written: str) -> str:
    """What a reference means in a page of a URL with a host (RFC 3986, 5.2; URL standard, 4.4)."""
    found = _REFERENCE.match(written)
    assert found is not None  # it can be empty
    scheme, authority, path, query, fragment = found.groups()
    if scheme is not None and (authority is None or scheme.lower() not in SPECIAL):
        return urljoin(base.geturl(), written)
    if authority is None:
        authority = f"//{base.netloc}"
        if not path:
            path, query = base.path, query if query is not None else base.query and f"?{base.query}"
        elif path[0] != "/":
            path = f"{base.path.rpartition('/')[0]}/{path}"
    return f"{scheme or base.scheme}:{authority}{_without_dots(path)}{query or ''}{fragment or ''}"


def _without_dots(path: str) -> str:
    """A path without steps, however these are spelt."""
    if "." not in path and "%2" not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments, 1):
        steps = len(segment.lower().replace("%2e", ".")) if _DOTS.fullmatch(segment) else 0
        if steps == 2 and kept:
            kept.pop()
        if not steps:
            kept.append(segment)
        elif number == len(segments):
            kept.append("")
    return "/" + "/".join(kept)


def _is_other(written: str) -> bool:
    """Whether it has a scheme in which a backslash is one (4.4)."""
    scheme = _SCHEME.match(written)
    return scheme is not None and scheme[1].lower() not in SPECIAL


def _halves(written: str) -> tuple[str, str, str]:
    found = re.search(r"[?#]", written)
    return (
        (written, "", "") if found is None else (written[: found.start()], found[0], written[found.end() :])
    )
