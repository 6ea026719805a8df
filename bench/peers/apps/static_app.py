"""Files as a WSGI application sends them: by ``wsgi.file_wrapper``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path.cwd()


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    file = (FOLDER / environ["PATH_INFO"].lstrip("/")).open("rb")
    size = os.fstat(file.fileno()).st_size
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))])
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(file, 65536) if wrapper else iter(lambda: file.read(65536), b"")
