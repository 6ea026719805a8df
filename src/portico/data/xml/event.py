"""What a document consists of, piece by piece."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ALWAYS", "KINDS", "Event"]

ALWAYS = ("start", "end", "text", "comment", "instruction")
KINDS = (*ALWAYS, "cdata", "doctype", "namespace")


class Event(NamedTuple):
    """Something in a document. ``line`` and ``column``: where it begins, from 1; of a document
    type, where its name and identifiers have ended.

    ========================  ==========================================================================
    ``kind``                  what else it has
    ========================  ==========================================================================
    ``"start"``, ``"end"``    of an element: ``name`` (``{namespace}local``), ``attributes`` by such names
    ``"text"``                ``text``: all that stands between two other events, references resolved
    ``"cdata"``               where it is asked for: ``text`` of one CDATA section, else it is in a text
    ``"comment"``             ``text``
    ``"instruction"``         ``name``, its target, and ``text``
    ``"doctype"``             ``name`` of the root; ``attributes``: ``public`` and ``system``, if it has them
    ``"namespace"``           ``name``: a prefix or ``""``, ``text``: its namespace; before its element
    ========================  ==========================================================================
    """

    kind: str
    name: str
    attributes: dict[str, str]
    text: str
    line: int
    column: int

    @property
    def namespace(self) -> str:
        """That of the name; ``""``: none."""
        return self.name[1:].rpartition("}")[0] if self.name.startswith("{") else ""

    @property
    def local(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition("}")[2]
