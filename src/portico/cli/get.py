"""``portico get``: files from the network, whole under their names, or parts that can be resumed."""

from __future__ import annotations

from typing import Any

import click

from portico.cli.manners import Command, above_zero, default_scheme_option, json_option, timeout_option

__all__ = ["get"]

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}


def _rate(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    text = value.strip().lower().removesuffix("/s").removesuffix("b")
    number = text.rstrip("kmgi")
    try:
        rate = float(number) * _UNITS[text[len(number) :]]
    except (ValueError, KeyError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise click.BadParameter(f"{value!r} is no rate: write bytes a second, as in 500k or 2Mi", ctx, param)
    return rate


@click.command(cls=Command)
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option("-o", "--output", metavar="FILE", help="Under this name; - is stdout. For one URL.")
@click.option(
    "-d", "--folder", default=".", metavar="DIR", help="Where files are put; it is made.", show_default=True
)
@click.option("-i", "--input-file", metavar="FILE", help="More URLs, one a line; - is stdin.")
@click.option(
    "-n", "--parallel", default=4, type=click.IntRange(1, 64), show_default=True, help="Files at once."
)
@click.option(
    "-s",
    "--segments",
    default=1,
    type=click.IntRange(1, 16),
    show_default=True,
    help="Parts of each file at once, where the server has ranges.",
)
@click.option("--sha256", metavar="HEX", help="What the file has to be. For one URL.")
@click.option(
    "--sums",
    metavar="SOURCE",
    help="Check by a file of SHA-256 sums: its URL, its path, or 'auto', "
    "which is URL.sha256 or SHA256SUMS beside the file.",
)
@click.option("--rate", metavar="BYTES", callback=_rate, help="A second, all files together: 500k, 2Mi.")
@click.option(
    "--attempts",
    default=5,
    type=click.IntRange(1),
    show_default=True,
    help="Tries without a single byte, until a file is given up.",
)
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
@click.option("--no-times", is_flag=True, help="Files get the time of now, not the server's.")
@click.option("-H", "--header", multiple=True, metavar="NAME:VALUE", help="A header field more.")
@click.option(
    "-u",
    "--user",
    metavar="USER:PASSWORD",
    help="Basic authentication. Others see command lines: PORTICO_GET_USER is read, too, and ~/.netrc.",
)
@click.option("--proxy", metavar="URL", help="Through a proxy: http://, https://, socks4a://, socks5h://.")
@default_scheme_option()
@click.option("--ca", metavar="FILE", help="Certificates to trust instead of the system's.")
@click.option("--no-verify", is_flag=True, help="Trust any certificate.")
@click.option(
    "--silence",
    type=float,
    default=60.0,
    callback=above_zero,
    metavar="S",
    show_default=True,
    help="Seconds without a byte, after which it is tried again.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@timeout_option(None)
@json_option()
def get(urls: tuple[str, ...], **options: Any) -> None:
    """Download files. What is cut is resumed, at once and when called again; a file gets its name when it is
    whole.

    \b
      portico get https://example.org/image.iso
      portico get -s 4 --sums auto https://example.org/image.iso
      portico get -i urls.txt -d files --rate 2Mi
      portico get -o - https://example.org/data.csv | head

    Exit code 0: all are there; 18: of at least one there is a part, NAME.part, which the same command
    resumes; else what the first failure says: 2 wrong usage, 6 no such host, 7 no connection, 22 an answer
    that says no … """  # fmt: skip
    # What downloads takes longer to load than to show this help.
    from portico.cli.get_downloads import download

    download(urls, options)
