"""What is piped in, as a body."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import click

from portico.errors import Timeout

__all__ = ["piped"]

_HELD = 1 << 24
"""Bytes that are held, so that they have a length and can be sent again; more goes in chunks."""
_PIECE = 1 << 16
PATIENCE = 5.0
"""Seconds after which whoever waits is told for what: programs and schedulers leave pipes open."""


def piped(file: Any, chunked: bool, seconds: float | None) -> Any:
    """What ``file`` gives, ``None`` for nothing; it is waited for. Raises ``Timeout``."""
    from portico.client.body import BytesBody, PiecesBody, file_body

    whole = file_body(file)
    if whole.length is not None and not chunked:
        return whole if whole.length else None
    with _waiting(seconds):
        first = _some(file, 1 if chunked else _HELD)
    if not first:
        return None
    if not chunked and len(first) < _HELD:
        return BytesBody(first)
    return PiecesBody(chain([first], iter(lambda: file.read1(_PIECE), b"")))


def _some(file: Any, most: int) -> bytes:
    """What ``file`` gives, until it ends or ``most`` bytes are there."""
    pieces: list[bytes] = []
    size = 0
    while size < most and (piece := file.read1(_PIECE)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


@contextmanager
def _waiting(seconds: float | None) -> Iterator[None]:
    """Ends a wait for stdin after ``seconds``, or tells of it: no deadline reaches into such a read."""

    def ring(number: int, frame: Any) -> None:
        if seconds is not None:
            raise Timeout("waiting for a body on stdin (--ignore-stdin leaves it alone)", seconds=seconds)
        click.echo("portico: waiting for a body on stdin (--ignore-stdin leaves it alone)", err=True)

    try:
        before = signal.signal(signal.SIGALRM, ring)
    except ValueError:  # only the main thread has signals
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, PATIENCE if seconds is None else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
