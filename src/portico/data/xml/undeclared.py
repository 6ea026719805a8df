"""References in attributes that expat drops in silence: those to what may be declared elsewhere."""

from __future__ import annotations

import re

__all__ = ["Undeclared"]

_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*""")
_REFERENCE = re.compile(rb"&(?!#|(?:amp|lt|gt|quot|apos);)([^;]*)")


class Undeclared:
    """Looks at a document's tags, if it has a document type ``elsewhere`` and there has been a reference that
    may be unknown: to look at each tag is dear. ``declared``: the entities that are known."""

    def __init__(self) -> None:
        self.elsewhere = False
        self.declared: set[str] = set()
        self._suspect = False

    def look(self, piece: bytes) -> None:
        """A piece comes, or has come."""
        if self.elsewhere and not self._suspect:
            self._suspect = _REFERENCE.search(piece) is not None

    def found(self, piece: bytes, context: bytes | None) -> str | None:
        """The name of a reference in the tag with which ``context`` begins; ``piece``: what it came in."""
        self.look(piece)
        tag = _TAG.match(context or b"") if self._suspect else None
        return self.first_in(tag[0]) if tag else None

    def first_in(self, data: bytes) -> str | None:
        """The first name in there of an entity that is not known."""
        names = (found[1].decode("utf-8", "replace") for found in _REFERENCE.finditer(data))
        return next((name for name in names if name not in self.declared), None)
