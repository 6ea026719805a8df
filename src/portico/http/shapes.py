"""What the heads of one connection have in common: all of the header block but the values of some fields.

A client on a kept connection sends the same fields in the same order, and few of their values change: a
cookie, a trace id, what is accepted. So the block is kept as fixed pieces with gaps. A head that fits costs
one comparison a piece and one check a gap; what does not fit is parsed, and may widen the shape::

    Host: a\\r\\nAccept: */*\\r\\nCookie:|          |\\r\\nTE: trailers\\r\\n\\r\\n
    first piece                        a gap       second piece
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from portico.http.fields import TEXT
from portico.http.framing import FRAMING_FIELDS
from portico.http.messages import Facts, Fields

__all__ = ["Shape"]

_GAPS: Final = 8
"""Beyond so many changing fields, parsing anew is no dearer."""


class Shape:
    """A header block with gaps. ``facts`` and ``http11`` are those of every request that has it.

    No gap is in a field that frames the message, nor in one that occurs twice: so the facts hold whatever
    stands in the gaps, and a gap's value is all there is of its field.
    """

    __slots__ = ("_fields", "_first", "_gaps", "_rest", "facts", "http11")

    def __init__(
        self, block: bytes, fields: Fields, facts: Facts, http11: bool, gaps: Sequence[int] = ()
    ) -> None:
        self.facts = facts
        self.http11 = http11
        self._fields = fields
        self._gaps = gaps  # which fields, in order
        self._first, *rest = _pieces(block, gaps) if gaps else (block,)
        self._rest = [(fields[gap][0], piece) for gap, piece in zip(gaps, rest, strict=True)]

    def match(self, data: bytes | bytearray, at: int) -> tuple[int, Fields] | None:
        """Where the block that begins at ``at`` ends, and the fields in the gaps. ``None``: it has
        another shape, or is not complete, or not valid."""
        first = self._first
        if not data.startswith(first, at):
            return None
        at += len(first)
        if not self._rest:
            return at, ()
        changed = []
        for name, piece in self._rest:
            end = data.find(b"\r\n", at)
            if end < 0 or not data.startswith(piece, end):
                return None
            value = data[at:end].decode("latin-1")
            # What is printable is allowed; looking closer costs more.
            if not value.isprintable() and data[at:end].translate(None, TEXT):
                return None
            changed.append((name, value.strip(" \t")))
            at = end + len(piece)
        return at, tuple(changed)

    def fill(self, changed: Fields) -> Fields:
        """All fields of a head that has these in the gaps."""
        fields = [*self._fields]
        for gap, field in zip(self._gaps, changed, strict=True):
            fields[gap] = field
        return tuple(fields)

    def widened(self, block: bytes, fields: Fields, http11: bool) -> Shape | None:
        """The shape that this block has, too: with gaps where it differs. ``None``: it differs too much."""
        if len(fields) != len(self._fields) or http11 is not self.http11:
            return None
        names = [name for name, _ in fields]
        gaps = []
        for number, (old, new) in enumerate(zip(self._fields, fields, strict=True)):
            if old[0] != new[0]:
                return None
            if old[1] != new[1] or number in self._gaps:
                if new[0] in FRAMING_FIELDS or names.count(new[0]) > 1:
                    return None
                gaps.append(number)
        return Shape(block, fields, self.facts, http11, gaps) if len(gaps) <= _GAPS else None

    def gaps_of(self, fields: Fields) -> Fields:
        """Those of the fields of a head of this shape that stand in its gaps."""
        return tuple([fields[gap] for gap in self._gaps])


def _pieces(block: bytes, gaps: Sequence[int]) -> list[bytes]:
    """What stands between the gaps. A gap begins after its field's colon and ends before its line's end."""
    pieces = []
    begin = at = 0
    for number, line in enumerate(block[:-4].split(b"\r\n")):
        if number in gaps:
            pieces.append(block[begin : at + line.index(b":") + 1])
            begin = at + len(line)
        at += len(line) + 2
    pieces.append(block[begin:])
    return pieces
