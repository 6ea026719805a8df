"""The header of one part of a form (RFC 7578, 4), and the parameters of ``Content-Type``.

Names of files are read as the HTML standard has browsers write them: the text stands between two quotes,
and of all characters only ``"``, CR and LF are escaped, as ``%22``, ``%0D`` and ``%0A``. Where that reading
does not work out, backslashes are taken for escapes, as older clients wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from portico.errors import FormError

__all__ = ["PartHead", "parameters", "parse_part_head"]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_TYPE = re.compile(rf"({_TOKEN}(?:/{_TOKEN})?)[ \t]*(.*)")
# Between two semicolons there may be nothing (RFC 9110, 5.6.6).
_BY_BROWSERS = re.compile(rf';[ \t]*(?:({_TOKEN})=(?:"([^"]*)"|({_TOKEN})))?[ \t]*')
_BY_RULE = re.compile(rf';[ \t]*(?:({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN})))?[ \t]*')
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'([!#$&+.^_`|~0-9A-Za-z%-]*)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)")
_HTML_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}
_HTML_ESCAPE = re.compile("|".join(_HTML_ESCAPES))
_IDENTITY = frozenset(("7bit", "8bit", "binary"))


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part says of itself.

    ``name`` and ``filename`` (``None``: an ordinary field) are bytes, since their encoding may only be
    told by a later part; ``filename_codec`` names it where the part itself does. ``headers``: lower-case
    names, latin-1 values; only those of a file are kept, as forms have many fields and hostile ones many
    headers.
    """

    name: bytes
    filename: bytes | None = None
    name_codec: str | None = None
    filename_codec: str | None = None
    charset: str = ""
    length: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


def parse_part_head(block: bytes) -> PartHead:
    """Read the lines of a part's header. Raises ``FormError`` for what could be read in two ways."""
    headers: dict[str, str] = {}
    for line in block.decode("latin-1").split("\r\n"):
        match = _FIELD.fullmatch(line)
        if match is None:
            raise FormError(f"a part of the form has a malformed header line: {line[:80]!r}")
        name = match[1].lower()
        if name in headers:
            raise FormError(f"a part of the form has two header fields {match[1]}")
        headers[name] = match[2].rstrip(" \t")
    _check_coding(headers)
    (name_, name_codec), filename = _disposition(headers)
    return PartHead(
        name=name_,
        name_codec=name_codec,
        filename=None if filename is None else filename[0],
        filename_codec=None if filename is None else filename[1],
        charset=_charset(headers),
        length=_length(headers),
        headers={} if filename is None else headers,
    )


def parameters(value: str, what: str) -> tuple[str, dict[str, str]]:
    """A header value such as ``type/subtype; name=value``: the lower-case type, and what follows it.

    Raises ``FormError``, also for a parameter that comes twice: whoever reads on might take the other.
    """
    match = _TYPE.fullmatch(value)
    if match is None:
        raise FormError(f"{what} cannot be read: {value[:80]!r}")
    found = _read_all(_BY_BROWSERS, _unescape_html, match[2])
    if found is None:
        found = _read_all(_BY_RULE, _unescape_rule, match[2])
    if found is None:
        raise FormError(f"{what} cannot be read: {value[:80]!r}")
    named = dict(found)
    if len(named) != len(found):
        raise FormError(f"{what} has a parameter twice: {value[:80]!r}")
    return match[1].lower(), named


def _read_all(
    pattern: re.Pattern[str], unescape: Callable[[str], str], text: str
) -> list[tuple[str, str]] | None:
    """The parameters in ``text``; ``None`` where something else is in it."""
    found, at = [], 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            return None
        if match[1]:
            found.append((match[1].lower(), match[3] or unescape(match[2] or "")))
        at = match.end()
    return found


def _unescape_html(text: str) -> str:
    return _HTML_ESCAPE.sub(lambda match: _HTML_ESCAPES[match[0]], text)


def _unescape_rule(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _disposition(headers: dict[str, str]) -> tuple[tuple[bytes, str | None], tuple[bytes, str | None] | None]:
    """Name and file name, each with its encoding where that is told."""
    value = headers.get("content-disposition")
    if value is None:
        raise FormError("a part of the form has no Content-Disposition")
    kind, named = parameters(value, "Content-Disposition of a part of the form")
    if kind != "form-data":
        raise FormError(f"a part of the form is no form-data: Content-Disposition is {value[:80]!r}")
    if any(re.search(r"\*[0-9]", name) for name in named):
        raise FormError(f"continued parameters (RFC 2231, 3) are not used in forms: {value[:80]!r}")
    name = _text(named, "name")
    if name is None:
        raise FormError(f"a part of the form has no name: {value[:80]!r}")
    return name, _text(named, "filename")


def _text(named: dict[str, str], name: str) -> tuple[bytes, str | None] | None:
    """A parameter, also as ``name*=utf-8''…`` (RFC 8187): RFC 7578 forbids that, and some clients send it."""
    extended = named.get(f"{name}*")
    if extended is None:
        value = named.get(name)
        return None if value is None else (value.encode("latin-1"), None)
    match = _EXTENDED.fullmatch(extended)
    if match is None:
        raise FormError(f"a part of the form has a {name}* that cannot be read: {extended[:80]!r}")
    return unquote_to_bytes(match[2]), match[1]


def _check_coding(headers: dict[str, str]) -> None:
    coding = headers.get("content-transfer-encoding", "binary").lower()
    if coding not in _IDENTITY:
        # RFC 7578, 4.7: not to be used. Taken as it is, the content would be something else than was meant.
        raise FormError(f"a part of the form is encoded as {coding[:40]!r}; forms are sent as they are")


def _charset(headers: dict[str, str]) -> str:
    value = headers.get("content-type", "")
    if not value:
        return ""
    kind, options = parameters(value, "Content-Type of a part of the form")
    if kind.startswith("multipart/"):
        raise FormError(f"a part of the form is {kind}: parts within parts (RFC 7578, 4.3) are refused")
    return options.get("charset", "")


def _length(headers: dict[str, str]) -> int | None:
    value = headers.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise FormError(f"a part of the form has the Content-Length {value[:40]!r}")
    return int(value)
