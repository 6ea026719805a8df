"""``portico listen``: wait for somebody at an address, and talk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from portico import deadline
from portico.address import Address
from portico.admission import Admission
from portico.cli.ending import ending_by_signals
from portico.cli.logs import logging_to_stderr
from portico.cli.manners import Command
from portico.cli.talk import Talker
from portico.cli.talk_address import read_address, streams_only, to_listen_on
from portico.cli.talk_broker import Broker
from portico.cli.talk_options import Talk, shared_options, take
from portico.cli.talk_tls import server_tls
from portico.cli.talk_waiting import WaitingForDatagrams, WaitingForStreams
from portico.errors import ConfigError
from portico.sockets.tls import ServerTLS

__all__ = ["listen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The options of its own, named as on the command line."""

    keep: bool
    broker: bool
    chat: bool
    tls: str | None
    client_ca: str | None
    allow: Sequence[str]
    deny: Sequence[str]
    max_connections: int
    max_per_peer: int | None
    rate: str | None


@click.command(cls=Command)
@click.argument("address")
@click.argument("port", required=False)
@click.option(
    "--keep",
    "-k",
    is_flag=True,
    help="Go on when a conversation has ended: one after the other with stdin and stdout, several at once "
    "with --exec or --shell.",
)
@click.option("--broker", is_flag=True, help="Many peers at once: what one says all others hear, and stdout.")
@click.option("--chat", is_flag=True, help="As --broker, by lines, each with the name of who said it.")
@click.option(
    "--tls", type=click.Choice(["self-signed"]), help="TLS with a certificate for development (else --cert)."
)
@click.option("--client-ca", metavar="FILE", help="Only for peers with a certificate of this authority.")
@click.option("--allow", multiple=True, metavar="NETWORK", help="Only for peers from here: 10.0.0.0/8, unix.")
@click.option("--deny", multiple=True, metavar="NETWORK", help="Not for peers from here.")
@click.option(
    "--max-connections",
    "-m",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Programs at once.",
)
@click.option("--max-per-peer", type=click.IntRange(1), metavar="N", help="Programs at once for one peer.")
@click.option("--rate", metavar="N/s", help="Connections of one peer: 10/s, 100/m.")
@shared_options
def listen(address: str, port: str | None, **options: object) -> None:
    """Wait for a peer; then stdin goes to it, what comes from it to stdout, both at once. Nobody else is let
    in meanwhile, unless with --keep.

    ADDRESS may be a port alone, or a host before PORT.

    \b
      portico listen 9000 > file
      portico listen tls://:9443 --cert c.pem --key k.pem -v
      portico listen unix:/run/shell.sock --keep --exec ./session
      portico listen 127.0.0.1:0 --keep --shell 'date; cat'
      portico listen :9000 --chat

    The port that port 0 picked is said on stderr. Exit codes as for portico connect.
    """  # fmt: skip
    own, asked = take(_Asked, options), take(Talk, options)
    if address.isdecimal() and port is None and not asked.unix:
        address = f":{address}"
    where = to_listen_on(read_address(address, asked, port), asked)
    asked = replace(asked, telnet=asked.telnet or where.scheme == "telnet")
    admission = _admission(own, six_only=asked.ipv6 and where.port is not None)
    if own.broker or own.chat:
        _check_broker(where, asked)
    if asked.wait is not None and (own.broker or own.chat or (own.keep and (asked.exec or asked.shell))):
        raise ConfigError("--wait is about the one who comes next, and here many come at once")
    if where.wire == "datagram":
        streams_only(where, asked, {"--tls": own.tls, "--client-ca": own.client_ca})
        tls = None
    else:
        tls = _tls(where, own, asked)
    talker = Talker(asked, server=True, keep=own.keep or own.broker or own.chat)
    with ending_by_signals(), logging_to_stderr(asked.verbose), deadline.timeout(asked.timeout), talker:
        if where.wire == "datagram":
            code = WaitingForDatagrams(where, talker, asked.wait, admission).one()
        else:
            waiting = WaitingForStreams(where, talker, asked, tls, admission)
            if own.broker or own.chat:
                code = waiting.broker(Broker(talker.notes, chat=own.chat))
            else:
                code = waiting.many() if own.keep else waiting.one()
    if code:
        raise click.exceptions.Exit(code)


def _tls(where: Address, own: _Asked, asked: Talk) -> ServerTLS | None:
    if where.secure or own.tls is not None or asked.cert is not None:
        return server_tls(asked.cert, asked.key, own.tls, own.client_ca, asked.alpn)
    details = {"--client-ca": own.client_ca, "--key": asked.key, "--alpn": asked.alpn}
    given = next((name for name, value in details.items() if value), None)
    if given is not None:
        raise ConfigError(
            f"{given} is about TLS, and {where} has none: add --cert FILE, or --tls self-signed"
        )
    return None


def _check_broker(where: Address, asked: Talk) -> None:
    if where.wire == "datagram":
        streams_only(where, asked, {"--broker": True})
    given = {
        "--exec": asked.exec, "--shell": asked.shell, "--telnet": asked.telnet, "--crlf": asked.crlf,
        "--hex": asked.hex, "--output": asked.output,
    }  # fmt: skip
    name = next((name for name, value in given.items() if value), None)
    if name is not None:
        raise ConfigError(f"{name} is for one conversation, not for a broker")


def _admission(own: _Asked, *, six_only: bool) -> Admission:
    # A socket of ours at :: takes IPv4, too.
    return Admission(
        allow=own.allow or (["::/0"] if six_only else None),
        deny=own.deny,
        max_connections=own.max_connections,
        max_per_peer=own.max_per_peer,
        rate=own.rate,
    )
