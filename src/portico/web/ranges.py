"""Parts of a representation: the Range header and its answers (RFC 9110, section 14), pure.

A header that cannot be read, or asks for more than is fair, is ignored and the whole is sent, as 14.2
advises: ranges are an optimisation, and a client must cope with a 200.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["MAX_RANGES", "Multipart", "Span", "content_range", "parse_ranges", "unsatisfied"]

MAX_RANGES = 16
"""More ranges in one request than a reader of documents needs; beyond it the whole is sent."""

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_HUGE = 1 << 62


class Span(NamedTuple):
    """``length`` bytes from ``offset``."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + self.length


def parse_ranges(value: str, size: int, *, most: int = MAX_RANGES) -> list[Span] | None:
    """What a Range header asks of ``size`` bytes.

    ``None``: send the whole (another unit, bad syntax, more than ``most`` ranges, or together more
    than the whole). An empty list: nothing of it exists (416). Otherwise the spans, in the order asked
    for; where some overlap, merged and ascending (RFC 9110, 15.3.7.2).
    """
    unit, equals, listed = value.partition("=")
    if not equals or unit.lower() != "bytes":
        return None
    specs = [spec for spec in (part.strip(" \t") for part in listed.split(",")) if spec]
    if not specs or len(specs) > most:
        return None
    spans = []
    for spec in specs:
        bounds = _bounds(spec)
        if bounds is None:
            return None
        span = _clip(bounds, size)
        if span is not None:
            spans.append(span)
    if any(span.length == 0 for span in spans) or sum(span.length for span in spans) > size:
        return None
    return _merged(spans)


def content_range(span: Span, size: int) -> str:
    """The Content-Range of a part."""
    return f"bytes {span.offset}-{span.end - 1}/{size}"


def unsatisfied(size: int) -> str:
    """The Content-Range of a 416 (RFC 9110, 14.4)."""
    return f"bytes */{size}"


class Multipart:
    """The framing of several parts in one answer (``multipart/byteranges``, RFC 9110, 14.6).

    ``boundary`` must be unguessable for whoever wrote the content. ``heads[i]`` goes before the bytes
    of ``spans[i]``, ``tail`` behind the last; ``length`` is all of it, parts included.
    """

    def __init__(self, spans: Sequence[Span], size: int, kind: str, boundary: str) -> None:
        self.media_type = f"multipart/byteranges; boundary={boundary}"
        self.heads = [
            f"\r\n--{boundary}\r\nContent-Type: {kind}\r\n"
            f"Content-Range: {content_range(span, size)}\r\n\r\n".encode("latin-1")
            for span in spans
        ]
        self.heads[0] = self.heads[0][2:]  # no empty line between the head of the answer and the first part
        self.tail = f"\r\n--{boundary}--\r\n".encode("latin-1")
        self.length = sum(map(len, self.heads)) + sum(span.length for span in spans) + len(self.tail)


def _bounds(spec: str) -> tuple[int | None, int | None] | None:
    """``first-last``, ``first-`` or ``-suffix`` as numbers; ``None`` when it is none of these."""
    match = _SPEC.fullmatch(spec)
    if match is None or spec == "-":
        return None
    first, last = (_number(digits) for digits in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return first, last


def _number(digits: str) -> int | None:
    """A number of any length, without the cost of converting absurd ones."""
    if not digits:
        return None
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) < 19 else _HUGE


def _clip(bounds: tuple[int | None, int | None], size: int) -> Span | None:
    """The bytes that exist of what was asked for; ``None`` when it cannot be satisfied."""
    first, last = bounds
    if first is None:
        length = min(last or 0, size)
        return Span(size - length, length) if last else None
    if first >= size:
        return None
    return Span(first, (size if last is None else min(last + 1, size)) - first)


def _merged(spans: list[Span]) -> list[Span]:
    ordered = sorted(spans)
    if all(before.end <= after.offset for before, after in pairwise(ordered)):
        return spans
    merged = ordered[:1]
    for span in ordered[1:]:
        last = merged[-1]
        if span.offset <= last.end:
            merged[-1] = Span(last.offset, max(last.end, span.end) - last.offset)
        else:
            merged.append(span)
    return merged
