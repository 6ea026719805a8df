"""``portico check``: what is wrong with a configuration file, all at once, without serving."""

from __future__ import annotations

from collections.abc import Callable
from json import dumps
from typing import TypeVar

import click

from portico.admission import Gate
from portico.cli.manners import PATH, Command, json_option, one_line
from portico.cli.serve_options import read_addresses, read_engine, read_tls
from portico.cli.serve_site import bounds, make_served
from portico.engines.workers.children import ask
from portico.errors import AddressError, ConfigError
from portico.web.config import Problem, Problems, Settings, Source, read_file
from portico.web.config.lines import Path

__all__ = ["check", "examine"]

T = TypeVar("T")

_WRONG = 2


@click.command(cls=Command)
@click.argument("file", default="portico.toml", metavar="[FILE]", type=PATH)
@click.option(
    "--programs/--no-programs",
    default=True,
    show_default=True,
    help="Import the programs that it names, and look at folders and certificates.",
)
@json_option()
def check(file: str, programs: bool, json: bool) -> None:
    """Say what is wrong with a configuration FILE (portico.toml, without one), each mistake with its line.

    The exit code is 0 for a file that 'portico serve --config FILE' can use, and 2 for others. Nothing is
    served, no address is bound. Programs are imported by a process that ends at once.
    """
    problems, settings = examine(file, programs)
    if json:
        facts = [{"line": each.line, "key": each.key, "message": each.message} for each in problems]
        click.echo(dumps({"file": file, "problems": facts}))
    else:
        for each in problems:
            click.echo(f"portico: {one_line(each.placed(file))}", err=True)
        if settings is not None and not problems:
            click.echo(f"{file}: {_summary(settings)}")
    if problems:
        raise click.exceptions.Exit(_WRONG)


def _summary(settings: Settings) -> str:
    many = len(settings.mount)
    return f"good; {many} mount{'' if many == 1 else 's'}, engine {settings.engine}"


def examine(file: str, programs: bool) -> tuple[list[Problem], Settings | None]:
    """The mistakes of a file, and its settings, where they can be read.

    Raises ``ConfigError`` for a file that cannot be read at all.
    """
    try:
        settings, source = read_file(file)
    except Problems as found:
        return list(found.problems), None
    if not settings.mount:
        source.note((), "nothing is mounted: add a [[mount]]")
    if programs and settings.mount:
        wire = _look_at_mounts(settings, source)
        _look_at_server(settings, source, wire)
    return sorted(set(source.problems)), settings


def _look_at_mounts(settings: Settings, source: Source) -> str:
    """Make all of them elsewhere; the wire that they speak."""

    def facts() -> tuple[str, list[tuple[int, str, str]]]:
        try:
            return make_served(settings, source).wire, []
        except Problems as found:
            return "http", [(each.line, each.key, each.message) for each in found.problems]

    wire, problems = ask(facts)
    source.problems += [Problem(*each) for each in problems]
    return str(wire)


def _look_at_server(settings: Settings, source: Source, wire: str) -> None:
    """What a server would be made of, but for its mounts; nothing is bound."""
    _tried(source, (_engine_key(settings),), lambda: read_engine(settings))
    addresses = _tried(source, ("listen",), lambda: read_addresses(settings.listen, wire, pretend=True))
    if addresses is not None:
        tls = settings.tls
        path = next(
            (("tls", name) for name in ("certificate", "key", "self_signed") if getattr(tls, name)), None
        )
        _tried(source, path or ("listen",), lambda: read_tls(addresses, tls))
    # The only rule that depends on something outside of its table.
    _tried(source, ("admission", "max_connections"), lambda: _gate(settings))


def _engine_key(settings: Settings) -> str:
    """The key that is at fault where an engine cannot be made of settings that are each right."""
    if settings.workers is None and not settings.engine.startswith(("workers", "forks")):
        bounds = ("max_requests", "max_memory", "max_age")
        return next((name for name in bounds if getattr(settings, name) is not None), "engine")
    return "engine"


def _gate(settings: Settings) -> None:
    admission = settings.admission.admission()
    if admission is not None:
        Gate(admission, bounds(settings))


def _tried(source: Source, path: Path, make: Callable[[], T]) -> T | None:
    try:
        return make()
    except (ConfigError, AddressError) as error:
        source.note(path, str(error))
        return None
