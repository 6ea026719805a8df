"""The content codings of an answer (RFC 9110, 8.4): what we ask for, and undoing what we get."""

from __future__ import annotations

from functools import cache

from portico.client.incoming import Source
from portico.errors import ConfigError, ProtocolError
from portico.limits import Limits
from portico.unpacking import Unpacking, can_unpack

__all__ = ["accept_encoding", "decoded"]

_WANTED = ("zstd", "br", "gzip", "deflate")
_MOST = 5
"""Codings on one body: nobody means more than one, and each multiplies what a bomb can do."""


@cache
def accept_encoding() -> str:
    """The ``Accept-Encoding`` of a client: the codings that can be undone here, best first."""
    return ", ".join(coding for coding in _WANTED if can_unpack(coding))


def decoded(coding: str, source: Source, limits: Limits) -> Unpacking | None:
    """The body of ``source`` without what ``coding``, a ``Content-Encoding``, says; ``None``: nothing to
    undo.

    Raises ``ProtocolError`` for a coding that nobody asked for and that cannot be undone: to hand out its
    bytes as if they were the content would be wrong.
    """
    names = [name.strip(" \t") for name in coding.lower().split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return None
    if len(names) > _MOST:
        raise ProtocolError(f"a body with {len(names)} content codings; {_MOST} are allowed", 502)
    try:
        return Unpacking(names, source.piece, limits)
    except ConfigError as error:
        as_sent = "with stream=True, iter_raw() gives the body as it was sent"
        raise ProtocolError(f"the content coding {coding[:80]!r}: {error}; {as_sent}", 502) from None
