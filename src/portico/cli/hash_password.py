"""``portico hash-password``: a password, asked for or piped in, becomes what a configuration may hold."""

from __future__ import annotations

import sys
from json import dumps

import click

from portico.cli.manners import Command, json_option
from portico.errors import ConfigError
from portico.web.passwords import hash_password as made

__all__ = ["hash_password"]


@click.command(cls=Command, name="hash-password")
@click.argument("user", required=False)
@json_option()
def hash_password(user: str | None, json: bool) -> None:
    """Print the hash of a password, for [auth] in portico.toml; with USER a line for 'serve --users FILE'.

    The password is asked for twice on a terminal; elsewhere it is the first line of the standard input. It
    is never an argument: those are seen by everybody on the machine.
    """
    if user is not None and (not user or ":" in user or not user.isprintable()):
        raise ConfigError(f"the user {user!r} cannot be: a name has no colon and no control characters")
    digest = made(_password())
    if json:
        click.echo(dumps({"user": user, "hash": digest}))
    else:
        click.echo(digest if user is None else f"{user}:{digest}")


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise ConfigError("the password is not UTF-8") from None
