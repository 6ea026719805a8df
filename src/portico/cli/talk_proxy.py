"""Connecting through a proxy by hand: ``portico connect --proxy``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from portico.address import Address
from portico.client.proxies import Proxy
from portico.errors import ConfigError
from portico.sockets.dial import connect as dial
from portico.sockets.stream import Stream
from portico.sockets.tls import ClientTLS

__all__ = ["Proxy", "connect_through"]


def connect_through(
    proxy: Proxy,
    where: Address,
    *,
    tls: ClientTLS | None,
    server_name: str | None,
    local: tuple[str, int] | None,
    options: Mapping[Any, Any] | None,
    resolve: Callable[[str, int], list[str]] | None,
) -> Stream:
    """As ``portico.connect``, by way of a proxy. ``resolve``: the name is looked up here after all."""
    if where.port is None:
        raise ConfigError(f"--proxy: {where} is on this machine, where no proxy leads")
    host = where.host if resolve is None else resolve(where.host, where.port)[0]

    stream = dial(proxy.address, local=local, options=options)

    def to_proxy() -> Stream:
        nonlocal stream
        stream = dial(proxy.address, local=local, options=options)
        proxy.secure(stream)
        return stream

    try:
        proxy.secure(stream)
        stream = proxy.lead(stream, host, where.port, to_proxy)
        if tls is not None:
            stream.start_tls(tls, server_name or where.host)
    except BaseException:
        stream.abort()
        raise
    return stream
