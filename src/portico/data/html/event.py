"""What a page is made of, as it is written."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Comment", "Doctype", "EndTag", "Event", "StartTag", "Text"]


@dataclass(slots=True)
class StartTag:
    """``name`` in lower case. ``attributes``: the first of each name. ``closed``: whether it ends in ``/>``,
    which means something in SVG and MathML only. ``text``: of a link, where the tokenizer passes over the
    rest and nothing but text was before its end tag."""

    name: str
    attributes: dict[str, str]
    closed: bool = False
    text: str | None = None


@dataclass(slots=True)
class EndTag:
    """``name`` in lower case."""

    name: str


@dataclass(slots=True)
class Text:
    """Some text, whose references are resolved; one text may come in several events."""

    text: str


@dataclass(slots=True)
class Comment:
    """A comment, and what else the standard takes for one (``<?…>``, ``<!…>``, ``</…>``)."""

    text: str


@dataclass(slots=True)
class Doctype:
    """``name`` in lower case: ``html``."""

    name: str


Event = StartTag | EndTag | Text | Comment | Doctype
