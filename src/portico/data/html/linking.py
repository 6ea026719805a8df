"""The links of a page while it arrives: told by tags alone, so that no tree is needed and none comes late."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from portico.data.html.event import EndTag, Event, StartTag, Text
from portico.data.html.joining import Join, joiner
from portico.data.html.tokens import Tokenizer
from portico.errors import ConfigError
from portico.limits import Limits

__all__ = ["KINDS", "Link", "links_in", "refresh_of"]

KINDS: dict[str, tuple[str, ...]] = {
    "a": ("href",),
    "area": ("href",),
    "link": ("href", "imagesrcset"),
    "img": ("src", "srcset"),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
    "source": ("src", "srcset"),
    "script": ("src",),
    "iframe": ("src",),
    "frame": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "input": ("src", "formaction"),
    "button": ("formaction",),
    "form": ("action",),
    "blockquote": ("cite",),
    "q": ("cite",),
    "ins": ("cite",),
    "del": ("cite",),
    "meta": ("content",),
}
"""Elements with links, and the attributes that hold them; ``meta``: one that refreshes."""

_PLAIN = {name: names[0] for name, names in KINDS.items() if len(names) == 1 and name != "meta"}
_HEAD = frozenset("html head title meta link script style base noscript template noframes".split())
_WAITING = 1000
"""Links of a head that wait for its ``base``; the real ones have some tens."""
_TEXT = 65536
"""Characters of a link's text; then it comes without the rest."""
_SETS = frozenset(("srcset", "imagesrcset"))
_CANDIDATE = re.compile(r"[\t\n\f\r ,]*+([^\t\n\f\r ]++)([^,(]*+(?:\([^)]*+\)[^,(]*+)*+)")
_REFRESH = re.compile(
    r"[\t\n\f\r ]*+[0-9.]++[\t\n\f\r ]*+[;,]?[\t\n\f\r ]*+(?:url[\t\n\f\r ]*+=[\t\n\f\r ]*+)?"
    r"""(?:"([^"]*)|'([^']*)|([^"'\t\n\f\r ].*))""",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)


class Link(NamedTuple):
    """A link. ``url``: absolute, where the base is, and as the URL standard writes it. ``text``: what is
    between the tags of an ``a``, or stands for a picture. ``rel``: its words in lower case. ``kind``: the
    element's name. ``attribute``: which of its attributes it is."""

    url: str
    text: str
    rel: tuple[str, ...]
    kind: str
    attribute: str


def links_in(
    pieces: Iterable[str],
    base: str,
    *,
    limits: Limits,
    source: str,
    kinds: Iterable[str] | None = None,
    join: Join | None = None,
) -> Iterator[Link]:
    """The links of a page that comes in pieces: see ``portico.data.html.links``."""
    wanted = frozenset(KINDS if kinds is None else kinds)
    if not wanted <= KINDS.keys():
        raise ConfigError(f"kinds={sorted(wanted - KINDS.keys())}: links are in {', '.join(KINDS)}")
    tokens = Tokenizer(limits, source, wanted)
    finder = _Finder(tokens, base, wanted, join)
    for piece in pieces:
        yield from finder.take(tokens.feed(piece))
    yield from finder.take(tokens.close())
    yield from finder.rest()


class _Finder:
    def __init__(self, tokens: Tokenizer, base: str, wanted: frozenset[str], join: Join | None) -> None:
        self._tokens = tokens
        self._wanted = wanted
        self._based = False
        self._join_with: Callable[[str], Join] = (lambda _: join) if join else joiner
        self._join = self._join_with(base)
        self._templates = 0
        self._head = tokens.whole = True  # while it lasts, all tags matter: they end it
        self._found: list[Link] = []
        self._waiting: list[tuple[str, str, StartTag]] = []  # what is written, its attribute, its tag
        self._anchor = False
        self._text: list[str] = []
        self._size = 0

    def take(self, events: Iterator[Event]) -> Iterator[Link]:
        for event in events:
            match event:
                case StartTag():
                    self._start(event)
                case Text(text):
                    if self._anchor:
                        self._add_text(text)
                case EndTag(name):
                    self._end(name)
                case _:
                    continue
            if self._found:
                yield from self._found
                self._found.clear()

    def rest(self) -> list[Link]:
        """Those that waited for what has not come."""
        self._flush()
        return self._found

    def _start(self, tag: StartTag) -> None:
        name = tag.name
        if self._head and (name not in _HEAD or len(self._waiting) > _WAITING):
            self._flush()
        if name == "template":
            self._templates += 1
        elif self._templates:
            return
        elif name == "base":
            self._set_base(tag)
        elif name == "a" and self._anchor:
            self._flush()
        if name in self._wanted:
            self._add(tag)

    def _add(self, tag: StartTag) -> None:
        text = tag.text
        for written, attribute in _written(tag):
            if tag.name == "a" and text is None:
                self._anchor = self._tokens.whole = True
            if self._head or self._anchor:
                self._waiting.append((written, attribute, tag))
            else:
                self._make(written, attribute, tag, text)

    def _end(self, name: str) -> None:
        if name == "template":
            self._templates = max(0, self._templates - 1)
        elif (name == "head" and self._head) or (name == "a" and self._anchor and not self._templates):
            self._flush()

    def _add_text(self, text: str) -> None:
        if not self._templates:
            self._text.append(text)
            self._size += len(text)
            if self._size > _TEXT or len(self._waiting) > _WAITING:
                self._flush()

    def _flush(self) -> None:
        """Those that waited come out; of them, the first is the ``a`` whose text has come."""
        text = "".join(self._text)
        self._head = self._anchor = self._tokens.whole = False
        for written, attribute, tag in self._waiting:
            self._make(written, attribute, tag, text if tag.name == "a" else None)
        self._waiting, self._text, self._size = [], [], 0

    def _set_base(self, tag: StartTag) -> None:
        """The first one counts (4.2.3)."""
        if not self._based and "href" in tag.attributes:
            self._based = True
            base = self._join(tag.attributes["href"])
            if base:
                self._join = self._join_with(base)

    def _make(self, written: str, attribute: str, tag: StartTag, text: str | None) -> None:
        url = self._join(written)
        if url:
            given = tag.attributes
            text = text or given.get("alt", "")
            rel = tuple(given["rel"].lower().split()) if "rel" in given else ()
            self._found.append(Link(url, " ".join(text.split()), rel, tag.name, attribute))


def _written(tag: StartTag) -> list[tuple[str, str]]:
    """What the page has in an element's attributes, and the attributes' names."""
    if tag.name in _PLAIN:
        value = tag.attributes.get(_PLAIN[tag.name])
        return [] if value is None else [(value, _PLAIN[tag.name])]
    found: list[tuple[str, str]] = []
    for attribute in KINDS[tag.name]:
        value = tag.attributes.get(attribute)
        if value is None or (attribute == "xlink:href" and found):
            continue
        if attribute in _SETS:
            found += [(each, attribute) for each in _candidates(value)]
        elif tag.name != "meta":
            found.append((value, attribute))
        elif tag.attributes.get("http-equiv", "").strip().lower() == "refresh":
            refresh = refresh_of(value)
            if refresh is not None:
                found.append((refresh, attribute))
    return found


def refresh_of(content: str) -> str | None:
    """Where a ``meta`` leads that refreshes (4.2.5.3); ``None``: it only loads the page again."""
    found = _REFRESH.match(content)
    return None if found is None else next(each for each in found.groups() if each is not None)


def _candidates(value: str) -> Iterator[str]:
    """The URLs of a ``srcset`` (4.8.4.2.1)."""
    at = 0
    while (found := _CANDIDATE.match(value, at)) is not None:
        url, at = found[1], found.end()
        if url.endswith(","):
            url, at = url.rstrip(","), found.end(1)
        if url:
            yield url
