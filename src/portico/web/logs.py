"""The access log: a line for each answer, written by a thread of its own.

``server.access = AccessLog("access.log", format="combined")``; without one nothing is spent on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import random
from typing import Any

from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.web.log_lines import FORMATS
from portico.web.log_writer import LineWriter

__all__ = ["AccessLog", "told_to"]

Access = Callable[[Exchange, float], None]


class AccessLog:
    """A server's ``access`` hook: called with each exchange that has been answered, and its seconds.

    ``path``: a file, or ``-`` for standard error. ``format``: ``common``, ``combined`` or ``json``.
    ``sample``: the share of the answers that get a line, from 0 to 1; those of 500 and above always do.
    ``queue``: lines that may wait to be written; more are dropped and counted in ``dropped``. ``more``: what
    else stands in each JSON object, such as the name of the engine. Raises ``ConfigError``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = "-",
        *,
        format: str = "combined",  # noqa: A002  (what it is called everywhere)
        sample: float = 1.0,
        queue: int = 10_000,
        more: Mapping[str, object] | None = None,
    ) -> None:
        if format not in FORMATS:
            raise ConfigError(f"access log: format={format!r}: expected one of {', '.join(FORMATS)}")
        if not 0 < sample <= 1:
            raise ConfigError(f"access log: sample={sample!r}: expected a share above 0 and up to 1")
        self._settings: dict[str, Any] = {"format": format, "sample": sample, "queue": queue, "more": more}
        self._line = FORMATS[format](more or {})
        self._sample = sample
        self._writer = LineWriter(path, queue)

    @property
    def dropped(self) -> int:
        """Lines that were not written, in this process."""
        return self._writer.dropped

    def __call__(self, exchange: Exchange, seconds: float) -> None:
        if self._sample == 1.0 or exchange.status >= 500 or random() < self._sample:
            self._writer.put(self._line(exchange, seconds))

    def flush(self) -> None:
        """Write what waits, now."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits, and give the file back."""
        self._writer.close()

    def __reduce__(self) -> tuple[Callable[[], AccessLog], tuple[()]]:
        """For another process, which opens the file itself."""
        return partial(AccessLog, self._writer.path, **self._settings), ()

    def __repr__(self) -> str:
        return f"<AccessLog {self._writer!r}>"


def told_to(*hooks: Access) -> Access:
    """One ``access`` hook that calls several, in order."""
    return hooks[0] if len(hooks) == 1 else partial(_tell, hooks)


def _tell(hooks: Sequence[Access], exchange: Exchange, seconds: float) -> None:
    for hook in hooks:
        hook(exchange, seconds)
