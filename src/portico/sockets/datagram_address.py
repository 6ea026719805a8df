"""Addresses for datagrams: which forms are taken for what."""

from __future__ import annotations

import os
from dataclasses import replace

from portico.address import Address
from portico.errors import ConfigError, ConnectError

__all__ = ["Where", "check_complete", "datagram_address"]

Where = Address | str | tuple[str, int] | os.PathLike[str]


def datagram_address(value: Where) -> Address:
    """An address for datagrams: without a scheme ``host:port`` is UDP and a path a Unix datagram socket."""
    where = Address.parse(value, scheme="udp")
    written = isinstance(value, Address) or (isinstance(value, str) and value.lower().startswith("unix:"))
    if where.scheme == "unix" and not written:
        return replace(where, scheme="unixgram")
    if where.wire != "datagram" and where.scheme != "fd":
        raise ConfigError(f"{where}: datagrams() is for udp and unixgram addresses; streams: connect()")
    return where


def check_complete(where: Address) -> None:
    """Raises ``ConnectError`` for an address that nobody can be reached at."""
    if not where.host or not where.port:
        raise ConnectError(f"cannot send to {where}: name a {'port' if where.host else 'host'}")
