"""The addresses of the talking commands: what ``-u``, ``-U``, ``-4``, ``-6`` and a separate port mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from portico.address import Address
from portico.cli.talk_options import Talk
from portico.errors import ConfigError, ResolveError
from portico.sockets import names

__all__ = ["only_family", "read_address", "read_local", "streams_only", "to_listen_on"]


def read_address(text: str, asked: Talk, port: str | None = None) -> Address:
    """The address of the command line. Raises ``AddressError``, ``ConfigError``."""
    if asked.unix:
        if port is not None:
            raise ConfigError("a Unix socket has no port")
        address = Address.parse(text if text.startswith("unix:") else Path(text))
        return replace(address, scheme="unixgram") if asked.udp else address
    if port is not None:
        text = f"[{text}]:{port}" if ":" in text and not text.startswith("[") else f"{text}:{port}"
    address = Address.parse(text, scheme="udp" if asked.udp else "tcp")
    if asked.udp and address.scheme == "tcp":
        address = replace(address, scheme="udp")
    if address.transport == "memory":
        raise ConfigError(f"{address} lives inside one program; from here nobody can be reached by it")
    if address.path and address.port is not None:
        raise ConfigError(f"{address}: bytes are all that is exchanged here, so the path says nothing")
    return address


def streams_only(where: Address, asked: Talk, others: Mapping[str, object]) -> None:
    """Refuse, for datagrams, what only streams have: TLS, telnet, an end. Raises ``ConfigError``."""
    shared = {"--telnet": asked.telnet, "--cert": asked.cert, "--key": asked.key, "--alpn": asked.alpn}
    name = next((name for name, value in (*shared.items(), *others.items()) if value), None)
    if name is not None:
        raise ConfigError(f"{name} is for streams; {where} takes datagrams")


def only_family(asked: Talk) -> Callable[[str, int], list[str]] | None:
    """A resolver that knows only the IP version that ``-4`` or ``-6`` asks for."""
    if not (asked.ipv4 or asked.ipv6):
        return None

    def resolve(host: str, port: int) -> list[str]:
        found = [one.ip for one in names.resolve(host, port) if (":" in one.ip) == asked.ipv6]
        if not found:
            raise ResolveError(f"{host} has no IPv{6 if asked.ipv6 else 4} address")
        return found

    return resolve


def to_listen_on(address: Address, asked: Talk) -> Address:
    """The address with its host narrowed to one IP version, where that is asked for."""
    resolve = only_family(asked)
    if resolve is None or address.port is None:
        return address
    if not address.host:
        return replace(address, host="::" if asked.ipv6 else "0.0.0.0")
    return replace(address, host=resolve(address.host, address.port)[0])


def read_local(text: str | None) -> tuple[str, int] | None:
    """``HOST``, ``HOST:PORT`` or ``:PORT`` to connect from. Raises ``AddressError``."""
    if text is None:
        return None
    bare = text.startswith("[") and text.endswith("]")
    if ":" not in text or bare or (text.count(":") > 1 and "[" not in text):
        text = f"{text}:0" if bare or ":" not in text else f"[{text}]:0"
    local = Address.parse(text)
    return local.host, local.port or 0
