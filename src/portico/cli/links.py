"""``portico links`` and ``portico tables``: what a page has, as records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import click

from portico.cli.manners import (
    PATH,
    TRUST_BY_ENVIRONMENT,
    Command,
    in_words,
    json_option,
    one_line,
    timeout_option,
)
from portico.errors import CertificateError, ConfigError, PorticoError

__all__ = ["links", "tables"]

_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What steers a terminal, of that which JSON lets stand in texts: its escapes mean the same."""


@click.command(cls=Command)
@click.argument("page", default="-", metavar="PAGE", type=PATH)
@click.option(
    "-k",
    "--kinds",
    default="a,area",
    show_default=True,
    metavar="A,B",
    help="Elements whose links are wanted: a, area, link, img, script, form …; all.",
)
@click.option("-t", "--text", is_flag=True, help="Also what stands between their tags, behind a tab.")
@click.option("--base", metavar="URL", help="Of a page that does not come from its URL.")
@timeout_option(None)
@json_option()
def links(page: str, kinds: str, text: bool, base: str | None, timeout: float | None, json: bool) -> None:
    """The links of a page, absolute, one a line, while the page arrives.

    PAGE is a URL, a path, or - for stdin.

    \b
      portico links https://example.org
      portico links https://example.org -k img,script --json"""
    from portico.data import html
    from portico.data.table_cells import harmless

    if base is not None and not urlsplit(base).scheme:
        raise click.UsageError(f"--base {base!r} is no URL: http://HOST/PATH")
    wanted = None if kinds == "all" else [kind.strip() for kind in kinds.split(",")]
    with _reading(page, timeout), in_words({"kinds=": "--kinds "}, ConfigError):
        for link in html.links(page, base, kinds=wanted):
            if json:
                click.echo(_record(link._asdict()))
            else:
                said = f"\t{harmless(' '.join(link.text.split()))}" if text else ""
                click.echo(one_line(link.url) + said)


@click.command(cls=Command)
@click.argument("page", default="-", metavar="PAGE", type=PATH)
@timeout_option(None)
@json_option()
def tables(page: str, timeout: float | None, json: bool) -> None:
    """The tables of a page, shown one after the other, with their numbers; spans are resolved.

    PAGE is a URL, a path, or - for stdin. One of them as data: portico data PAGE -s NUMBER --to csv.

    \b
      portico tables https://example.org/prices
      portico tables page.html --json"""
    from portico.data import html, sink
    from portico.data.table import write_table

    with _reading(page, timeout):
        found = html.tables(page)
        for number, table in enumerate(found):
            if json:
                facts = {"table": number, "caption": table.caption, "records": list(table.records())}
                click.echo(_record(facts))
                continue
            caption = one_line(" ".join(table.caption.split()))
            click.echo(f"{number}: {caption}".rstrip(": ") + ":")
            with sink("-") as out:
                write_table(table.records(), out, fields=table.names())
            click.echo()


@contextmanager
def _reading(page: str, seconds: float | None) -> Iterator[None]:
    from portico.deadline import timeout

    try:
        with in_words(TRUST_BY_ENVIRONMENT, CertificateError), timeout(seconds):
            yield
    except OSError as error:
        if isinstance(error, (BrokenPipeError, PorticoError)) or error.filename is None:
            raise  # the latter comes from writing
        raise ConfigError(f"{error.filename or page}: {error.strerror or error}") from error


def _record(facts: dict[str, Any]) -> str:
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(facts, ensure_ascii=False))
