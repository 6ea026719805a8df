"""Whom no proxy is to lead to: the many spellings of ``no_proxy``."""

from __future__ import annotations

from ipaddress import ip_network

from portico.address import Address, is_literal
from portico.address.hosts import canonical_host
from portico.address.networks import Networks, ip_of
from portico.client.url import URL
from portico.errors import AddressError

__all__ = ["Direct"]


class Direct:
    """Hosts that are reached directly.

    ``entries``, with commas or blanks between them: names (with all below them), ``.suffix``, ``*.suffix``,
    IP addresses and networks (``10.0.0.0/8``), each with a port or without; ``*`` for all.
    """

    def __init__(self, entries: str = "") -> None:
        self._names: list[tuple[str, str]] = []
        self._networks: list[tuple[Networks, str]] = []
        self._all = False
        for entry in entries.replace(",", " ").split():
            self._add(entry)

    def covers(self, url: URL) -> bool:
        """Whether the host of ``url`` is one of them."""
        if self._all:
            return True
        port = str(url.port)
        if is_literal(url.host):
            ip = ip_of(Address.parse((url.host, url.port or 80)))
            return any(nets.covers(ip, "") and its_port in ("", port) for nets, its_port in self._networks)
        host = url.host.removesuffix(".")
        return any(
            (host == name or host.endswith(f".{name}")) and its_port in ("", port)
            for name, its_port in self._names
        )

    def _add(self, entry: str) -> None:
        if entry == "*":
            self._all = True
            return
        host, port = entry, ""
        before, colon, after = entry.rpartition(":")
        if colon and after.isdigit() and (":" not in before or before.endswith("]")):
            host, port = before, str(int(after))
        host = host.strip("[]")
        try:
            # Others take an address within the network for the network, and so do people.
            self._networks.append((Networks([str(ip_network(host, strict=False))]), port))
        except ValueError:
            self._add_name(host.removeprefix("*").strip("."), port)

    def _add_name(self, name: str, port: str) -> None:
        try:
            self._names.append((canonical_host(name), port))
        except AddressError:
            return  # what can be no host is nobody's; other programs read the same variable
