"""``portico serve``: folders, applications, programs and handlers, at addresses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from json import dumps
from typing import Any

import click
from click.core import ParameterSource

from portico.address import Address
from portico.cli.logs import logging_to_stderr
from portico.cli.manners import PATH, Command, json_option
from portico.cli.memory import use_one_arena
from portico.cli.serve_options import DEFAULT_ADDRESS
from portico.cli.serve_settings import Asked
from portico.cli.serve_site import Served
from portico.cli.serve_start import Site
from portico.engines import ENGINES
from portico.errors import BindError, ConfigError, ResolveError
from portico.server import Server
from portico.web.config import Settings
from portico.web.config.show import as_data, as_toml

__all__ = ["serve"]

_OVER = {"tcp": "http", "tls": "https"}
"""What a client calls HTTP over plain streams."""
_LEVELS = {"warning": 0, "info": 1, "debug": 2}


def _engines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in ENGINES if name.startswith(incomplete)]


def _grace(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0 <= value <= 1e6:  # nan is refused, too: no wait could be bounded by it
        raise click.BadParameter(f"{value:g} is not a number of seconds from 0 to 1000000", ctx, param)
    return value


@click.command(cls=Command)
@click.argument("target", nargs=-1, metavar="[[MOUNT=]TARGET]...", type=PATH)
@click.option(
    "--config",
    "-c",
    metavar="FILE",
    help="Take all that is not said here from this file; 'portico check FILE' says whether it is right. "
    "No file is read that is not named.",
)
@click.option(
    "--at",
    "-b",
    "at",
    multiple=True,
    metavar="ADDRESS",
    help="Where to listen, more than once if wanted: http://127.0.0.1:8000 (the default), https://:8443, "
    "unix:/run/app.sock, fd://3. Port 0 picks a free one. Without --at, sockets passed by a service manager "
    "(LISTEN_FDS) are used.",
)
@click.option(
    "--engine",
    default="threads",
    show_default=True,
    metavar="SPEC",
    shell_complete=_engines,
    help="threads[:N], events[:N], inline, forks[:N] (a process for each connection), workers[:N][/ENGINE].",
)
@click.option("--workers", type=int, metavar="N", help="So many processes: short for workers:N/ENGINE.")
@click.option(
    "--max-requests", type=int, metavar="N", help="Replace a worker after so many requests, losing nothing."
)
@click.option("--max-memory", metavar="SIZE", help="And when it holds more memory, as in 300M or 2G.")
@click.option("--max-age", type=float, metavar="S", help="And after so many seconds.")
@click.option("--cert", metavar="FILE", help="Certificate chain (PEM) for https and tls addresses.")
@click.option("--key", metavar="FILE", help="Its private key, where it is not in the same file.")
@click.option("--tls", type=click.Choice(["self-signed"]), help="A certificate for development instead.")
@click.option(
    "--https-only",
    is_flag=True,
    help="Send clients that ask without TLS to the same place with it: --at https://:443 --at http://:80.",
)
@click.option(
    "--grace",
    type=float,
    callback=_grace,
    default=10.0,
    show_default=True,
    metavar="S",
    help="At the end, seconds for what is going on.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="NETWORK",
    help="Let only these in: 10.0.0.0/8, 2001:db8::/32, an address, or unix; more than once if wanted.",
)
@click.option("--deny", multiple=True, metavar="NETWORK", help="Keep these out, whoever else is let in.")
@click.option(
    "--max-connections", type=int, metavar="N", help="Refuse more than so many connections at once."
)
@click.option(
    "--max-per-peer", type=int, metavar="N", help="And more than so many of one peer (IPv6: of one /64)."
)
@click.option(
    "--rate",
    metavar="N/UNIT[:BURST]",
    help="New connections of one peer: 10/s, 100/m, 5000/h; 10/s:50 lets 50 come at once. With workers "
    "these counts belong to each.",
)
@click.option("--limit", multiple=True, metavar="NAME=VALUE", help="A limit, such as body=1000000 or idle=5.")
@click.option(
    "--listing/--no-listing", default=True, show_default=True, help="Show folders without index.html."
)
@click.option("--hidden", is_flag=True, help="Serve names that begin with a dot, too.")
@click.option(
    "--spa", is_flag=True, help="A single-page application: index.html stands in for what is not there."
)
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="Send this field with every answer.")
@click.option(
    "--users",
    metavar="FILE",
    help="Let only these in, by name and password: a line name:hash for each ('portico hash-password').",
)
@click.option(
    "--reload", is_flag=True, help="For development: begin anew whenever the program or the file changes."
)
@click.option(
    "--print-config", is_flag=True, help="Show all that would be in force, as such a file, and end."
)
@click.option(
    "--trust",
    multiple=True,
    metavar="NETWORK",
    help="Proxies whose X-Forwarded-* are believed: 10.0.0.0/8, ::1, or unix; more than once if wanted.",
)
@click.option(
    "--proxy-protocol",
    multiple=True,
    metavar="NETWORK",
    help="Proxies that speak the PROXY protocol, v1 or v2.",
)
@click.option(
    "--request-ids", is_flag=True, help="A name for each request: in X-Request-ID, and in the logs."
)
@click.option("--metrics", metavar="ADDRESS", help="Figures for Prometheus, at an address of their own.")
@click.option("--access-log", is_flag=True, help="A line on stderr for each request.")
@click.option(
    "--log-file", metavar="FILE", help="These lines to a file, which may be moved away at any time."
)
@click.option(
    "--log-format",
    type=click.Choice(["common", "combined", "json"]),
    default="common",
    show_default=True,
    help="How they look.",
)
@click.option("-v", "--verbose", count=True, help="Say more on stderr; -vv everything.")
@json_option()
@click.pass_context
def serve(ctx: click.Context, /, target: Sequence[str], config: str | None, **options: Any) -> None:
    """Serve folders, applications and programs until SIGTERM or Ctrl-C; the current folder without a TARGET.

    \b
    A TARGET is
      a folder                  static files
      module:name               a WSGI application, or a function of a request
                                or a stream; also module:make() for one that a
                                function makes
      static:DIR  cgi:DIR|FILE  wsgi:module:name
      app:module:name           a function of a request, a class with get, post …
      handler:module:name       a function of a stream
      redirect:[STATUS:]URL     as in redirect:308:https://example.org{uri}
      proxy:URL                 an HTTP server behind this one
      respond:STATUS[:TEXT]

    MOUNT is the path it answers at, such as /app, or //example.org/app for one host; / without one. The mount
    ends at the first = (a folder that exists as /srv/a=b is taken as such). Write ./ in front of a folder
    whose name has a colon.

    \b
      portico serve site /app=wsgi:shop:app /cgi-bin=cgi:scripts
      portico serve site --at https://:8443 --tls self-signed
      portico serve --config portico.toml

    The first signal lets running requests finish, within --grace seconds; a second one stops at once. SIGHUP
    reads the file and certificates anew; with workers it replaces them one by one, with the code as it is
    then, and SIGTTIN and SIGTTOU make them one more or less.
    """
    _check_folder()
    given = {name: value for name, value in options.items() if _is_given(ctx, name)}
    asked = Asked(config, target, given)
    settings, source = asked.settings()
    if options["print_config"]:
        click.echo(_printed(settings, options["json"]), nl=False)
        return
    use_one_arena()
    with logging_to_stderr(_LEVELS[settings.log.level]):
        site = Site(asked, settings, source, watched=options["reload"])
        server = site.server()

        with ExitStack() as beside:

            def ready(server: Server) -> None:
                page = beside.enter_context(site.beside(server))
                _announce(server, site.served, options["json"], page)

            try:
                server.run(ready)
            except ResolveError as error:
                raise BindError(f"cannot listen: {error}") from error


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def _printed(settings: Settings, json: bool) -> str:
    wire = "stream" if any(each.mark == "handler" for each in settings.mount) else "http"
    settings = replace(settings, listen=tuple(settings.listen) or (DEFAULT_ADDRESS[wire],))
    return f"{dumps(as_data(settings), indent=2)}\n" if json else as_toml(settings)


def _check_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError("the current folder does not exist any more; cd to another one") from error


# -- what a start says


def _announce(server: Server, served: Served, json: bool, page: Server | None) -> None:
    """One line for each address with its real port, or one JSON object, out at once."""
    figures = None if page is None else f"{_shown(page.addresses[0], 'http')}/metrics"
    if json:
        click.echo(dumps({**_facts(server, served), "metrics": figures}))
        return
    proof = "" if server.tls is None else server.tls.fingerprint
    for address in server.addresses:
        notes = ["every interface"] if _everywhere(address) else []
        notes += [f"certificate SHA-256 {proof}"] if address.secure else []
        more = f" ({', '.join(notes)})" if notes else ""
        click.echo(f"portico serving {_shown(address, served.wire)}{more}")
    if figures is not None:
        click.echo(f"portico serving {figures}")


def _facts(server: Server, served: Served) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "addresses": [_shown(address, served.wire) for address in server.addresses],
        "mounts": served.mounts,
        "fingerprint": None if server.tls is None else server.tls.fingerprint,
    }


def _everywhere(address: Address) -> bool:
    return address.port is not None and address.host in ("", "0.0.0.0", "::")


def _shown(address: Address, wire: str) -> str:
    """As a client can use it, always with the port: a listener on every interface is at localhost too."""
    if address.port is None:
        return str(address)
    scheme = _OVER.get(address.scheme, address.scheme) if wire == "http" else address.scheme
    host = f"[{address.host}]" if ":" in address.host else address.host or "localhost"
    return f"{scheme}://{host}:{address.port}"
