"""What all commands share: exit codes, how an error is said, common options.

click calls an option's environment variable after its parameter, so parameters are named as the options
are: ``--json`` is ``json``, and ``PORTICO_LOOKUP_JSON``.
"""

from __future__ import annotations

import errno
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from portico import errors

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "CLOSED_PIPE",
    "EXIT_CODES",
    "INTERRUPTED",
    "PATH",
    "TRUST",
    "TRUST_BY_ENVIRONMENT",
    "Command",
    "above_zero",
    "debug_option",
    "default_scheme_option",
    "ending_quietly",
    "exit_code",
    "in_words",
    "json_option",
    "one_line",
    "report",
    "timeout_option",
]

F = TypeVar("F", bound=Callable[..., Any])

EXIT_CODES: tuple[tuple[type[errors.PorticoError], int], ...] = (
    (errors.AddressError, 2),
    (errors.ConfigError, 2),
    (errors.BindError, 2),
    (errors.LocalProtocolError, 2),
    (errors.ResolveError, 6),
    (errors.ConnectError, 7),
    (errors.DataError, 65),
    (errors.ProtocolError, 8),
    (errors.EndOfStream, 18),
    (errors.HTTPError, 22),
    (errors.Timeout, 28),
    (errors.RedirectError, 47),
    (errors.CertificateError, 60),
    (errors.TLSError, 35),
    (errors.ConnectionLost, 56),
    (errors.LimitExceeded, 63),
    (errors.AuthenticationError, 67),
    (errors.PorticoError, 1),
)
"""curl's numbers where it has one; 2 is what shells and click mean by wrong usage, 65 what sysexits.h does by
data in error. The first match wins."""

INTERRUPTED = 130
"""128 + SIGINT: what shells report for a program that Ctrl-C ended."""
CLOSED_PIPE = 141
"""128 + SIGPIPE: what they report for a filter whose reader has gone (``| head``)."""

_NO_OTHER_NAME = {", or give the right one as server_name=": ""}
TRUST = {"ca=": "--ca FILE", **_NO_OTHER_NAME}
"""For ``in_words``: what to do about a certificate, where ``--ca`` is an option."""
TRUST_BY_ENVIRONMENT = {"as ca=": "by SSL_CERT_FILE in the environment", **_NO_OTHER_NAME}
"""And where it is not."""

_BEFORE_THE_BODY = frozenset({"proxy", "tls", "send", "wait", "head"})
_DEBUG = "portico.debug"
_LONGEST = 2000
"""Characters of a message: whoever typed a megabyte need not see all of it again."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing to stdout may meet; any other error is a fault of ours."""


def exit_code(error: errors.PorticoError) -> int:
    """The exit code for an error, by its class; without the head of an answer there is no part of it."""
    if isinstance(error, errors.EndOfStream) and error.reached in _BEFORE_THE_BODY:
        return exit_code(errors.ConnectionLost())
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def one_line(text: str) -> str:
    """A message as one line for a terminal: what a peer put into it cannot move the cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def in_words(words: Mapping[str, str], *kinds: type[errors.PorticoError]) -> Iterator[None]:
    """Errors of these kinds name what to write on the command line, not arguments of functions: ``words`` has
    the one for the other (``"ca="``)."""
    try:
        yield
    except kinds as error:
        said = str(error)
        arguments = "|".join(map(re.escape, words))
        instead = re.sub(rf"\b(?:{arguments})", lambda found: words[found[0]], said)
        if instead == said:
            raise
        raise type(error)(instead) from error


def report(error: errors.PorticoError, ctx: click.Context, about: str = "") -> int:
    """Say on stderr what went wrong (with ``about`` which of several things, unless the error says so),
    after a traceback where ``--debug`` asks for it; the exit code."""
    if ctx.meta.get(_DEBUG):
        traceback.print_exception(error)
    text = str(error)
    if about and about not in text:
        text = f"{about}: {text}"
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
    _say(f"portico: {one_line(text)}")
    return exit_code(error)


@contextmanager
def ending_quietly() -> Iterator[None]:
    """Turn a reader that has gone into an exit without words, and a stdout that takes no more (a full disk)
    into one line."""
    try:
        yield
        if sys.stdout is not None:  # a service may be started without
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        raise click.exceptions.Exit(CLOSED_PIPE) from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        ctx = click.get_current_context(silent=True)
        if ctx is not None and ctx.meta.get(_DEBUG):
            traceback.print_exception(error)
        _forget_stdout()
        _say(f"portico: cannot write: {error.strerror or error}")
        raise click.exceptions.Exit(exit_code(errors.ConfigError(""))) from None


def _forget_stdout() -> None:
    """The interpreter flushes once more when it ends, and would complain."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        if sys.stdout is not None:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _say(text: str) -> None:
    """A line on stderr, if that takes it."""
    with suppress(OSError):
        click.echo(text, err=True)


def debug_option() -> click.Option:
    """``--debug``, which every command has."""
    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, callback=_set_debug, help="Show tracebacks of errors."
    )


def _set_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_DEBUG] = True


class _Path(click.types.StringParamType):
    """A text for which shells complete the names of files. What is wrong with one, the command says."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


PATH = _Path()
"""The type of arguments that may be paths. Options of a ``Command`` for a FILE or DIR have it already."""


class Command(click.Command):
    """A command with the options that all have: ``@click.command(cls=Command)``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())
        for param in self.params:
            if param.metavar in ("FILE", "DIR"):
                param.type = PATH


def above_zero(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """A callback for options of ``type=float``: not zero, not below, not ``nan`` or ``inf``."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"{value:g} is not a number above zero", ctx, param)
    return value


def timeout_option(default: float | None) -> Callable[[F], F]:
    """``--timeout S``, passed as ``timeout``: one deadline over all that the command does."""
    return click.option(
        "--timeout",
        type=float,
        callback=above_zero,
        metavar="S",
        default=default,
        show_default=True,
        help="Give up after so many seconds.",
    )


def json_option() -> Callable[[F], F]:
    """``--json``, passed as ``json``: an answer for machines."""
    return click.option("--json", is_flag=True, help="Print JSON.")


def default_scheme_option() -> Callable[[F], F]:
    """``--default-scheme``, passed as ``default_scheme``: see ``portico.cli.typed_url``."""
    return click.option(
        "--default-scheme",
        type=click.Choice(["http", "https"]),
        help="Of URLs without one; else http for this machine, and https.",
    )
