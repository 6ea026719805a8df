"""An exchange as one JSON document, for machines."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from portico.cli.fetch_print import Head
from portico.cli.fetch_text import is_binary
from portico.client.request import Request
from portico.client.response import Response
from portico.http.field_map import veiled

__all__ = ["exchange_record", "request_record"]

_BODY_SHOWN = 1 << 20


def exchange_record(response: Response, head: Head | None) -> dict[str, Any]:
    """What was asked and answered. Reads the body. Raises what that raises."""
    content = response.content
    return {
        "request": request_record(response.request, head),
        "url": str(response.url),
        "version": response.version,
        "status": response.status,
        "reason": response.reason,
        "headers": response.headers.pairs,
        "trailers": response.trailers.pairs,
        **_body(content, response),
        "size": len(content),
        "elapsed": response.elapsed._asdict(),
        "redirects": [
            {"url": str(each.url), "status": each.status, "location": each.headers.get("location")}
            for each in response.history
        ],
        "tls": _tls(response.tls),
        "peer": None if response.peer is None else str(response.peer),
    }


def request_record(request: Request, head: Head | None) -> dict[str, Any]:
    """A request; of credentials, which have no place in records, the scheme alone."""
    headers = [list(field) for field in veiled([] if head is None else head.fields)]
    told: dict[str, Any] = {"method": request.method, "url": str(request.url), "headers": headers}
    body = request.body
    if body is not None and body.replayable and (body.length or _BODY_SHOWN + 1) <= _BODY_SHOWN:
        content = b"".join(body.chunks())
        told |= _text_or_base64(content, request.headers.get("content-type", ""), "utf-8")
    return told


def _body(content: bytes, response: Response) -> dict[str, str]:
    kind = response.headers.get("content-type", "")
    return _text_or_base64(content, kind, "utf-8" if not content else response.charset)


def _text_or_base64(content: bytes, kind: str, charset: str) -> dict[str, str]:
    if not content or not is_binary(content, kind):
        try:
            return {"body": content.decode(charset)}
        except UnicodeDecodeError:
            pass
    return {"body_base64": b64encode(content).decode()}


def _tls(tls: Any) -> dict[str, Any] | None:
    if tls is None:
        return None
    facts = ("version", "cipher", "alpn", "server_name", "peer_certificate")
    return {name: getattr(tls, name) for name in facts}
