"""A page as events while it arrives: the HTML standard's tokenizer (13.2.5), fed with pieces of text.

What a tree would tell it, it keeps itself: which elements hold raw text, and where SVG or MathML
begins and ends, in which they do not. Every state takes what it has read out of the way, so that a token may
come in any number of pieces; its size is bounded by ``Limits.html_token``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator

from portico.data.html.event import Comment, Doctype, EndTag, Event, StartTag, Text
from portico.data.html.foreign import Foreign
from portico.data.html.lexis import ATTRIBUTE, RAW, TAG, lower, unescape
from portico.data.html.raw import RawText
from portico.data.html.tag import TagInPieces, attributes_in, check_size, named
from portico.limits import Limits

__all__ = ["UNBUILT", "Tokenizer"]

UNBUILT = 64
"""Where no tree is made, elements may be so many times as deep in each other: they only have to be known."""
State = Callable[[str, int], int]
"""Reads from a place in a text, and says how far it came; ``Tokenizer._event`` is what it found."""

_LINK_TEXT = re.compile(r"([^<]*+)</[aA][\t\n\f\r ]*+>")
_LESS = re.compile("<+(?=<)")
"""All but the last of several, which may begin a tag."""
_COMMENT_END = re.compile(r"--!?>")
_COMMENT_ENDING = re.compile(r"(?:--!?|-)\Z")
_WORD = re.compile(r"[\t\n\f\r ]*+([^\t\n\f\r ]*+)")
_UNDECIDED = re.compile(r"&[#0-9A-Za-z]{0,35}\Z", re.ASCII)
"""A reference that may go on in the next piece."""
_KINDS = ("--", "doctype", "[cdata[")
_ALWAYS = RAW | {"svg", "math", "template", "base"}


class Tokenizer:
    """``feed`` it pieces of text, and ``close`` it at the end; each gives events.

    With ``wanted``, names of elements, it passes over all else while ``whole`` is false, at several times the
    speed: only their start tags come then, and what it needs itself. ``passed`` is told of it: a text, and
    from where to where in it there are only whole tags and text. ``tag_is_foreign``: whether the start tag
    that came last is one of SVG or MathML; ``foreign``: what is open of those, as far as their own tags tell.
    """

    tag_is_foreign = False

    def __init__(
        self,
        limits: Limits,
        source: str,
        wanted: frozenset[str] | None = None,
        passed: Callable[[str, int, int], object] | None = None,
    ) -> None:
        self.whole = wanted is None
        self._passed = passed
        self._skipped = _skipping(wanted or frozenset())
        self._source = source
        self._most = limits.html_token
        self._most_attributes = limits.html_attributes
        self._state: State | None = None
        self._event: Event | None = None
        self._rest = ""
        self._final = False
        self.foreign = Foreign(UNBUILT * limits.html_depth, source)
        self._raw = RawText("")
        self._parts: list[str] = []  # of what is being read: a name, a value, a comment
        self._size = 0
        self._pieces: TagInPieces

    def feed(self, piece: str) -> Iterator[Event]:
        """The events of one more piece. All of them are to be taken before the next one is fed."""
        text = self._rest + piece
        if "\r" in text:
            held = text.endswith("\r") and not self._final
            text = (text[:-1] if held else text).replace("\r\n", "\n").replace("\r", "\n")
        else:
            held = False
        at = 0
        while True:
            before, state = at, self._state
            at = (yield from self._data(text, at)) if state is None else state(text, at)
            if self._event is not None:
                event, self._event = self._event, None
                yield event
            if at == before and state == self._state:
                break
        self._rest = text[at:] + ("\r" if held else "")

    def close(self) -> Iterator[Event]:
        """The events of what is left at the end."""
        self._final = True
        yield from self.feed("")
        if self._state == self._comment:
            text = _COMMENT_ENDING.sub("", "".join([*self._parts, self._rest]))
            yield Comment(text.replace("\0", "\ufffd"))
        elif self._state in (self._bogus, self._doctype):
            yield _markup_of(self._state == self._doctype, "".join([*self._parts, self._rest]))

    def is_foreign(self) -> bool:
        """Whether the innermost element is one of SVG or MathML, in which it is not HTML again."""
        return self.foreign.markup

    # -- text

    def _data(self, text: str, at: int) -> Generator[Event, None, int]:
        size = len(text)
        while at < size:
            if not self.whole and not self.foreign:
                begin, at = at, self._skipped(text, at).end()  # type: ignore[union-attr]  # it may be empty
                if self._passed is not None and at > begin:
                    self._passed(text, begin, at)
                if at == size:
                    return at
            elif text[at] != "<":
                begin, at = at, text.find("<", at)
                if at < 0:
                    at = self._decided(text, begin)
                    if at == begin:
                        return at
                if found := unescape(text[begin:at]).replace("\0", ""):
                    yield Text(found)
                continue
            tag = TAG.match(text, at)
            if tag is None:
                return self._markup(text, at)
            at = tag.end()
            if not self.whole and tag[1] == "a" and not self.foreign:
                plain = _LINK_TEXT.match(text, at)
                if plain is not None:
                    at = plain.end()
                    attributes = attributes_in(tag[2], self._most_attributes, self._source)
                    yield StartTag("a", attributes, False, unescape(plain[1]).replace("\0", ""))
                    continue
            yield self._whole_tag(tag)
            if self._state is not None:
                return at
        return at

    def _decided(self, text: str, begin: int) -> int:
        """Where text ends that is at an end of its piece."""
        undecided = None if self._final else _UNDECIDED.search(text, max(begin, len(text) - 40))
        return len(text) if undecided is None else undecided.start()

    def _whole_tag(self, tag: re.Match[str]) -> Event:
        name = named(tag[1])
        if name[0] == "/":
            return self._ended(name[1:])
        last = tag.end() - 2
        attributes = attributes_in(tag[2], self._most_attributes, self._source)
        return self._started(StartTag(name, attributes, tag.string[last] == "/" and last >= tag.end(2)))

    def _started(self, tag: StartTag) -> StartTag:
        self._state = None
        self.tag_is_foreign = False
        if tag.name in _ALWAYS or self.foreign:
            self.tag_is_foreign = markup = self.foreign.start(tag.name, tag.attributes, tag.closed)
            if tag.name in RAW and not markup:
                self._raw, self._state = RawText(tag.name), self._raw_text
        return tag

    def _ended(self, name: str) -> EndTag:
        self._state = None
        if self.foreign:
            self.foreign.end(name)
        return EndTag(name)

    def _raw_text(self, text: str, at: int) -> int:
        end, over = self._raw.find(text, at, final=self._final)
        if self._raw.references and not over:
            end = min(end, max(at, self._decided(text[:end], at)))
        if over:
            self._state = None
        if end > at and self.whole:
            found = text[at:end].replace("\0", "\ufffd")
            self._event = Text(unescape(found) if self._raw.references else found)
        return end

    # -- markup

    def _markup(self, text: str, at: int) -> int:
        """At a ``<`` that begins no tag, or one that is not whole yet."""
        second, third = text[at + 1 : at + 2], text[at + 2 : at + 3]
        letter = third if second == "/" else second
        if letter.isascii() and letter.isalpha():
            self._pieces = TagInPieces(second == "/", self._most, self._most_attributes, self._source)
            self._state = self._tag
            return at + (2 if second == "/" else 1)
        if second == "?" or (second == "/" and third not in ("", ">")):
            return self._begin(self._bogus, at + (1 if second == "?" else 2))
        if second == "!":
            return self._declaration(text, at)
        if second == "/" and third == ">":
            return at + 3
        if not self._final and (not second or second == "/"):
            return at
        run = _LESS.match(text, at) if second == "<" else None
        end = at + 1 if run is None else run.end()
        if self.whole:
            self._event = Text(text[at:end])
        return end

    def _begin(self, state: State, at: int) -> int:
        self._state, self._parts, self._size = state, [], 0
        return at

    def _declaration(self, text: str, at: int) -> int:
        kind = text[at + 2 : at + 9].lower()
        if not self._final and any(kind != each and each.startswith(kind) for each in _KINDS):
            return at
        if kind.startswith("--"):
            return self._begin(self._comment_start, at + 4)
        if kind == "doctype":
            return self._begin(self._doctype, at + 9)
        if text.startswith("[CDATA[", at + 2) and self.foreign.markup:
            return self._begin(self._cdata, at + 9)
        return self._begin(self._bogus, at + 2)

    def _comment_start(self, text: str, at: int) -> int:
        beginning = text[at : at + 2]
        if beginning in ("", "-") and not self._final:
            return at
        self._state = self._comment
        for end in (">", "->"):
            if beginning.startswith(end):
                self._state = None
                self._event = Comment("")
                return at + len(end)
        return at

    def _comment(self, text: str, at: int) -> int:
        end = _COMMENT_END.search(text, at)
        if end is None:
            return self._held(text, at, max(at, len(text) - 3))
        self._held(text, at, end.start())
        self._state = None
        self._event = Comment("".join(self._parts).replace("\0", "\ufffd"))
        return end.end()

    def _bogus(self, text: str, at: int) -> int:
        return self._until_greater(text, at, False)

    def _doctype(self, text: str, at: int) -> int:
        return self._until_greater(text, at, True)

    def _until_greater(self, text: str, at: int, doctype: bool) -> int:
        end = text.find(">", at)
        if end < 0:
            return self._held(text, at, len(text))
        self._held(text, at, end)
        self._state = None
        self._event = _markup_of(doctype, "".join(self._parts))
        return end + 1

    def _cdata(self, text: str, at: int) -> int:
        end = text.find("]]>", at)
        stop = end if end >= 0 else len(text) if self._final else max(at, len(text) - 2)
        if end >= 0:
            self._state = None
        if stop > at and self.whole:
            self._event = Text(text[at:stop])
        return end + 3 if end >= 0 else stop

    def _tag(self, text: str, at: int) -> int:
        at = self._pieces.take(text, at)
        if self._pieces.done:
            name, attributes, slash = self._pieces.name, self._pieces.attributes, self._pieces.slash
            starts = name[0] != "/"
            self._event = (
                self._started(StartTag(name, attributes, slash)) if starts else self._ended(name[1:])
            )
        return at

    def _held(self, text: str, at: int, end: int) -> int:
        """Keep a part of what is being read."""
        if end > at:
            self._parts.append(text[at:end])
            self._size += end - at
            check_size(self._size, self._most, self._source)
        return end


def _markup_of(doctype: bool, text: str) -> Event:
    text = text.replace("\0", "\ufffd")
    word = _WORD.match(text)
    return Doctype(lower(word[1] if word else "")) if doctype else Comment(text)


def _skipping(wanted: frozenset[str]) -> Callable[[str, int], re.Match[str] | None]:
    """What passes over all text, and all tags that are of no interest."""
    names = "|".join(sorted(wanted | _ALWAYS))
    other = rf"(?!(?:{names})[\t\n\f\r />])[A-Za-z][^\t\n\f\r />]*+"
    plain = r"""(?:[\t\n\f\r ]++[A-Za-z-]++="[^"]*+")*+"""  # most tags, at a third of the cost
    return re.compile(
        rf"(?:[^<]++|<{other}(?:{plain}>|(?:{ATTRIBUTE})*+[\t\n\f\r /]*+>)"
        rf"|</(?!template[\t\n\f\r />])[A-Za-z][^\t\n\f\r />]*+(?:>|(?:{ATTRIBUTE})*+[\t\n\f\r /]*+>))*+",
        re.IGNORECASE | re.ASCII,
    ).match
