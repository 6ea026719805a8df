"""Elements as dicts, and dicts as elements.

Attributes are called ``@name``; a child by its name, with a list where there are several; the text of an
element that has attributes or children ``#text``, and one that has neither is its text alone::

    <item id="1"><name>Ä</name><tag>a</tag><tag>b</tag></item>
    {"@id": "1", "name": "Ä", "tag": ["a", "b"]}

Names are those of the document, with its prefixes, or with those that the caller gives namespaces. What this
cannot say is lost: comments, the order of children of different names, and where between children a text
stood (all of it is joined; white space around it, and between children, is dropped).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from portico.errors import ConfigError, DataError, LimitExceeded
from portico.limits import Limits

__all__ = ["Mapper"]

_AT = re.compile(r" - at `([^`]*)`\Z")
_XML = "http://www.w3.org/XML/1998/namespace"
_DEPTH: int = Limits().xml_depth


class Mapper:
    """Makes dicts of elements. ``attribute``, ``text``: what names of attributes begin with, and the name of
    text. ``lists``: names of children that are lists even where there is one."""

    def __init__(
        self,
        namespaces: Mapping[str | None, str] | None = None,
        *,
        attribute: str = "@",
        text: str = "#text",
        lists: Collection[str] = (),
    ) -> None:
        self._prefixes = {uri: prefix or "" for prefix, uri in (namespaces or {}).items()}
        self._attribute = attribute
        self._text = text
        self._lists = frozenset((lists,) if isinstance(lists, str) else lists)

    def record(self, element: Any) -> dict[str, Any]:
        """A dict, even of an element that has a text only. Raises ``LimitExceeded`` for more than 256
        levels."""
        return self._mapping(element, _DEPTH)

    def typed(self, element: Any, wanted: Any, name: str) -> Any:
        """The same, converted by msgspec: numbers are read from their texts. Raises ``DataError`` with line
        and path where it does not fit, ``ConfigError`` without msgspec."""
        try:
            import msgspec
        except ImportError:
            raise ConfigError("type= takes msgspec: pip install 'portico[data]'") from None
        try:
            return msgspec.convert(self.record(element), wanted, strict=False)
        except msgspec.ValidationError as error:
            found = _AT.search(str(error))
            raise DataError(
                _AT.sub("", str(error)), name, line=element.sourceline, path=found[1] if found else "$"
            ) from None

    def _mapping(self, element: Any, depth: int) -> dict[str, Any]:
        if depth <= 0:
            raise LimitExceeded(f"<{element.tag}>: more than {_DEPTH} levels in a record", "depth", 413)
        found: dict[str, Any] = {}
        for name, value in element.items():
            found[self._attribute + self._attribute_name(element, name)] = value
        texts = [element.text or ""]
        for child in element:
            if isinstance(child.tag, str):
                simple = not (len(child) or child.attrib)
                value = child.text or "" if simple else self._mapping(child, depth - 1)
                self._add(found, self._name(child.tag, child.prefix), value)
            texts.append(child.tail or "")
        text = "".join(texts).strip() if len(element) else texts[0]
        if text or not found:
            found[self._text] = text
        return found

    def _add(self, found: dict[str, Any], name: str, value: Any) -> None:
        before = found.get(name)
        if isinstance(before, list):
            before.append(value)
        elif before is not None:
            found[name] = [before, value]
        else:
            found[name] = [value] if name in self._lists else value

    def _name(self, tag: str, prefix: str | None) -> str:
        if not tag.startswith("{"):
            return tag
        uri, _, local = tag[1:].rpartition("}")
        prefix = self._prefixes.get(uri, prefix or "")
        return f"{prefix}:{local}" if prefix else local

    def _attribute_name(self, element: Any, name: str) -> str:
        if not name.startswith("{"):
            return name
        uri = name[1:].rpartition("}")[0]
        if uri == _XML:
            return self._name(name, "xml")
        return self._name(name, next((p for p, u in element.nsmap.items() if p and u == uri), None))
