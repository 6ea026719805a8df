"""An application with larger answers, and one that reads a body."""

from __future__ import annotations

from typing import Any

SMALL = b"Hello, world!"
BODIES = {"/1k": bytes(range(32, 96)) * 16, "/64k": bytes(range(32, 96)) * 1024}


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        length = int(environ["CONTENT_LENGTH"])
        body = SMALL if len(environ["wsgi.input"].read(length)) == length else b"too short"
    else:
        body = BODIES.get(environ["PATH_INFO"], SMALL)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
