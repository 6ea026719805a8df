"""XPath on a page: a copy of its tree in lxml, whose answers are elements of the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from portico.data.html.plaintext import walk
from portico.errors import ConfigError

__all__ = ["Copy"]

_FIRST = (
    "A-Za-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_REFUSED = re.compile(f"[^{_FIRST}0-9.\u00b7\u0300-\u036f\u203f\u2040-]|^[^{_FIRST}]")
"""Characters that names of XML cannot have, or not begin with."""
_SPACES = {"xlink": "http://www.w3.org/1999/xlink", "xml": "http://www.w3.org/XML/1998/namespace"}
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Copy:
    """The copy. ``root``: the node of the ``html`` element. Names that XML cannot have are spelled as the
    standard says (13.2.9): ``@click`` is ``U000040click``. Comments are not copied."""

    def __init__(self, root: Any) -> None:
        try:
            from lxml import etree
        except ImportError:
            raise ConfigError("XPath takes lxml: pip install 'portico[data]'") from None
        self._etree = etree
        self._nodes: dict[Any, Any] = {}  # nodes of the page by elements of the copy, which it keeps alive
        self._elements: dict[int, Any] = {}
        self._root = self._copied(root)

    def ask(self, node: Any, expression: str, made: Callable[[Any], Any]) -> Any:
        """What an expression gives at a node, or at the root; ``made`` makes an element of a node."""
        start = self._root.getroottree() if node is None else self._elements.get(node.mem_id)
        if start is None:
            raise ConfigError("an element that is no part of the page, such as one in a template")
        try:
            answer = start.xpath(expression, namespaces={"xlink": _SPACES["xlink"]}, smart_strings=False)
        except (self._etree.XPathError, ValueError) as error:
            raise ConfigError(f"{expression[:200]!r} is no XPath expression: {error}") from None
        if not isinstance(answer, list):
            return answer
        return [made(self._nodes[each]) if each in self._nodes else each for each in answer]

    def _copied(self, root: Any) -> Any:
        builder: list[Any] = []  # the open elements
        last: Any = None  # the child that ended last in the innermost, or None
        top = None
        texts: list[str] = []

        def settle() -> None:
            nonlocal texts
            if texts:
                text, texts = _of_xml("".join(texts)), []
                if last is None:
                    builder[-1].text = text
                else:
                    last.tail = text

        for node, name, begins in walk(root, lambda node, name: False):
            if name == "-text":
                texts.append(node.text_content or "")
            elif begins:
                if builder:
                    settle()
                element = self._element(node, name, builder[-1] if builder else None)
                builder.append(element)
                top = element if top is None else top
                last = None
            else:
                settle()
                last = builder.pop()
        return top

    def _element(self, node: Any, name: str, parent: Any) -> Any:
        name = _xml_name(name)
        attributes = {_attribute_name(each): _of_xml(value or "") for each, value in node.attributes.items()}
        if parent is None:
            element = self._etree.Element(name, attributes)
        else:
            element = self._etree.SubElement(parent, name, attributes)
        self._nodes[element] = node
        self._elements[node.mem_id] = element
        return element


def _attribute_name(name: str) -> str:
    prefix, _, rest = name.partition(":")
    if prefix in _SPACES and rest:
        return f"{{{_SPACES[prefix]}}}{_xml_name(rest)}"
    return _xml_name(name)


def _xml_name(name: str) -> str:
    if _NAME.match(name):
        return name
    return _REFUSED.sub(lambda found: f"U{ord(found[0]):06X}", name)


def _of_xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text) if _NO_XML.search(text) else text
