"""The name for what is downloaded: what the server proposes, made safe, or the last part of the URL."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

from portico.client.url import URL
from portico.filenames import safe_name

__all__ = ["name_for", "proposed_name"]

_MOST = 200
"""Bytes of a name: the names of unfinished files are longer than those of finished ones."""
_OF_PARTS = (".part", ".part.json", ".part.json~")
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_PARAMETER = re.compile(rf";\s*([a-z0-9_*-]+)\s*=\s*(?:{_QUOTED}|([^;\s]*))", re.IGNORECASE | re.DOTALL)
_EXTENDED = re.compile(r"([A-Za-z0-9_.:-]+)'[A-Za-z0-9-]*'([!#$&+.^_`|~0-9A-Za-z%-]*)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def proposed_name(disposition: str) -> str | None:
    """The file name of a ``Content-Disposition`` (RFC 6266), raw; ``None`` where it has none, or two.

    ``filename*`` comes before ``filename``. Raw means that it may be a path, and anything else.
    """
    found: dict[str, list[str]] = {}
    for name, quoted, token in _PARAMETER.findall(disposition[:10_000]):
        found.setdefault(name.lower(), []).append(_ESCAPE.sub(r"\1", quoted) if quoted else token)
    extended = found.get("filename*", [])
    if len(extended) == 1 and (decoded := _extended(extended[0])):
        return decoded
    plain = found.get("filename", [])
    if len(plain) != 1 or not plain[0]:
        return None
    return _plain(plain[0])


def name_for(url: URL, disposition: str | None = None) -> str:
    """A name that a file can have, for what ``url`` gives."""
    proposed = proposed_name(disposition) if disposition else None
    if proposed:
        return _harmless(safe_name(proposed, "download", _MOST))
    return _harmless(safe_name(unquote(url.path.rstrip("/").rpartition("/")[2]), "index.html", _MOST))


def _harmless(name: str) -> str:
    """A name that no program takes for an option (``rm *``), and that is not that of another file's part,
    which it would overwrite, or of the note about it."""
    if name.startswith("-"):
        name = f"_{name[1:]}"
    return f"{name}_" if name.lower().endswith(_OF_PARTS) else name


def _extended(text: str) -> str | None:
    """RFC 8187: charset, language, and percent-encoded bytes."""
    found = _EXTENDED.fullmatch(text)
    if found is None or found[1].lower() not in ("utf-8", "iso-8859-1"):
        return None
    try:
        return unquote_to_bytes(found[2]).decode(found[1])
    except UnicodeDecodeError:
        return None


def _plain(text: str) -> str:
    """Servers send UTF-8, and some percent-encode it; the rules know only ASCII."""
    try:
        text = text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    return unquote(text) if "%" in text else text
