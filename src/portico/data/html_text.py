"""The text of a page as a person reads it: the standard's ``innerText`` (3.2.7), with the usual style sheet
(15.3), for there is no other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["text_of", "walk"]

_HIDDEN = frozenset(
    """area audio base basefont canvas datalist embed head iframe link meta noembed noframes object param rp
    script source style svg template title track video""".split()
)
"""Not shown, or no text where it is shown."""
_BLOCKS = frozenset(
    """address article aside blockquote body caption center dd details dialog dir div dl dt fieldset
    figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu
    nav ol optgroup option p plaintext pre search section summary table tbody tfoot thead tr ul xmp""".split()
)
_PARAGRAPH = 2
_PRE = frozenset("listing plaintext pre textarea xmp".split())
_NOT_SHOWN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
_SPACES = re.compile(r"[\t\n\f\r ]+")
_CELLS = frozenset(("td", "th"))


def text_of(root: Any, without: str = "") -> str:
    """The text of a node and what is in it, lines as a browser breaks them, paragraphs with a blank line
    between, cells of a row with tabs between. ``without``: an element that is left out."""
    text = _Lines()
    for node, begins in walk(root, lambda node: node.tag == without or _is_hidden(node)):
        name = node.tag
        if name == "-text":
            text.add(node.text_content or "")
        elif begins:
            text.begin(name)
        else:
            text.end(name, node.mem_id != root.mem_id and _has_next_cell(node))
    return text.whole()


def walk(root: Any, skipped: Callable[[Any], bool]) -> Iterator[tuple[Any, bool]]:
    """Every node in order: where it begins, and an element also where it ends. Deep pages take no more than
    wide ones. What is in an element for which ``skipped`` is true is left out, and itself."""
    end, node = root.mem_id, root
    while True:
        entered = None
        if node.is_text_node:
            yield node, True
        elif node.is_element_node and (node.mem_id == end or not skipped(node)):
            yield node, True
            entered = node.first_child
            if entered is None:
                yield node, False
        if entered is None:
            while node.mem_id != end and node.next is None:
                node = node.parent
                yield node, False
            if node.mem_id == end:
                return
            entered = node.next
        node = entered


class _Lines:
    """Text as it becomes lines."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._breaks = 0  # line ends that are due before the next text
        self._space = False  # a space is due before the next text of this line
        self._pre = 0

    def add(self, text: str) -> None:
        if self._pre:
            self._put(text)
            return
        words = _SPACES.sub(" ", text)
        inner = words.strip(" ")
        if words[:1] == " ":
            self._space = True
        if inner:
            self._put(inner)
            self._space = words[-1] == " "

    def begin(self, name: str) -> None:
        if name in _BLOCKS:
            self._break(_PARAGRAPH if name == "p" else 1)
        if name in _PRE:
            self._pre += 1
        elif name == "br":
            self._settle()
            self._parts.append("\n")

    def end(self, name: str, cell_follows: bool) -> None:
        if name in _PRE:
            self._pre -= 1
        if name in _BLOCKS:
            self._break(_PARAGRAPH if name == "p" else 1)
        elif cell_follows:
            self._settle()
            self._parts.append("\t")

    def whole(self) -> str:
        return "".join(self._parts).strip("\n")

    def _break(self, lines: int) -> None:
        self._breaks = max(self._breaks, lines)
        self._space = False

    def _settle(self) -> None:
        if self._breaks and self._parts:
            self._parts.append("\n" * self._breaks)
        self._breaks, self._space = 0, False

    def _put(self, text: str) -> None:
        if self._space and self._parts and not self._breaks and not self._parts[-1].endswith(("\n", "\t")):
            self._parts.append(" ")
        self._settle()
        self._parts.append(text)


def _is_hidden(node: Any) -> bool:
    if node.tag in _HIDDEN:
        return True
    given = node.attributes
    if not given:
        return False
    if "hidden" in given or (node.tag == "dialog" and "open" not in given):
        return True
    return bool(given.get("style")) and _NOT_SHOWN.search(given["style"]) is not None


def _has_next_cell(node: Any) -> bool:
    node = node.next if node.tag in _CELLS else None
    while node is not None:
        if node.tag in _CELLS:
            return True
        node = node.next
    return False
