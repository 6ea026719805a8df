"""A request as its bytes, by the codec that sends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from portico.client.caller import as_sent
from portico.client.request import Request
from portico.http.codec import Codec
from portico.http.states import Role
from portico.limits import Limits

__all__ = ["Prepared", "prepared_head", "wire_bytes"]


class Prepared(Exception):
    """Carries the request that a session was about to send."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.request = request

    @classmethod
    def stop(cls, request: Request) -> Request:
        """A session's hook for requests."""
        raise cls(request)


def prepared_head(request: Request, proxies: Any) -> bytes:
    """The head, with what frames the body."""
    return _start(Codec(Role.CLIENT, Limits()), request, proxies)


def wire_bytes(request: Request, proxies: Any) -> Iterator[bytes]:
    """All of it: the head, then the body as it is framed."""
    codec = Codec(Role.CLIENT, Limits())
    yield _start(codec, request, proxies)
    if request.body is None or request.body.length == 0:
        return
    for piece in request.body.chunks():
        if piece:
            yield from map(bytes, codec.send_data(piece))
    yield codec.send_end()


def _start(codec: Codec, request: Request, proxies: Any) -> bytes:
    proxy = None
    if proxies is not None and not request.url.secure and not request.url.socket_path:
        proxy = proxies.for_url(request.url)
        proxy = proxy if proxy is not None and proxy.forwards else None
    target, fields = as_sent(request, proxy)
    length = 0 if request.body is None else request.body.length
    return codec.send_request(request.method, target, fields, body_length=length)
