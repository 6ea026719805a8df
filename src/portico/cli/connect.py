"""``portico connect``: talk with whatever listens at an address."""

from __future__ import annotations

from dataclasses import dataclass, replace

import click

from portico import deadline
from portico.address import Address
from portico.cli.ending import ending_by_signals
from portico.cli.manners import Command
from portico.cli.talk import OOB_INLINE, Talker
from portico.cli.talk_address import only_family, read_address, read_local, streams_only
from portico.cli.talk_notes import Facts
from portico.cli.talk_options import Talk, shared_options, take
from portico.cli.talk_proxy import Proxy, connect_through
from portico.cli.talk_tls import client_tls, in_options
from portico.errors import ConfigError
from portico.sockets.dial import connect as dial
from portico.sockets.dial_datagrams import datagrams
from portico.sockets.stream import Stream
from portico.sockets.tls import ClientTLS

__all__ = ["connect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The options of its own, named as on the command line."""

    bind: str | None
    check: bool
    tls: bool
    ca: str | None
    insecure: bool
    name: str | None
    broadcast: bool
    proxy: str | None


@click.command(cls=Command)
@click.argument("address")
@click.argument("port", required=False)
@click.option("--bind", "-s", metavar="HOST[:PORT]", help="Connect from this address of ours.")
@click.option("--check", "-z", is_flag=True, help="Only connect; the exit code tells whether that works.")
@click.option("--tls", is_flag=True, help="Speak TLS (tls:// and https:// do).")
@click.option("--ca", metavar="FILE", help="Trust this authority (PEM) instead of the system's.")
@click.option("--insecure", is_flag=True, help="Do not verify the peer's certificate.")
@click.option("--name", metavar="HOST", help="The name to ask for and to verify, instead of the address's.")
@click.option("--broadcast", is_flag=True, help="Datagrams may go to everybody in the network.")
@click.option(
    "--proxy", metavar="URL",
    help="Through a proxy, which looks the name up: http://HOST:PORT, https:// (CONNECT), socks5h://; with "
    "USER:PASSWORD@ before the host. Others see command lines; PORTICO_CONNECT_PROXY is read, too.",
)  # fmt: skip
@shared_options
def connect(address: str, port: str | None, **options: object) -> None:
    """Talk by hand or by pipe: stdin goes to the peer, what comes from it to stdout, both at once.

    \b
      portico connect tls://example.org:443 --crlf
      portico connect example.org 25
      portico connect telnet://switch.example
      portico connect unix:/run/app.sock < request > answer
      portico connect :5432 --exec ./client-script
      portico connect tls://example.org:443 --proxy socks5h://127.0.0.1:1080

    The end of stdin is told to the peer, and the rest of its answer awaited. Exit codes: 0 when both have
    ended, 2 wrong usage, 6 no such name, 7 nobody there, 28 too late, 35 and 60 TLS, 56 connection lost;
    with --exec or --shell the program's.
    """
    own, asked = take(_Asked, options), take(Talk, options)
    where = read_address(address, asked, port)
    asked = replace(asked, telnet=asked.telnet or where.scheme == "telnet")
    tls = _tls(where, own, asked)
    with ending_by_signals(), deadline.timeout(asked.timeout), Talker(asked) as talker:
        if own.insecure:
            talker.notes.always("insecure", "warning: --insecure: anybody may be at the other end")
        code = (_send if where.wire == "datagram" else _talk)(talker, where, own, asked, tls)
    if code:
        raise click.exceptions.Exit(code)


def _tls(where: Address, own: _Asked, asked: Talk) -> ClientTLS | None:
    wanted = own.tls or where.secure
    if wanted:
        return client_tls(own.ca, own.insecure, asked.cert, asked.key, asked.alpn)
    details = {
        "--ca": own.ca, "--insecure": own.insecure, "--name": own.name,
        "--cert": asked.cert, "--key": asked.key, "--alpn": asked.alpn,
    }  # fmt: skip
    given = next((name for name, value in details.items() if value), None)
    if given is not None:
        raise ConfigError(f"{given} is about TLS, and {where} has none: add --tls")
    return None


def _talk(talker: Talker, where: Address, own: _Asked, asked: Talk, tls: ClientTLS | None) -> int:
    with deadline.timeout(asked.wait):
        stream = _dial(where, own, asked, tls)
    with stream:
        if own.check:
            talker.notes.connected(Facts.of(stream))
            return 0
        return talker.converse(stream)


def _send(talker: Talker, where: Address, own: _Asked, asked: Talk, tls: ClientTLS | None) -> int:
    streams_only(where, asked, {"--check": own.check, "--tls": own.tls, "--proxy": own.proxy})
    local = read_local(own.bind)
    with deadline.timeout(asked.wait):
        socket = datagrams(where, local=local, resolve=only_family(asked), broadcast=own.broadcast)
    with socket:
        return talker.exchange(talker.datagram_peer(socket), Facts(where, socket.local))


def _dial(where: Address, own: _Asked, asked: Talk, tls: ClientTLS | None) -> Stream:
    options = OOB_INLINE if asked.telnet and where.transport in ("tcp", "tls") else None
    local, resolve = read_local(own.bind), only_family(asked)
    with in_options():
        if own.proxy is None:
            return dial(where, tls=tls, server_name=own.name, local=local, options=options, resolve=resolve)
        return connect_through(
            Proxy.parse(own.proxy), where,
            tls=tls, server_name=own.name, local=local, options=options, resolve=resolve,
        )  # fmt: skip
