"""The tiny application every server is measured with, as WSGI (``app``) and as ASGI (``asgi``)."""

from __future__ import annotations

from typing import Any

BODY = b"Hello, world!"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]
ASGI_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", HEADERS[:])  # a copy: a server may change the list (PEP 3333)
    return [BODY]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": ASGI_HEADERS})
    await send({"type": "http.response.body", "body": BODY})
