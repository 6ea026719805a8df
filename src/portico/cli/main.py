"""The command ``portico``: a table of commands, each imported when it is called.

Exit codes stand in ``portico.cli.manners``. Every option has an environment variable:
``PORTICO_LOOKUP_TIMEOUT`` is ``portico lookup --timeout``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from portico.cli.manners import INTERRUPTED, debug_option, ending_quietly, one_line, report
from portico.errors import PorticoError

__all__ = ["COMMANDS", "cli", "main", "run"]

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("portico.cli.serve", "Folders, WSGI applications, CGI programs and handlers, at addresses."),
    "check": ("portico.cli.check", "What is wrong with a configuration file, with line numbers."),
    "hash-password": ("portico.cli.hash_password", "A password becomes a hash, for basic authentication."),
    "get": ("portico.cli.get", "Download files: resumed, checked, whole under their names."),
    "fetch": ("portico.cli.fetch", "Send an HTTP request made of words, and show the answer."),
    "data": ("portico.cli.data", "Convert, choose and show records: CSV, JSON, XML, HTML tables."),
    "links": ("portico.cli.links", "The links of a page, while it arrives."),
    "tables": ("portico.cli.links", "The tables of a page, their spans resolved."),
    "connect": ("portico.cli.connect", "Talk with whatever listens at an address, by hand or by pipe."),
    "listen": ("portico.cli.listen", "Wait for somebody at an address, and talk."),
    "lookup": ("portico.cli.lookup", "Names to addresses and back, services to ports and back."),
}
"""Each command's module, where it has the command's name, and what it does in one line."""


class _Commands(click.Group):
    """Commands by the table, so that ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from difflib import get_close_matches

            near = [] if args[0].startswith("-") else get_close_matches(args[0], COMMANDS, 1)
            if not near:
                raise
            ctx.fail(f"No such command {args[0]!r}; did you mean {near[0]}?")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with ending_quietly():  # --help and --version print here
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with ending_quietly():
            try:
                return super().invoke(ctx)
            except PorticoError as error:
                raise click.exceptions.Exit(report(error, ctx)) from None


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value:
        return
    from importlib.metadata import version  # slow to import, and nothing else needs it

    click.echo(f"portico {version('portico')}")
    ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"auto_envvar_prefix": "PORTICO", "help_option_names": ["-h", "--help"]},
    params=[
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_show_version,
            help="Show the version and exit.",
        ),
        debug_option(),
    ],
)  # fmt: skip
def cli() -> None:
    """The network stack in one command. Addresses are written as in tcp://127.0.0.1:8000, :8000,
    unix:/run/app.sock or https://example.org."""


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line ``args`` (``sys.argv`` without one); the exit code."""
    try:
        code = cli.main(args, prog_name="portico", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"portico: {_said(error)}", err=True)
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _said(error: click.ClickException) -> str:
    text = one_line(error.format_message()).rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{text} (see '{error.ctx.command_path} --help')"
    return text


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The program ``portico``. Leaves with its exit code."""
    sys.exit(run(args))
