"""What a command that runs for long writes on stderr: the library's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from portico.cli.manners import one_line
from portico.web.request_ids import request_id

__all__ = ["logging_to_stderr"]

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _Lines(logging.Formatter):
    """``12:30:59 warning portico.server: message``; what a peer put into it stays in its line.

    Other processes than the first say who they are: ``portico.server[worker 2, 4711]``; what is said while a
    request is answered has its name, where requests have names (``RequestIds``).
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        when = self.formatTime(record, "%H:%M:%S")
        who = (
            "" if record.processName in ("MainProcess", None) else f"[{record.processName}, {record.process}]"
        )
        named = request_id.get()
        about = f" [{named}]" if named else ""
        return f"{when} {record.levelname.lower()} {record.name}{who}{about}: {one_line(record.message)}"


@contextmanager
def logging_to_stderr(verbosity: int) -> Iterator[None]:
    """Show the loggers below ``portico``: warnings, with 1 also information, with 2 everything.

    Only these, and only inside: a program that is served sets up its own logging as it always does.
    """
    library, drain = logging.getLogger("portico"), logging.getLogger("portico.drain")
    levels = library.level, drain.level
    lines = logging.StreamHandler()
    lines.setFormatter(_Lines())
    library.addHandler(lines)
    library.propagate = False
    library.setLevel(_LEVELS[min(verbosity, 2)])
    # How the end goes is what somebody waits for who has asked for it.
    drain.setLevel(min(logging.INFO, library.level))
    try:
        yield
    finally:
        library.removeHandler(lines)
        library.propagate = True
        for logger, level in zip((library, drain), levels, strict=True):
            logger.setLevel(level)
