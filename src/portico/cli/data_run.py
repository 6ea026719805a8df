"""What ``portico data`` does: from a source through what is wanted of it to a sink."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import click

from portico.cli.data_progress import progress_of
from portico.cli.manners import exit_code, in_words, one_line
from portico.data.formats import Format, format_of
from portico.data.sinks import Sink, sink
from portico.data.sources import source
from portico.deadline import timeout
from portico.errors import ConfigError, DataError, PorticoError

__all__ = ["convert"]

_FLAT = ("csv", "tsv", "table", "html")
"""Formats whose fields hold no records."""
_SELECTED = {"json": "path", "xml": "select", "html": "table"}
"""What ``--select`` is called, by format."""

_WORDS = {
    "format=": "--from",
    "table=": "--select",
    **{f"{name}={end}": f"--{name} " for name in ("member", "encoding", "delimiter") for end in (" ", "")},
}
"""Options, by the arguments that the library speaks of."""

_NO_NAME = re.compile(r"(?!\A[@#])[^\w.-]|\A(?=[\d.-])")
"""What is not in the name of an element, and where it cannot begin; ``@a`` and ``#text`` have a meaning."""

Record = Any
Step = Callable[[Iterable[Record]], Iterable[Record]]


def convert(what: str, options: Mapping[str, Any]) -> None:
    """Do as the options say. Leaves with an exit code where something was left out."""
    faults: list[PorticoError] = []
    try:
        with (
            in_words(_WORDS, ConfigError, DataError),
            timeout(options["timeout"]),
            progress_of(quiet=options["quiet"]) as progress,
            source(what, encoding=options["encoding"], member=options["member"], progress=progress) as opened,
            sink(options["output"] or "-") as out,
        ):
            form = format_of(opened, options["from"])
            records = form.reader()(opened, **_of_reader(form, options, faults))
            target = _target(form, out, options["to"])
            for step in _steps(options, target, faults):
                records = iter(step(records))
            target.writer()(records, out)
    except OSError as error:
        if isinstance(error, (BrokenPipeError, PorticoError)):
            raise
        raise ConfigError(f"{error.filename or what}: {error.strerror or error}") from error
    if faults:
        raise click.exceptions.Exit(exit_code(faults[0]))


def _target(form: Format, out: Sink, name: str | None) -> Format:
    """The format to write: as asked for, or as the file's name says; a table for people; else as it came."""
    if name is not None:
        return format_of(out, name)
    if out.suffix:
        with in_words({"format=": "--to"}, DataError):
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
        given[_SELECTED[form.name]] = _number_or_text(options["select"])
    of_csv = {
        "delimiter": options["delimiter"],
        "header": False if options["no_header"] else None,
        "types": "auto" if options["types"] == "auto" else None,
    }
    for name, value in of_csv.items():
        if value is not None:
            if form.name not in ("csv", "tsv"):
                raise ConfigError(f"--{name.replace('header', 'no-header')}: {form.name} has none")
            given[name] = value
    if options["keep_going"] and form.name in ("csv", "tsv", "jsonl"):
        given["on_error"] = partial(_left_out, faults)
    return given


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _left_out(faults: list[PorticoError], error: PorticoError) -> None:
    """Say what is left out, which the exit code will tell, too."""
    faults.append(error)
    click.echo(f"portico: {one_line(str(error))}", err=True)


def _steps(options: Mapping[str, Any], target: Format, faults: list[PorticoError]) -> Iterator[Step]:
    """What records go through, one after the other."""
    if options["where"] is not None:
        yield partial(
            _chosen, options["where"], partial(_left_out, faults) if options["keep_going"] else None
        )
    if options["keep_going"]:
        yield partial(_up_to_a_fault, partial(_left_out, faults))
    if options["first"] is not None:
        yield lambda records: islice(records, options["first"])
    if options["fields"] is not None:
        yield partial(_with_fields, [name.strip() for name in options["fields"].split(",")])
    if target.name in _FLAT:
        yield _flattened
    if target.name == "xml":
        yield partial(map, _named)


def _chosen(
    text: str, left_out: Callable[[PorticoError], None] | None, records: Iterable[Record]
) -> Iterator[Record]:
    from portico.cli.data_where import Where

    wanted = Where(text)
    for number, record in enumerate(records, 1):
        try:
            if wanted(record):
                yield record
        except DataError as error:
            named = DataError(error.reason, f"record {number}")
            if left_out is None:
                raise named from None
            left_out(named)


def _up_to_a_fault(left_out: Callable[[PorticoError], None], records: Iterable[Record]) -> Iterator[Record]:
    """What was good before something after which nothing can be read."""
    try:
        yield from records
    except PorticoError as error:
        left_out(error)


def _with_fields(names: list[str], records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        yield {name: _field(record, name) for name in names}


def _field(record: Record, name: str) -> Any:
    """A field by its name, or by a path of names with dots; ``None`` where there is none."""
    if isinstance(record, Mapping) and name in record:
        return record[name]
    for part in name.split("."):
        record = record.get(part) if isinstance(record, Mapping) else None
    return record


def _named(value: Any) -> Any:
    """With names that elements can have: ``unit_price`` for ``unit price``."""
    if isinstance(value, Mapping):
        return {_NO_NAME.sub("_", str(name)): _named(each) for name, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, list) else value


def _flattened(records: Iterable[Record]) -> Iterator[Record]:
    """Fields that hold records or lists become JSON, where a format has only text."""
    for each in records:
        record = each if isinstance(each, Mapping) else {"value": each}
        yield {
            name: json.dumps(value, ensure_ascii=False, default=str)
            if isinstance(value, (dict, list))
            else value
            for name, value in record.items()
        }
