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
_MAY_BE_HIDDEN = "[hidden], dialog:not([open]), [style*=display i], [style*=visibility i]"
_NOT_SHOWN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)
_SPACES = re.compile(r"[\t\n\f\r ]+")
_TEXT = "-text"
"""What the library calls a node of text."""
_CELLS = frozenset(("td", "th"))


def text_of(root: Any, without: str = "") -> str:
    """The text of a node and what is in it, lines as a browser breaks them, paragraphs with a blank line
    between, cells of a row with tabs between. ``without``: a block that is left out. The node itself is read
    even if it is hidden."""
    only = root.first_child
    if only is None:
        return ""
    if only.is_text_node and only.next is None:  # most cells
        alone: str = only.text_content or ""
        if alone.isprintable() and "  " not in alone and alone[:1] != " " != alone[-1:]:
            return alone
        if root.tag not in _PRE:
            return _collapsed(alone).strip(" ")
    text = _Lines()
    hidden = {node.mem_id for node in root.css(_MAY_BE_HIDDEN) if _is_hidden(node)}

    def left_out(node: Any, name: str) -> bool:
        if name in _HIDDEN or (hidden and node.mem_id in hidden):
            return True
        if name == without:
            text.begin(name)  # what comes after it is on another line all the same
            return True
        return False

    for node, name, begins in walk(root, left_out):
        if name == _TEXT:
            text.add(node.text_content or "")
        elif begins:
            text.begin(name)
        else:
            text.end(name, name in _CELLS and node.mem_id != root.mem_id and _has_next_cell(node))
    return text.whole()


def walk(root: Any, left_out: Callable[[Any, str], bool]) -> Iterator[tuple[Any, str, bool]]:
    """Every text and element in order, with its name: where it begins, and an element also where it ends.
    Deep pages take no more than wide ones. What is in an element for which ``left_out`` is true is left out,
    and itself."""
    node = root
    open_: list[str] = []
    while True:
        entered = None
        name = node.tag or ""
        if name == _TEXT:
            yield node, name, True
        elif name[:1] != "-" and node.is_element_node and (not open_ or not left_out(node, name)):
            yield node, name, True
            entered = node.first_child
            if entered is None:
                yield node, name, False
            else:
                open_.append(name)
        if entered is None:
            while open_ and (entered := node.next) is None:
                node = node.parent
                yield node, open_.pop(), False
            if not open_:
                return
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
        words = _collapsed(text)
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


def _collapsed(text: str) -> str:
    """White space as it is shown: one space."""
    return text if text.isprintable() and "  " not in text else _SPACES.sub(" ", text)


def _is_hidden(node: Any) -> bool:
    given = node.attributes
    if "hidden" in given or node.tag == "dialog":
        return True
    return _NOT_SHOWN.search(given.get("style") or "") is not None


def _has_next_cell(node: Any) -> bool:
    node = node.next
    while node is not None:
        if node.tag in _CELLS:
            return True
        node = node.next
    return False
