"""The options that ``portico connect`` and ``portico listen`` share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import click

from portico.cli.manners import above_zero, json_option, timeout_option
from portico.errors import ConfigError

__all__ = ["Talk", "shared_options", "take"]

F = TypeVar("F", bound=Callable[..., Any])
D = TypeVar("D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """The shared options, named as on the command line. Raises ``ConfigError`` for those that exclude
    each other."""

    udp: bool
    unix: bool
    ipv4: bool
    ipv6: bool
    wait: float | None
    idle: float | None
    quit_after: float | None
    half_close: bool
    send_only: bool
    recv_only: bool
    crlf: bool
    telnet: bool
    exec: str | None
    shell: str | None
    hex: bool
    output: str | None
    append: bool
    cert: str | None
    key: str | None
    alpn: str | None
    verbose: int
    json: bool
    timeout: float | None

    def __post_init__(self) -> None:
        program = self.exec is not None or self.shell is not None
        for first, second in (
            ("ipv4", "ipv6"),
            ("send_only", "recv_only"),
            ("crlf", "telnet"),
        ):
            if getattr(self, first) and getattr(self, second):
                raise ConfigError(f"{_option(first)} and {_option(second)} exclude each other")
        if program and (self.send_only or self.recv_only):
            raise ConfigError("a program talks both ways: leave out --send-only and --recv-only")
        if self.append and self.output is None:
            raise ConfigError("--append needs the file that it is about: --output FILE")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def take(kind: type[D], options: dict[str, Any]) -> D:
    """The fields of a dataclass, taken out of ``options``."""
    return kind(**{field.name: options.pop(field.name) for field in fields(kind)})  # type: ignore[arg-type]


def _seconds(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and (value < 0 or math.isnan(value)):
        raise click.BadParameter(f"{value:g} is not zero or more seconds (or inf)", ctx, param)
    return value


_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option("--udp", "-u", is_flag=True, help="UDP: HOST:PORT is udp://HOST:PORT; with -U, datagrams."),
    click.option("--unix", "-U", is_flag=True, help="The address is the path of a Unix socket."),
    click.option("--ipv4", "-4", is_flag=True, help="IPv4 only."),
    click.option("--ipv6", "-6", is_flag=True, help="IPv6 only."),
    click.option(
        "--wait", "-w", type=float, callback=above_zero, metavar="S",
        help="Give up when there is no connection after so many seconds.",
    ),
    click.option(
        "--idle", "-i", type=float, callback=above_zero, metavar="S",
        help="Give up when nothing flows in either direction for so many seconds.",
    ),
    click.option(
        "--quit-after", "-q", type=float, callback=_seconds, metavar="S",
        help="After the end of stdin, wait so long for the peer to go on; else until it ends (UDP: 1 s).",
    ),
    click.option(
        "--half-close/--no-half-close", default=True, show_default=True,
        help="Tell the peer when stdin has ended.",
    ),
    click.option("--send-only", is_flag=True, help="Drop what comes, and end with stdin, not with the peer."),
    click.option("--recv-only", is_flag=True, help="Do not read stdin."),
    click.option("--crlf", "-C", is_flag=True, help="Send each line end as CR LF."),
    click.option("--telnet", "-t", is_flag=True, help="Speak telnet (telnet:// does)."),
    click.option(
        "--exec", "-e", metavar="COMMAND",
        help="Let a program talk instead of stdin and stdout; split as by a shell, run without one. It finds "
        "PORTICO_PEER, PORTICO_PEER_HOST, PORTICO_LOCAL_PORT … in its environment.",
    ),
    click.option("--shell", "-c", metavar="COMMAND", help="As --exec, a line for /bin/sh."),
    click.option(
        "--hex", "-x", is_flag=True, help="Show what flows both ways as a hex dump, instead of what comes."
    ),
    click.option(
        "--output", "-o", metavar="FILE", help="Record what flows both ways; with --hex, the dump goes there."
    ),
    click.option("--append", is_flag=True, help="Add to the file of --output."),
    click.option("--cert", metavar="FILE", help="Our certificate chain (PEM)."),
    click.option("--key", metavar="FILE", help="Its private key, where it is not in the same file."),
    click.option("--alpn", metavar="NAMES", help="Protocols for TLS to agree on: h2,http/1.1."),
    click.option("-v", "--verbose", count=True, help="Say on stderr who talks, by what TLS, and how much."),
    json_option(),
    timeout_option(None),
)  # fmt: skip


def shared_options(command: F) -> F:
    """All of them, for ``Talk``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
