"""What a page says of itself: title, language, description, Open Graph, JSON-LD, icons, feeds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from portico.data.html.joining import Join, joiner
from portico.data.html.linking import refresh_of

__all__ = ["Metadata", "metadata_of"]

_FEEDS = frozenset("application/rss+xml application/atom+xml application/feed+json".split())
_ICONS = frozenset("icon apple-touch-icon apple-touch-icon-precomposed mask-icon".split())
_GRAPH = ("og:", "article:", "book:", "profile:", "video:", "music:", "fb:")
_MOST = 1 << 20
"""Characters of one JSON-LD document: those of real pages stay below a tenth of it."""


@dataclass(slots=True)
class Metadata:
    """What a page says of itself; ``""`` or nothing for what it does not say. URLs are absolute where the
    page's is known.

    ``names``: the ``content`` of each ``meta``, by its ``name`` in lower case. ``graph``: that of Open Graph
    (``og:…``) by property, all values. ``data``: its JSON-LD documents; one that is no JSON, or says NaN, is
    left out. ``base``: what its references are relative to. ``refresh``: where it leads by itself.
    ``alternates``: the same in other languages."""

    title: str = ""
    language: str = ""
    charset: str = ""
    base: str = ""
    canonical: str = ""
    refresh: str = ""
    names: dict[str, str] = field(default_factory=dict)
    graph: dict[str, list[str]] = field(default_factory=dict)
    data: list[Any] = field(default_factory=list)
    icons: list[str] = field(default_factory=list)
    feeds: list[str] = field(default_factory=list)
    alternates: dict[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """In the page's words, or in those for others."""
        return self.names.get("description") or next(iter(self.graph.get("og:description", [])), "")

    @property
    def robots(self) -> tuple[str, ...]:
        """What it asks of robots: ``noindex``, ``nofollow``."""
        return tuple(word.strip().lower() for word in self.names.get("robots", "").split(",") if word.strip())


def metadata_of(tree: Any, base: str, charset: str) -> Metadata:
    """That of a page, of which ``base`` is the URL and ``charset`` the codec."""
    join = _join_of(tree, base)
    found = Metadata(charset=charset, base=join(""))
    title, root = tree.css_first("head title"), tree.root
    found.title = "" if title is None else " ".join(title.text().split())
    found.language = (root.attributes.get("lang") or "").strip()
    for node in tree.css("meta"):
        _take_meta(found, {name: value or "" for name, value in node.attributes.items()}, join)
    for node in tree.css("link[rel][href]"):
        _take_link(found, {name: value or "" for name, value in node.attributes.items()}, join)
    for node in tree.css('script[type="application/ld+json" i]'):
        _take_data(found, node.text())
    return found


def _join_of(tree: Any, base: str) -> Join:
    join = joiner(base)
    node = tree.css_first("base[href]")
    own = "" if node is None else join(node.attributes.get("href") or "")
    return joiner(own) if own else join


def _take_meta(found: Metadata, given: dict[str, str], join: Join) -> None:
    content = given.get("content", "").strip()
    name, key = given.get("name", "").strip().lower(), given.get("property", "").strip().lower()
    if name and content:
        found.names.setdefault(name, content)
    if (key or name).startswith(_GRAPH) and content:
        found.graph.setdefault(key or name, []).append(content)
    if given.get("http-equiv", "").strip().lower() == "refresh" and not found.refresh:
        found.refresh = join(refresh_of(content) or "")
    if given.get("http-equiv", "").strip().lower() == "content-language" and not found.language:
        found.language = content


def _take_link(found: Metadata, given: dict[str, str], join: Join) -> None:
    words, url = given["rel"].lower().split(), join(given.get("href", ""))
    kind = given.get("type", "").partition(";")[0].strip().lower()
    if not url:
        return
    if "canonical" in words and not found.canonical:
        found.canonical = url
    if not _ICONS.isdisjoint(words):
        found.icons.append(url)
    if "alternate" in words and "stylesheet" not in words:
        if kind in _FEEDS:
            found.feeds.append(url)
        elif "hreflang" in given:
            found.alternates.setdefault(given["hreflang"].strip().lower(), url)


def _take_data(found: Metadata, text: str) -> None:
    if len(text) > _MOST:
        return
    try:
        found.data.append(json.loads(text, parse_constant=_no_number))
    except (ValueError, RecursionError):  # a script of the page's; the page can be read without it
        return


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
