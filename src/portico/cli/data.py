"""``portico data``: records from anywhere, chosen, converted, shown."""

from __future__ import annotations

from typing import Any

import click

from portico.cli.manners import PATH, Command, timeout_option

__all__ = ["data"]


def _formats(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from portico.data.formats import format_names

    return [name for name in format_names() if name.startswith(incomplete)]


@click.command(cls=Command)
@click.argument("source", default="-", type=PATH)
@click.option(
    "--from",
    "from",
    metavar="FORMAT",
    shell_complete=_formats,
    help="Of the source, where nothing tells it.",
)
@click.option(
    "--to",
    metavar="FORMAT",
    shell_complete=_formats,
    help="csv, tsv, json, jsonl, xml, html or table; else as FILE's name says.",
)
@click.option(
    "-s",
    "--select",
    metavar="PATH",
    help="Which records: a.b[*] of JSON, an element's name or path of XML, a table of HTML by number or CSS.",
)
@click.option(
    "-w", "--where", metavar="EXPR", help="Those of which it is true: 'price > 10 and has(\"name\")'."
)
@click.option("-f", "--fields", metavar="A,B", help="These fields, in this order; a.b is b in a.")
@click.option("-n", "--first", type=click.IntRange(1), metavar="N", help="No more than so many records.")
@click.option(
    "--types",
    type=click.Choice(["text", "auto"]),
    default="text",
    show_default=True,
    help="Of CSV: numbers and dates as such, where a whole column is of one.",
)
@click.option("-d", "--delimiter", metavar="C", help="Of CSV, where it is not found.")
@click.option("--fill", is_flag=True, help="Of CSV: records that are shorter than the header are filled up.")
@click.option("--no-header", is_flag=True, help="CSV without names: its fields are column_1, column_2 …")
@click.option("-e", "--encoding", metavar="NAME", help="Of text, where nothing tells it.")
@click.option("--member", metavar="NAME", help="The file in a zip archive of several.")
@click.option(
    "-o", "--output", metavar="FILE", help="Whole under its name, or not at all; packed as .gz says."
)
@click.option(
    "--read",
    multiple=True,
    metavar="NAME=VALUE",
    help='An option of the format that is read, as the guide calls it: quote="\'", strict=false (CSV), '
    "numbers=decimal, allow_nan=true (JSON), allow=entities (XML).",
)
@click.option(
    "--write",
    multiple=True,
    metavar="NAME=VALUE",
    help="And of the one that is written: delimiter=; (CSV), indent=2 (JSON), record=item (XML).",
)
@click.option(
    "--limit",
    multiple=True,
    metavar="NAME=N",
    help="Another bound than the default: xml_depth=1000, unpack_ratio=none.",
)
@click.option("-k", "--keep-going", is_flag=True, help="Leave out what is wrong, say so, and go on.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@timeout_option(None)
def data(source: str, **options: Any) -> None:
    """Convert between CSV, JSON, JSON Lines, XML and HTML tables; choose records; show them as a table.

    SOURCE is a path, a URL, or - for stdin, compressed or not. On a terminal, records are shown as a table.

    \b
      portico data prices.csv
      portico data https://example.org/prices.csv.gz --to jsonl
      portico data big.json -s 'items[*]' -w 'price > 10' -f name,price -o out.csv
      portico data feed.xml -s item --to json | head

    Exit code 0: all went well; 65: something in the data is wrong (line and column are said); with
    --keep-going all that was good is there all the same. Others are those of portico get."""
    # What converts takes longer to load than to show this help.
    from portico.cli.data_run import convert
    from portico.cli.ending import ending_by_signals

    with ending_by_signals():
        convert(source, options)
