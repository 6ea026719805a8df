"""The head of a response that is sent in one piece, when there is nothing to decide about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from portico.http.outgoing import KINDS, Defaults, Field, encode_text

__all__ = ["whole_head"]

_LENGTH: Final = Field.LENGTH
_WITHOUT_MEANING: Final = (Field.LENGTH, Field.DATE, Field.SERVER)


def whole_head(
    start: str, headers: Sequence[tuple[str, str]], length: int | None, defaults: Defaults, connection: str
) -> bytes | None:
    """Start line, ``defaults`` (unless ``headers`` have their own), ``headers``, ``Content-Length`` where
    there is a ``length``, and ``Connection`` unless that is empty. ``None`` when a field means more than
    that it is to be sent.

    Raises ``LocalProtocolError``.
    """
    size = str(length)
    seen = 0
    ours = lines = ""
    count = len(headers) + 2
    for name, value in headers:
        if kind := KINDS[name]:
            if kind not in _WITHOUT_MEANING:
                return None
            if kind is _LENGTH and (length is None or value != size or seen & 1 << kind):
                return None
            seen |= 1 << kind
        lines += f"{name}: {value}\r\n"
    for kind, line in defaults:
        if not seen & 1 << kind:
            ours += line
            count += 1
    if length is not None and not seen & 1 << _LENGTH:
        lines += f"Content-Length: {size}\r\n"
        count += 1
    if connection:
        lines += f"Connection: {connection}\r\n"
        count += 1
    return encode_text(f"{start}{ours}{lines}\r\n", count)
