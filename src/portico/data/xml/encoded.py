"""Trees as bytes of an encoding. A character that it has not is written as a reference, and a name that has
one is refused: libxml2 writes references in names, too, which no parser reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from portico.charsets.text import known
from portico.data.sinks import Sink
from portico.data.xml.safety import lxml_etree
from portico.errors import ConfigError, DataError

__all__ = ["put"]

_WIDE = re.compile(r"utf-?(?:8|16|32)\Z|ucs-?[24]\Z", re.IGNORECASE)
"""They have all characters."""
_NATIVE = {"iso-8859-1": "latin-1", "us-ascii": "ascii", "ascii": "ascii"}
"""Of these libxml2 and Python think the same; of Big5 and others they do not."""


def put(tree: Any, out: Sink, encoding: str, declaration: bool) -> None:
    """Write a tree, with what stands before and behind its root.

    Raises ``ConfigError`` for an unknown encoding, ``DataError`` with a line for a name, or an instruction,
    that the encoding cannot have.
    """
    standalone = (tree.docinfo.standalone or None) if declaration else None
    native = _NATIVE.get(encoding.lower())  # on the web, both are called windows-1252
    codec = native or (None if _WIDE.match(encoding) else known(encoding))
    if codec is not None:
        _check_names(tree, codec, encoding, out.name)
    if codec is None or native is not None:
        options = {"xml_declaration": declaration, "standalone": standalone, "with_tail": False}
        try:
            tree.write(out, encoding=encoding, **options)
        except LookupError:
            raise ConfigError(f"encoding={encoding!r}: no such character encoding") from None
        return
    if declaration:
        alone = " standalone='yes'" if standalone else ""
        out.write(f"<?xml version='1.0' encoding='{encoding}'{alone}?>\n")
    text = lxml_etree().tostring(tree, encoding="unicode", with_tail=False)
    out.write(text.encode(codec, "xmlcharrefreplace"))


def _check_names(tree: Any, codec: str, encoding: str, name: str) -> None:
    fitting: set[str] = set()
    for node in (*tree.getroot().itersiblings(preceding=True), *tree.getroot().itersiblings(), *tree.iter()):
        for text in _unescapable(node):
            if text not in fitting:
                try:
                    text.encode(codec)
                except UnicodeEncodeError:
                    reason = f"name {text[:60]!r} cannot be written in {encoding}"
                    raise DataError(reason, name, line=node.sourceline) from None
                fitting.add(text)


def _unescapable(node: Any) -> Iterator[str]:
    """The names of a node, without their namespaces, which are values."""
    if isinstance(node.tag, str):
        yield from (str(name).rpartition("}")[2] for name in (node.tag, *node.keys()))
        yield from filter(None, node.nsmap)
    elif node.tag is lxml_etree().PI:
        yield from (node.target, node.text or "")
