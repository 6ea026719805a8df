"""Documents as trees of lxml, whose own methods find and change what is in them, read and written safely."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

from portico.data.sinks import sink
from portico.data.xml.bytes import reading
from portico.data.xml.encoded import put
from portico.data.xml.feed import Feed
from portico.data.xml.including import included, put_text
from portico.data.xml.safety import Resolver, allowed, lxml_etree
from portico.errors import ConfigError

__all__ = ["load", "remove", "write", "xpath"]

_INDENT = "  "
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
_CANONICAL: dict[str, dict[str, Any]] = {
    "1.0": {"method": "c14n", "with_comments": False},
    "exclusive": {"method": "c14n", "exclusive": True, "with_comments": False},
    "2.0": {"method": "c14n2", "with_comments": False},
}


def load(what: Any, *, allow: Collection[str] = (), resolver: Resolver | None = None) -> Any:
    """A whole document, as lxml's ``ElementTree``: ``find``, ``findall``, ``findtext``, ``iterfind``,
    ``getroot``, prefixes and comments as they were.

    ``allow``: ``"entities"``, ``"external"``, ``"xinclude"``, ``"huge"`` (see ``xml.safety``). ``resolver``:
    gives the content of a URL; ``below(folder)`` makes one of a folder.

    Raises ``DataError`` with line and column for what is not well-formed, or refers to what is not read;
    ``LimitExceeded`` for what a document may not do, beyond ``Limits.xml_attributes`` and
    ``xml_nodes``, and for more than ``Limits.answer`` bytes; what ``source`` does; ``ConfigError`` without
    lxml.
    """
    names = allowed(allow, resolver)
    with reading(what) as given:
        tree = Feed(given, names, resolver).tree(given.limits.answer)
        if "/" in given.name:  # what it refers to is beside it
            tree.docinfo.URL = given.name
        if "xinclude" in names and resolver is not None:
            inner = partial(load, allow=names - {"xinclude"}, resolver=resolver)
            tree = included(tree, given.name, resolver, inner, given.limits.answer)
    return tree


def xpath(
    tree: Any,
    expression: str,
    *,
    namespaces: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
    regexp: bool = False,
) -> Any:
    """What an expression of XPath 1.0 (and the functions of EXSLT) finds: elements and texts in a list, or a
    number, a text, a truth value. ``variables`` are its ``$name``, which need no quoting. ``regexp``: whether
    EXSLT's regular expressions may be called, of which one can take forever.

    An expression reads nothing, but is a program: it runs for as long as it takes, and no deadline ends it.
    Take it from who is trusted, and what strangers say as variables.

    Raises ``ConfigError`` for an expression that is none, or has an unknown prefix, function or variable.
    """
    etree = lxml_etree()
    try:
        made = etree.XPath(expression, namespaces=dict(namespaces or {}), regexp=regexp, smart_strings=False)
        return made(tree, **(variables or {}))
    except (etree.XPathError, TypeError, ValueError) as error:
        raise ConfigError(f"xpath {expression[:200]!r}: {error}") from None


def remove(element: Any) -> None:
    """Take an element out of its tree. The text behind it stays; lxml's own ``remove`` takes that along.
    Raises ``ConfigError`` for a root."""
    if element.getparent() is None:
        raise ConfigError("an element without a parent cannot be removed")
    put_text(element, "")
    element.tail = None


def write(
    tree: Any,
    where: Any,
    *,
    pretty: bool = False,
    canonical: bool | str = False,
    encoding: str = "utf-8",
    declaration: bool = True,
) -> None:
    """Write a tree, or an element of one, to anything that ``sink`` takes: all, or a file is left as it was.

    ``pretty``: each child on a line of its own, but where white space may mean something: beside text, and
    under ``xml:space="preserve"``. ``canonical``: ``"1.0"``, ``"exclusive"`` or ``"2.0"`` (``True``), without
    comments, always in UTF-8. ``declaration``: whether it begins with ``<?xml …?>``.

    What an encoding has not is written as references, in comments, too; in a name it is a ``DataError``. What
    a stylesheet made is written as that says, in UTF-8 if it says nothing. Raises ``ConfigError`` for an
    unknown encoding or form, ``OSError``.
    """
    etree = lxml_etree()
    form = _form(canonical)
    if form is None and not isinstance(encoding, str):
        raise ConfigError(f"encoding={encoding!r}: expected a name")
    if isinstance(tree, etree._Element):
        tree = etree.ElementTree(tree)
    if pretty:
        tree = deepcopy(tree)
        _indent(tree.getroot())
    with sink(where) as out:
        if form is not None:
            tree.write(out, **form)
        elif isinstance(tree, etree._XSLTResultTree) and not pretty:
            tree.write_output(out)
        else:
            put(tree, out, encoding, declaration)


def _form(canonical: bool | str) -> dict[str, Any] | None:
    if canonical is False:
        return None
    name = "2.0" if canonical is True else canonical
    if name not in _CANONICAL:
        raise ConfigError(f"canonical={canonical!r}: expected one of {', '.join(_CANONICAL)}")
    return _CANONICAL[name]


def _indent(root: Any) -> None:
    """Break the lines between elements that have nothing but white space around them."""
    todo = [(root, 1)]
    while todo:
        element, depth = todo.pop()
        if not len(element) or element.get(_SPACE) == "preserve" or _is_mixed(element):
            continue
        element.text = f"\n{_INDENT * depth}"
        for child in element:
            child.tail = element.text
            if isinstance(child.tag, str):
                todo.append((child, depth + 1))
        element[-1].tail = f"\n{_INDENT * (depth - 1)}"


def _is_mixed(element: Any) -> bool:
    """Whether it has text beside its children, or references, which are text."""
    entity = lxml_etree().Entity
    texts = (element.text, *(child.tail for child in element))
    return any(text and text.strip(" \t\r\n") for text in texts) or any(c.tag is entity for c in element)
