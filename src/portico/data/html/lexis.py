"""How tags look: the words of the HTML standard's tokenizer (13.2.5), as expressions that never go back.

Each is possessive, so that a hostile page costs no more than an honest one of its size.
"""

from __future__ import annotations

import re
from html.entities import html5

__all__ = ["ATTRIBUTES", "RAW", "TAG", "VOID", "lower", "unescape", "unescape_value"]

RAW = frozenset("iframe noembed noframes plaintext script style textarea title xmp".split())
"""Elements with text in them, whatever it looks like (13.2.6.2; scripts do not run here)."""
VOID = frozenset(
    """area base basefont bgsound br col embed frame hr image img input keygen link meta param source track
    wbr""".split()
)
"""Elements that have nothing in them, and no end tag (13.1.2)."""

_ATTRIBUTE = (
    r"[\t\n\f\r /]*+{name}[^\t\n\f\r />][^\t\n\f\r />=]*+{end}"
    r"(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+"
    r"""(?:"{name}[^"]*+{end}"|'{name}[^']*+{end}'|{name}[^\t\n\f\r >"'][^\t\n\f\r >]*+{end}|(?=>)|\Z)"""
    r"""|(?![\t\n\f\r ]*+=[\t\n\f\r ]*+["']))"""  # a quote that is never closed: the tag is not whole
)
ATTRIBUTE = _ATTRIBUTE.format(name="", end="")
ATTRIBUTES = re.compile(_ATTRIBUTE.format(name="(", end=")"))
"""One attribute: its name, and its value, in one of the three groups after it."""
TAG = re.compile(rf"<(/?[A-Za-z][^\t\n\f\r />]*+)((?:{ATTRIBUTE})*+)[\t\n\f\r /]*+>")
"""A whole tag: its name, with the slash of an end tag, and its attributes."""

_REFERENCE = re.compile(
    r"&(?:#(?:[xX]([0-9A-Fa-f]{1,32})|([0-9]{1,32}));?|([A-Za-z][A-Za-z0-9]{0,31})(;?)(=?))", re.ASCII
)
_LONGEST = max(len(name) for name in html5 if not name.endswith(";"))
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def lower(name: str) -> str:
    """A name in lower case: only letters of ASCII have one here."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


def unescape(text: str) -> str:
    """Text whose character references are resolved (13.2.5.72 to 80)."""
    return _REFERENCE.sub(_in_text, text) if "&" in text else text


def unescape_value(text: str) -> str:
    """An attribute's value, in which ``&copy=`` is none: it is the query of a URL."""
    return _REFERENCE.sub(_in_value, text) if "&" in text else text


def _in_text(found: re.Match[str]) -> str:
    hexadecimal, decimal, name, semicolon, equals = found.groups()
    if name is None:
        return _numbered(hexadecimal, decimal)
    if semicolon and f"{name};" in html5:
        return html5[f"{name};"] + equals
    for size in range(min(len(name), _LONGEST), 1, -1):
        if name[:size] in html5:
            return html5[name[:size]] + name[size:] + semicolon + equals
    return found[0]


def _in_value(found: re.Match[str]) -> str:
    hexadecimal, decimal, name, semicolon, equals = found.groups()
    if name is None:
        return _numbered(hexadecimal, decimal)
    if semicolon:
        return html5[f"{name};"] + equals if f"{name};" in html5 else found[0]
    return found[0] if equals or name not in html5 else html5[name]


def _numbered(hexadecimal: str | None, decimal: str) -> str:
    number = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if number == 0 or number > 0x10FFFF or 0xD800 <= number < 0xE000:
        return "\ufffd"
    if 0x80 <= number < 0xA0:  # who writes these means windows-1252
        return bytes([number]).decode("cp1252", "ignore") or chr(number)
    return chr(number)
