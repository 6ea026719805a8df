"""``portico lookup``: what a name, an IP address, a service or a port stands for."""

from __future__ import annotations

from json import dumps
from typing import Any

import click

from portico import deadline
from portico.address import canonical_host, is_literal, port_services, service_port
from portico.cli.manners import Command, json_option, timeout_option
from portico.errors import AddressError, ResolveError
from portico.sockets import names

__all__ = ["lookup"]

Answer = dict[str, Any]


@click.command(cls=Command)
@click.argument("what", required=False, metavar="[NAME|IP|SERVICE|PORT]")
@click.option("--host", is_flag=True, help="WHAT is a host, even if a service has that name.")
@timeout_option(10.0)
@json_option()
def lookup(what: str | None, host: bool, timeout: float | None, json: bool) -> None:
    """Look up the addresses of a name, in the order in which to connect to them; the name of an IP
    address; the port of a service; the services of a port. Without an argument: this machine's name and
    addresses.

    Exit code 6 when there is no answer, 28 when it takes too long.
    """
    with deadline.timeout(timeout):
        answer = _machine() if what is None else _answer(what, host)
    click.echo(dumps(answer) if json else _plain(answer))


def _answer(what: str, is_host: bool) -> Answer:
    word = what[1:] if what.startswith(":") and what.count(":") == 1 else what
    if not is_host:
        if word.isascii() and word.isdigit():
            return _port(what, word)
        port = service_port(word)
        if port is not None:
            return {"query": what, "kind": "service", "port": port}
    if "://" in word or word.count(":") == 1:
        raise AddressError(f"{what!r} is an address; write its host alone, or its service or port")
    host = canonical_host(word[1:-1] if word.startswith("[") and word.endswith("]") else word)
    if is_literal(host):
        return {"query": what, "kind": "address", "address": host, "name": names.reverse(host)}
    found = names.resolve(host, 0)
    return {"query": what, "kind": "host", "name": host, "addresses": [_address(one.ip) for one in found]}


def _port(what: str, digits: str) -> Answer:
    if len(digits) > 5 or int(digits) > 65535:
        raise AddressError(f"the port {digits} is outside 0 to 65535")
    found = [{"service": name, "protocol": protocol} for name, protocol in port_services(int(digits))]
    if not found:
        raise ResolveError(f"no service has the port {digits}")
    return {"query": what, "kind": "port", "port": int(digits), "services": found}


def _machine() -> Answer:
    addresses = [_address(ip) for ip in names.local_addresses()]
    return {"query": None, "kind": "machine", "name": names.host_name(), "addresses": addresses}


def _address(ip: str) -> Answer:
    return {"address": ip, "family": "IPv6" if ":" in ip else "IPv4"}


def _plain(answer: Answer) -> str:
    """One fact a line, what was asked for first."""
    kind = answer["kind"]
    if kind == "service":
        return str(answer["port"])
    if kind == "address":
        return str(answer["name"])
    if kind == "port":
        return _columns([(one["service"], one["protocol"]) for one in answer["services"]])
    rows = _columns([(one["address"], one["family"]) for one in answer["addresses"]])
    return rows if kind == "host" else "\n".join(filter(None, [answer["name"], rows]))


def _columns(rows: list[tuple[str, str]]) -> str:
    width = max((len(first) for first, _ in rows), default=0)
    return "\n".join(f"{first:<{width}}  {second}" for first, second in rows)
