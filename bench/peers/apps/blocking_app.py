"""The tiny application, of which some requests block as one that asks a database does: by their path."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

BODY = b"Hello, world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]

WORK: dict[str, tuple[int, float]] = {
    "/none": (0, 0.0),
    "/1ms": (1, 0.001),
    "/3ms": (1, 0.003),
    "/tenth": (10, 0.010),
    "/fiftieth": (50, 1.0),
}
"""By path: each so manieth request blocks for so many seconds."""

_counts = {path: count(1) for path in WORK}


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path = environ["PATH_INFO"]
    every, seconds = WORK[path]
    if every and next(_counts[path]) % every == 0:
        time.sleep(seconds)
    start_response("200 OK", HEADERS[:])
    return [BODY]
