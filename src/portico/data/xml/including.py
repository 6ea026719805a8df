"""XInclude 1.1, of whole files: what is included comes from a resolver, and is bounded in all.

libxml2's own reads the texts that are included past any resolver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from portico.data.xml.safety import Resolver
from portico.errors import DataError, LimitExceeded

__all__ = ["included", "put_text"]

_NAMESPACE = "{http://www.w3.org/2001/XInclude}"
_FILES, _LEVELS = 1000, 40
"""That one document includes, and that include each other."""


def included(tree: Any, name: str, resolver: Resolver, load: Callable[[bytes], Any], most: int) -> Any:
    """The tree with everything in it that it includes, and that those include.

    ``load`` makes a tree of what the resolver gave; ``most`` bytes may come in all. Raises ``DataError`` for
    what cannot be had and has no fallback, and for what includes itself; ``LimitExceeded``.
    """
    return _Including(name, resolver, load, most).expanded(tree, ()).getroottree()


class _Including:
    def __init__(self, name: str, resolver: Resolver, load: Callable[[bytes], Any], most: int) -> None:
        self._name = name
        self._resolver = resolver
        self._load = load
        self._most = most
        self._files = 0
        self._size = 0

    def expanded(self, tree: Any, within: tuple[str, ...]) -> Any:
        """The root of a tree, which may itself be what is included."""
        for element in list(tree.iter(f"{_NAMESPACE}include")):
            url = urljoin(element.base or "", element.get("href", ""))
            if not url or element.get("xpointer"):
                raise self._error(element, "only a whole document is included here, by its href")
            content = self._resolver(url)
            if content is None:
                self._fall_back(element, url)
                continue
            self._count(len(content), len(within))
            if element.get("parse", "xml") == "text":
                put_text(element, self._text(element, content))
            elif url in within:
                raise self._error(element, f"{url[:200]!r} includes itself")
            else:
                part = self._load(content)
                part.docinfo.URL = url
                root = self.expanded(part, (*within, url))
                if element.getparent() is None:
                    return root
                root.tail = element.tail
                element.getparent().replace(element, root)
        return tree.getroot()

    def _text(self, element: Any, content: bytes) -> str:
        try:
            return content.decode(element.get("encoding", "utf-8"))
        except (LookupError, ValueError) as error:
            raise self._error(element, f"{element.get('href')[:200]!r} is no text: {error}") from None

    def _fall_back(self, element: Any, url: str) -> None:
        fallback = element.find(f"{_NAMESPACE}fallback")
        parent = element.getparent()
        if fallback is None or parent is None:
            raise self._error(element, f"it refers to {url[:200]!r}, which is not read here")
        at = parent.index(element)
        children = list(fallback)
        parent[at:at] = children
        put_text(element, "")
        if fallback.text:
            _put_before(parent, at, fallback.text)

    def _count(self, size: int, level: int) -> None:
        self._files += 1
        self._size += size
        if self._files > _FILES or self._size > self._most or level > _LEVELS:
            raise LimitExceeded(
                f"{self._name}: it includes more than {_FILES} files, {_LEVELS} within each other, or "
                f"{self._most} bytes",
                "answer",
                413,
            )

    def _error(self, element: Any, reason: str) -> DataError:
        return DataError(reason, self._name, line=element.sourceline)


def put_text(element: Any, text: str) -> None:
    """A text, and what follows an element, in its place."""
    parent = element.getparent()
    if parent is None:
        raise DataError("a text cannot be the root of a document")
    text += element.tail or ""
    at = parent.index(element)
    parent.remove(element)
    _put_before(parent, at, text)


def _put_before(parent: Any, at: int, text: str) -> None:
    """A text before the child at a place."""
    if at == 0:
        parent.text = (parent.text or "") + text
    else:
        parent[at - 1].tail = (parent[at - 1].tail or "") + text
