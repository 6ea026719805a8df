"""What ``portico data`` does: from a source through what is wanted of it to a sink."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import click

from portico.cli.data_options import OF_SOURCES, check_names, in_options, limits_of, options_of
from portico.cli.data_progress import progress_of
from portico.cli.data_steps import (
    aligned,
    chosen,
    field_names,
    flattened,
    named,
    up_to_a_fault,
    with_fields,
)
from portico.cli.manners import TRUST_BY_ENVIRONMENT, exit_code, in_words, one_line
from portico.data.formats import Format, format_of
from portico.data.sinks import Sink, sink
from portico.data.sources import source
from portico.data.table_cells import harmless_lines
from portico.deadline import timeout
from portico.errors import CertificateError, ConfigError, PorticoError

__all__ = ["convert"]

_ROWS = ("csv", "tsv")
_FLAT = (*_ROWS, "table", "html")
"""Formats whose fields hold no records."""
_SELECTED = {"json": "path", "xml": "select", "html": "table"}
"""What ``--select`` is called, by format."""
_OF_CSV = {"header": "no-header", "ragged": "fill"}

Record = Any
Step = Callable[[Iterable[Record]], Iterable[Record]]


def convert(what: str, options: Mapping[str, Any]) -> None:
    """Do as the options say. Leaves with an exit code where something was left out."""
    faults: list[PorticoError] = []
    output = "-" if options["output"] is None else options["output"]
    reading, writing = options_of("--read", options["read"]), options_of("--write", options["write"])
    try:
        with (
            in_words(TRUST_BY_ENVIRONMENT, CertificateError),
            timeout(options["timeout"]),
            progress_of(quiet=options["quiet"], to_stdout=output == "-") as progress,
            source(what, **_of_source(options, reading), progress=progress) as opened,
            sink(output, packing=writing.pop("packing", None)) as out,
        ):
            form = format_of(opened, options["from"])
            check_names(reading, form.reader(), 1, "--read", form.name)
            records = form.reader()(opened, **_of_reader(form, options, faults) | reading)
            target = _target(form, out, options["to"])
            check_names(writing, target.writer(), 2, "--write", target.name)
            for step in _steps(options, form, target, faults):
                records = iter(step(records))
            if out.awaited:  # by a hint of the source, for to look at the clock with each record takes time
                opened.before_waiting, out.awaited = out.flush, False
            if out.terminal and target.name != "table":
                with _for_eyes(out) as shown:
                    target.writer()(records, shown, **writing)
            else:
                target.writer()(records, out, **writing)
    except OSError as error:
        if isinstance(error, (BrokenPipeError, PorticoError)):
            raise
        name = what if error.filename is None else error.filename or "''"
        raise ConfigError(f"{name}: {error.strerror or error}") from error
    except PorticoError as error:
        error.args = (_as_options(error), *error.args[1:])
        raise
    if faults:
        raise click.exceptions.Exit(exit_code(faults[0]))


def _as_options(error: PorticoError) -> str:
    return in_options(str(error), wrong_use=isinstance(error, ConfigError))


def _of_source(options: Mapping[str, Any], reading: dict[str, Any]) -> dict[str, Any]:
    """The options of the source; those in ``reading`` are taken out of it."""
    given = {name: reading.pop(name) for name in OF_SOURCES if name in reading}
    own = {name: options[name] for name in ("encoding", "member") if options[name] is not None}
    return {**given, **own, "limits": limits_of(options["limit"])}


def _for_eyes(out: Sink) -> Sink:
    """What goes to a terminal cannot steer it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return Sink(
        lambda data: out.write(harmless_lines(decoder.decode(data))), out.name, terminal=True, keep=out.flush
    )


def _target(form: Format, out: Sink, name: str | None) -> Format:
    """The format to write: as asked for, or as the file's name says; a table for people; else as it came."""
    if name is not None:
        return format_of(out, name)
    if out.suffix:
        return format_of(out)
    if out.terminal:
        return format_of(out, "table")
    return form if form.write is not None else format_of(out, "jsonl")


def _of_reader(form: Format, options: Mapping[str, Any], faults: list[PorticoError]) -> dict[str, Any]:
    """The options of a format's reader. Raises ``ConfigError`` for those that it does not have."""
    given: dict[str, Any] = {}
    if options["select"] is not None:
        if form.name not in _SELECTED:
            raise ConfigError(f"--select: records of {form.name} have no path; --where chooses among them")
        selected = options["select"]
        of_number = form.name == "html" and selected.isascii() and selected.isdigit() and len(selected) < 10
        given[_SELECTED[form.name]] = int(selected) if of_number else selected
    of_csv = {
        "delimiter": "\t" if options["delimiter"] == "\\t" else options["delimiter"],
        "header": False if options["no_header"] else None,
        "ragged": "fill" if options["fill"] else None,
        "types": "auto" if options["types"] == "auto" else None,
    }
    for name, value in of_csv.items():
        if value is not None:
            if form.name not in _ROWS:
                raise ConfigError(f"--{_OF_CSV.get(name, name)}: {form.name} has none")
            given[name] = value
    if options["keep_going"] and form.name in (*_ROWS, "jsonl"):
        given["on_error"] = partial(_left_out, faults)
    return given


def _left_out(faults: list[PorticoError], error: PorticoError) -> None:
    """Say what is left out, which the exit code will tell, too."""
    faults.append(error)
    _note(_as_options(error))


def _note(text: str) -> None:
    with suppress(OSError):
        click.echo(f"portico: {one_line(text)}", err=True)


def _steps(
    options: Mapping[str, Any], form: Format, target: Format, faults: list[PorticoError]
) -> Iterator[Step]:
    """What records go through, one after the other."""
    left_out = partial(_left_out, faults) if options["keep_going"] else None
    if options["where"] is not None:
        yield partial(chosen, options["where"], left_out)
    if left_out is not None:
        yield partial(up_to_a_fault, left_out)
    if options["first"] is not None:
        yield lambda records: islice(records, options["first"])
    if options["fields"] is not None:
        yield partial(with_fields, field_names(options["fields"]), _note)
    if target.name in _FLAT:
        yield flattened
    if target.name in _ROWS and form.name not in _ROWS and options["fields"] is None:
        yield partial(aligned, left_out)
    if target.name == "xml":
        yield named
